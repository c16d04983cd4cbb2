"""Time-driven work of the gateway."""

from __future__ import annotations

from chassis.service import Runtime
from services.gateway import security


async def forget_sessions(runtime: Runtime) -> None:
    """Delete sessions that have ended by time."""
    await security.forget_dead_sessions(runtime.db, runtime.clock.now())
