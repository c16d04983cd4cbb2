"""The SQL of account statements: everything that ever changed what a customer owes, as signed amounts."""

from datetime import datetime

from chassis.database import Database, Row
from contracts.message import CustomerId, MerchantId

# An invoice asks for its total from the moment it opens. What is withdrawn or given up is not asked for any more, as far
# as it was not paid. A refund is money that went back; its credit note takes as much off what was charged, so that both
# together change nothing, unless the money had paid for nothing (surplus), which has no credit note. A dispute takes the
# money back at once; a dispute that is won brings it again.
_MOVEMENTS = """
    SELECT opened_at AS at, 1 AS place, 'invoice' AS kind, number AS reference, total AS amount, currency, id
    FROM invoice WHERE merchant_id = $1 AND customer_id = $2 AND opened_at IS NOT NULL
    UNION ALL
    SELECT closed_at, 2, CASE status WHEN 'void' THEN 'withdrawn' ELSE 'written_off' END, number, amount_paid - total,
           currency, id
    FROM invoice WHERE merchant_id = $1 AND customer_id = $2 AND status IN ('void', 'uncollectible')
    UNION ALL
    SELECT settled_at, 3, 'payment', receipt_number, -amount, currency, id
    FROM payment WHERE merchant_id = $1 AND customer_id = $2 AND status = 'succeeded'
    UNION ALL
    SELECT (state->>'issued_at')::timestamptz, 4, 'credit_note', credit_note_number, -(state->>'credited')::bigint,
           currency, id
    FROM refund
    WHERE merchant_id = $1 AND customer_id = $2 AND status <> 'failed' AND credit_note_number IS NOT NULL
    UNION ALL
    SELECT (state->>'issued_at')::timestamptz, 5, 'refund', credit_note_number, amount, currency, id
    FROM refund WHERE merchant_id = $1 AND customer_id = $2 AND status <> 'failed' AND state->>'issued_at' IS NOT NULL
    UNION ALL
    SELECT (state->>'opened_at')::timestamptz, 6, 'dispute', NULL, amount, currency, id
    FROM dispute WHERE merchant_id = $1 AND customer_id = $2 AND NOT (state->>'inquiry')::boolean
    UNION ALL
    SELECT (state->>'closed_at')::timestamptz, 7, 'dispute_won', NULL, -amount, currency, id
    FROM dispute
    WHERE merchant_id = $1 AND customer_id = $2 AND status = 'won' AND NOT (state->>'inquiry')::boolean
"""


async def opening(db: Database, merchant_id: MerchantId, customer_id: CustomerId, before: datetime) -> dict[str, int]:
    """What was owed before a moment, in minor units per currency."""
    rows = await db.fetch(
        f"SELECT currency, sum(amount)::bigint AS owed FROM ({_MOVEMENTS}) AS m WHERE at < $3 GROUP BY currency",  # noqa: S608 - a constant
        merchant_id,
        customer_id,
        before,
    )
    return {row["currency"]: row["owed"] for row in rows}


async def movements(
    db: Database, merchant_id: MerchantId, customer_id: CustomerId, since: datetime, until: datetime, limit: int
) -> list[Row]:
    """What changed it from `since` on and before `until`, oldest first: at, kind, reference, amount, currency."""
    return await db.fetch(
        f"""
        SELECT at, kind, reference, amount, currency FROM ({_MOVEMENTS}) AS m
        WHERE at >= $3 AND at < $4 ORDER BY at, place, id LIMIT $5
        """,  # noqa: S608 - a constant
        merchant_id,
        customer_id,
        since,
        until,
        limit,
    )
