"""Kill points: where a process may die, what they are called, and which ones a service's wiring must have.

A point is `<service>:<moment>:<what>`. Moments come in pairs around every external effect:
`commit` (a transaction of the service's database), `write` (a statement that is a transaction of its own), `publish` (the
relay), `ask` (a command or question to another service), `reply`, `forward` (to a retry level or the dead), `ack`,
`stripe` and `smtp`. What: the queue of the message under way, or `schedule x`, `worker x`, `http`; a transaction is
numbered within it (`#2`), a statement is followed by the name of its function in the store.
"""

import fnmatch
import os
import re
import signal
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

from chassis.service import Service
from chassis.topology import answered_requests
from contracts.message import EVENTS, NOUNS, REQUESTS, SERVICES, fact_queue, follower_queue

ARMED = "armed"
"""The file, in the folder of marks, that names points as $PORTAL_TEST_KILL_AT does; may change while a process runs."""
FIRST = "first of "
"""How a pattern begins at which one process dies, at whichever of its points; at another's, one dies at each."""
CENSUS = "census"
"""The file that lists every point that any process has passed."""

SPARED = 3
"""Deaths that a message may see before nobody dies beside it any more: the broker gives one up at the seventh."""
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
        self._fits: dict[str, list[str]] = {}
        self._seen: set[str] = set()
        self.carried: set[int] = set()
        """Messages in our hands that have seen so many deaths that nobody may die beside them any more."""

    def passing(self, moment: str, what: str) -> None:
        """The process is at this point now."""
        point = f"{self.service}:{moment}:{what}"
        if point not in self._seen:
            self._seen.add(point)
            with (self.marks / CENSUS).open("a") as census:
                census.write(f"{point}\n")
        self._look()
        if not self.carried:
            for pattern in self._fitting(point):
                self._strike(point, only=pattern if pattern.startswith(FIRST) else point)

    def _fitting(self, point: str) -> list[str]:
        """The patterns that this point fits; there are hundreds, so it is looked up once."""
        if point not in self._fits:
            patterns = (*self._patterns, *self._from_file)
            self._fits[point] = [each for each in patterns if fits(each.removeprefix(FIRST))(point)]
        return self._fits[point]

    def _look(self) -> None:
        try:
            changed = (self.marks / ARMED).stat().st_mtime_ns
        except FileNotFoundError:
            return
        if changed != self._read_at:
            self._read_at = changed
            self._fits.clear()
            self._from_file = (self.marks / ARMED).read_text().splitlines()

    def _strike(self, point: str, only: str) -> None:
        try:
            os.close(os.open(self.marks / mark(only), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        (self.marks / mark(point)).touch()
        os.kill(os.getpid(), signal.SIGKILL)


@cache
def fits(pattern: str) -> Callable[[str], object]:
    """Whether a point fits a pattern with `*`. Compiled for points that begin like it: each process asks hundreds."""
    start = pattern.partition("*")[0]
    return lambda point: point.startswith(start) and _compiled(pattern).match(point)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    # fnmatch keeps 256 of them, and there are more.
    return re.compile(fnmatch.translate(pattern))


def mark(point: str) -> str:
    """The name of the file that says a point has struck."""
    return "struck." + point.replace("/", "%2F")


def struck(marks: Path) -> list[str]:
    """The points that have struck."""
    found = (path.name.removeprefix("struck.").replace("%2F", "/") for path in marks.glob("struck.*"))
    return sorted(point for point in found if not point.startswith(FIRST))


def passed(marks: Path) -> set[str]:
    """Every point that any process has passed."""
    census = marks / CENSUS
    return set(census.read_text().split("\n")) - {""} if census.exists() else set()


def wired(service: Service) -> set[str]:
    """The points that a service's wiring diagram must have: a handler without one would be an effect nobody kills.

    They are patterns: which of its transactions a handler commits is its own affair, that it commits one is not. A moment
    between two effects has one name here: before the ack is after the reply or the commit, before a command's reply is after
    its last commit.

    Read from the diagram itself, so that a new handler brings its own; `tests/chaos/test_points.py` compares it with what
    real processes pass.
    """
    name = service.name
    wanted: set[str] = set()
    for kind in answered_requests(name):
        queue = REQUESTS[kind].queue()
        first = (
            [f"before-commit:{queue}#*", f"after-commit:{queue}#*"]
            if REQUESTS[kind].stored
            else [f"before-reply:{queue}"]
        )
        wanted |= {*first, f"after-reply:{queue}", f"after-ack:{queue}"}
    events = [follower_queue(name, NOUNS[state.noun]) for state in service.follows]
    for queue in (*events, *(fact_queue(name, event) for event in service.facts)):
        wanted |= {f"before-commit:{queue}#*", f"after-commit:{queue}#*", f"after-ack:{queue}"}
    for worker in service.workers.keys() - IDLE.keys():
        wanted |= {f"{when}-commit:worker {worker}" for when in ("before", "after")}
    for schedule in service.schedules:
        wanted |= {f"{when}-write:schedule {schedule.name} claim" for when in ("before", "after")}
    return {f"{name}:{moment}" for moment in wanted}


IDLE = {"live": "It listens.", "close_checkouts": "Nobody in the load presses Pay where another has."}
"""Workers that no run brings to commit anything, each with the reason."""

UNSEEN: dict[str, str] = {}
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


def reached_aside() -> list[str]:
    """Effects that no handler has for itself: Stripe's calls, SMTP, what is published, asked, forwarded, written.

    A relay publishes all events alike, and before a question nothing has happened yet: there, one of each service dies.
    """
    each = ["*:after-ask:*", "*-stripe:*", "*-smtp:*", "*-forward:*", "*-write:*"]
    each += [f"*-commit:{others} *" for others in ("schedule", "worker")] + ["*-commit:http"]
    once = ("before-publish", "after-publish", "before-ask", "before-republish", "after-republish")
    return each + [f"{FIRST}{name}:{moment}:*" for name in SERVICES for moment in once]


def missing(among: set[str], struck: Collection[str]) -> set[str]:
    """Those of them at which nobody has died."""
    return {pattern for pattern in among if not any(map(fits(pattern), struck))}
