"""The whole system as `make up` starts it, on free ports and in a folder of its own, for tests from the outside."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.message import SERVICES
from local.children import free_port
from local.folder import ROOT
from local.ports import USUAL
from tests import parts

READY_WITHIN = 300.0
PATIENT = 30_000
"""Milliseconds that a page is waited for, on two cores that others share."""


@dataclass
class WholeSystem:
    """A running installation: `state` is what `make up` writes for programs."""

    folder: Path
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads((self.folder / "state.json").read_text())
        return state

    @property
    def gateway(self) -> str:
        return str(self.state["urls"]["gateway"])

    def stop_service(self, name: str) -> None:
        """Freeze every process of a service, as good as gone for whoever asks it, until `continue_service`."""
        self._signal(name, signal.SIGSTOP)

    def continue_service(self, name: str) -> None:
        self._signal(name, signal.SIGCONT)

    def _signal(self, name: str, number: signal.Signals) -> None:
        for child, pid in self.state["pids"].items():
            if child == name or child.startswith(f"{name}-"):
                os.kill(pid, number)

    def play(self, *steps: Callable[[], object]) -> None:
        """One step after another; a failure names its step and shows the end of the log."""
        for step in steps:
            try:
                step()
            except Exception as failed:
                raise AssertionError(f"{step.__name__}: {failed}\n{self.tail()}") from failed

    def tail(self, lines: int = 60) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


@contextlib.contextmanager
def whole_system(*, replicas: int = 1, **environment: str) -> Iterator[WholeSystem]:
    """`python -m local up` until it says it is ready; stopped as Ctrl-C does."""
    with parts.folder() as folder:
        system = launch(folder, replicas=replicas, **environment)
        try:
            wait_ready(system)
            yield system
        finally:
            stop(system)


def launch(folder: Path, *, replicas: int = 1, **environment: str) -> WholeSystem:
    """Start it without waiting."""
    if not (folder / "ports.json").exists():
        # Beside a person's `make up`, and beside another test: no usual port.
        (folder / "ports.json").write_text(json.dumps({name: free_port() for name in USUAL}))
    given = {name: value for name, value in os.environ.items() if not name.startswith(("PORTAL_", "STRIPE_", "SMTP_"))}
    given |= {"PORTAL_LOCAL_DIR": str(folder), **environment}
    given |= {f"PORTAL_REPLICAS_{service.upper()}": str(replicas) for service in SERVICES}
    log = folder / "up.log"
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "local", "up"], cwd=ROOT, env=given, stdout=out, stderr=subprocess.STDOUT
        )
    return WholeSystem(folder, process, log)


def wait_ready(system: WholeSystem) -> float:
    """Wait for the state file; returns the seconds it took."""
    started = time.monotonic()
    while not (system.folder / "state.json").exists():
        assert system.process.poll() is None, f"make up ended:\n{system.tail()}"
        assert time.monotonic() - started < READY_WITHIN, f"not ready after {READY_WITHIN} s:\n{system.tail()}"
        time.sleep(0.1)
    return time.monotonic() - started


def stop(system: WholeSystem) -> float:
    """Stop it as Ctrl-C does; returns the seconds it took."""
    started = time.monotonic()
    if system.process.poll() is None:
        system.process.send_signal(signal.SIGINT)
        system.process.wait(timeout=60)
    return time.monotonic() - started
