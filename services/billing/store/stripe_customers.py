"""The SQL of our customers as Stripe knows them: one per account, made once."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from chassis.database import Database, Row, Tx
from contracts.message import CustomerId, MerchantId
from services.billing.store.copies import Reader


@dataclass(frozen=True)
class Owner:
    """A customer at Stripe. `account` is the connected account that it is there for; None is the platform's own."""

    merchant_id: MerchantId
    customer_id: CustomerId
    account: str | None
    stripe_id: str


class Due(NamedTuple):
    """Whose methods are to be looked at.

    `is_left`: the merchant has left the account, and no look was asked for. Nothing there is charged any more; but who
    gave a method on a page that had been opened before is to hear of it, so a look that was asked for is made.
    """

    owner: Owner
    is_left: bool


_OWNER = "merchant_id, customer_id, account, stripe_id"


def _owner(row: Row | None) -> Owner | None:
    if row is None or row["stripe_id"] is None:
        return None
    return Owner(
        MerchantId(row["merchant_id"]), CustomerId(row["customer_id"]), row["account"] or None, row["stripe_id"]
    )


async def lock_customer(tx: Tx, merchant_id: MerchantId, customer_id: CustomerId, account: str | None) -> str | None:
    """Stripe's id of a customer, None before it was made; their row is locked, and made when it is not there."""
    await tx.execute(
        "INSERT INTO stripe_customer (merchant_id, customer_id, account) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        merchant_id,
        customer_id,
        account or "",
    )
    stripe_id: str | None = await tx.fetchval(
        "SELECT stripe_id FROM stripe_customer WHERE merchant_id = $1 AND customer_id = $2 AND account = $3 FOR UPDATE",
        merchant_id,
        customer_id,
        account or "",
    )
    return stripe_id


async def note_customer(tx: Tx, owner: Owner) -> None:
    """Stripe has made the customer. The one that was noted first stays."""
    await tx.execute(
        """
        UPDATE stripe_customer SET stripe_id = $4
        WHERE merchant_id = $1 AND customer_id = $2 AND account = $3 AND stripe_id IS NULL
        """,
        owner.merchant_id,
        owner.customer_id,
        owner.account or "",
        owner.stripe_id,
    )


async def owner_of(db: Reader, merchant_id: MerchantId, customer_id: CustomerId, account: str | None) -> Owner | None:
    """A customer as Stripe knows it; None before it was made there."""
    row = await db.fetchrow(
        f"SELECT {_OWNER} FROM stripe_customer WHERE merchant_id = $1 AND customer_id = $2 AND account = $3",  # noqa: S608 - a constant
        merchant_id,
        customer_id,
        account or "",
    )
    return _owner(row)


async def owners_of(db: Database, merchant_id: MerchantId, customer_id: CustomerId) -> list[Owner]:
    """A customer as Stripe knows it, at each account that they were billed with."""
    rows = await db.fetch(
        f"SELECT {_OWNER} FROM stripe_customer WHERE merchant_id = $1 AND customer_id = $2",  # noqa: S608 - a constant
        merchant_id,
        customer_id,
    )
    return [owner for row in rows if (owner := _owner(row))]


async def owner_by_id(db: Reader, stripe_id: str, account: str | None) -> Owner | None:
    """Whose customer at Stripe this is; None: nobody's of ours."""
    row = await db.fetchrow(
        f"SELECT {_OWNER} FROM stripe_customer WHERE account = $1 AND stripe_id = $2",  # noqa: S608 - a constant
        account or "",
        stripe_id,
    )
    return _owner(row)


async def owner_of_method(db: Reader, method: str, account: str | None) -> Owner | None:
    """Whose payment method at Stripe this is, by Stripe's id of it; None: none that we show."""
    row = await db.fetchrow(
        """
        SELECT c.merchant_id, c.customer_id, c.account, c.stripe_id
        FROM payment_method AS m JOIN stripe_customer AS c USING (merchant_id, customer_id, account)
        WHERE m.account = $1 AND m.stripe_id = $2
        """,
        account or "",
        method,
    )
    return _owner(row)


async def next_look(db: Database, owner: Owner) -> int:
    """The number of a look at a customer's payment methods: taken before Stripe is asked (see `keep_look`)."""
    number: int = await db.fetchval(
        """
        UPDATE stripe_customer SET looks = looks + 1
        WHERE merchant_id = $1 AND customer_id = $2 AND account = $3 RETURNING looks
        """,
        owner.merchant_id,
        owner.customer_id,
        owner.account or "",
    )
    return number


async def keep_look(tx: Tx, owner: Owner, look: int) -> bool:
    """Lock the customer's row for what a look has seen. False: a later look has been kept, which saw at least as much."""
    kept = await tx.fetchval(
        """
        UPDATE stripe_customer SET look_kept = greatest(look_kept, $4), looked_at = $5
        WHERE merchant_id = $1 AND customer_id = $2 AND account = $3 RETURNING look_kept
        """,
        owner.merchant_id,
        owner.customer_id,
        owner.account or "",
        look,
        tx.now,
    )
    return bool(kept == look)


async def ask_for_look(tx: Tx, merchant_id: MerchantId, customer_id: CustomerId, account: str | None) -> None:
    """Have the reconciliation look at a customer's methods when it runs next."""
    await tx.execute(
        "UPDATE stripe_customer SET looked_at = NULL WHERE merchant_id = $1 AND customer_id = $2 AND account = $3",
        merchant_id,
        customer_id,
        account or "",
    )


async def look_later(db: Database, owner: Owner, looked_at: datetime) -> None:
    """Put a customer off as if their methods had been looked at then."""
    await db.execute(
        "UPDATE stripe_customer SET looked_at = $4 WHERE merchant_id = $1 AND customer_id = $2 AND account = $3",
        owner.merchant_id,
        owner.customer_id,
        owner.account or "",
        looked_at,
    )


async def to_look_at(db: Database | Tx, before: datetime, limit: int) -> list[Due]:
    """Customers at Stripe, of every merchant, whose methods nobody has looked at since `before`.

    First those for whom a look was asked for, then the longest ago.
    """
    rows = await db.fetch(
        f"""
        SELECT {_OWNER}, looked_at IS NOT NULL AND account <> coalesce(
            (SELECT stripe_account FROM billing_defaults AS d WHERE d.merchant_id = c.merchant_id), '') AS is_left
        FROM ((SELECT {_OWNER}, looked_at FROM stripe_customer
               WHERE stripe_id IS NOT NULL AND looked_at IS NULL LIMIT $2)
              UNION ALL
              (SELECT {_OWNER}, looked_at FROM stripe_customer
               WHERE stripe_id IS NOT NULL AND looked_at < $1 ORDER BY looked_at NULLS FIRST LIMIT $2)
              LIMIT $2) AS c
        """,  # noqa: S608 - a constant
        before,
        limit,
    )
    return [Due(owner, row["is_left"]) for row in rows if (owner := _owner(row))]
