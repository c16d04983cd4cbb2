"""One event as it was delivered, and what may become of it: acked, tried again later, or laid with the dead.

A message is acked only after its copy in the retry queue or among the dead is confirmed, so a crash between repeats it
and loses nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import traceback
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from weakref import WeakKeyDictionary

import aiormq
from aio_pika import IncomingMessage
from aiormq.abc import AbstractChannel

from chassis.amqp import BrokerUnavailable, Link, Properties, Unconfirmed, Unroutable
from chassis.rpc import CLOUDEVENT
from chassis.topology import DEAD, RETRY_SECONDS, retry_exchange
from contracts.message import REQUESTS, secret_fields

log = logging.getLogger("portal.deliveries")

_MOST_TRACE = 4_000
_SUSPECT = 2
_TURN_SECONDS = 0.01
GONE = (aiormq.AMQPError, aiormq.exceptions.ChannelInvalidStateError)
"""What an ack raises when the channel that brought the message is closed."""


@dataclass(frozen=True)
class Delivery:
    """A message in a handler's hands."""

    queue: str
    body: bytes
    message_id: str
    user_id: str
    headers: dict[str, Any]
    raw: IncomingMessage

    @property
    def attempts(self) -> int:
        """How often it was tried before."""
        value = self.headers.get("x-attempts", 0)
        return value if isinstance(value, int) else 0

    @property
    def deaths(self) -> int:
        """How often a worker has died, or lost its channel, with it in its hands. The broker counts, for quorum queues."""
        value = self.headers.get("x-delivery-count", 0)
        return value if isinstance(value, int) else 0

    @property
    def suspect(self) -> bool:
        """Whether it may be the one that kills its workers: then it is handled alone.

        A message that kills its worker takes with it whatever was fetched beside it, and the broker counts that death
        for all of them: the innocent would be given up together with the one that kills.
        """
        return self.deaths >= _SUSPECT

    def turn(self, prefetch: int) -> float:
        """Seconds that a suspect waits, so that they come one after another: now from the front, now from the back.

        Wherever the one that kills stands, everybody else has been handled after two more deaths.
        """
        place = ((self.raw.delivery_tag or 1) - 1) % prefetch
        return _TURN_SECONDS * (place if self.deaths % 2 else prefetch - 1 - place)

    async def ack(self, *, multiple: bool = False) -> None:
        """Tell the broker that it is done with. `multiple`: and all that came before it on its channel.

        When the channel is closed there is nobody to tell: the broker delivers it again, and we know it by then. Raising
        would make its listener take it once more, and a copy of it go out, for as long as the process lives.
        """
        try:
            await self.raw.ack(multiple=multiple)
        except GONE as gone:
            log.warning("An ack did not reach the broker.", extra={"queue": self.queue, "error": repr(gone)})


@dataclass
class _Run:
    """One channel's deliveries: all up to tag `upto` are acked, those in `done` are not yet; None was acked by itself."""

    upto: int = 0
    done: dict[int, Delivery | None] = field(default_factory=dict)


class Acks:
    """Acks many deliveries of one queue with one frame.

    RabbitMQ numbers a channel's deliveries 1, 2, 3, and one ack may stand for all up to a number. So it is sent for the
    longest run without a gap: what is done behind a gap, such as a poison message on its way to the dead, waits for it.
    """

    def __init__(self) -> None:
        self._runs: WeakKeyDictionary[AbstractChannel, _Run] = WeakKeyDictionary()

    def note(self, delivery: Delivery, *, acked: bool = False) -> None:
        """Remember that a delivery is done with; `acked` when its own ack has been sent."""
        assert delivery.raw.delivery_tag is not None, "A queue's consumer numbers what it brings."
        try:
            channel = delivery.raw.channel
        except GONE:
            # The channel that brought it is closed: it comes again on another, and there is nobody left to ack to.
            return
        run = self._runs.setdefault(channel, _Run())
        run.done[delivery.raw.delivery_tag] = None if acked else delivery

    async def send(self) -> None:
        """Ack whatever is done and has nothing undone before it."""
        for channel, run in list(self._runs.items()):
            if channel.is_closed:
                # What it brought comes again on another.
                del self._runs[channel]
                continue
            last: Delivery | None = None
            while run.upto + 1 in run.done:
                run.upto += 1
                last = run.done.pop(run.upto) or last
            if last is None:
                continue
            await last.ack(multiple=True)


