"""How states get into the read model: from followers, and from the replies to our own commands."""

from __future__ import annotations

import json
from collections.abc import Iterable
from operator import itemgetter
from typing import Any
from uuid import UUID

from chassis.copies import noun_of, seen_in, upsert
from chassis.database import Tx
from contracts.message import EVENTS, NOUNS, EventEnvelope


async def apply(tx: Tx, changed: Iterable[EventEnvelope]) -> None:
    """Upsert what a reply says has changed, so that its asker reads their own write. Newer states stay.

    One statement per noun, nouns and rows in a fixed order: two of these at once wait for each other, never in a circle.
    """
    followed = [event for event in changed if "gateway" in NOUNS[noun_of(event.type)].followed_by]
    for noun in sorted({noun_of(event.type) for event in followed}):
        await upsert(tx, noun, [seen_in(event) for event in followed if noun_of(event.type) == noun])
    await note(tx, followed)


async def note(tx: Tx, events: Iterable[EventEnvelope]) -> None:
    """Write events on the timeline, each once, in whatever order they come."""
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
            *map(list, zip(*sorted(rows, key=itemgetter(0)), strict=True)),
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
    "recipient",
    "status",
    "reason",
    "origin",
    "cancelled_by",
    "subject",
    "invoice_id",
    "last4",
)
_CONTACTS_MAY_NOT = frozenset({"identity.invitation", "notifications.mail", "billing.dispute"})


def _line(event: EventEnvelope) -> tuple[Any, ...] | None:
    """The event as a row of the timeline; None when it is not about a customer."""
    state = _state(event)
    noun = noun_of(event.type)
    customer = event.subject if noun == "identity.customer" else state.get("customer_id")
    if customer is None or event.merchantid is None or event.type not in EVENTS:
        return None
    kind, _, actor = event.actor.partition(":")
    private = noun == "todos.todo" and state.get("origin") == "own" and not state.get("shared")
    for_members = noun == "todos.todo" and state.get("origin") == "merchant"
    internal = noun in _CONTACTS_MAY_NOT or for_members or state.get("status") == "draft"
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
