"""Starts children, waits until each is ready, starts the dead ones again, and stops them all in order."""

import asyncio
import contextlib
import dataclasses
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterable, Sequence

from local.children import ChildDiedError
from local.stream import Stream

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 15.0
# A child that lived this long is healthy again: its next death starts with the shortest pause.
_SOUND_AFTER = 30.0
# A child that dies so often before it was ever ready will not get ready: say why and stop.
_FIRST_TRIES = 3
_LINE_LIMIT = 2**20


@dataclasses.dataclass(frozen=True)
class Child:
    """A process to keep alive."""

    name: str
    launch: Callable[[], subprocess.Popen[bytes]]
    """Starts it without waiting; called on the main thread."""
    ready: Callable[[], bool]
    """Whether it does its work now; may block for a second or two, called in another thread."""
    last_signal: signal.Signals = signal.SIGTERM
    grace: float = 6.0
    """Seconds between the signal and a kill."""
    hint: str = ""
    """Where its log is when its output is not on the stream."""


class Supervisor:
    """The running children. `changed` is called whenever a pid changed."""

    def __init__(self, stream: Stream, changed: Callable[[], None] = lambda: None) -> None:
        self._stream = stream
        self._changed = changed
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._children: dict[str, Child] = {}
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._readers: set[asyncio.Task[None]] = set()
        self._failed = asyncio.Event()
        self._reason = ""

    @property
    def pids(self) -> dict[str, int]:
        """Pid by child's name."""
        return {name: process.pid for name, process in self._running.items() if process.poll() is None}

    @property
    def names(self) -> list[str]:
        """Every child that was started and not stopped, in that order."""
        return list(self._children)

    async def start(self, children: Sequence[Child], timeout: float = 120) -> None:
        """Starts them at once and returns when all are ready.

        Raises:
            ChildDiedError: one died three times before it was ready, or was not ready in time.
        """
        began = {child.name: asyncio.Event() for child in children}
        for child in children:
            self._children[child.name] = child
            self._keepers[child.name] = asyncio.create_task(self._keep(child, began[child.name]))
        watched = {asyncio.create_task(_all(began.values())), asyncio.create_task(self._failed.wait())}
        try:
            await asyncio.wait(watched, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in watched:
                task.cancel()
        if self._failed.is_set():
            raise ChildDiedError(self._reason)
        late = [name for name, event in began.items() if not event.is_set()]
        if late:
            raise ChildDiedError(f"{', '.join(late)}: not ready after {timeout:g} s{self._hints(late)}")

    async def stop(self, names: Sequence[str]) -> None:
        """Ends these, all at once, each with its own grace."""
        keepers = [self._keepers.pop(name) for name in names]
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        await asyncio.gather(*(self._end(name) for name in names if name in self._running))
        for name in names:
            del self._children[name]

    async def run_once(
        self,
        name: str,
        command: Sequence[str],
        environment: dict[str, str],
        *,
        given: bytes = b"",
        shown: bool = False,
        fine: Sequence[int] = (0,),
    ) -> bytes:
        """Runs a program to its end; returns what it printed, shown on the stream as it comes when `shown`.

        Raises:
            ChildDiedError: it ended with a status that is not `fine`.
        """
        process = await asyncio.create_subprocess_exec(
            *command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            limit=_LINE_LIMIT,
            start_new_session=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        printed = b""
        try:
            process.stdin.write(given)
            process.stdin.close()
            while line := await _line(process.stdout):
                printed += line
                if shown:
                    self._stream.child(name, line.decode(errors="replace").rstrip("\n"))
            status = await process.wait()
        except asyncio.CancelledError:
            process.kill()
            raise
        if status not in fine:
            said = "" if shown else "\n" + printed.decode(errors="replace").rstrip()
            raise ChildDiedError(f"{' '.join(command[1:])} ended with {status}{said}")
        return printed

    def _hints(self, names: Sequence[str]) -> str:
        hints = [self._children[name].hint for name in names if self._children[name].hint]
        return f" (see {', '.join(hints)})" if hints else ""

    async def _keep(self, child: Child, began: asyncio.Event) -> None:
        pause, deaths = _FIRST_PAUSE, 0
        while True:
            started = time.monotonic()
            try:
                process = child.launch()
            except OSError as refused:
                self._fail(f"{child.name} cannot be started: {refused}")
                return
            self._running[child.name] = process
            self._read(child.name, process)
            self._changed()
            if await self._until_ready(child, process):
                if deaths:
                    self._stream.say(f"{child.name} is back ({time.monotonic() - started:.1f} s).")
                elif not began.is_set():
                    self._stream.say(f"{child.name} is ready ({time.monotonic() - started:.1f} s).")
                began.set()
                await _ended(process)
            deaths += 1
            if not began.is_set() and deaths == _FIRST_TRIES:
                self._fail(f"{child.name} {_how(process)}, {deaths} times in a row{self._hints([child.name])}")
                return
            pause = _FIRST_PAUSE if time.monotonic() - started > _SOUND_AFTER else pause
            self._stream.say(f"{child.name} {_how(process)}; starting it again in {pause:g} s.")
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _fail(self, why: str) -> None:
        self._reason = self._reason or why
        self._failed.set()

    async def _until_ready(self, child: Child, process: subprocess.Popen[bytes]) -> bool:
        """True when it is, False when it died before."""
        while process.poll() is None:
            if await asyncio.to_thread(child.ready):
                return True
            await asyncio.sleep(0.1)
        return False

    def _read(self, name: str, process: subprocess.Popen[bytes]) -> None:
        if process.stdout is not None:
            task = asyncio.create_task(self._lines(name, process))
            self._readers.add(task)
            task.add_done_callback(self._readers.discard)

    async def _lines(self, name: str, process: subprocess.Popen[bytes]) -> None:
        reader = asyncio.StreamReader(limit=_LINE_LIMIT)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, process.stdout)
        with contextlib.closing(transport):
            while line := await _line(reader):
                self._stream.child(name, line.decode(errors="replace").rstrip("\n"))

    async def _end(self, name: str) -> None:
        child, process = self._children[name], self._running[name]
        if process.poll() is None:
            process.send_signal(child.last_signal)
            try:
                await asyncio.wait_for(_ended(process), child.grace)
            except TimeoutError:
                self._stream.say(f"{name} did not end within {child.grace:g} s and is killed.")
                process.kill()
                await _ended(process)
        del self._running[name]


async def _all(events: Iterable[asyncio.Event]) -> bool:
    return all([await event.wait() for event in events])


async def _ended(process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:  # noqa: ASYNC110 - the kernel sets no Event, and pidfds are Linux's alone
        await asyncio.sleep(0.05)


async def _line(reader: asyncio.StreamReader) -> bytes:
    """The next line; a longer one than the limit is cut into pieces instead of stopping the stream."""
    try:
        return await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as end:
        return end.partial
    except asyncio.LimitOverrunError as long:
        return await reader.readexactly(long.consumed)


def _how(process: subprocess.Popen[bytes]) -> str:
    status = process.wait()
    return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with {status}"


def answers(url: str) -> Callable[[], bool]:
    """A readiness check: the URL answers 200."""

    def ready() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - a loopback URL that we made
                return bool(answer.status == 200)
        except (OSError, ValueError):  # refused, reset, timed out, an error status, not HTTP
            return False

    return ready
