"""One PostgreSQL database per service. A transaction holds state, inbox mark, stored reply and outbox rows together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self
from weakref import WeakKeyDictionary

import asyncpg

from chassis.clock import Clock
from chassis.ids import new_id
from chassis.tasks import end
from chassis.telemetry import traceparent
from contracts.message import Actor, Event, EventEnvelope, MerchantId, NotFound, Service, system

log = logging.getLogger("portal.database")

Row = asyncpg.Record

OUTBOX_CHANNEL = "outbox"


class DatabaseAwayError(ConnectionError):
    """There is no connection to be had: the server is away, full, unknown by that name, or refuses us."""


@dataclass(frozen=True)
class Cause:
    """Why something is being done: who, for which merchant, and as part of which chain of messages."""

    actor: Actor
    merchant_id: MerchantId | None
    message_id: str
    correlation_id: str
    causation_id: str | None = None
    traceparent: str | None = None


def system_cause(service: Service, merchant_id: MerchantId | None = None) -> Cause:
    """The cause of work that nobody asked for at that moment. It starts a chain of its own."""
    fresh = str(new_id())
    return Cause(system(service), merchant_id, fresh, fresh)


@dataclass
class Tx:
    """An open transaction, its cause, and what it will announce when it commits."""

    connection: asyncpg.pool.PoolConnectionProxy[Row] | asyncpg.Connection[Row]
    service: Service
    cause: Cause
    now: datetime
    announced: list[EventEnvelope] = field(default_factory=list)
    answer: list[Any] = field(default_factory=list)
    _channels: dict[tuple[str, str], None] = field(default_factory=dict)
    _outbox: list[tuple[str, str, str, str, bytes]] = field(default_factory=list)

    @property
    def merchant(self) -> MerchantId:
        """The merchant on whose behalf this runs. Raises NotFound when there is none."""
        if self.cause.merchant_id is None:
            raise NotFound
        return self.cause.merchant_id

    async def fetch(self, sql: str, *parameters: Any) -> list[Row]:
        """All rows of a query."""
        return await self.connection.fetch(sql, *parameters)

    async def fetchrow(self, sql: str, *parameters: Any) -> Row | None:
        """The first row of a query, or None."""
        return await self.connection.fetchrow(sql, *parameters)

    async def fetchval(self, sql: str, *parameters: Any) -> Any:
        """The first column of the first row, or None."""
        return await self.connection.fetchval(sql, *parameters)

    async def execute(self, sql: str, *parameters: Any) -> str:
        """Run a statement; returns PostgreSQL's status, such as `UPDATE 1`."""
        return await self.connection.execute(sql, *parameters)

    async def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run a statement once per row of parameters, pipelined."""
        await self.connection.executemany(sql, rows)

    def announce(self, event: Event[Any], *, sequence: int) -> None:
        """Publish `event` once this transaction has committed. `sequence` is the aggregate's row version after the change."""
        state = event.state
        envelope = EventEnvelope(
            id=str(new_id()),
            type=event.wire_type,
            source=f"/{self.service}",
            subject=str(state.id),
            time=self.now,
            merchantid=state.merchant_id,
            sequence=sequence,
            correlationid=self.cause.correlation_id,
            causationid=self.cause.message_id,
            actor=str(self.cause.actor),
            traceparent=traceparent() or self.cause.traceparent,
            data=event.model_dump(mode="json"),
        )
        self.announced.append(envelope)
        body = envelope.model_dump_json().encode()
        self._outbox.append((type(state).exchange, envelope.type, envelope.subject, envelope.id, body))

    def notify(self, channel: str, payload: str = "") -> None:
        """Wake whoever LISTENs on `channel` once this transaction has committed. Repeats within it are sent once."""
        self._channels[channel, payload] = None

    def reply(self, result: Any) -> None:
        """Make this the command's last transaction: its reply is stored with it."""
        self.answer[:] = [result]

    async def flush(self) -> None:
        """Write outbox rows and notifications in one statement. Called by the chassis before the commit."""
        if self._outbox:
            self._channels[OUTBOX_CHANNEL, ""] = None
        if not self._channels:
            return
        exchanges, keys, subjects, ids, bodies = zip(*self._outbox, strict=True) if self._outbox else ((),) * 5
        await self.connection.execute(
            """
            WITH kept AS (
                INSERT INTO outbox (exchange, routing_key, subject, message_id, body)
                SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[])
            )
            SELECT pg_notify(channel, payload) FROM unnest($6::text[], $7::text[]) AS woken (channel, payload)
            """,
            exchanges,
            keys,
            subjects,
            ids,
            bodies,
            [channel for channel, _ in self._channels],
            [payload for _, payload in self._channels],
        )


