"""The SQL of disputes."""

from collections.abc import AsyncIterator
from uuid import UUID

from chassis.database import Database, Tx
from chassis.republish import CurrentRow
from contracts.billing import Dispute
from services.billing.store.copies import Reader


async def insert_dispute(tx: Tx, dispute: Dispute, stripe_id: str, account: str | None) -> None:
    """Save a new dispute, at sequence 0: the first announcement makes it 1."""
    await tx.execute(
        """
        INSERT INTO dispute (id, merchant_id, customer_id, invoice_id, payment_id, sequence, status, amount, currency, state,
                             account, stripe_id, created_at)
        VALUES ($1, $2, $3, $4, $5, 0, $6, $7, $8, $9, $10, $11, $12)
        """,
        dispute.id,
        dispute.merchant_id,
        dispute.customer_id,
        dispute.invoice_id,
        dispute.payment_id,
        dispute.status,
        dispute.amount,
        dispute.currency,
        dispute.model_dump_json(),
        account,
        stripe_id,
        dispute.opened_at,
    )


async def save_dispute(tx: Tx, dispute: Dispute) -> int:
    """Write everything that may change of a dispute. Returns its new sequence: announce with it, once."""
    sequence: int = await tx.fetchval(
        """
        UPDATE dispute SET status = $3, amount = $4, currency = $6, state = $5, sequence = sequence + 1
        WHERE merchant_id = $1 AND id = $2 RETURNING sequence
        """,
        dispute.merchant_id,
        dispute.id,
        dispute.status,
        dispute.amount,
        dispute.model_dump_json(),
        dispute.currency,
    )
    return sequence


async def dispute_at_stripe(db: Reader, stripe_id: str) -> Dispute | None:
    """The dispute that Stripe knows by this id."""
    row = await db.fetchrow("SELECT state FROM dispute WHERE stripe_id = $1", stripe_id)
    return None if row is None else Dispute.model_validate_json(row["state"])


async def open_disputes(db: Database, account: str | None) -> list[str]:
    """Stripe's ids of an account's disputes that are not decided, oldest first."""
    rows = await db.fetch(
        "SELECT stripe_id FROM dispute WHERE status = 'open' AND account IS NOT DISTINCT FROM $1 ORDER BY created_at",
        account,
    )
    return [row["stripe_id"] for row in rows]


async def every_dispute(db: Database) -> AsyncIterator[CurrentRow]:
    """Every merchant's disputes with their present sequence, for Republish."""
    after: UUID | None = None
    while True:
        rows = await db.fetch(
            "SELECT id, state, sequence FROM dispute WHERE $1::uuid IS NULL OR id > $1 ORDER BY id LIMIT 500", after
        )
        for row in rows:
            yield CurrentRow(Dispute.model_validate_json(row["state"]), row["sequence"])
        if not rows:
            return
        after = rows[-1]["id"]
