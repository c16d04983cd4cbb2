"""Asking: a command or question goes to its owner's queue, the answer comes back on the same connection.

FastStream's own `request` holds one lock for the whole round trip and turns a refusal into a time-out, so this is ours:
one channel, one reply consumer, a dictionary of futures by correlation id.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, TypeVar

from aiormq.abc import DeliveredMessage
from pydantic import TypeAdapter
from pydantic_core import from_json

from chassis.amqp import BrokerUnavailable, Link, Properties, Unconfirmed, Unroutable
from chassis.clock import Clock
from chassis.database import Cause
from chassis.ids import new_id
from chassis.telemetry import span, traceparent
from contracts.message import (
    Document,
    EventEnvelope,
    Known,
    NotAccepted,
    OutcomeUnknown,
    Problem,
    Reply,
    Request,
    RequestData,
    RequestEnvelope,
    Service,
)

R = TypeVar("R")

TIMEOUT = 10.0
"""Seconds that a command may take, from the first byte sent to the answer."""
_REFUSE_WITHIN = 1.0
# Somebody who answered this recently is there; otherwise look first, so that a stopped service is a refusal in
# milliseconds instead of an unknown outcome in ten seconds.
_SURELY_THERE = 1.0

PROBLEM = "application/problem+json"
JSON = "application/json"
CLOUDEVENT = "application/cloudevents+json"

_REPLIES: dict[type[Request[Any]], TypeAdapter[Any]] = {}
_ENVELOPES = TypeAdapter(tuple[EventEnvelope, ...])


class RpcClient:
    """Asks other services. Safe for any number of tasks at once."""

    def __init__(self, amqp_url: str, service: Service, clock: Clock) -> None:
        self.service: Service = service
        self.clock = clock
        self.link = Link(amqp_url, f"{service}-rpc", on_reply=self._receive)
        self.link.on_lost.append(self._lost)
        self._waiting: dict[str, asyncio.Future[DeliveredMessage]] = {}
        self._answered_at: dict[str, float] = {}

    async def ask(
        self,
        request: Request[R],
        cause: Cause,
        *,
        id: str | None = None,  # noqa: A002 - the CloudEvents attribute's own name
        known: Sequence[Known] = (),
        timeout: float = TIMEOUT,
    ) -> Reply[R]:
        """Ask the owner, as `cause.actor` for `cause.merchant_id`; `id` is the command id, kept when repeating oneself.

        Raises the owner's refusal (a Problem), NotAccepted when nothing was taken, OutcomeUnknown when no answer came
        within `timeout` seconds: then the same id may be sent again.
        """
        with span(f"ask {request.queue()}", cause.traceparent):
            return await self._ask(request, cause, id or str(new_id()), known, timeout)

    async def _ask(
        self, request: Request[R], cause: Cause, id_: str, known: Sequence[Known], timeout: float
    ) -> Reply[R]:
        queue = request.queue()
        correlation = str(new_id())
        body, properties = self._message(request, cause, id_, known, timeout, correlation)
        answer: asyncio.Future[DeliveredMessage] = asyncio.get_running_loop().create_future()
        self._waiting[correlation] = answer
        try:
            await self._look(queue)
            async with asyncio.timeout(timeout):
                await self.link.publish(body, exchange="", routing_key=queue, properties=properties)
                message = await answer
        except (BrokerUnavailable, Unroutable) as refused:
            raise NotAccepted(str(refused)) from refused
        except (Unconfirmed, TimeoutError) as unknown:
            raise OutcomeUnknown("No answer came in time. It may be sent again.") from unknown
        finally:
            self._waiting.pop(correlation, None)
            if answer.done() and not answer.cancelled():
                answer.exception()  # seen, also when the publish failed first
        self._answered_at[queue] = time.monotonic()
        return read_reply(type(request), message.header.properties, message.body)

    async def _look(self, queue: str) -> None:
        """Refuse at once what nobody would take: nothing has been sent yet, so this is certain."""
        try:
            async with asyncio.timeout(_REFUSE_WITHIN):
                await self.link.until_connected(_REFUSE_WITHIN)
                if await self.link.is_blocked():
                    raise NotAccepted("The message broker is short of memory or disk and takes nothing.")
                recently = time.monotonic() - self._answered_at.get(queue, -_SURELY_THERE) < _SURELY_THERE
                if not recently and not await self.link.consumers(queue):
                    raise NotAccepted("The part of the system that does this is not running.")
        except TimeoutError:
            raise NotAccepted("The message broker does not answer.") from None

    def _message(
        self, request: Request[R], cause: Cause, id_: str, known: Sequence[Known], timeout: float, correlation: str
    ) -> tuple[bytes, Properties]:
        now = self.clock.now()
        envelope = RequestEnvelope(
            id=id_,
            type=request.wire_type,
            source=f"/{self.service}",
            subject=request.queue(),
            time=now,
            merchantid=cause.merchant_id,
            correlationid=cause.correlation_id,
            causationid=cause.causation_id,
            actor=str(cause.actor),
            traceparent=traceparent() or cause.traceparent,
            data=RequestData(
                actor=cause.actor,
                # exclude_unset: a field that was not given is not the same as one that is null.
                body=request.model_dump(mode="json", exclude_unset=True),
                known=tuple(known),
            ),
        )
        properties = Properties(
            content_type=CLOUDEVENT,
            message_id=id_,
            correlation_id=correlation,
            reply_to="amq.rabbitmq.reply-to",
            expiration=str(int(timeout * 1000)),
            # The machine's clock, not the injected one: two processes compare it.
            headers={"x-deadline": int((time.time() + timeout) * 1000)},
        )
        return envelope.model_dump_json().encode(), properties

    def _receive(self, message: DeliveredMessage) -> None:
        waiting = self._waiting.get(message.header.properties.correlation_id or "")
        if waiting is not None and not waiting.done():
            waiting.set_result(message)

    def _lost(self) -> None:
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(Unconfirmed("The connection to the broker was lost while waiting."))


def read_reply(request: type[Request[R]], properties: Properties, body: bytes) -> Reply[R]:
    """The answer in a reply message. Raises the Problem that it holds."""
    if properties.content_type == PROBLEM:
        raise Problem.from_document(from_json(body))
    if properties.content_type != JSON:
        filename = str((properties.headers or {}).get("x-filename", "document"))
        document: Any = Document(properties.content_type or "application/octet-stream", filename, body)
        return Reply(document, ())
    adapter = _REPLIES.get(request)
    if adapter is None:
        adapter = _REPLIES[request] = TypeAdapter(request.result_type())
    content = from_json(body)
    changed = _ENVELOPES.validate_python(content["changed"]) if content.get("changed") else ()
    return Reply(adapter.validate_python(content["result"]), changed)
