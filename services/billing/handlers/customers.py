"""What billing does when identity tells of a customer."""

from chassis.copies import Change
from chassis.database import Tx
from contracts.identity import Customer
from contracts.message import CustomerId
from services.billing.store import archiving


async def follow_customer(tx: Tx, change: Change[Customer]) -> None:
    """Have everything ended that would be charged to a customer who was archived or erased; the collector does it."""
    customer = change.state
    if archiving.is_closed(customer):
        await archiving.ask_to_close(tx, customer.merchant_id, CustomerId(customer.id))
    else:
        await archiving.closed(tx, customer.merchant_id, CustomerId(customer.id))
