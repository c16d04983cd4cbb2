"""The other end of the webhooks: a real HTTP server that records what it gets and answers what it is told."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Delivered:
    """One POST: its exact bytes, its signature header, and the event in it."""

    body: bytes
    signature: str

    @property
    def event(self) -> Json:
        parsed: Json = json.loads(self.body)
        return parsed


@dataclass
class Receiver:
    """Answers 200 unless `answers` holds other statuses, used up one by one."""

    port: int = 0
    answers: list[int] = field(default_factory=list)
    deliveries: list[Delivered] = field(default_factory=list)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/webhooks"

    def about(self, object_id: str) -> list[Json]:
        """Events received so far that mention the id, in order of arrival."""
        return [delivered.event for delivered in self.deliveries if object_id.encode() in delivered.body]

    def types_about(self, object_id: str) -> list[str]:
        return [event["type"] for event in self.about(object_id)]

    async def until(self, enough: Callable[[], bool], timeout: float = 30.0) -> None:
        """Waits for deliveries until `enough`."""
        async with asyncio.timeout(timeout), self._changed:
            await self._changed.wait_for(enough)

    async def until_types(self, object_id: str, types: list[str], timeout: float = 30.0) -> None:
        """Waits until exactly these types arrived about the id, in this order."""
        await self.until(lambda: self.types_about(object_id) == types, timeout)

    async def until_count(self, object_id: str, count: int) -> None:
        """Waits until so many events about the id arrived."""
        await self.until(lambda: len(self.about(object_id)) == count)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        named = {name.lower(): value for name, value in headers.items()}
        body = await reader.readexactly(int(named["content-length"]))
        status = self.answers.pop(0) if self.answers else 200
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()
        async with self._changed:
            self.deliveries.append(Delivered(body, named["stripe-signature"]))
            self._changed.notify_all()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver on a free port."""
    receiver = Receiver()
    server = await asyncio.start_server(receiver.handle, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    async with server:
        yield receiver
