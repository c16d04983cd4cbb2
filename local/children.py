"""What every child process of ours needs: a free port, a wait with a deadline, a death beside its parent."""

import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

LOOPBACK = "127.0.0.1"

_given: set[int] = set()


class ChildDiedError(RuntimeError):
    """A child ended, or did not become ready in time; the message carries the end of its log."""


def free_port() -> int:
    """A loopback port that nobody listens on now.

    Below Linux's ephemeral ports: one of those may become the near end of somebody's connection before we listen on it.
    Random, so that two runs that look at the same time rarely take the same; and never one that this process was given
    before: its taker may not listen yet.
    """
    while True:
        port = 10_240 + secrets.randbelow(32_000 - 10_240)
        if port not in _given and port_is_free(port):
            _given.add(port)
            return port


def port_is_free(port: int) -> bool:
    """Whether we could listen on the loopback port now (a connection lingering after a restart does not count)."""
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def with_parent(command: list[str], last_signal: signal.Signals) -> list[str]:
    """The command, told to receive `last_signal` when we die without saying goodbye (`kill -9`).

    Only where util-linux's setpriv is; elsewhere such orphans are found by the next `make up`. The kernel ties this to
    the THREAD that starts the child: start children from the main thread.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, f"--pdeathsig={last_signal.name.removeprefix('SIG')}", "--", *command] if setpriv else command


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, timeout: float) -> None:
    """Polls `ready` every 50 ms until true.

    Raises:
        ChildDiedError: the process ended or `timeout` seconds passed.
    """
    deadline = time.monotonic() + timeout
    while not ready():
        if process.poll() is not None:
            raise ChildDiedError(f"ended with {process.returncode}; the end of {log}:\n{tail(log)}")
        if time.monotonic() > deadline:
            raise ChildDiedError(f"not ready after {timeout:g} s; the end of {log}:\n{tail(log)}")
        time.sleep(0.05)


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log file, or a word about its absence."""
    if not log.exists():
        return "(no log)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def stop(process: subprocess.Popen[bytes], first: signal.Signals, timeout: float) -> None:
    """Sends `first`, waits `timeout` seconds, then kills; the process is reaped in any case."""
    if process.poll() is None:
        process.send_signal(first)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()
