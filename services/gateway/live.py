"""Live changes as server-sent events: which thing changed, never what is in it. The page then fetches itself again."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Request
from starlette.responses import StreamingResponse

from chassis.database import hang_up
from chassis.service import Runtime
from chassis.tokens import digest
from contracts.message import NotFound, TooManyAttempts
from services.gateway import readmodel, security
from services.gateway.domain import Change, concerns
from services.gateway.security import AnySession, Session

log = logging.getLogger("portal.gateway.live")

CHANGES = "changes"
WAITING = 100
"""How many changes may wait for a slow reader before they are replaced by one *resync*."""
HEARTBEAT = 10.0
"""Seconds between signs of life, which keep proxies from closing the stream, and looks at the session's or link's end."""
STREAMS_PER_LINK = 20
"""How many pages of one payment link each process keeps told: it may stand in a mail that thousands can read."""

router = APIRouter()


@dataclass(eq=False)
class Stream:
    """One open page. `wants` says which changes it may hear of."""

    wants: Callable[[Change], bool]
    session_id: UUID | None = None
    link_of: UUID | None = None
    """The invoice whose payment link it was opened with."""
    queue: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(WAITING))

    def put(self, event: bytes) -> None:
        """Queue an event. A reader that has fallen behind loses them all and is told to fetch everything again."""
        if self.queue.full():
            self._clear()
            event = message("resync", {"reason": "overflow"})
        self.queue.put_nowait(event)

    def end(self, reason: str) -> None:
        """Let the stream say goodbye and close, whatever else still waits."""
        self._clear()
        self.queue.put_nowait(message("end", {"reason": reason}))
        self.queue.put_nowait(None)

    def _clear(self) -> None:
        while not self.queue.empty():
            self.queue.get_nowait()


class Hub:
    """Hears every change once per process and hands it to the streams that may know."""

    def __init__(self) -> None:
        self.streams: set[Stream] = set()
        self.hears = asyncio.Event()

    async def listen(self, runtime: Runtime) -> None:
        """A worker: keep one connection that LISTENs; after each gap every stream fetches anew."""
        runtime.when_draining.append(partial(asyncio.get_running_loop().call_soon_threadsafe, self.end))
        while True:
            try:
                connection: asyncpg.Connection[Any] = await asyncpg.connect(runtime.settings.database_url)
                try:
                    await connection.add_listener(CHANGES, self._changed)
                    await connection.add_listener(security.ENDED, self._ended)
                    self.hears.set()
                    self.resync("connected")
                    while True:
                        # A connection that was cut without a word is noticed here.
                        await asyncio.sleep(HEARTBEAT / 2)
                        await connection.execute("SELECT 1", timeout=HEARTBEAT)
                finally:
                    self.hears.clear()
                    await hang_up(connection)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as lost:
                log.warning("Live changes are not heard until the database is back.", extra={"error": repr(lost)})
                await asyncio.sleep(0.5)

    def end(self) -> None:
        """Close every stream: this process is about to go, and browsers come back to another one by themselves."""
        for stream in list(self.streams):
            stream.end("restart")

    def resync(self, reason: str) -> None:
        """Tell every stream that it may have missed something."""
        for stream in self.streams:
            stream.put(message("resync", {"reason": reason}))

    def _changed(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        change = parse(str(payload))
        told = message("change", {"noun": change.noun, "id": str(change.id)})
        for stream in self.streams:
            if stream.wants(change):
                stream.put(told)

    def _ended(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        for stream in self.streams:
            if str(stream.session_id) == str(payload):
                stream.end("session")


def parse(payload: str) -> Change:
    """What the read model's triggers send: `noun id merchant customer audience`, `-` for none."""
    noun, id_, merchant, customer, audience = payload.split(" ")
    return Change(
        noun,
        UUID(id_),
        None if merchant == "-" else UUID(merchant),
        None if customer == "-" else UUID(customer),
        audience,
    )


def message(event: str, data: dict[str, str]) -> bytes:
    """One server-sent event (WHATWG HTML, 9.2.5)."""
    return f"event: {event}\ndata: {json.dumps(data)}\n\n".encode()


async def _events(hub: Hub, stream: Stream, holds: Callable[[], Any]) -> AsyncIterator[bytes]:
    hub.streams.add(stream)
    try:
        # Whatever happened between the page's own read and now: the page fetches itself again.
        yield b"retry: 1000\n" + message("resync", {"reason": "connected"})
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT):
                    event = await stream.queue.get()
            except TimeoutError:
                if not await holds():
                    yield message("end", {"reason": "link" if stream.link_of else "session"})
                    return
                event = b": still here\n\n"
            if event is None:
                return
            yield event
    finally:
        hub.streams.discard(stream)


def _respond(events: AsyncIterator[bytes]) -> StreamingResponse:
    return StreamingResponse(
        events, media_type="text/event-stream", headers={"cache-control": "no-store", "x-accel-buffering": "no"}
    )


@router.get(
    "/api/v1/changes",
    operation_id="followChanges",
    summary="Follow what changes, as it happens",
    tags=["changes"],
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Server-sent events. *change* `{noun, id}`: fetch that thing again if you show it. *resync*: "
            "fetch everything again (sent first, and when changes were missed). *end*: the session is over, or (`restart`) connect again.",
            "content": {
                "text/event-stream": {
                    "schema": {"type": "string"},
                    "example": 'event: change\ndata: {"noun": "invoice", "id": "0198c5d2-7c3e-7d5a-9f5e-0d4c1c1a2b3c"}\n\n',
                }
            },
        }
    },
)
async def changes(request: Request, session: AnySession) -> StreamingResponse:
    """Only ids are told, only of what the session's current account may see. Switching accounts ends the stream."""
    hub: Hub = request.app.state.hub
    runtime: Runtime = request.app.state.runtime

    async def holds() -> bool:
        return await security.session_still_holds(runtime.db, session, runtime.clock.now())

    return _respond(_events(hub, Stream(_of(session), session.id), holds))


def _of(session: Session) -> Callable[[Change], bool]:
    viewer, person = session.viewer, session.person_id
    return lambda change: concerns(change, viewer, person)


@router.get("/pay/{token}/changes", include_in_schema=False)
async def pay_link_changes(request: Request, token: str) -> StreamingResponse:
    """For whoever has a payment link's page open: when its invoice changes, and nothing else."""
    hub: Hub = request.app.state.hub
    runtime: Runtime = request.app.state.runtime

    async def shown() -> UUID | None:
        invoice = await readmodel.invoice_by_link(runtime.db, digest(token))
        link = invoice.link if invoice else None
        if invoice is None or link is None or link.revoked:
            return None
        return invoice.id if link.expires_at is None or runtime.clock.now() < link.expires_at else None

    id_ = await shown()
    if id_ is None:
        raise NotFound
    if sum(stream.link_of == id_ for stream in hub.streams) >= STREAMS_PER_LINK:
        raise TooManyAttempts(retry_after=int(HEARTBEAT))

    async def holds() -> bool:
        return await shown() == id_

    return _respond(_events(hub, Stream(lambda change: change.id == id_, link_of=id_), holds))