class Poison(Exception):  # noqa: N818 - it is a verdict on a message
    """A message that no retry will make readable."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Fate:
    """Decides what becomes of a message that could not be handled."""

    def __init__(self, link: Link) -> None:
        self.link = link

    async def failed(self, delivery: Delivery, error: BaseException) -> None:
        """Try it again after a rest that grows; after the last level it is dead."""
        if delivery.attempts >= len(RETRY_SECONDS):
            await self.dead(delivery, "exhausted", error)
            return
        seconds = RETRY_SECONDS[delivery.attempts]
        headers = self._headers(delivery, error)
        log.warning(
            "A message failed and will be tried again.",
            extra={
                "queue": delivery.queue,
                "message_id": delivery.message_id,
                "in_seconds": seconds,
                "error": repr(error),
            },
        )
        await self._publish(delivery, retry_exchange(seconds), delivery.queue, headers, delivery.body)

    async def dead(self, delivery: Delivery, reason: str, error: BaseException | None = None) -> None:
        """Lay it with the dead, with the reason: `poison`, `forged`, `exhausted` or what the caller says."""
        headers = self._headers(delivery, error) | {"x-dead-reason": reason, "x-origin-queue": delivery.queue}
        log.error(
            "A message is dead.",
            extra={"queue": delivery.queue, "message_id": delivery.message_id, "reason": reason, "error": repr(error)},
        )
        await self._publish(delivery, DEAD, delivery.queue, headers, redacted(delivery.body))

    async def bury(self, delivery: Delivery, wrong: Exception) -> None:
        """Lay a message with the dead that nobody can read or believe."""
        await self.dead(delivery, wrong.reason if isinstance(wrong, Poison) else "poison", wrong)

    async def _publish(self, delivery: Delivery, exchange: str, key: str, headers: dict[str, Any], body: bytes) -> None:
        properties = Properties(
            content_type=CLOUDEVENT, delivery_mode=2, message_id=delivery.message_id, headers=headers
        )
        while True:
            try:
                await self.link.publish(body, exchange=exchange, routing_key=key, properties=properties)
                break
            except (BrokerUnavailable, Unconfirmed, Unroutable) as waiting:
                # Unacked meanwhile, so nothing is lost; handing it back would count towards its delivery limit.
                log.warning("A failed message waits for the broker.", extra={"error": repr(waiting)})
                await asyncio.sleep(1)
        await delivery.ack()

    @staticmethod
    def _headers(delivery: Delivery, error: BaseException | None) -> dict[str, Any]:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        kept = {name: value for name, value in delivery.headers.items() if name.startswith("x-") and name != "x-death"}
        headers = kept | {"x-attempts": delivery.attempts + 1, "x-last-failed-at": now}
        headers.setdefault("x-first-failed-at", now)
        headers.setdefault("x-user-id", delivery.user_id)
        if error is not None:
            headers["x-error-type"] = type(error).__name__
            headers["x-error"] = str(error)[:500]
            headers["x-traceback"] = "".join(traceback.format_exception(error))[-_MOST_TRACE:]
        return headers


def redacted(body: bytes) -> bytes:
    """A message's body as it may be kept among the dead: a request without its secrets, an event as it is.

    What cannot be read cannot be redacted either, and may be a command that somebody broke: only its digest is kept,
    unless it is plainly no JSON object at all.
    """
    try:
        message = json.loads(body)
        kind = REQUESTS.get(message["type"])
    except (ValueError, TypeError, KeyError):
        if b"identity." not in body:
            return body
        return json.dumps({"sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body)}).encode()
    if kind is None:
        return body
    content = message.get("data", {}).get("body", {})
    for path in secret_fields(kind):
        _blank(content, path)
    return json.dumps(message).encode()


def _blank(content: Any, path: tuple[str, ...]) -> None:
    if isinstance(content, dict) and path[0] in content:
        if len(path) == 1:
            content[path[0]] = "[redacted]"
        else:
            _blank(content[path[0]], path[1:])
