"""`/livez`, `/readyz` and `/metrics`, as a small ASGI application beside whatever else the service serves."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
from typing import TYPE_CHECKING, Any

import asyncpg
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

if TYPE_CHECKING:
    from chassis.service import Runtime

log = logging.getLogger("portal.health")

trouble: dict[str, str] = {}
"""What a part of this process has stopped for, by that part's name, while the rest works on: `/readyz` shows it."""

PATHS = frozenset({"/livez", "/readyz", "/metrics"})
_FORWARDED = (b"x-forwarded-for", b"forwarded")


def from_nearby(scope: Any) -> bool:
    """Whether a request comes from this machine or a private network, and not through a proxy.

    A public door stands open to strangers, and what we are short of is none of their business.
    """
    if any(name in _FORWARDED for name, _ in scope["headers"]):
        return False
    try:
        return ipaddress.ip_address((scope["client"] or ("",))[0]).is_private
    except ValueError:
        return False


async def readiness(runtime: Runtime) -> dict[str, str]:
    """What stands in the way of working, by part; empty when nothing does."""
    wrong: dict[str, str] = {}
    try:
        async with asyncio.timeout(2):
            await runtime.db.fetchval("SELECT 1")
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as down:
        log.warning("The database does not answer.", extra={"error": repr(down)})
        wrong["database"] = "It does not answer."
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
    if trouble:
        body["trouble"] = trouble
    return (503 if wrong else 200), "application/json", json.dumps(body).encode()
