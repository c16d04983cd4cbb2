"""Listening: followers and fact handlers, over FastStream.

A follower's events are taken in batches: the copies of many events are upserted in one statement and one transaction.
When a batch fails, its events are taken one by one, so that poison stops nothing but itself.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from chassis.copies import Change, Seen, caused_by, change_of, noun_of, seen_in, upsert
from chassis.database import Database, Tx, system_cause, transient
from chassis.deliveries import Acks, Delivery, Fate, Poison
from chassis.tasks import cancelled_by_us
from chassis.telemetry import correlation, duration, handled, span
from contracts.message import EVENTS, NOUNS, Event, EventEnvelope, Service, State, republished_type

log = logging.getLogger("portal.listeners")

BATCH = 100
INBOX_DAYS = 30

Follower = Callable[[Tx, Change[Any]], Awaitable[None]]
FactHandler = Callable[[Tx, Any], Awaitable[None]]
Facts = dict[type[Any], FactHandler]
"""Which function handles which event."""


async def COPY(tx: Tx, change: Change[Any]) -> None:  # noqa: N802 - a constant in the wiring diagram
    """Keep the copy and do nothing else."""


@dataclass(frozen=True)
class EveryEvent:
    """A follower that hears of each event, also of one that a newer state has overtaken: for a history of what happened.

    It may hear of an event more than once, and in any order.
    """

    run: Callable[[Tx, Sequence[EventEnvelope]], Awaitable[None]]

    async def __call__(self, tx: Tx, change: Change[Any]) -> None:
        """Hear of one event."""
        await self.run(tx, (change.event,))


class Checker:
    """Whether a message is from whom it says."""

    def __init__(self, service: Service, broker_user: Callable[[str], str]) -> None:
        self.service = service
        self.broker_user = broker_user

    def event(self, delivery: Delivery) -> EventEnvelope:
        """The envelope of a delivered event. Raises Poison: unreadable, or forged."""
        try:
            envelope = EventEnvelope.model_validate_json(delivery.body)
        except ValidationError as unreadable:
            raise Poison("poison", f"Not an event: {unreadable.errors(include_input=False)[0]['msg']}") from unreadable
        # A retry comes from ourselves, and carries who sent it first.
        sender = delivery.user_id
        if delivery.headers.get("x-attempts") and sender == self.broker_user(self.service):
            sender = str(delivery.headers.get("x-user-id", ""))
        owner = noun_of(envelope.type).split(".", maxsplit=1)[0]
        if sender != self.broker_user(envelope.sender) or envelope.sender != owner:
            raise Poison("forged", f"{sender or 'nobody'} sent this as {envelope.source}.")
        if envelope.sequence is None or not isinstance(envelope.data.get("state"), dict):
            raise Poison("poison", "An event has a sequence and a state.")
        return envelope


class FollowerListener:
    """Follows one noun: copies the newest states, then lets the handler make its own state match."""

    def __init__(self, db: Database, noun: str, handler: Follower, check: Checker, fate: Fate) -> None:
        self.db = db
        self.noun = noun
        self.handler = handler
        self.check = check
        self.fate = fate
        self.queue: asyncio.Queue[tuple[Delivery, Seen]] = asyncio.Queue()
        self._acks = Acks()
        self._running = False

    @property
    def busy(self) -> bool:
        """Whether deliveries wait or are being handled."""
        return self._running or not self.queue.empty()

    async def take(self, delivery: Delivery) -> None:
        """Check one delivery and put it with the next batch."""
        try:
            envelope = self.check.event(delivery)
            if noun_of(envelope.type) != self.noun:
                raise Poison("poison", f"{envelope.type} is not about {self.noun}.")
            if envelope.type not in EVENTS and envelope.type != republished_type(NOUNS[self.noun]):
                # A newer release announces facts that we do not know yet; the state is what we follow.
                log.info("An unknown event of a known noun is followed by its state.", extra={"type": envelope.type})
            NOUNS[self.noun].model_validate(envelope.data["state"])
            seen = seen_in(envelope)
        except Exception as wrong:  # noqa: BLE001 - whatever it is, left unacked it would hold up every ack behind it
            await self.fate.bury(delivery, wrong)
            self._acks.note(delivery, acked=True)
            await self._acks.send()
            return
        if delivery.suspect:
            await self._batch([(delivery, seen)])
        else:
            self.queue.put_nowait((delivery, seen))

    async def run(self) -> None:
        """Handle batches until cancelled. A batch under way is finished first."""
        while True:
            batch = [await self.queue.get()]
            self._running = True
            while len(batch) < BATCH and not self.queue.empty():
                batch.append(self.queue.get_nowait())
            try:
                await asyncio.shield(asyncio.ensure_future(self._batch(batch)))
            except (Exception, asyncio.CancelledError):
                # A follower that ends here would leave its copy behind for ever. States may be applied twice.
                if cancelled_by_us():
                    raise
                log.exception("A batch crashed and is taken again.", extra={"noun": self.noun})
                for one in batch:
                    self.queue.put_nowait(one)
                await asyncio.sleep(1)
            finally:
                self._running = False

    async def _batch(self, batch: list[tuple[Delivery, Seen]]) -> None:
        started = time.perf_counter()
        try:
            await persevere(lambda: self._apply([seen for _, seen in batch]))
        except Exception as error:  # noqa: BLE001 - whatever a handler raises is the message's fate, never lost
            if len(batch) == 1:
                await self._failed(batch[0][0], error)
            else:
                for one in batch:
                    await self._batch([one])
            return
        duration.labels(f"follow {self.noun}").observe(time.perf_counter() - started)
        handled.labels(f"follow {self.noun}", "done").inc(len(batch))
        for delivery, _ in batch:
            if delivery.suspect:
                # At once and by itself: one that kills may stand before it, and would keep its ack back for good.
                await delivery.ack()
            self._acks.note(delivery, acked=delivery.suspect)
        await self._acks.send()

    async def _failed(self, delivery: Delivery, error: Exception) -> None:
        handled.labels(f"follow {self.noun}", "failed").inc()
        await self.fate.failed(delivery, error)
        self._acks.note(delivery, acked=True)
        await self._acks.send()

    async def _apply(self, seen: list[Seen]) -> None:
        async with self.db.transaction(system_cause(self.db.service)) as tx:
            applied = await upsert(tx, self.noun, seen)
            if isinstance(self.handler, EveryEvent):
                await self.handler.run(tx, [each.event for each in seen if each.event is not None])
                return
            for each in applied:
                if self.handler is not COPY and each.event is not None:
                    tx.cause = caused_by(each.event, self.db.service)
                    token = correlation.set(each.event.correlationid)
                    try:
                        with span(f"follow {self.noun}", each.event.traceparent):
                            await self.handler(tx, change_of(each))
                    finally:
                        correlation.reset(token)


class FactListener:
    """Does one thing per event id."""

    def __init__(self, db: Database, event: type[Event[Any]], handler: FactHandler, check: Checker, fate: Fate) -> None:
        self.db = db
        self.event = event
        self.handler = handler
        self.check = check
        self.fate = fate
        self.name = f"on {event.wire_type}"

    async def take(self, delivery: Delivery) -> None:
        """Handle one delivery: inbox mark and effect in one transaction, then ack."""
        try:
            envelope = self.check.event(delivery)
            if envelope.type != self.event.wire_type:
                raise Poison("poison", f"{envelope.type} does not belong here.")
            event = self.event.model_validate(envelope.data)
            if (self.db.clock.now() - envelope.time).days >= INBOX_DAYS:
                raise Poison("too old", "The inbox no longer knows whether this was handled.")
        except (ValidationError, Poison) as wrong:
            await self.fate.bury(delivery, wrong)
            return
        started = time.perf_counter()
        token = correlation.set(envelope.correlationid)
        try:
            await persevere(lambda: self.handle(envelope, event))
        except Exception as failure:  # noqa: BLE001 - whatever a handler raises is the message's fate, never lost
            handled.labels(self.name, "failed").inc()
            await self.fate.failed(delivery, failure)
            return
        finally:
            correlation.reset(token)
        duration.labels(self.name).observe(time.perf_counter() - started)
        handled.labels(self.name, "done").inc()
        await delivery.ack()

    async def handle(self, envelope: EventEnvelope, event: Event[State]) -> None:
        """Run the handler unless this event id was handled before."""
        async with self.db.transaction(caused_by(envelope, self.db.service)) as tx:
            fresh = await tx.fetchval(
                "INSERT INTO inbox (handler, event_id) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING true",
                self.name,
                envelope.id,
            )
            if fresh:
                with span(self.name, envelope.traceparent):
                    await self.handler(tx, event)


async def persevere(action: Callable[[], Awaitable[None]]) -> None:
    """Run `action` until the database answers: an outage of ours is not the message's fault and uses up no try.

    The message stays unacked meanwhile; handing it back would count towards its delivery limit.
    """
    pause = 0.1
    while True:
        try:
            await action()
        except Exception as error:
            if not transient(error):
                raise
            log.warning("The database cannot do it yet; trying again.", extra={"error": repr(error)})
        else:
            return
        await asyncio.sleep(pause)
        pause = min(pause * 2, 2.0)
