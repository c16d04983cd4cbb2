"""Kill points: where a process may die, what they are called, and which ones a service's wiring must have.

A point is `<service>:<moment>:<what>`. Moments come in pairs around every external effect:
`commit` (a transaction of the service's database), `write` (a statement that is a transaction of its own), `publish` (the
relay), `ask` (a command or question to another service), `reply`, `forward` (to a retry level or the dead), `ack`,
`stripe` and `smtp`. What: the queue of the message under way, or `schedule x`, `worker x`, `http`; a transaction is
numbered within it (`#2`), a statement is followed by the name of its function in the store.
"""

import fnmatch
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

from chassis.service import Service
from chassis.topology import answered_requests
from contracts.message import EVENTS, NOUNS, REQUESTS, SERVICES, fact_queue, follower_queue

ARMED = "armed"
"""The file, in the folder of marks, that names points as $PORTAL_TEST_KILL_AT does; may change while a process runs."""
CENSUS = "census"
"""The file that lists every point that any process has passed."""

KILLER = "injected-killer"
"""How the id of a message begins that kills whoever takes it."""

_under_way: ContextVar[tuple[str, dict[str, int]]] = ContextVar("_under_way", default=("http", {}))


@contextmanager
def handling(what: str) -> Iterator[None]:
    """Everything inside belongs to `what`; its transactions are numbered from 1."""
    token = _under_way.set((what, {}))
    try:
        yield
    finally:
        _under_way.reset(token)


def current() -> str:
    """What is under way."""
    return _under_way.get()[0]


def numbered() -> str:
    """What is under way with the number of the transaction that now begins; a message's alone, others have no end."""
    what, counts = _under_way.get()
    if "." not in what or " " in what:
        return what
    counts["commit"] = counts.get("commit", 0) + 1
    return f"{what}#{counts['commit']}"


class Killer:
    """Kills this very process at armed points, each once: a marker file lets the restarted process go on."""

    def __init__(self, service: str, marks: Path, armed: str) -> None:
        self.service = service
        self.marks = marks
        self._patterns = [each for each in armed.split(",") if each]
        self._from_file: list[str] = []
        self._read_at = -1
        self._seen: set[str] = set()

    def passing(self, moment: str, what: str) -> None:
        """The process is at this point now."""
        point = f"{self.service}:{moment}:{what}"
        if point not in self._seen:
            self._seen.add(point)
            with (self.marks / CENSUS).open("a") as census:
                census.write(f"{point}\n")
        self._look()
        if any(fnmatch.fnmatchcase(point, pattern) for pattern in (*self._patterns, *self._from_file)):
            self._strike(point)

    def _look(self) -> None:
        try:
            changed = (self.marks / ARMED).stat().st_mtime_ns
        except FileNotFoundError:
            return
        if changed != self._read_at:
            self._read_at = changed
            self._from_file = (self.marks / ARMED).read_text().splitlines()

    def _strike(self, point: str) -> None:
        try:
            os.close(os.open(self.marks / mark(point), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


def mark(point: str) -> str:
    """The name of the file that says a point has struck."""
    return "struck." + point.replace("/", "%2F")


def struck(marks: Path) -> list[str]:
    """The points that have struck."""
    return sorted(path.name.removeprefix("struck.").replace("%2F", "/") for path in marks.glob("struck.*"))


def passed(marks: Path) -> set[str]:
    """Every point that any process has passed."""
    census = marks / CENSUS
    return set(census.read_text().split("\n")) - {""} if census.exists() else set()


def wired(service: Service) -> set[str]:
    """The points that a service's wiring diagram must have: a handler without one would be an effect nobody kills.

    They are patterns: which of its transactions a handler commits is its own affair, that it commits one is not.

    Read from the diagram itself, so that a new handler brings its own; `tests/chaos/test_points.py` compares it with what
    real processes pass.
    """
    name = service.name
    pairs: set[tuple[str, str]] = set()
    for kind in answered_requests(name):
        queue = REQUESTS[kind].queue()
        pairs |= {("reply", queue), ("ack", queue)}
        if REQUESTS[kind].stored:
            pairs.add(("commit", f"{queue}#*"))
    for noun in (state.noun for state in service.follows):
        queue = follower_queue(name, NOUNS[noun])
        pairs |= {("commit", f"{queue}#*"), ("ack", queue)}
    for event in service.facts:
        queue = fact_queue(name, event)
        pairs |= {("commit", f"{queue}#*"), ("ack", queue)}
    for schedule in service.schedules:
        pairs.add(("write", f"schedule {schedule.name} claim"))
    return {f"{name}:{when}-{moment}:{what}" for moment, what in pairs for when in ("before", "after")}


UNSEEN = {
    "billing.subscription": "No page makes one yet.",
    "billing.refund": "No page makes one yet.",
    "billing.defaults": "No page changes them yet.",
    "billing.dispute": "The load's customers do not dispute.",
    "billing.reconciliation": "Announced by a schedule that no run lasts long enough for.",
}
"""Nouns of which no run makes one, each with the reason: their followers and facts have nothing to die at."""

_SETTINGS = {
    "PORTAL_DATABASE_URL": "postgresql://nobody@127.0.0.1/none",
    "PORTAL_AMQP_URL": "amqp://nobody@127.0.0.1/none",
    "PORTAL_SECRET_KEY": "k" * 32,
    "STRIPE_SECRET_KEY": "sk_test_none",
    "STRIPE_WEBHOOK_SECRET": "whsec_none",
}


def wiring(name: str) -> Service:
    """A service's wiring diagram, on settings that lead nowhere."""
    with patch.dict(os.environ, _SETTINGS):
        built: Service = import_module(f"services.{name}.app").build()
    return built


def all_wired() -> set[str]:
    """The points that the wiring diagrams of all services must have."""
    return {point for name in SERVICES for point in wired(wiring(name))}


def expected(among: set[str]) -> set[str]:
    """Those of them that a run must die at."""
    idle = {follower_queue(each, NOUNS[noun]) for noun in UNSEEN.keys() & NOUNS.keys() for each in SERVICES}
    idle |= {fact_queue(each, event) for event in EVENTS.values() if event.of().noun in UNSEEN for each in SERVICES}
    return {point for point in among if point.split(":", 2)[2].partition("#")[0] not in idle}


def missing(among: set[str], struck: list[str]) -> set[str]:
    """Those of them at which nobody has died."""
    return {pattern for pattern in among if not fnmatch.filter(struck, pattern)}
