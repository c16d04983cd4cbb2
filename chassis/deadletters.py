"""The dead-letter tool: `python -m services.<name> dead-letters list | show ID | redrive ID|--all | discard ID|--all`.

Dead letters lie in the queue `<service>.dead`. A look takes them all, unacked, and gives them back in the end. A service
may bring further sources: billing's stuck webhooks lie in its database.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from aiormq.abc import AbstractChannel, DeliveredMessage, FieldTable

from chassis.amqp import BrokerUnavailable, Properties
from chassis.topology import dead_queue

if TYPE_CHECKING:
    from chassis.service import Runtime

_MOST = 10_000


@dataclass(frozen=True)
class DeadLetter:
    """One thing that was given up, with why."""

    id: str
    where: str
    reason: str
    error: str
    attempts: int
    since: str
    details: dict[str, Any]


class Source(Protocol):
    """A place where given-up work lies."""

    async def entries(self, runtime: Runtime) -> list[DeadLetter]:
        """All of it, oldest first."""
        ...

    async def redrive(self, runtime: Runtime, id: str) -> bool:  # noqa: A002 - it is the entry's id
        """Try one again. False when it is not there."""
        ...

    async def discard(self, runtime: Runtime, id: str) -> bool:  # noqa: A002 - it is the entry's id
        """Forget one. False when it is not there."""
        ...


def _letter(message: DeliveredMessage) -> DeadLetter:
    headers: dict[str, Any] = dict(message.header.properties.headers or {})
    # The broker's own dead letters (the delivery limit) carry no headers of ours, only its x-death.
    deaths = headers.get("x-death") or [{}]
    queue = headers.get("x-origin-queue") or _text(deaths[0].get("queue", ""))
    body = message.body.decode("utf-8", "replace")
    return DeadLetter(
        id=message.header.properties.message_id or "",
        where=str(queue),
        reason=str(headers.get("x-dead-reason") or _text(deaths[0].get("reason", "unknown"))),
        error=f"{headers.get('x-error-type', '')}: {headers.get('x-error', '')}".strip(": "),
        attempts=int(headers.get("x-attempts") or deaths[0].get("count", 0)),
        since=str(headers.get("x-first-failed-at") or deaths[0].get("time", "")),
        details={"body": body, "traceback": headers.get("x-traceback", ""), "user_id": headers.get("x-user-id", "")},
    )


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


@asynccontextmanager
async def _taken(runtime: Runtime) -> AsyncIterator[tuple[AbstractChannel, list[DeliveredMessage]]]:
    """Every dead letter of the service, held unacked; what is not acked goes back when the channel closes."""
    await runtime.rpc.link.until_connected(5)
    channel = await runtime.rpc.link.channel()
    try:
        messages: list[DeliveredMessage] = []
        while len(messages) < _MOST:
            message = await channel.basic_get(dead_queue(runtime.service))
            if message.delivery_tag is None:
                break
            messages.append(message)
        yield channel, messages
    finally:
        await channel.close()


async def _redrive(runtime: Runtime, channel: AbstractChannel, message: DeliveredMessage) -> None:
    letter = _letter(message)
    headers = dict(message.header.properties.headers or {})
    # It starts over with all its tries. Who sent it first is kept, the check asks for it.
    kept: FieldTable = {
        "x-attempts": 1,
        "x-user-id": _text(headers.get("x-user-id") or message.header.properties.user_id or ""),
    }
    properties = Properties(
        content_type=message.header.properties.content_type,
        delivery_mode=2,
        message_id=message.header.properties.message_id,
        headers=kept,
    )
    await runtime.rpc.link.publish(message.body, exchange="", routing_key=letter.where, properties=properties)
    assert message.delivery_tag is not None
    await channel.basic_ack(message.delivery_tag)


def _parser(service: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m services.{service} dead-letters")
    tasks = parser.add_subparsers(dest="task", required=True)
    tasks.add_parser("list", help="every dead letter, a line each").add_argument("--json", action="store_true")
    tasks.add_parser("show", help="one, whole").add_argument("id")
    for task, text in (("redrive", "try one or all again"), ("discard", "forget one or all")):
        which = tasks.add_parser(task, help=text)
        which.add_argument("id", nargs="?")
        which.add_argument("--all", action="store_true")
    return parser


async def run(runtime: Runtime, arguments: list[str]) -> int:
    """Carry out one call of the tool. Returns the exit code."""
    options = _parser(runtime.service).parse_args(arguments)
    if options.task in {"redrive", "discard"} and bool(options.id) == options.all:
        print("Say one id, or --all.", file=sys.stderr)  # noqa: T201 - a command's output
        return 2
    try:
        async with runtime.rpc.link, _taken(runtime) as (channel, messages):
            elsewhere = [
                (source, entry) for source in runtime.wiring.dead_letters for entry in await source.entries(runtime)
            ]
            if options.task == "list":
                _print_list([*map(_letter, messages), *(entry for _, entry in elsewhere)], as_json=options.json)
                return 0
            if options.task == "show":
                return _show([*map(_letter, messages), *(entry for _, entry in elsewhere)], options.id)
            done = 0
            for message in messages:
                if options.all or message.header.properties.message_id == options.id:
                    if options.task == "redrive":
                        await _redrive(runtime, channel, message)
                    else:
                        assert message.delivery_tag is not None
                        await channel.basic_ack(message.delivery_tag)
                    done += 1
            for source, entry in elsewhere:
                if options.all or entry.id == options.id:
                    act = source.redrive if options.task == "redrive" else source.discard
                    done += await act(runtime, entry.id)
    except BrokerUnavailable as away:
        print(f"The broker cannot be reached: {away}", file=sys.stderr)  # noqa: T201 - a command's output
        return 1
    print(f"{done} {'redriven' if options.task == 'redrive' else 'discarded'}.")  # noqa: T201 - a command's output
    return 0 if done or options.all else 1


def _print_list(letters: list[DeadLetter], *, as_json: bool) -> None:
    for letter in letters:
        if as_json:
            line = json.dumps({name: value for name, value in vars(letter).items() if name != "details"})
        else:
            line = f"{letter.id}  {letter.since}  {letter.where}  {letter.reason} after {letter.attempts}  {letter.error[:120]}"
        print(line)  # noqa: T201 - a command's output
    if not as_json:
        print(f"{len(letters)} dead letters.")  # noqa: T201 - a command's output


def _show(letters: list[DeadLetter], id_: str) -> int:
    found = [letter for letter in letters if letter.id == id_]
    for letter in found:
        print(json.dumps(vars(letter), indent=2, ensure_ascii=False, default=str))  # noqa: T201 - a command's output
    if not found:
        print(f"There is no dead letter {id_}.", file=sys.stderr)  # noqa: T201 - a command's output
    return 0 if found else 1
