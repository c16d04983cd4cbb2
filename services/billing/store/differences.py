"""The SQL of what Stripe's books and ours do not agree on: kept until it is explained, and shown a while longer."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple

from chassis.database import Database, Row
from contracts.billing import Difference
from contracts.message import MerchantId
from services.billing.store.reading import readable

Kind = Literal["payment", "refund", "dispute"]


class Disputed(NamedTuple):
    """What a difference is about: Stripe's id of it, and whose it is."""

    what: Kind
    stripe_id: str
    merchant_id: MerchantId


@dataclass
class Known:
    """A merchant's differences: those that stand, the oldest first, and those that were explained, the latest first."""

    standing: list[Difference] = field(default_factory=list)
    resolved: list[Difference] = field(default_factory=list)


async def note(
    db: Database, account: str | None, merchant_id: MerchantId, difference: Difference, now: datetime
) -> None:
    """It stands, since now or since it was first seen."""
    await db.execute(
        """
        INSERT INTO difference (account, what, stripe_id, merchant_id, state, since, asked_at)
        VALUES ($1, $2, $3, $4, $5, $6, $6)
        ON CONFLICT (account, what, stripe_id) DO UPDATE
        SET state = excluded.state, asked_at = excluded.asked_at, resolved_at = NULL,
            since = CASE WHEN difference.resolved_at IS NULL THEN difference.since ELSE excluded.since END
        """,
        account or "",
        difference.what,
        difference.stripe_id,
        merchant_id,
        difference.model_dump_json(),
        now,
    )


async def take(db: Database, account: str | None, now: datetime, limit: int) -> list[Disputed]:
    """The account's differences that have not been asked about now, the longest ago first; they count as asked from now."""
    rows = await db.fetch(
        """
        UPDATE difference SET asked_at = $2
        WHERE (account, what, stripe_id) IN (
            SELECT account, what, stripe_id FROM difference
            WHERE account = $1 AND resolved_at IS NULL AND asked_at < $2 ORDER BY asked_at LIMIT $3
        )
        RETURNING what, stripe_id, merchant_id
        """,
        account or "",
        now,
        limit,
    )
    return [Disputed(row["what"], row["stripe_id"], MerchantId(row["merchant_id"])) for row in rows]


async def resolve(db: Database, account: str | None, about: Disputed, now: datetime) -> None:
    """Both books agree on it by now."""
    await db.execute(
        """
        UPDATE difference SET resolved_at = $4
        WHERE account = $1 AND what = $2 AND stripe_id = $3 AND resolved_at IS NULL
        """,
        account or "",
        about.what,
        about.stripe_id,
        now,
    )


async def every_difference(db: Database) -> defaultdict[MerchantId, Known]:
    """All that stand and all that were explained and are not forgotten, by merchant."""
    known: defaultdict[MerchantId, Known] = defaultdict(Known)
    rows = await db.fetch(
        """
        SELECT stripe_id AS id, merchant_id, state, since, asked_at, resolved_at FROM difference
        ORDER BY resolved_at DESC, since, stripe_id
        """
    )
    for merchant_id, each in readable("difference", rows, lambda row: (row["merchant_id"], _difference(row))):
        of = known[MerchantId(merchant_id)]
        (of.standing if each.resolved_at is None else of.resolved).append(each)
    return known


def _difference(row: Row) -> Difference:
    dates = {name: row[name] for name in ("since", "asked_at", "resolved_at")}
    return Difference.model_validate_json(row["state"]).model_copy(update=dates)


async def forget_resolved(db: Database, before: datetime) -> None:
    """Forget what was explained before `before`. What stands is never forgotten."""
    await db.execute("DELETE FROM difference WHERE resolved_at < $1", before)
