"""Rebuilding a lost copy: the owner sends every current row of a noun to the asker's own queue."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from chassis.amqp import Link, Properties
from chassis.database import Database
from chassis.ids import new_id
from chassis.requests import Work
from chassis.rpc import CLOUDEVENT
from contracts.message import (
    NOUNS,
    EventEnvelope,
    NotFound,
    Republished,
    Service,
    State,
    follower_queue,
    republished_type,
    system,
)


@dataclass(frozen=True)
class CurrentRow:
    """An aggregate as it is now, with its present sequence. Nothing is announced anew."""

    state: State
    sequence: int


Reader = Callable[[Database], AsyncIterator[CurrentRow]]


def answer_republish(service: Service, nouns: dict[type[Any], Reader], link: Link) -> Callable[[Work, Any], Any]:
    """The handler of a service's Republish question."""

    async def republish(work: Work, question: Any) -> Republished:
        state = NOUNS[f"{service}.{question.noun}"]
        if question.to not in state.followed_by:
            raise NotFound(f"{question.to} does not follow {state.noun}.")
        count = 0
        async for row in nouns[state](work.db):
            body = _envelope(work, service, row).model_dump_json().encode()
            properties = Properties(content_type=CLOUDEVENT, delivery_mode=2, message_id=str(new_id()))
            await link.publish(body, exchange="", routing_key=follower_queue(question.to, state), properties=properties)
            count += 1
        return Republished(count=count)

    return republish


def _envelope(work: Work, service: Service, row: CurrentRow) -> EventEnvelope:
    return EventEnvelope(
        id=str(new_id()),
        type=republished_type(type(row.state)),
        source=f"/{service}",
        subject=str(row.state.id),
        time=work.db.clock.now(),
        merchantid=row.state.merchant_id,
        sequence=row.sequence,
        correlationid=work.cause.correlation_id,
        causationid=work.cause.message_id,
        actor=str(system(service)),
        data={"state": row.state.model_dump(mode="json")},
    )
