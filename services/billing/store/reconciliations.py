"""The SQL of what a comparison with Stripe's books came to, one row per merchant."""

from collections.abc import AsyncIterator, Collection
from typing import NamedTuple
from uuid import UUID

from chassis.database import Database, Row, Tx
from chassis.republish import CurrentRow
from contracts.billing import Reconciliation
from contracts.message import MerchantId
from services.billing.store.reading import readable


class Last(NamedTuple):
    """A merchant's newest result, and every account at which money of theirs has been compared; None: the platform's."""

    result: Reconciliation
    accounts: frozenset[str | None]


async def save_reconciliation(tx: Tx, result: Reconciliation, accounts: Collection[str | None]) -> int:
    """Write the merchant's newest result. Returns its sequence: announce with it, once."""
    sequence: int = await tx.fetchval(
        """
        INSERT INTO reconciliation (merchant_id, sequence, state, accounts) VALUES ($1, 1, $2, $3)
        ON CONFLICT (merchant_id) DO UPDATE
        SET state = excluded.state, accounts = excluded.accounts, sequence = reconciliation.sequence + 1
        RETURNING sequence
        """,
        result.merchant_id,
        result.model_dump_json(),
        sorted(each or "" for each in accounts),
    )
    return sequence


async def last_results(db: Database) -> dict[MerchantId, Last]:
    """Every merchant's newest result."""
    rows = await db.fetch("SELECT merchant_id AS id, state, accounts FROM reconciliation")
    return {each.result.merchant_id: each for each in readable("result", rows, _last)}


def _last(row: Row) -> Last:
    return Last(Reconciliation.model_validate_json(row["state"]), frozenset(each or None for each in row["accounts"]))


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
