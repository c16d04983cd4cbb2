"""A process that has imported everything and forks: a service is up in a fraction of the seconds its imports take.

What it forks is a process of its own, as real as any: killed, stopped and restarted by its pid. One JSON object a line
comes in (`{"module", "arguments", "environment", "log", "input"}`), the pid of the new process goes out.
"""

import ctypes
import gc
import json
import os
import pkgutil
import runpy
import signal
import sys
import warnings
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from contracts.message import SERVICES
from services.identity.domain import inputs
from services.notifications import emails

_PR_SET_PDEATHSIG = 1
_LATE = (
    *("uvloop", "uvicorn.lifespan.on", "uvicorn.loops.auto", "uvicorn.protocols.http.auto"),
    *("uvicorn.protocols.websockets.auto", "anyio._backends._asyncio", "httpcore", "encodings.idna"),
    *("uvicorn.loops.uvloop", "stripe._http_client", "stripe._stripe_client", "stripe._object_classes"),
    *("stripe._dispute_service", "stripe._payment_intent_service", "stripe._refund_service", "stripe._telemetry_id"),
    *("tests.chaos.sabotage", "tests.chaos.run_service"),
)
"""What a service imports when it starts rather than when it is imported."""


def main() -> None:
    """Fork until standard input ends."""
    _import_all()
    _warm()
    # What is here is in every child's memory: their garbage collector need not look at it, nor copy its pages.
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, _bury)
    print("ready", flush=True)  # noqa: T201 - that is how it talks
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _become(json.loads(line))
        print(pid, flush=True)  # noqa: T201 - the same


def _bury(*_: object) -> None:
    """Wait for who has died, so that what their lives cost is known (see `costs.py`)."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _import_all() -> None:
    for package in (*(f"services.{name}" for name in SERVICES), "local.stripe", "local.mailbox"):
        for module in _modules(package):
            import_module(module)
    for module in _LATE:
        import_module(module)
    with warnings.catch_warnings():
        # As in chassis.migrations: half of what a start costs is importing these.
        warnings.simplefilter("ignore", DeprecationWarning)
        for module in ("psycopg", "yoyo.backends.core.postgresql"):
            import_module(module)


def _warm() -> None:
    """Make what a process makes once, when it is first asked for it: here, processes do not live long."""
    for escaped in (True, False):
        templates = emails._environment(autoescape=escaped)
        for name in templates.list_templates():
            templates.get_template(name)
    inputs.time_zones()
    inputs.countries()


def _modules(package: str) -> Iterator[str]:
    """A package's modules, those apart that do something when they are imported."""
    for found in pkgutil.walk_packages(import_module(package).__path__, f"{package}."):
        if not found.name.endswith(".__main__"):
            yield found.name


def _become(wanted: dict[str, Any]) -> None:
    os.setsid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, path, flags in (
        (0, wanted["input"] or os.devnull, os.O_RDONLY),
        (1, wanted["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND),
    ):
        opened = os.open(path, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.dup2(1, 2)
    sys.stdin, sys.stdout = os.fdopen(0), os.fdopen(1, "w", buffering=1)
    sys.stderr = os.fdopen(2, "w", buffering=1)
    os.environ.clear()
    os.environ.update(wanted["environment"])
    sys.argv = [wanted["module"], *wanted["arguments"]]
    status = 0
    try:
        runpy.run_module(wanted["module"], run_name="__main__")
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if isinstance(ended.code, str):
            print(ended.code)  # noqa: T201 - as the interpreter would
    except BaseException:  # noqa: BLE001 - as the interpreter would
        import traceback

        traceback.print_exc()
        status = 1
    finally:
        sys.stdout.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
