"""For tests of a service's handlers on a real database: every message is delivered twice, and the outbox can be read.

Nothing here talks to a broker; what the broker does to messages is tested with a real one.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
from pydantic_core import from_json

from chassis.amqp import Properties
from chassis.clock import FakeClock
from chassis.copies import caused_by, change_of, seen_in, upsert
from chassis.database import Cause, Database, Tx, system_cause
from chassis.ids import new_id
from chassis.listeners import COPY, EveryEvent
from chassis.migrations import migrate
from chassis.requests import Answer
from chassis.rpc import PROBLEM, read_reply
from chassis.service import Runtime, Service
from contracts.message import (
    Actor,
    Event,
    EventEnvelope,
    Known,
    MerchantId,
    Reply,
    Request,
    RequestData,
    RequestEnvelope,
    State,
)

R = TypeVar("R")


def known(state: State, sequence: int = 1) -> Known:
    """An aggregate as a command brings it along."""
    return Known(noun=type(state).noun, sequence=sequence, state=state.model_dump(mode="json"))


def envelope_of(event: Event[Any], *, sequence: int = 1, clock: FakeClock | None = None) -> EventEnvelope:
    """An event as its owner would publish it."""
    state: State = event.state
    return EventEnvelope(
        id=str(new_id()),
        type=event.wire_type,
        source=f"/{type(state).owner()}",
        subject=str(state.id),
        time=(clock or FakeClock()).now(),
        merchantid=state.merchant_id,
        sequence=sequence,
        correlationid=str(new_id()),
        causationid=str(new_id()),
        actor="system:test",
        data=event.model_dump(mode="json"),
    )


@dataclass
class Harness:
    """A service's handlers over its real database, its clock held still, no broker."""

    runtime: Runtime
    clock: FakeClock

    @property
    def db(self) -> Database:
        """The service's database."""
        return self.runtime.db

    async def send(
        self,
        request: Request[R],
        *,
        actor: Actor,
        merchant_id: MerchantId | UUID | None = None,
        known: Sequence[Known] = (),
        id: str | None = None,  # noqa: A002 - the command id
    ) -> R:
        """Send a command twice; both get the same reply, byte for byte. Raises the Problem that it holds."""
        return (await self.reply(request, actor=actor, merchant_id=merchant_id, known=known, id=id)).result

    async def reply(
        self,
        request: Request[R],
        *,
        actor: Actor,
        merchant_id: MerchantId | UUID | None = None,
        known: Sequence[Known] = (),
        id: str | None = None,  # noqa: A002 - the command id
    ) -> Reply[R]:
        """Like `send`, with what changed."""
        body = self.message(request, actor=actor, merchant_id=merchant_id, known=known, id=id)
        first = await self.runtime.answerer.answer(body)
        second = await self.runtime.answerer.answer(body)
        assert first is not None, "A message without a deadline is always answered."
        # A refusal that says to try again is not stored: the repeat is a new try.
        if type(request).stored and (first.content_type != PROBLEM or from_json(first.body)["status"] < 429):
            assert second == first, f"The repeated command was answered differently: {first} then {second}"
        return read(request, first)

    async def ask(
        self, request: Request[R], *, actor: Actor | None = None, merchant_id: MerchantId | UUID | None = None
    ) -> R:
        """Ask a question once."""
        body = self.message(request, actor=actor or Actor(kind="system", name="test"), merchant_id=merchant_id)
        answer = await self.runtime.answerer.answer(body)
        assert answer is not None, "A message without a deadline is always answered."
        return read(request, answer).result

    def message(
        self,
        request: Request[Any],
        *,
        actor: Actor,
        merchant_id: MerchantId | UUID | None = None,
        known: Sequence[Known] = (),
        id: str | None = None,  # noqa: A002 - the command id
    ) -> bytes:
        """The bytes of a command or question, for tests that deliver them in their own way."""
        envelope = RequestEnvelope(
            id=id or str(new_id()),
            type=request.wire_type,
            source="/gateway",
            subject=request.queue(),
            time=self.clock.now(),
            merchantid=MerchantId(merchant_id) if merchant_id else None,
            correlationid=str(new_id()),
            actor=str(actor),
            data=RequestData(actor=actor, body=request.model_dump(mode="json", exclude_unset=True), known=tuple(known)),
        )
        return envelope.model_dump_json().encode()

    async def deliver(
        self, event: Event[Any], *, sequence: int = 1, envelope: EventEnvelope | None = None
    ) -> EventEnvelope:
        """Deliver an event twice, to the follower of its noun and to its fact handler, as the contracts wire them."""
        envelope = envelope or envelope_of(event, sequence=sequence, clock=self.clock)
        for _ in range(2):
            await self._follow(event, envelope)
            await self._handle(event, envelope)
        return envelope

    async def _follow(self, event: Event[Any], envelope: EventEnvelope) -> None:
        handler = self.runtime.wiring.follows.get(type(event.state))
        if handler is None:
            return
        async with self.db.transaction(caused_by(envelope, self.runtime.service)) as tx:
            applied = await upsert(tx, type(event.state).noun, [seen_in(envelope)])
            if isinstance(handler, EveryEvent):
                await handler.run(tx, [envelope])
                return
            for seen in applied:
                if handler is not COPY:
                    await handler(tx, change_of(seen))

    async def _handle(self, event: Event[Any], envelope: EventEnvelope) -> None:
        handler = self.runtime.wiring.facts.get(type(event))
        if handler is None:
            return
        async with self.db.transaction(caused_by(envelope, self.runtime.service)) as tx:
            fresh = await tx.fetchval(
                "INSERT INTO inbox (handler, event_id) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING true",
                f"on {event.wire_type}",
                envelope.id,
            )
            if fresh:
                await handler(tx, event)

    async def deliver_shuffled(self, events: Iterable[tuple[Event[Any], int]], seed: int) -> None:
        """Deliver events, each with its sequence, in an order that `seed` decides."""
        order = list(events)
        random.Random(seed).shuffle(order)  # noqa: S311 - a repeatable order, not a secret
        for event, sequence in order:
            await self.deliver(event, sequence=sequence)

    async def outbox(self) -> list[EventEnvelope]:
        """Everything announced so far, in order."""
        rows = await self.db.fetch("SELECT body FROM outbox ORDER BY position")
        return [EventEnvelope.model_validate_json(row["body"]) for row in rows]

    async def announced(self) -> list[str]:
        """The types of everything announced so far, in order."""
        return [envelope.type for envelope in await self.outbox()]

    @asynccontextmanager
    async def transaction(self, cause: Cause | None = None) -> AsyncIterator[Tx]:
        """A transaction as the chassis would open it."""
        async with self.db.transaction(cause or system_cause(self.runtime.service)) as tx:
            yield tx


def read(request: Request[R], answer: Answer) -> Reply[R]:
    """An answer as its asker would read it. Raises the Problem that it holds."""
    properties = Properties(
        content_type=answer.content_type, headers={"x-filename": answer.filename} if answer.filename else None
    )
    return read_reply(type(request), properties, answer.body)


@asynccontextmanager
async def harness(build: Callable[[], Service], *, clock: FakeClock | None = None) -> AsyncIterator[Harness]:
    """Migrate the database that the service's settings name and open its handlers over it; resources are entered too."""
    service = build()
    migrate(service.settings.database_url, service.migrations)
    held = clock or FakeClock()
    runtime = Runtime(service, held)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(runtime.db)
        for resource in service.resources:
            await stack.enter_async_context(resource)
        yield Harness(runtime, held)


async def rows(database_url: str, sql: str, *parameters: Any) -> list[dict[str, Any]]:
    """The rows of a query, past the service: what is really in the database."""
    connection = await asyncpg.connect(database_url)
    try:
        return [dict(row) for row in await connection.fetch(sql, *parameters)]
    finally:
        await connection.close()
