"""Our own publishing connection: confirms, returns, and the replies to what we ask.

Consuming goes through FastStream on a connection of its own, because the broker stops reading from a connection that
publishes when its memory runs short, and consumers must go on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Self

import aiormq
from aiormq import spec
from aiormq.abc import AbstractChannel, AbstractConnection, DeliveredMessage
from aiormq.channel import Channel

from chassis.tasks import cancelled_by_us, end

log = logging.getLogger("portal.amqp")

_PROBES = 4
"""Channels kept open to ask who consumes; more are opened when more ask at once, and closed again."""

Properties = spec.Basic.Properties


class BrokerUnavailable(Exception):  # noqa: N818 - it is a state of affairs, and callers read it as one
    """There is no connection: nothing was sent."""


class Unroutable(Exception):  # noqa: N818 - the same
    """The broker has no queue for it: nothing was kept."""


class Unconfirmed(Exception):  # noqa: N818 - the same
    """It was sent, and the connection ended before the broker's word. It may or may not have arrived."""


class Link:
    """One connection that comes back by itself. `on_reply` gets the replies to requests sent from here."""

    def __init__(self, url: str, name: str, *, on_reply: Callable[[DeliveredMessage], None] | None = None) -> None:
        self.url = url
        self.name = name
        self.user = ""
        self.on_lost: list[Callable[[], None]] = []
        self._on_reply = on_reply
        self._connection: AbstractConnection | None = None
        self._confirmed: AbstractChannel | None = None
        self._fast: AbstractChannel | None = None
        self._probes: list[AbstractChannel] = []
        self._ready = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._keeper = asyncio.create_task(self._keep(), name=f"link-{self.name}")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._keeper is not None:
            await end([self._keeper], patience=1)
        if self._connection is not None:
            await _close(self._connection)

    @property
    def connected(self) -> bool:
        """Whether a message could be sent right now."""
        return self._ready.is_set()

    async def is_blocked(self) -> bool:
        """Whether the broker has stopped reading from us, for lack of memory or disk. It says so on our first publish."""
        if self._connection is None or not self._ready.is_set():
            return False
        try:
            async with asyncio.timeout(0.01):
                await self._connection.ready()
        except TimeoutError:
            return True
        return False

    async def until_connected(self, timeout: float) -> None:
        """Wait for the connection. Raises BrokerUnavailable after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._ready.wait()
        except TimeoutError:
            raise BrokerUnavailable(f"No connection to the broker for {timeout} s.") from None

    async def _keep(self) -> None:
        pause = 0.1
        while True:
            try:
                async with asyncio.timeout(10):
                    closing = await self._connect()
                pause = 0.1
                self._ready.set()
                log.info("Connected to the broker.", extra={"link": self.name})
                await asyncio.wait({closing})
                log.warning("The connection to the broker was lost.", extra={"link": self.name})
            except (Exception, asyncio.CancelledError) as refused:
                # Whatever a broken connection raises: a keeper that ends leaves a service that answers nobody.
                if cancelled_by_us():
                    raise
                log.warning("The broker cannot be reached.", extra={"link": self.name, "error": repr(refused)})
            finally:
                self._ready.clear()
                for tell in self.on_lost:
                    tell()
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)

    async def _connect(self) -> asyncio.Future[object]:
        # Known before it is up: whoever is cancelled in the moment in which it comes up would leave it behind, open, with
        # tasks that nobody ends.
        connection = self._connection = aiormq.Connection(self.url)
        try:
            return await self._open(connection)
        except BaseException:
            await _close(connection)
            raise

    async def _open(self, connection: AbstractConnection) -> asyncio.Future[object]:
        await connection.connect()
        self.user = str(connection.url.user or "guest")
        self._confirmed = await connection.channel(publisher_confirms=True, on_return_raises=True)
        self._fast = await connection.channel(publisher_confirms=False)
        self._probes = []
        if self._on_reply is not None:
            tell = self._on_reply

            async def receive(message: DeliveredMessage) -> None:
                tell(message)

            await self._confirmed.basic_consume("amq.rabbitmq.reply-to", receive, no_ack=True)
        loop = asyncio.get_running_loop()
        lost: asyncio.Future[object] = loop.create_future()

        def tell_lost(_: object) -> None:
            if not lost.done():
                lost.set_result(None)

        connection.closing.add_done_callback(tell_lost)
        # A channel that the broker closes alone (a precondition, a permission) would leave us half deaf: start over.
        for channel in (self._confirmed, self._fast):
            channel.closing.add_done_callback(tell_lost)
        lost.add_done_callback(lambda _: asyncio.ensure_future(_close(connection)))
        return lost

    async def publish(
        self, body: bytes, *, exchange: str, routing_key: str, properties: Properties, mandatory: bool = True
    ) -> None:
        """Publish and wait for the broker's word. Raises BrokerUnavailable, Unroutable or Unconfirmed."""
        channel = self._confirmed
        if channel is None or not self._ready.is_set():
            raise BrokerUnavailable("There is no connection to the broker.")
        properties.user_id = self.user
        try:
            await channel.basic_publish(
                body, exchange=exchange, routing_key=routing_key, properties=properties, mandatory=mandatory
            )
        except aiormq.exceptions.PublishError as returned:
            raise Unroutable(f"No queue for {routing_key} on {exchange or 'the default exchange'}.") from returned
        except aiormq.exceptions.DeliveryError as refused:
            raise BrokerUnavailable("The broker refused the message.") from refused
        except asyncio.CancelledError:
            if cancelled_by_us():
                raise
            raise Unconfirmed("The connection ended before the broker confirmed.") from None
        except (aiormq.AMQPError, ConnectionError, OSError, RuntimeError) as cut:
            raise Unconfirmed("The connection ended before the broker confirmed.") from cut

    async def publish_fast(self, body: bytes, *, routing_key: str, properties: Properties) -> None:
        """Publish to the default exchange without waiting for a word: replies, whose asker has a deadline anyway."""
        channel = self._fast
        if not isinstance(channel, Channel) or not self._ready.is_set():
            raise BrokerUnavailable("There is no connection to the broker.")
        properties.user_id = self.user
        try:
            await channel.basic_publish(body, exchange="", routing_key=routing_key, properties=properties, wait=False)
        except (aiormq.AMQPError, ConnectionError, OSError, RuntimeError, asyncio.CancelledError) as cut:
            if cancelled_by_us():
                raise
            raise Unconfirmed("The connection ended while replying.") from cut

    async def consumers(self, queue: str) -> int:
        """How many consumers a queue has; 0 when there is no such queue."""
        if self._connection is None or not self._ready.is_set():
            raise BrokerUnavailable("There is no connection to the broker.")
        # To its end, also when its caller gives up: a channel that is left in the middle stays open as long as the connection.
        counting = asyncio.ensure_future(self._count(self._connection, queue))
        counting.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(counting)

    async def _count(self, connection: AbstractConnection, queue: str) -> int:
        probe = self._probes.pop() if self._probes else None
        try:
            if probe is None or probe.is_closed:
                probe = await connection.channel(publisher_confirms=False)
            declared = await probe.queue_declare(queue, passive=True)
        except aiormq.exceptions.ChannelNotFoundEntity:
            return 0
        except (aiormq.AMQPError, ConnectionError, OSError, RuntimeError, asyncio.CancelledError) as cut:
            if cancelled_by_us():
                raise
            raise BrokerUnavailable("The broker went away.") from cut
        # Put back only after its answer: another caller would take the late one for its own.
        if len(self._probes) < _PROBES:
            self._probes.append(probe)
        else:
            await _close_channel(probe)
        return declared.consumer_count or 0

    async def channel(self) -> AbstractChannel:
        """A fresh channel of this connection, with confirms: for topology and the dead-letter tool. Close it."""
        await self.until_connected(10)
        assert self._connection is not None
        return await self._connection.channel(publisher_confirms=True)


async def _close_channel(channel: AbstractChannel) -> None:
    with suppress(aiormq.AMQPError, ConnectionError, RuntimeError, asyncio.CancelledError):
        await channel.close()


async def _close(connection: AbstractConnection) -> None:
    if not connection.is_closed:
        await asyncio.wait({asyncio.ensure_future(connection.close())}, timeout=2)
