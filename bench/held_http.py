"""A small HTTP/1.1 client for the load: kept connections, no queue of its own, a fraction of a stock client's CPU."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

TIMEOUT = 20.0
"""Seconds; the gateway promises an answer within ten, its waiting in the line included."""
_FRESH = 3.0
# Servers close what has been idle for five seconds: a kept connection is not used so close to that.

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Cut(Exception):  # noqa: N818 - what happened, not what is wrong with us
    """The connection was refused, reset or closed before the answer was complete, or it did not come in time."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes
    cookies: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Host:
    """One server, by its URL."""

    base: str
    _kept: list[tuple[float, Pair]] = field(default_factory=list)

    async def send(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"", timeout: float = TIMEOUT
    ) -> Answer:
        """One request. Raises Cut."""
        try:
            async with asyncio.timeout(timeout):
                reader, writer = await self._connection()
                try:
                    writer.write(self._head(method, path, headers, body) + body)
                    answer = await _read(reader)
                except BaseException:
                    writer.close()
                    raise
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as lost:
            raise Cut(repr(lost)) from lost
        if answer.headers.get("connection") == "close":
            writer.close()
        else:
            self._kept.append((time.monotonic(), (reader, writer)))
        return answer

    @asynccontextmanager
    async def stream(self, path: str, headers: Mapping[str, str]) -> AsyncIterator[tuple[int, asyncio.StreamReader]]:
        """An event stream: its status, and where its bytes come from. Raises Cut."""
        try:
            async with asyncio.timeout(TIMEOUT):
                reader, writer = await self._open()
                writer.write(self._head("GET", path, headers, b""))
                head = await reader.readuntil(b"\r\n\r\n")
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as lost:
            raise Cut(repr(lost)) from lost
        try:
            yield int(head.split(b" ", 2)[1]), reader
        finally:
            writer.close()

    async def _connection(self) -> Pair:
        while self._kept:
            since, (reader, writer) = self._kept.pop()
            if time.monotonic() - since < _FRESH and not reader.at_eof():
                return reader, writer
            writer.close()
        return await self._open()

    async def _open(self) -> Pair:
        url = urlsplit(self.base)
        return await asyncio.open_connection(url.hostname, url.port)

    def _head(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", f"host: {urlsplit(self.base).netloc}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body or method != "GET":
            lines.append(f"content-length: {len(body)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _read(reader: asyncio.StreamReader) -> Answer:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status, headers, cookies = int(first.split(" ", 2)[1]), {}, {}
    for line in filter(None, lines):
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
        if name.lower() == "set-cookie":
            cookie, _, content = value.strip().partition(";")[0].partition("=")
            cookies[cookie] = content
    if "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
    elif "chunked" in headers.get("transfer-encoding", ""):
        body = await _chunks(reader)
    else:
        body = b""
    return Answer(status, headers, body, cookies)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int(await reader.readuntil(b"\r\n"), 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readexactly(2)
    return b"".join(parts)
