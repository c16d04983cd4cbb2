"""Taking messages off the broker, through FastStream: this service's commands, questions, followed nouns and facts."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import aiormq
from aio_pika import IncomingMessage
from faststream import AckPolicy
from faststream.rabbit import Channel, RabbitBroker, RabbitQueue
from faststream.rabbit.subscriber.usecase import RabbitSubscriber

from chassis import topology
from chassis.amqp import BrokerUnavailable, Properties, Unconfirmed
from chassis.deliveries import Delivery, Fate, Poison
from chassis.listeners import Checker, FactListener, FollowerListener
from chassis.requests import Answer
from chassis.tasks import end
from chassis.telemetry import correlation, duration, handled
from contracts.message import EVENTS, NOUNS, REQUESTS, fact_queue, follower_queue

if TYPE_CHECKING:
    from chassis.service import Runtime

log = logging.getLogger("portal.consumers")

# Bounded, because the delivery limit also counts for whatever was prefetched beside a message that kills its worker:
# see `Delivery.suspect`.
_REQUEST_PREFETCH = 64
_FACT_PREFETCH = 32
_FOLLOWER_PREFETCH = 200
_WATCH_SECONDS = 5.0
_CONNECT_SECONDS = 4.0

Take = Callable[[Delivery], Awaitable[None]]


class Consumers:
    """Declares the topology, consumes, and starts over when the broker has lost one of our consumers."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.started = False
        self.declared = asyncio.Event()
        """Set once this process has declared every queue that its service's events go to."""
        self.in_flight = 0
        self._broker: RabbitBroker | None = None
        self._starting: asyncio.Future[None] | None = None
        self._subscribers: list[RabbitSubscriber] = []
        self._handler: Callable[[IncomingMessage], Awaitable[None]] = _by_delivered
        self._fate = Fate(runtime.rpc.link)
        # Asked twice per message, and it reads a URL. Bounded: a forger may name any sender.
        self._user = lru_cache(64)(runtime.settings.broker_user)
        self._check = Checker(runtime.service, self._user)
        self._askers: dict[str, set[str]] = {}
        for request in REQUESTS.values():
            self._askers.setdefault(request.queue(), set()).update(request.askers)
        self._followers = [
            FollowerListener(runtime.db, state.noun, handler, self._check, self._fate)
            for state, handler in runtime.wiring.follows.items()
        ]
        self._batches: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Consume until `stop`."""
        if not self._batches:
            self._batches = [asyncio.create_task(follower.run()) for follower in self._followers]
        while True:
            try:
                await self.runtime.rpc.link.until_connected(60)
                channel = await self.runtime.rpc.link.channel()
                await topology.declare(channel, self.runtime.service)
                await channel.close()
                self.declared.set()
                await self._consume()
                log.info("Consuming.", extra={"queues": [each.queue.name for each in self._subscribers]})
                await self._watch()
            except (BrokerUnavailable, aiormq.AMQPError, OSError, TimeoutError) as lost:
                log.warning("Not consuming.", extra={"error": repr(lost)})
            finally:
                self.started = False
            await self._close()
            await asyncio.sleep(0.5)

    async def _consume(self) -> None:
        broker = RabbitBroker(
            self.runtime.settings.amqp_url,
            apply_types=False,
            # A seventh of what a start costs: a model of each handler's arguments, which nothing looks at (see below).
            serializer=None,
            graceful_timeout=self.runtime.settings.drain_seconds,
            reconnect_interval=1.0,
            timeout=_CONNECT_SECONDS,
            default_channel=Channel(publisher_confirms=False),
            logger=None,
        )
        self._broker = broker
        self._subscribers, self._handler = [], _by_delivered
        service = self.runtime.service
        requests = _channel(_REQUEST_PREFETCH)
        for name in topology.answered_requests(service):
            queue = REQUESTS[name].queue()
            self._subscribe(broker, queue, topology.command_queue_arguments(), requests, self._answer)
        for follower in self._followers:
            name = follower_queue(service, NOUNS[follower.noun])
            channel = _channel(_FOLLOWER_PREFETCH)
            self._subscribe(broker, name, topology.consumed_arguments(name), channel, follower.take)
        for event, handler in self.runtime.wiring.facts.items():
            name = fact_queue(service, EVENTS[event.wire_type])
            listener = FactListener(self.runtime.db, event, handler, self._check, self._fate)
            channel = _channel(_FACT_PREFETCH)
            self._subscribe(broker, name, topology.consumed_arguments(name), channel, listener.take)
        # Never cancelled midway: aio-pika would go on connecting, for a connection that nobody can close any more, and its
        # task outlives even the end of the loop.
        self._starting = asyncio.ensure_future(broker.start())
        async with asyncio.timeout(20):
            await asyncio.shield(self._starting)
        self.started = True

    def _subscribe(
        self, broker: RabbitBroker, queue: str, arguments: topology.Arguments, channel: Channel, take: Take
    ) -> None:
        alone = asyncio.Lock()

        async def delivered(raw: IncomingMessage) -> None:
            self.in_flight += 1
            try:
                delivery = Delivery(queue, raw.body, raw.message_id or "", raw.user_id or "", dict(raw.headers), raw)
                if delivery.suspect:
                    await asyncio.sleep(delivery.turn(channel.prefetch_count or 1))
                    async with alone:
                        await take(delivery)
                else:
                    await take(delivery)
            except Exception:
                # Unacked, so that it is not lost: it comes again when the channel closes.
                log.exception("A delivery could not be taken.", extra={"queue": queue})
            finally:
                self.in_flight -= 1

        subscriber = broker.subscriber(
            _Queue(queue, durable=True, arguments=arguments),  # type: ignore[call-overload]  # quorum's typed arguments do not list all that RabbitMQ takes
            channel=channel,
            ack_policy=AckPolicy.MANUAL,
            no_reply=True,
        )
        # One handler for all: what FastStream makes of each holds a mock, and to make one takes longer than to subscribe.
        self._handler = subscriber(self._handler)
        # FastStream connects, declares, consumes and comes back. Of a message's way through it (parser, decoder,
        # middlewares, context, response) we use nothing, and it costs as much as all the rest: see docs/performance.md.
        subscriber.consume = delivered  # type: ignore[method-assign, assignment]  # the callback that it gives to aio-pika
        subscriber._build_fastdepends_model = _nothing  # type: ignore[method-assign]  # noqa: SLF001 - for the same way
        self._subscribers.append(subscriber)

    async def _watch(self) -> None:
        """Return when a consumer is gone although the broker is there: a queue deleted, a channel that did not recover."""
        missing = 0
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            if not self.runtime.rpc.link.connected:
                continue
            counts = [await self.runtime.rpc.link.consumers(each.queue.name) for each in self._subscribers]
            missing = missing + 1 if 0 in counts else 0
            if missing > 1:
                log.error("A queue has no consumer any more; starting over.")
                return

    async def _answer(self, delivery: Delivery) -> None:
        """Run one command or question and reply."""
        try:
            sender = self._sender(delivery)
        except Poison as poison:
            await self._fate.bury(delivery, poison)
            return
        started = time.perf_counter()
        token = correlation.set(delivery.message_id)
        try:
            deadline = delivery.headers.get("x-deadline")
            answer = await self.runtime.answerer.answer(delivery.body, deadline if isinstance(deadline, int) else None)
        finally:
            correlation.reset(token)
        duration.labels(delivery.queue).observe(time.perf_counter() - started)
        handled.labels(delivery.queue, "answered" if answer else "too late").inc()
        if answer is not None:
            await self._reply(delivery, answer)
        log.debug("Answered.", extra={"queue": delivery.queue, "sender": sender})
        await delivery.ack()

    def _sender(self, delivery: Delivery) -> str:
        """The service that asks, by the broker's validated user. Raises Poison when it may not ask this."""
        for asker in self._askers[delivery.queue]:
            if delivery.user_id == self._user(asker):
                return asker
        raise Poison("forged", f"{delivery.user_id or 'nobody'} may not ask {delivery.queue}.")

    async def _reply(self, delivery: Delivery, answer: Answer) -> None:
        if not delivery.raw.reply_to:
            return
        properties = Properties(
            content_type=answer.content_type,
            correlation_id=delivery.raw.correlation_id,
            headers={"x-filename": answer.filename} if answer.filename else None,
        )
        try:
            await self.runtime.rpc.link.publish_fast(
                answer.body, routing_key=delivery.raw.reply_to, properties=properties
            )
        except (BrokerUnavailable, Unconfirmed) as lost:
            # The asker learns that it does not know, and its repeat gets the stored reply.
            log.warning("A reply could not be sent.", extra={"queue": delivery.queue, "error": repr(lost)})

    async def stop(self, seconds: float) -> None:
        """Take nothing more, finish what was taken, at most so many seconds. What is left the broker gives to others."""
        self.started = False
        if self._starting is not None:
            await asyncio.wait({self._starting}, timeout=_CONNECT_SECONDS + 1)
        for subscriber in self._subscribers:
            # FastStream's own stop drains first, and swallows what is delivered meanwhile until its channel closes.
            queue, tag = subscriber._queue_obj, subscriber._consumer_tag  # noqa: SLF001 - it offers no other way to cancel first
            if queue is not None and tag is not None and not queue.channel.is_closed:
                await asyncio.wait({asyncio.ensure_future(queue.cancel(tag))}, timeout=2)
                subscriber._consumer_tag = None  # noqa: SLF001 - cancelled already
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while loop.time() < deadline and (self.in_flight or any(each.busy for each in self._followers)):  # noqa: ASYNC110 - two kinds of counters, and a deadline
            await asyncio.sleep(0.02)
        await end(self._batches, patience=1)
        await self._close()

    async def _close(self) -> None:
        broker, starting = self._broker, self._starting
        if starting is not None:
            await asyncio.wait({starting}, timeout=_CONNECT_SECONDS + 1)
        if broker is not None:
            closing = asyncio.ensure_future(broker.stop())
            done, _ = await asyncio.wait({closing}, timeout=5)
            for task in done:
                if (error := task.exception()) is not None:
                    log.warning("The consuming connection did not close cleanly.", extra={"error": repr(error)})
        if starting is not None:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
        self._broker, self._starting, self._subscribers = None, None, []


class _Queue(RabbitQueue):
    def add_prefix(self, prefix: str) -> RabbitQueue:
        """Stay as it is: our brokers have no prefix, and FastStream would copy it deeply to find that out."""
        return self if not prefix else super().add_prefix(prefix)


def _channel(prefetch: int) -> Channel:
    """A channel to consume on; nothing is published there, so it asks for no confirms."""
    return Channel(prefetch_count=prefetch, publisher_confirms=False)


async def _by_delivered(_: IncomingMessage) -> None:
    """Stand where FastStream wants a handler to be; messages go to `delivered`."""


def _nothing() -> None:
    """Stand where FastStream builds a model of the handler."""
