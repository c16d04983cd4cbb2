"""What lies between the processes: a proxy that cuts connections at the worst moment, and a balancer of two gateways."""

import asyncio
import threading
from collections import Counter
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, Literal

import uvloop

from contracts.message import PUBLIC

_COMMIT = b"COMMIT;"
# Basic.Publish names its exchange as a short string.
_PUBLISH = bytes([len(PUBLIC)]) + PUBLIC.encode()
# Basic.Ack from the broker: a frame of 13 bytes, class 60, method 80.
_CONFIRM = b"\x00\x00\x00\x0d\x00\x3c\x00\x50"

Cut = Literal["commit", "publish", "confirm", "now"]


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        # Everything that half of the services say goes through it.
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wires", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do it there and wait."""
        future: Future[Any] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(30)

    def close(self) -> None:
        """End the loop and whatever runs in it."""
        self.run(self._cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @staticmethod
    async def _cancel_all() -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Proxy:
    """A TCP proxy on loopback. `cut("commit")`: the next reply to a COMMIT never arrives, its connection ends instead.

    `cut("confirm")`: the same with the broker's next confirm. `cut("publish")`: the next public event never reaches the
    broker, its connection ends instead. `cut("now")` ends every connection at once.
    """

    def __init__(self, loop: Loop, target: int) -> None:
        self._loop = loop
        self._target = target
        self._armed: Cut | None = None
        self.cuts = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server = loop.run(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def cut(self, where: Cut) -> None:
        """Cut once, at the next chance."""
        if where == "now":
            self._loop.run(self._cut_all())
        else:
            self._armed = where

    def close(self) -> None:
        """Listen no more."""
        self._loop.run(self._close())

    async def _close(self) -> None:
        self._server.close()
        await self._cut_all()

    async def _cut_all(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()
        self.cuts += 1

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _hold(self._serving, self._serve(reader, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        doomed = asyncio.Event()
        pair = {writer, far_writer}
        self._writers |= pair
        pumps = {
            asyncio.ensure_future(self._up(reader, far_writer, doomed)),
            asyncio.ensure_future(self._down(far_reader, writer, doomed)),
        }
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in pair:
                each.transport.abort()
            self._writers -= pair
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, doomed: asyncio.Event) -> None:
        while data := await _read(reader):
            if self._armed == "commit" and _COMMIT in data:
                self._armed = None
                doomed.set()
            if self._armed == "publish" and _PUBLISH in data:
                self._armed = None
                self.cuts += 1
                return
            writer.write(data)
            await writer.drain()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, doomed: asyncio.Event) -> None:
        while data := await _read(reader):
            if self._armed == "confirm" and _CONFIRM in data:
                self._armed = None
                doomed.set()
            if doomed.is_set():
                # The answer is here, so the other side has done it; who asked will not hear.
                self.cuts += 1
                return
            writer.write(data)
            await writer.drain()


def _hold(serving: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
    """Run it, held: a loop alone does not keep its tasks from the garbage collector."""
    task = asyncio.get_running_loop().create_task(work)
    serving.add(task)
    task.add_done_callback(serving.discard)


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(65536)
    except OSError:
        return b""


class Balancer:
    """Passes each connection on to the next target that takes it. Only a refused connection is tried elsewhere.

    `open` counts the connections of each target. One that is taken out of `targets` gets no new ones.
    """

    def __init__(self, loop: Loop) -> None:
        self.targets: list[int] = []
        self.open: Counter[int] = Counter()
        self._next = 0
        self._loop = loop
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server = loop.run(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Listen no more."""
        self._loop.run(self._close())

    async def _close(self) -> None:
        self._server.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _hold(self._serving, self._serve(reader, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        targets = list(self.targets)
        self._next += 1
        for place in range(len(targets)):
            port = targets[(self._next + place) % len(targets)]
            try:
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                continue
            self.open[port] += 1
            try:
                await asyncio.gather(_pass(reader, far_writer), _pass(far_reader, writer))
            except OSError:
                pass
            finally:
                self.open[port] -= 1
                far_writer.transport.abort()
                writer.transport.abort()
            return
        writer.transport.abort()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await _read(reader):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof() and not writer.is_closing():
        writer.write_eof()