async def _leave_as_is(_: Any) -> None:
    """Replace asyncpg's reset on release, a round trip each time: we never leave session state on a pooled connection."""


_FROZEN = timedelta(seconds=5)
"""A transaction that does nothing for so long is given up, and its locks with it: its process stands still, and who waits
for them is to be answered within a command's ten seconds. Ours never wait for the network.
"""
_IN_LINE = timedelta(seconds=3)
"""Whoever waits longer for a lock gives up and tries again. Shorter than `_FROZEN`: the transactions of a process that
stands still also stand in line, and each would get the lock only to keep it for as long.
"""


class Database:
    """The service's pool, and the wake-up calls that its transactions send."""

    def __init__(self, url: str, service: Service, clock: Clock, *, size: int = 10) -> None:
        self.url = url
        self.service: Service = service
        self.clock = clock
        self._size = size
        # First come, first served: asyncpg's pool wakes who waits longest and lets a newcomer take the connection before they
        # run, so that under load some wait for ever while others pass.
        self._turns = asyncio.Semaphore(size)
        self._opening = asyncio.Lock()
        self._pool: asyncpg.Pool[Row] | None = None
        self._bells: dict[str, WeakKeyDictionary[asyncio.Task[Any], asyncio.Event]] = {}
        self._listener: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._pool = await asyncpg.create_pool(
            self.url,
            min_size=1,
            max_size=self._size,
            # To connect: whoever else wants one more waits for it.
            timeout=10,
            command_timeout=30,
            reset=_leave_as_is,
            server_settings={
                "application_name": f"portal-{self.service}",
                "timezone": "UTC",
                "idle_in_transaction_session_timeout": str(_FROZEN // timedelta(milliseconds=1)),
                "lock_timeout": str(_IN_LINE // timedelta(milliseconds=1)),
            },
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._listener is not None:
            await end([self._listener], patience=1)
        if self._pool is not None:
            try:
                async with asyncio.timeout(5):
                    await self._pool.close()
            except TimeoutError:
                self._pool.terminate()

    @property
    def pool(self) -> asyncpg.Pool[Row]:
        """The open pool."""
        assert self._pool is not None, "The database is used before it is opened."
        return self._pool

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.pool.PoolConnectionProxy[Row]]:
        """A connection of the pool, in turn. Raises DatabaseAwayError when there is none to be had."""
        async with self._turns:
            try:
                # One is opened at a time: that takes longer than most of what they are for, and meanwhile one comes free.
                # Without it, a service that starts opens as many as it may, a process of the server's each.
                async with self._opening if not self.pool.get_idle_size() else nullcontext():
                    connection = await self.pool.acquire()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as away:
                raise DatabaseAwayError(f"No connection to the database: {away!r}") from away
            try:
                yield connection
            finally:
                await self.pool.release(connection)

    async def fetch(self, sql: str, *parameters: Any) -> list[Row]:
        """All rows of a query, outside any transaction."""
        async with self._connection() as connection:
            return await connection.fetch(sql, *parameters)

    async def fetchrow(self, sql: str, *parameters: Any) -> Row | None:
        """The first row of a query, or None."""
        async with self._connection() as connection:
            return await connection.fetchrow(sql, *parameters)

    async def fetchval(self, sql: str, *parameters: Any) -> Any:
        """The first column of the first row, or None."""
        async with self._connection() as connection:
            return await connection.fetchval(sql, *parameters)

    async def execute(self, sql: str, *parameters: Any) -> str:
        """Run one statement in a transaction of its own."""
        async with self._connection() as connection:
            return await connection.execute(sql, *parameters)

    @asynccontextmanager
    async def transaction(self, cause: Cause) -> AsyncIterator[Tx]:
        """Open a transaction. What it announces is in the outbox when it commits, and nowhere when it does not."""
        async with self._connection() as connection, connection.transaction():
            tx = Tx(connection, self.service, cause, self.clock.now())
            yield tx
            await tx.flush()

    # --- wake-up calls ------------------------------------------------------------------------------------------------

    async def wait(self, channel: str, timeout: float) -> None:
        """Return when a transaction has notified `channel` since this task's last call, or after `timeout` seconds.

        A task's first call returns at once: what was notified before it is not known, so its caller looks again.
        """
        task = asyncio.current_task()
        assert task is not None
        bells = self._bells.setdefault(channel, WeakKeyDictionary())
        if self._listener is None:
            self._listener = asyncio.create_task(self._listen(), name="listen")
        if task not in bells:
            bells[task] = asyncio.Event()
            return
        try:
            async with asyncio.timeout(timeout):
                await bells[task].wait()
        except TimeoutError:
            pass
        bells[task].clear()

    async def _listen(self) -> None:
        """Keep one connection that LISTENs on every channel somebody waits for; come back when it is cut."""
        while True:
            try:
                connection: asyncpg.Connection[Row] = await asyncpg.connect(self.url)
                try:
                    heard: set[str] = set()
                    while not connection.is_closed():
                        for channel in set(self._bells) - heard:
                            await connection.add_listener(channel, self._ring)
                            heard.add(channel)
                            self._ring(connection, 0, channel, "")
                        await asyncio.sleep(0.2)
                finally:
                    await hang_up(connection)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as lost:
                log.warning("The wake-up connection was lost; polling until it is back.", extra={"error": str(lost)})
                await asyncio.sleep(1)

    def _ring(self, _connection: Any, _pid: int, channel: str, _payload: object) -> None:
        for bell in self._bells.get(channel, WeakKeyDictionary()).values():
            bell.set()


async def hang_up(connection: asyncpg.Connection[Row]) -> None:
    """Close a connection that is not the pool's; one that does not answer is cut.

    Raises nothing: an error here would take the place of the cancellation that ends its keeper, and the keeper would go on.
    """
    with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
        await connection.close(timeout=1)


def transient(error: BaseException) -> bool:
    """Whether it was the database's fault, so that the same transaction may well succeed when it is tried again.

    A statement that ran into its time-out is not among them: it may be too slow each time, and whoever perseveres would
    hold up its queue for ever. When the server hangs, the next try gets no connection, and that is.
    """
    return isinstance(
        error,
        asyncpg.DeadlockDetectedError
        | asyncpg.SerializationError
        | asyncpg.PostgresConnectionError
        | asyncpg.InterfaceError
        | asyncpg.InternalClientError  # the server has hung up, and only half of that has arrived
        | asyncpg.InsufficientResourcesError  # its disk is full, say
        | asyncpg.ReadOnlySQLTransactionError  # it has become a stand-by
        | asyncpg.CannotConnectNowError
        | asyncpg.IdleInTransactionSessionTimeoutError  # we stood still, and are back
        | asyncpg.LockNotAvailableError  # whoever has it stands still
        | asyncpg.AdminShutdownError
        | asyncpg.CrashShutdownError
        | ConnectionError,
    )
