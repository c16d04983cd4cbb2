"""A PostgreSQL door that counts: every statement and every round trip that passes (protocol 3.0, chapter 55)."""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

_PROTOCOL_3 = 196_608


@dataclass
class Counter:
    """What the clients have sent. `statements`: simple queries and Executes; `round_trips`: whatever they wait for."""

    url: str = ""
    statements: int = 0
    round_trips: int = 0

    def reset(self) -> None:
        self.statements = self.round_trips = 0

    def saw(self, kind: bytes) -> None:
        self.statements += kind in {b"Q", b"E"}
        self.round_trips += kind in {b"Q", b"S", b"H"}


@contextmanager
def counting(url: str) -> Iterator[Counter]:
    """A door to the server of `url`, in a thread of its own; connect to the counter's own `url`."""
    server, counter, loop = urlsplit(url), Counter(), asyncio.new_event_loop()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, asks = await asyncio.open_connection(server.hostname, server.port)
        back = asyncio.create_task(_copy(answers, writer))
        try:
            await _count(reader, asks, counter)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client is gone
        finally:
            asks.close()
            await asyncio.gather(back, return_exceptions=True)
            writer.close()

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    door = asyncio.run_coroutine_threadsafe(asyncio.start_server(connected, "127.0.0.1", 0), loop).result(10)
    port = door.sockets[0].getsockname()[1]
    counter.url = url.replace(f"{server.hostname}:{server.port}", f"127.0.0.1:{port}", 1)
    try:
        yield counter
    finally:
        loop.call_soon_threadsafe(door.close)
        asyncio.run_coroutine_threadsafe(_ended(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def _ended() -> None:
    """Until every connection through the door is closed."""
    if others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others, timeout=5)


async def _count(reader: asyncio.StreamReader, asks: asyncio.StreamWriter, counter: Counter) -> None:
    started = False
    while True:
        kind = await reader.readexactly(1) if started else b""
        length = await reader.readexactly(4)
        rest = await reader.readexactly(struct.unpack("!I", length)[0] - 4)
        asks.write(kind + length + rest)
        # Before the start-up message come untyped requests for encryption.
        started = started or struct.unpack("!I", rest[:4])[0] == _PROTOCOL_3
        counter.saw(kind)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(65_536):
        writer.write(chunk)
    # The server is done with it, and its client waits to hear so.
    writer.close()
