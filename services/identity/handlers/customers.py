"""A merchant's customers."""

from __future__ import annotations

from chassis.database import Tx
from chassis.ids import new_id
from chassis.requests import Commands
from contracts.identity import (
    CreateCustomer,
    Customer,
    CustomerChanged,
    CustomerCreated,
    InvitationRevoked,
    UpdateCustomer,
)
from contracts.message import Actor, InvalidInput, NotAllowed
from services.identity.domain.access import why_not_customers
from services.identity.domain.inputs import mistakes
from services.identity.store import customers, invitations


async def create_customer(tx: Tx, command: CreateCustomer) -> Customer:
    """Add a customer, who cannot use the portal until invited."""
    _only_team(tx.cause.actor)
    _check(command)
    customer = Customer(
        **dict(command) | {"phone": command.phone or None},
        id=new_id(),
        merchant_id=tx.merchant,
        portal_access="none",
        created_at=tx.now,
    )
    await customers.insert_customer(tx, customer)
    tx.announce(CustomerCreated(state=customer), sequence=1)
    return customer


async def update_customer(tx: Tx, command: UpdateCustomer) -> Customer:
    """Change what is given; an empty text takes a company or phone number away.

    Archiving takes every pending invitation back, and a new address those that went to the old one: it may have been
    mistyped, and be somebody else's.
    """
    _only_team(tx.cause.actor)
    _check(command)
    customer = await customers.lock_customer(tx, tx.merchant, command.customer_id)
    given = {name: value for name, value in command if value is not None and name != "customer_id"}
    given |= {name: None for name in ("company", "phone") if given.get(name, "-").strip() == ""}
    changed = customer.model_copy(update=given)
    if changed == customer:
        return customer
    tx.announce(CustomerChanged(state=changed), sequence=await customers.save_customer(tx, changed))
    if changed.archived or changed.email != customer.email:
        for invitation in await invitations.lock_pending(tx, customer.id, None if changed.archived else customer.email):
            revoked = invitation.model_copy(update={"status": "revoked"})
            tx.announce(InvitationRevoked(state=revoked), sequence=await invitations.save_invitation(tx, revoked))
    return changed


def _check(command: CreateCustomer | UpdateCustomer) -> None:
    errors = mistakes(command.model_dump())
    if errors:
        raise InvalidInput(errors=errors)


def _only_team(actor: Actor) -> None:
    reason = why_not_customers(actor)
    if reason:
        raise NotAllowed(reason)


COMMANDS: Commands = {CreateCustomer: create_customer, UpdateCustomer: update_customer}
"""Which function answers which command."""
