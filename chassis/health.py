"""`/livez`, `/readyz` and `/metrics`, as a small ASGI application beside whatever else the service serves."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import asyncpg
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

if TYPE_CHECKING:
    from chassis.service import Runtime

PATHS = frozenset({"/livez", "/readyz", "/metrics"})


async def readiness(runtime: Runtime) -> dict[str, str]:
    """What stands in the way of working, by part; empty when nothing does."""
    wrong: dict[str, str] = {}
    try:
        async with asyncio.timeout(2):
            await runtime.db.fetchval("SELECT 1")
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as down:
        wrong["database"] = repr(down)
    if not runtime.rpc.link.connected:
        wrong["broker"] = "No connection to publish on."
    elif await runtime.rpc.link.is_blocked():
        wrong["broker"] = "It has stopped reading from us: it is short of memory or disk."
    elif not runtime.consuming:
        wrong["broker"] = "The queues are not consumed yet."
    if runtime.draining:
        wrong["service"] = "Shutting down."
    return wrong


async def answer(runtime: Runtime, path: str) -> tuple[int, str, bytes]:
    """Status, content type and body of a health path."""
    if path == "/metrics":
        return 200, CONTENT_TYPE_LATEST, generate_latest()
    if path == "/livez":
        return 200, "application/json", b'{"status":"alive"}'
    wrong = await readiness(runtime)
    body: dict[str, Any] = {"status": "not ready" if wrong else "ready", "service": runtime.service, "wrong": wrong}
    return (503 if wrong else 200), "application/json", json.dumps(body).encode()
