"""The SQL of what a comparison with Stripe's books came to, one row per merchant."""

from collections.abc import AsyncIterator
from uuid import UUID

from chassis.database import Database, Tx
from chassis.republish import CurrentRow
from contracts.billing import Reconciliation
from contracts.message import MerchantId


async def save_reconciliation(tx: Tx, result: Reconciliation) -> int:
    """Write the merchant's newest result. Returns its sequence: announce with it, once."""
    sequence: int = await tx.fetchval(
        """
        INSERT INTO reconciliation (merchant_id, sequence, state) VALUES ($1, 1, $2)
        ON CONFLICT (merchant_id) DO UPDATE SET state = excluded.state, sequence = reconciliation.sequence + 1
        RETURNING sequence
        """,
        result.merchant_id,
        result.model_dump_json(),
    )
    return sequence


async def results_of(db: Database, account: str | None) -> dict[MerchantId, Reconciliation]:
    """The newest results of the merchants whose money goes to an account, by merchant."""
    rows = await db.fetch(
        """
        SELECT r.state FROM reconciliation AS r LEFT JOIN billing_defaults AS d USING (merchant_id)
        WHERE d.stripe_account IS NOT DISTINCT FROM $1
        """,
        account,
    )
    found = [Reconciliation.model_validate_json(row["state"]) for row in rows]
    return {each.merchant_id: each for each in found}


async def every_reconciliation(db: Database) -> AsyncIterator[CurrentRow]:
    """Every merchant's result with its present sequence, for Republish."""
    after: UUID | None = None
    while True:
        rows = await db.fetch(
            """
            SELECT merchant_id, state, sequence FROM reconciliation
            WHERE $1::uuid IS NULL OR merchant_id > $1 ORDER BY merchant_id LIMIT 500
            """,
            after,
        )
        for row in rows:
            yield CurrentRow(Reconciliation.model_validate_json(row["state"]), row["sequence"])
        if not rows:
            return
        after = rows[-1]["merchant_id"]
