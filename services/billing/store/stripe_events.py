"""The SQL of what Stripe told us: stored first, handled later, kept for thirty days."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from chassis.database import Database, Row, Tx

CHANNEL = "stripe_event"
"""What is notified when an event was stored."""


@dataclass(frozen=True)
class StoredEvent:
    """An event under way; `tries` counts this one."""

    id: str
    type: str
    account: str | None
    payload: str
    tries: int


class NewEvent(NamedTuple):
    """What is to be stored. One with an `outcome` is stored as done: nobody needs to look at it."""

    id: str
    type: str
    account: str | None
    payload: str
    received_at: datetime
    outcome: str | None = None


async def store(db: Database | Tx, events: Sequence[NewEvent]) -> None:
    """Keep the events that are not known yet and wake the worker for those that wait, all in one round trip.

    In the order of their ids: two processes that store the same ones wait for each other, and never in a circle. The
    worker is not woken for nothing: a NOTIFY makes commits wait for each other.
    """
    await db.execute(
        """
        WITH kept AS (
            INSERT INTO stripe_event (id, type, account, payload, received_at, next_try_at, status, outcome, handled_at)
            SELECT id, type, account, payload, received_at, received_at,
                   CASE WHEN outcome IS NULL THEN 'waiting' ELSE 'done' END, outcome,
                   CASE WHEN outcome IS NOT NULL THEN received_at END
            FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::text[])
                 AS new (id, type, account, payload, received_at, outcome)
            ORDER BY id
            ON CONFLICT (id) DO NOTHING
            RETURNING status
        )
        SELECT pg_notify('stripe_event', '') FROM kept WHERE status = 'waiting' LIMIT 1
        """,
        *zip(*events, strict=True),
    )


async def claim(db: Database, now: datetime, lease: timedelta) -> StoredEvent | None:
    """Take the event that waits longest, for `lease`: should its worker die, another takes it when that has passed.

    Not held by a lock, because handling it may ask Stripe, and no transaction stays open for that.
    """
    row = await db.fetchrow(
        """
        UPDATE stripe_event SET tries = tries + 1, next_try_at = $2
        WHERE id = (
            SELECT id FROM stripe_event WHERE status = 'waiting' AND next_try_at <= $1
            ORDER BY next_try_at FOR UPDATE SKIP LOCKED LIMIT 1
        )
        RETURNING id, type, account, payload, tries
        """,
        now,
        now + lease,
    )
    return None if row is None else StoredEvent(**row)


async def lock_waiting(tx: Tx, event_id: str) -> bool:
    """Lock an event that is still to be handled. False: somebody else has handled it."""
    found = await tx.fetchval("SELECT true FROM stripe_event WHERE id = $1 AND status = 'waiting' FOR UPDATE", event_id)
    return bool(found)


async def mark_done(tx: Tx, event_id: str, outcome: str) -> None:
    """The event has had its effect (or has none), in the transaction of that effect."""
    await tx.execute(
        "UPDATE stripe_event SET status = 'done', outcome = $2, handled_at = $3, last_error = NULL WHERE id = $1",
        event_id,
        outcome,
        tx.now,
    )


async def mark_stuck(tx: Tx, event_id: str, reason: str) -> None:
    """A person has to look at this one. The dead-letter commands show it."""
    await tx.execute(
        "UPDATE stripe_event SET status = 'stuck', last_error = $2 WHERE id = $1 AND status = 'waiting'",
        event_id,
        reason,
    )


async def try_again(tx: Tx, event_id: str, at: datetime, reason: str) -> None:
    """It did not work out this time."""
    await tx.execute(
        "UPDATE stripe_event SET next_try_at = $2, last_error = $3 WHERE id = $1 AND status = 'waiting'",
        event_id,
        at,
        reason,
    )


async def prune(tx: Tx, before: datetime) -> int:
    """Forget events that were received before `before` and need nobody any more. Returns how many."""
    status = await tx.execute(
        "DELETE FROM stripe_event WHERE status IN ('done', 'discarded') AND received_at < $1", before
    )
    return int(status.split()[-1])


async def list_stuck(db: Database) -> Sequence[Row]:
    """Stuck events, oldest first."""
    return await db.fetch(
        """
        SELECT id, type, account, payload, received_at, tries, last_error FROM stripe_event
        WHERE status = 'stuck' ORDER BY received_at, id
        """
    )


async def redrive_stuck(db: Database, now: datetime, event_id: str) -> bool:
    """Handle a stuck event again, from its first try. False: there is none."""
    woken = await db.fetch(
        """
        WITH again AS (
            UPDATE stripe_event SET status = 'waiting', tries = 0, next_try_at = $1
            WHERE status = 'stuck' AND id = $2
            RETURNING id
        )
        SELECT pg_notify('stripe_event', '') FROM again
        """,
        now,
        event_id,
    )
    return bool(woken)


async def discard_stuck(db: Database, event_id: str) -> bool:
    """Leave a stuck event unhandled for good; it is kept for its thirty days. False: there is none."""
    status = await db.execute(
        "UPDATE stripe_event SET status = 'discarded' WHERE status = 'stuck' AND id = $1", event_id
    )
    return status != "UPDATE 0"


async def standing(db: Database, event_id: str) -> tuple[str, str] | None:
    """What became of an event: its status, and its outcome or what keeps it waiting. None: it is not known."""
    row = await db.fetchrow(
        "SELECT status, coalesce(last_error, outcome, '') AS why FROM stripe_event WHERE id = $1", event_id
    )
    return None if row is None else (row["status"], row["why"])


@dataclass(frozen=True)
class Cursor:
    """How far the comparison with one account of Stripe's has come.

    `created` (Unix seconds): everything up to there is compared. `looked_back_at`: when the last thirty days were.
    """

    created: int
    looked_back_at: datetime | None


async def cursor(db: Database, account: str | None) -> Cursor | None:
    """How far the comparison with an account has come; None: it has never been compared."""
    row = await db.fetchrow(
        "SELECT intents_created, looked_back_at FROM stripe_cursor WHERE account = $1", account or ""
    )
    return None if row is None else Cursor(int(row["intents_created"]), row["looked_back_at"])


async def move_cursor(db: Database, account: str | None, moved: Cursor) -> None:
    """An account is compared up to there; it never goes back."""
    await db.execute(
        """
        INSERT INTO stripe_cursor (account, intents_created, looked_back_at) VALUES ($1, $2, $3)
        ON CONFLICT (account) DO UPDATE
        SET intents_created = greatest(stripe_cursor.intents_created, excluded.intents_created),
            looked_back_at = excluded.looked_back_at
        """,
        account or "",
        moved.created,
        moved.looked_back_at,
    )
