"""The SQL of subscriptions and payment plans."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic import TypeAdapter

from chassis.database import Database, Row, Tx
from chassis.republish import CurrentRow
from contracts.billing import Subscription
from contracts.message import CustomerId, MerchantId, SubscriptionId
from services.billing.domain.subscriptions import Standing
from services.billing.store.copies import Reader

_STANDING = TypeAdapter(Standing)
_ALL = "state, standing, link_generation"


@dataclass(frozen=True)
class Kept:
    """A subscription as others see it, and how it stands in the domain's own words."""

    state: Subscription
    standing: Standing
    link_generation: int = 1


def _kept(row: Row | None) -> Kept | None:
    return None if row is None else kept_in(row)


def kept_in(row: Row) -> Kept:
    """The subscription of a row that holds all its columns."""
    standing = _STANDING.validate_json(row["standing"])
    return Kept(Subscription.model_validate_json(row["state"]), standing, row["link_generation"])


async def insert_subscription(tx: Tx, kept: Kept) -> None:
    """Save a new one, at sequence 0: the first announcement makes it 1."""
    state = kept.state
    await tx.execute(
        """
        INSERT INTO subscription (id, merchant_id, customer_id, sequence, kind, status, state, standing, created_at)
        VALUES ($1, $2, $3, 0, $4, $5, $6, $7, $8)
        """,
        state.id,
        state.merchant_id,
        state.customer_id,
        state.kind,
        state.status,
        state.model_dump_json(),
        _STANDING.dump_json(kept.standing).decode(),
        state.created_at,
    )


async def save_subscription(tx: Tx, kept: Kept, next_turn_at: datetime | None, *, keep_turn: bool = False) -> int:
    """Write everything that may change; `keep_turn`: but when the calendar looks at it again.

    Returns its new sequence: announce with it, once.
    """
    state = kept.state
    sequence: int = await tx.fetchval(
        """
        UPDATE subscription
        SET status = $3, state = $4, standing = $5, link_token_sha256 = $6, payment_method_id = $7,
            next_turn_at = CASE WHEN $9 THEN next_turn_at ELSE $8 END,
            sequence = sequence + 1
        WHERE merchant_id = $1 AND id = $2
        RETURNING sequence
        """,
        state.merchant_id,
        state.id,
        state.status,
        state.model_dump_json(),
        _STANDING.dump_json(kept.standing).decode(),
        state.link.token_sha256 if state.link else None,
        state.payment_method_id,
        next_turn_at,
        keep_turn,
    )
    return sequence


async def lock_subscription(tx: Tx, merchant_id: MerchantId, subscription_id: SubscriptionId) -> Kept | None:
    """A merchant's subscription, locked until the transaction ends."""
    row = await tx.fetchrow(
        f"SELECT {_ALL} FROM subscription WHERE merchant_id = $1 AND id = $2 FOR UPDATE",  # noqa: S608 - a constant
        merchant_id,
        subscription_id,
    )
    return _kept(row)


async def subscription(db: Reader, merchant_id: MerchantId, subscription_id: SubscriptionId) -> Kept | None:
    """A merchant's subscription, to look at."""
    row = await db.fetchrow(
        f"SELECT {_ALL} FROM subscription WHERE merchant_id = $1 AND id = $2",  # noqa: S608 - a constant
        merchant_id,
        subscription_id,
    )
    return _kept(row)


async def claim_due(tx: Tx, at: datetime) -> Row | None:
    """Lock the subscription for which the calendar has waited longest; those that another has locked are passed over.

    It is the row, for `kept_in`, so that one that cannot be read is known by its `merchant_id` and `id`.
    """
    return await tx.fetchrow(
        f"""
        SELECT merchant_id, id, {_ALL} FROM subscription WHERE next_turn_at <= $1
        ORDER BY next_turn_at LIMIT 1 FOR UPDATE SKIP LOCKED
        """,  # noqa: S608 - a constant
        at,
    )


async def next_link(tx: Tx, subscription_id: SubscriptionId) -> int:
    """Begin a new generation of its own link: the token of the one before is dead. Its caller holds its lock."""
    generation: int = await tx.fetchval(
        "UPDATE subscription SET link_generation = link_generation + 1 WHERE id = $1 RETURNING link_generation",
        subscription_id,
    )
    return generation


async def note_given(tx: Tx, subscription_id: SubscriptionId, stripe_id: str | None) -> None:
    """Stripe's id of the method to name once the mirror shows it; None: nothing is to be named. Not announced."""
    await tx.execute("UPDATE subscription SET given_method = $2 WHERE id = $1", subscription_id, stripe_id)


async def lock_given(tx: Tx, merchant_id: MerchantId, customer_id: CustomerId) -> list[tuple[Kept, str]]:
    """The customer's running or paused subscriptions that wait for a method to be known, each with Stripe's id of it."""
    rows = await tx.fetch(
        f"""
        SELECT {_ALL}, given_method FROM subscription
        WHERE merchant_id = $1 AND customer_id = $2 AND status IN ('active', 'paused') AND given_method IS NOT NULL
        ORDER BY id FOR UPDATE
        """,  # noqa: S608 - a constant
        merchant_id,
        customer_id,
    )
    return [(kept, row["given_method"]) for row in rows if (kept := _kept(row))]


async def put_off(db: Database | Tx, subscription_id: UUID, until: datetime | None) -> None:
    """Let the calendar wait with it. Not announced: nothing has changed."""
    await db.execute("UPDATE subscription SET next_turn_at = $2 WHERE id = $1", subscription_id, until)


async def every_subscription(db: Database) -> AsyncIterator[CurrentRow]:
    """Every merchant's subscriptions with their present sequence, for Republish."""
    after: UUID | None = None
    while True:
        rows = await db.fetch(
            """
            SELECT id, state, sequence FROM subscription
            WHERE sequence > 0 AND ($1::uuid IS NULL OR id > $1) ORDER BY id LIMIT 500
            """,
            after,
        )
        for row in rows:
            yield CurrentRow(Subscription.model_validate_json(row["state"]), row["sequence"])
        if not rows:
            return
        after = rows[-1]["id"]
