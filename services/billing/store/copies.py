"""Reads of the copies that billing keeps of identity's nouns."""

from typing import Protocol, TypeVar

from chassis.database import Row
from contracts.identity import Customer, Logo, Merchant
from contracts.message import CustomerId, MerchantId, State


class Reader(Protocol):
    """A transaction, or the pool when one statement is enough."""

    async def fetchrow(self, sql: str, *parameters: object) -> Row | None:
        """The first row of a query, or None."""
        ...


S = TypeVar("S", bound=State)


async def merchant(db: Reader, merchant_id: MerchantId) -> Merchant | None:
    """The merchant as we know it."""
    return _state(Merchant, await db.fetchrow("SELECT state FROM copy_merchant WHERE id = $1", merchant_id))


async def logo(db: Reader, merchant_id: MerchantId) -> Logo | None:
    """The merchant's logo; its id is the merchant's."""
    return _state(Logo, await db.fetchrow("SELECT state FROM copy_logo WHERE id = $1", merchant_id))


async def customer(db: Reader, merchant_id: MerchantId, customer_id: CustomerId) -> Customer | None:
    """A merchant's customer, archived or not; None for another merchant's."""
    row = await db.fetchrow(
        "SELECT state FROM copy_customer WHERE merchant_id = $1 AND id = $2 AND NOT deleted", merchant_id, customer_id
    )
    return _state(Customer, row)


def _state(kind: type[S], row: Row | None) -> S | None:
    return None if row is None else kind.model_validate_json(row["state"])
