"""How states get into the read model: from followers, and from the replies to our own commands."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Protocol
from uuid import UUID

from contracts.message import EVENTS, NOUNS, EventEnvelope


class Writer(Protocol):
    """What an open transaction offers."""

    async def fetch(self, sql: str, *parameters: Any) -> list[Any]: ...  # noqa: D102 - asyncpg's
    async def execute(self, sql: str, *parameters: Any) -> str: ...  # noqa: D102 - asyncpg's


async def apply(tx: Writer, changed: Iterable[EventEnvelope]) -> None:
    """Upsert what a reply says has changed, so that its asker reads their own write. Newer states stay.

    One statement per noun, nouns and rows in a fixed order: two of these at once wait for each other, never in a circle.
    """
    events = [each for each in changed if each.type in EVENTS and "gateway" in EVENTS[each.type].of().followed_by]
    newest: dict[tuple[str, str], EventEnvelope] = {}
    for each in sorted(events, key=lambda event: event.sequence or 0):
        newest[EVENTS[each.type].of().noun, each.subject] = each
    for noun in sorted({noun for noun, _ in newest}):
        rows = [newest[key] for key in sorted(newest) if key[0] == noun]
        await tx.execute(
            f"""
            INSERT INTO copy_{NOUNS[noun].short_name()} AS mine (id, merchant_id, sequence, deleted, state)
            SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::boolean[], $5::jsonb[])
            ON CONFLICT (id) DO UPDATE
            SET merchant_id = excluded.merchant_id, sequence = excluded.sequence, deleted = excluded.deleted,
                state = excluded.state
            WHERE excluded.sequence >= mine.sequence
            """,  # noqa: S608 - a name from the contracts
            [UUID(row.subject) for row in rows],
            [row.merchantid for row in rows],
            [row.sequence for row in rows],
            [bool(_state(row).get("deleted")) for row in rows],
            [json.dumps(_state(row)) for row in rows],
        )
    await applied(tx, events)


async def applied(tx: Writer, events: Iterable[EventEnvelope]) -> None:
    """Note events on the timeline, each once."""
    rows = [row for event in events if (row := _line(event)) is not None]
    if rows:
        await tx.execute(
            """
            INSERT INTO timeline (event_id, merchant_id, customer_id, at, type, noun, subject_id, actor_kind, actor_id,
                                  causation_id, correlation_id, about, members, contacts)
            SELECT * FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::timestamptz[], $5::text[], $6::text[],
                                 $7::uuid[], $8::text[], $9::uuid[], $10::text[], $11::text[], $12::jsonb[],
                                 $13::boolean[], $14::boolean[])
            ON CONFLICT (event_id) DO NOTHING
            """,
            *map(list, zip(*sorted(rows), strict=True)),
        )


def _state(event: EventEnvelope) -> dict[str, Any]:
    state = event.data["state"]
    assert isinstance(state, dict)
    return state


_TOLD = (
    "number",
    "amount",
    "total",
    "amount_due",
    "currency",
    "title",
    "email",
    "template",
    "status",
    "reason",
    "origin",
)
_CONTACTS_MAY_NOT = frozenset({"identity.invitation", "notifications.mail"})


def _line(event: EventEnvelope) -> tuple[Any, ...] | None:
    """The event as a row of the timeline; None when it is not about a customer."""
    state = _state(event)
    noun = event.type.rsplit(".", 2)[0]
    customer = event.subject if noun == "identity.customer" else state.get("customer_id")
    if customer is None or event.merchantid is None or event.type not in EVENTS:
        return None
    kind, _, actor = event.actor.partition(":")
    private = noun == "todos.todo" and state.get("origin") == "own" and not state.get("shared")
    internal = noun in _CONTACTS_MAY_NOT or state.get("status") == "draft"
    return (
        event.id,
        event.merchantid,
        UUID(str(customer)),
        event.time,
        event.type,
        noun,
        UUID(event.subject),
        kind,
        _uuid(actor),
        event.causationid,
        event.correlationid,
        json.dumps({name: state[name] for name in _TOLD if state.get(name) is not None}),
        not private,
        not internal,
    )


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
