"""Rebuilding a lost copy: the owner sends every current row of a noun to the asker's own queue.

An operator asks for it with `python -m services.<name> rebuild-copy NOUN…|--all`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chassis.amqp import Link, Properties
from chassis.database import Database
from chassis.ids import new_id
from chassis.requests import Work
from chassis.rpc import CLOUDEVENT
from chassis.topology import followed_nouns
from contracts.message import (
    NOUNS,
    REQUESTS,
    EventEnvelope,
    NotFound,
    OutcomeUnknown,
    Problem,
    Republished,
    Service,
    State,
    follower_queue,
    republished_type,
    system,
)

if TYPE_CHECKING:
    from chassis.service import Runtime

_PATIENCE = 600.0
"""Seconds for one noun: its owner answers when the last row is on its way, some thousand rows a second."""


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


async def rebuild_copies(runtime: Runtime, arguments: list[str]) -> int:
    """Ask the owners of what this service follows to send it again. The running service takes it as it does every event.

    Prints a line per noun with the number of rows. 1 when one could not be had; 2 for a noun that it does not follow.
    """
    followed = sorted(followed_nouns(runtime.service))
    parser = argparse.ArgumentParser("rebuild-copy", description="Have copies of other services' nouns sent again.")
    parser.add_argument("nouns", nargs="*", metavar="NOUN", help=f"one or more of {', '.join(followed)}")
    parser.add_argument("--all", action="store_true", help="everything that this service follows")
    given = parser.parse_args(arguments)
    if bool(given.nouns) == given.all or not set(given.nouns) <= set(followed):
        parser.error(f"name nouns that {runtime.service} follows, or --all: {', '.join(followed)}")
    failed = 0
    async with runtime.rpc.link:
        for noun in followed if given.all else given.nouns:
            try:
                print(f"{noun}: {await _sent_again(runtime, noun)} rows")  # noqa: T201 - a command's output
            except Problem as refused:
                failed = 1
                why = (
                    "it goes on without us" if isinstance(refused, OutcomeUnknown) else refused.detail or refused.title
                )
                print(f"{noun}: {why}", file=sys.stderr)  # noqa: T201 - likewise
    return failed


async def _sent_again(runtime: Runtime, noun: str) -> int:
    owner, short = noun.split(".")
    question = REQUESTS[f"{owner}.republish.v1"].model_validate({"noun": short, "to": runtime.service})
    reply = await runtime.rpc.ask(question, runtime.system_cause(), timeout=_PATIENCE)
    assert isinstance(reply.result, Republished)
    return reply.result.count
