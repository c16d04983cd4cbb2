"""The SQL of account statements: everything that ever changed what a customer owes, as signed amounts.

An entry is written in the transaction of what it tells, on that day, and never changed: what is undone later is an entry of
its own. So the statement of a past period stays the same, and the next one begins where it ended.
"""

from datetime import datetime
from typing import NamedTuple

from chassis.database import Database, Row, Tx
from contracts.billing import EntryKind, Invoice
from contracts.message import CustomerId, MerchantId

_PERIOD = """
    SELECT at, kind, reference, amount, currency FROM account_entry
    WHERE merchant_id = $1 AND customer_id = $2 AND at >= $3 AND at < $4 ORDER BY at, id LIMIT $5
"""


class Entry(NamedTuple):
    """What is to be booked: `amount` in minor units of its invoice, positive when the customer owes more."""

    kind: EntryKind
    amount: int
    reference: str | None


async def book(tx: Tx, invoice: Invoice, *entries: Entry) -> None:
    """Enter into the account of an invoice's customer what has happened to it now, in this order."""
    await tx.execute(
        """
        INSERT INTO account_entry (merchant_id, customer_id, currency, at, kind, amount, reference)
        SELECT $1, $2, $3, $4, kind, amount, reference
        FROM unnest($5::text[], $6::bigint[], $7::text[]) WITH ORDINALITY AS new (kind, amount, reference, place)
        ORDER BY place
        """,
        invoice.merchant_id,
        invoice.customer_id,
        invoice.currency,
        tx.now,
        *zip(*entries, strict=True),
    )


async def opening(db: Database, merchant_id: MerchantId, customer_id: CustomerId, before: datetime) -> dict[str, int]:
    """What was owed before a moment, in minor units per currency."""
    rows = await db.fetch(
        """
        SELECT currency, sum(amount)::bigint AS owed FROM account_entry
        WHERE merchant_id = $1 AND customer_id = $2 AND at < $3 GROUP BY currency
        """,
        merchant_id,
        customer_id,
        before,
    )
    return {row["currency"]: row["owed"] for row in rows}


async def movements(
    db: Database, merchant_id: MerchantId, customer_id: CustomerId, since: datetime, until: datetime, limit: int
) -> list[Row]:
    """What changed it from `since` on and before `until`, oldest first: at, kind, reference, amount, currency."""
    return await db.fetch(_PERIOD, merchant_id, customer_id, since, until, limit)
