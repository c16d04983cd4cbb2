"""The relay: moves what transactions have announced to the broker, in order, and forgets it once the broker has it.

One relay per service works at a time, under a session advisory lock: several would reorder what one aggregate announced.
The others stand by. No transaction is open while it publishes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

import asyncpg

from chassis.amqp import BrokerUnavailable, Link, Properties, Unconfirmed, Unroutable
from chassis.database import OUTBOX_CHANNEL, Database, Row, hang_up
from chassis.rpc import CLOUDEVENT
from chassis.telemetry import outbox_age, relay_active, relayed
from contracts.message import EVENTS, INTERNAL

log = logging.getLogger("portal.outbox")

BATCH = 200
_LOCK = 727_002
_STAND_BY_SECONDS = 1.0
_STANDS_STILL_SECONDS = 5.0


class Relay:
    """Publishes the outbox of one service. `run` never returns; cancel it."""

    def __init__(self, db: Database, link: Link, *, poll_seconds: float, declared: asyncio.Event | None = None) -> None:
        self.db = db
        self.link = link
        self.poll_seconds = poll_seconds
        self.declared = declared
        self.active = False

    async def run(self) -> None:
        """Stand by until the lock is free, then relay for as long as the database connection lives.

        Not before `declared`: at a first start an event would reach the queues that are there already, and nobody would
        notice that the others' followers never heard of it.
        """
        if self.declared is not None:
            await self.declared.wait()
        while True:
            try:
                connection: asyncpg.Connection[Row] = await asyncpg.connect(
                    self.db.url,
                    command_timeout=30,
                    server_settings={
                        "application_name": f"portal-{self.db.service}-relay",
                        # A relay that stands still must not keep the lock: another takes over when it asks for nothing.
                        "idle_session_timeout": str(int(1000 * (_STANDS_STILL_SECONDS + self.poll_seconds))),
                    },
                )
                try:
                    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):  # noqa: ASYNC110 - the lock is PostgreSQL's
                        await asyncio.sleep(_STAND_BY_SECONDS)
                    log.info("This process relays the outbox now.")
                    self._set_active(True)
                    await self._relay(connection)
                finally:
                    self._set_active(False)
                    await hang_up(connection)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as lost:
                log.warning("The relay lost its database connection.", extra={"error": repr(lost)})
                await asyncio.sleep(0.5)

    def _set_active(self, active: bool) -> None:
        self.active = active
        relay_active.set(int(active))

    async def _relay(self, connection: asyncpg.Connection[Row]) -> None:
        # Woken on the connection that holds the lock: when it is cut, both are gone together.
        woken = asyncio.Event()

        def wake(*_: object) -> None:
            woken.set()

        await connection.add_listener(OUTBOX_CHANNEL, wake)
        while not connection.is_closed():
            woken.clear()
            moved = await self._move(connection)
            if moved < BATCH:
                try:
                    async with asyncio.timeout(self.poll_seconds):
                        await woken.wait()
                except TimeoutError:
                    pass

    async def _move(self, connection: asyncpg.Connection[Row]) -> int:
        rows = await connection.fetch(
            """
            SELECT position, exchange, routing_key, subject, message_id, body,
                extract(epoch FROM clock_timestamp() - created_at)::float8 AS age
            FROM outbox ORDER BY position LIMIT $1
            """,
            BATCH,
        )
        outbox_age.set(rows[0]["age"] if rows else 0)
        if not rows:
            return 0
        if not self.link.connected:
            try:
                await self.link.until_connected(self.poll_seconds)
            except BrokerUnavailable:
                return 0
        confirmed = [
            position for done in await asyncio.gather(*map(self._in_order, _by_subject(rows))) for position in done
        ]
        if confirmed:
            await connection.execute("DELETE FROM outbox WHERE position = ANY($1::bigint[])", confirmed)
            relayed.inc(len(confirmed))
        if len(confirmed) < len(rows):
            # Something stays behind: do not spin on it.
            await asyncio.sleep(self.poll_seconds)
        return len(confirmed)

    async def _in_order(self, rows: list[Row]) -> list[int]:
        """Publish one aggregate's rows one after another; stop at the first that the broker does not confirm."""
        done: list[int] = []
        for row in rows:
            properties = Properties(content_type=CLOUDEVENT, delivery_mode=2, message_id=row["message_id"])
            try:
                async with asyncio.timeout(10):
                    await self.link.publish(
                        row["body"], exchange=row["exchange"], routing_key=row["routing_key"], properties=properties
                    )
            except Unroutable:
                if not _has_listeners(row["routing_key"], row["exchange"]):
                    done.append(row["position"])
                    continue
                # It waits: at a first start we may be here before anybody has declared the queues.
                log.error("An event has no queue: the topology is missing.", extra={"event": row["message_id"]})  # noqa: TRY400 - the trace says nothing
                return done
            except (BrokerUnavailable, Unconfirmed, TimeoutError) as waiting:
                log.warning(
                    "An event waits for the broker.", extra={"event": row["message_id"], "error": repr(waiting)}
                )
                return done
            done.append(row["position"])
        return done


def _has_listeners(kind: str, exchange: str) -> bool:
    """Whether an event must find a queue. One of an internal noun that nobody follows has none; a public one has the log."""
    event = EVENTS.get(kind)
    return exchange != INTERNAL or event is None or bool(event.handled_by or event.of().followed_by)


def _by_subject(rows: Iterable[Row]) -> Iterable[list[Row]]:
    """The rows of each aggregate, in order."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row["subject"], []).append(row)
    return groups.values()
