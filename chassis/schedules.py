"""Time-driven work that runs once per interval, whichever replica comes first."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from chassis.database import Database, transient
from chassis.telemetry import handled

if TYPE_CHECKING:
    from chassis.service import Runtime

log = logging.getLogger("portal.schedules")


@dataclass(frozen=True)
class Schedule:
    """`run` is called every `every`, by one replica. A crash costs that turn only: what is due stays due."""

    name: str
    every: timedelta
    run: Callable[[Runtime], Awaitable[None]]


async def claim(db: Database, schedule: Schedule) -> bool:
    """Take the current turn. False when another replica has it, or it is not time yet."""
    now = db.clock.now()
    return bool(
        await db.fetchval(
            """
            INSERT INTO schedule (name, last_started_at) VALUES ($1, $2)
            ON CONFLICT (name) DO UPDATE SET last_started_at = excluded.last_started_at
            WHERE schedule.last_started_at <= excluded.last_started_at - $3::interval
            RETURNING true
            """,
            schedule.name,
            now,
            schedule.every,
        )
    )


async def keep(runtime: Runtime, schedule: Schedule) -> None:
    """Run a schedule until cancelled."""
    look_every = max(0.2, min(schedule.every.total_seconds() / 4, 15.0))
    while True:
        try:
            if await claim(runtime.db, schedule):
                await schedule.run(runtime)
                handled.labels(f"schedule {schedule.name}", "done").inc()
        except Exception as error:
            handled.labels(f"schedule {schedule.name}", "failed").inc()
            if transient(error):
                log.warning(
                    "A schedule waits for the database.", extra={"schedule": schedule.name, "error": repr(error)}
                )
            else:
                log.exception("A schedule failed; it comes round again.", extra={"schedule": schedule.name})
        # Spread the replicas, so that they do not ask in the same instant.
        await asyncio.sleep(look_every * random.uniform(0.8, 1.2))  # noqa: S311 - a spread, not a secret


async def prune(runtime: Runtime) -> None:
    """Forget inbox marks after 30 days and stored replies after 7."""
    await runtime.db.execute("DELETE FROM inbox WHERE handled_at < clock_timestamp() - interval '30 days'")
    await runtime.db.execute("DELETE FROM command_reply WHERE created_at < clock_timestamp() - interval '7 days'")
