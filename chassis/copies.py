"""Copies of other services' nouns: the newest state that we know, unparsed, in a table `copy_<noun>`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic
from uuid import UUID

from pydantic_core import to_json

from chassis.database import Cause, Tx
from contracts.message import NOUNS, EventEnvelope, Known, Service, State, StateT, system


@dataclass(frozen=True)
class Change(Generic[StateT]):
    """A state that a follower has just learned; it is the newest that this service knows."""

    state: StateT
    sequence: int
    event: EventEnvelope


@dataclass(frozen=True)
class Seen:
    """One state to upsert. `event` is None when it came along with a command."""

    noun: str
    id: UUID
    merchant_id: UUID | None
    sequence: int
    deleted: bool
    state: str
    event: EventEnvelope | None = None


def noun_of(event_type: str) -> str:
    """`billing.invoice.paid.v1` is about `billing.invoice`."""
    return ".".join(event_type.split(".")[:2])


def seen_in(envelope: EventEnvelope) -> Seen:
    """The state that an event carries."""
    state = envelope.data["state"]
    assert isinstance(state, dict), "An event's data has a state: the contracts say so."
    assert envelope.sequence is not None, "An event has a sequence: the chassis writes it."
    return Seen(
        noun_of(envelope.type),
        UUID(envelope.subject),
        envelope.merchantid,
        envelope.sequence,
        bool(state.get("deleted")),
        to_json(state).decode(),
        envelope,
    )


def seen_known(known: Known) -> Seen:
    """The state that a command brought along."""
    merchant = known.state.get("merchant_id")
    return Seen(
        known.noun,
        UUID(str(known.state["id"])),
        UUID(str(merchant)) if merchant else None,
        known.sequence,
        bool(known.state.get("deleted")),
        to_json(known.state).decode(),
    )


async def upsert(tx: Tx, noun: str, seen: Sequence[Seen]) -> list[Seen]:
    """Keep each state unless a newer one is known. Returns those that were applied, the newest per id, in id order.

    `sequence >=`, not `>`: a republished row repairs a copy that was damaged at the same sequence.
    """
    newest: dict[UUID, Seen] = {}
    for each in seen:
        if each.id not in newest or each.sequence >= newest[each.id].sequence:
            newest[each.id] = each
    # In id order, so that two transactions that upsert the same rows cannot lock them crosswise.
    rows = [newest[key] for key in sorted(newest)]
    table = f"copy_{NOUNS[noun].short_name()}"
    applied = await tx.fetch(
        f"""
        INSERT INTO {table} AS kept (id, merchant_id, sequence, deleted, state)
        SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::boolean[], $5::jsonb[])
        ON CONFLICT (id) DO UPDATE
        SET merchant_id = excluded.merchant_id, sequence = excluded.sequence, deleted = excluded.deleted, state = excluded.state
        WHERE kept.sequence <= excluded.sequence
        RETURNING id
        """,  # noqa: S608 - the table's name comes from the contracts, never from a message
        [row.id for row in rows],
        [row.merchant_id for row in rows],
        [row.sequence for row in rows],
        [row.deleted for row in rows],
        [row.state for row in rows],
    )
    kept = {row["id"] for row in applied}
    return [row for row in rows if row.id in kept]


def change_of(seen: Seen) -> Change[State]:
    """The parsed form of a state that was applied."""
    assert seen.event is not None
    return Change(NOUNS[seen.noun].model_validate_json(seen.state), seen.sequence, seen.event)


def caused_by(envelope: EventEnvelope, service: Service) -> Cause:
    """What a service does on hearing an event: its own act, in the chain that the event belongs to."""
    return Cause(
        system(service),
        envelope.merchantid,
        envelope.id,
        envelope.correlationid,
        envelope.causationid,
        envelope.traceparent,
    )
