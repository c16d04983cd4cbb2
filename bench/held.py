"""`make load`: what the whole system can bear, ten minutes at 70 % of it, three times that, and how it comes back.

SECONDS=600 is how long it is held, SEED=1 draws the same arrivals again, REPLICAS=2 of each service. The load comes from
another process and is bounded in count and time; all of it shares the machine's cores with the system.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from bench import held_page
from bench.ground import Child
from bench.held_books import Books
from bench.held_load import WELL
from bench.measure import cpu_seconds, percentile
from chassis.topology import LOG, all_names, dead_queue
from contracts.message import SERVICES
from local import rabbitmq
from local.children import with_parent
from local.folder import ROOT
from tests.e2e.whole_system import WholeSystem, whole_system

SECONDS = int(os.environ.get("SECONDS") or 600)
SEED = int(os.environ.get("SEED") or secrets.randbelow(10_000))
REPLICAS = int(os.environ.get("REPLICAS") or 2)
CUSTOMERS = 40
OPEN_PAGES = 30
SHARE = 0.7
TIMES = 3
WORKERS = (4, 8, 16, 32)
"""Actions at once in each step of the ramp."""
RAMP = 15.0 if SECONDS >= 300 else 6.0
OVERLOAD = min(60.0, SECONDS / 2)
RECOVERY = 40.0
FOLLOWED = (
    ("identity", "customer", ("billing", "gateway", "notifications", "todos")),
    ("identity", "contact", ("gateway", "notifications")),
    ("identity", "invitation", ("gateway",)),
    ("billing", "invoice", ("gateway", "notifications", "todos")),
    ("billing", "payment", ("gateway",)),
    ("todos", "todo", ("gateway",)),
    ("notifications", "mail", ("gateway",)),
)
"""Whose tables have copies where: level when nothing is on its way any more."""
WITHIN = 30.0
"""Seconds in which everything must be as before."""
MOST_GROWTH, MOST_MEGABYTES = 0.10, 10.0
RESULTS = ROOT / "bench/held.json"

Json = dict[str, Any]


class Watch:
    """Looks at every process, queue and outbox every few seconds, in a thread of its own."""

    def __init__(self, system: WholeSystem) -> None:
        self._state = system.state
        self._pids = list(self._state["pids"].values())
        self._management = rabbitmq.management(system.folder / "rabbitmq")
        self.samples: list[Json] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        every = 2.0 if SECONDS >= 300 else 1.0
        while not self._stop.wait(every):
            # An overloaded server may not answer in time: one sample less.
            with suppress(OSError, psycopg.Error):
                sample = {"at": time.monotonic(), "cpu": cpu_seconds(self._pids), "memory": self._memory()}
                self.samples.append(sample | self.waiting())

    def cores(self, began: float, ended: float) -> float:
        """How many processors all parts used between these moments, as far as there are samples."""
        seen = [each for each in self.samples if began <= each["at"] <= ended]
        used: float = seen[-1]["cpu"] - seen[0]["cpu"]
        return used / float(seen[-1]["at"] - seen[0]["at"])

    def _memory(self) -> dict[str, float]:
        """Resident megabytes of each part with its children; what PostgreSQL's share is counted once."""
        children: dict[int, list[int]] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                except OSError:
                    continue
                children.setdefault(parent, []).append(int(entry.name))
        return {name: _megabytes(name, pid, children) for name, pid in self._state["pids"].items()}

    def waiting(self) -> Json:
        """Rows in outboxes, messages in queues, dead letters, mails and webhooks not dealt with."""
        outbox = sum(_one(self._state["databases"][service], "SELECT count(*) FROM outbox") for service in SERVICES)
        rows = self._management.call("GET", "queues/portal?disable_stats=false")
        dead = {dead_queue(service) for service in SERVICES}
        counts = {row["name"]: row.get("messages") or 0 for row in rows}
        names = all_names()
        return {
            "outbox": outbox,
            "queued": sum(n for name, n in counts.items() if name in names - dead - {LOG}),
            "dead": sum(n for name, n in counts.items() if name in dead),
            "mails": _one(
                self._state["databases"]["notifications"],
                "SELECT count(*) FROM mail WHERE status IN ('queued', 'sending')",
            ),
            "webhooks": _one(
                self._state["databases"]["billing"], "SELECT count(*) FROM stripe_event WHERE status = 'waiting'"
            ),
        }

    def behind(self) -> int:
        """How many tables of copies are not what their owners' are."""
        level = "SELECT count(*) * 1000000 + coalesce(sum(sequence), 0) FROM "
        owners, count = self._state["databases"], 0
        for owner, table, followers in FOLLOWED:
            there = _one(owners[owner], level + table)
            count += sum(_one(owners[each], f"{level}copy_{table}") != there for each in followers)
        return count

    def until_empty(self, *, queues: bool, seconds: float = 180) -> float:
        """Until nothing waits any more; returns the seconds that it took. Twice in a row: what leaves one part comes to another.

        `queues`: by the broker's own counts as well, which are up to five seconds old.
        """
        began = time.monotonic()
        names = ["outbox", "mails", "webhooks", *(["queued"] if queues else [])]
        empty = 0
        while empty < 2:
            found = self.waiting() | {"behind": self.behind()}
            empty = empty + 1 if not any(found[name] for name in (*names, "behind")) else 0
            if time.monotonic() - began > seconds:
                raise RuntimeError(f"Still waiting after {seconds} s: {found}")
            time.sleep(0.1)
        return time.monotonic() - began


def _one(url: str, sql: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute(sql.encode()).fetchone()
    assert row is not None
    return int(row[0])


def _megabytes(name: str, pid: int, children: dict[int, list[int]]) -> float:
    found, wanted = 0, [pid]
    while wanted:
        each = wanted.pop()
        wanted += children.get(each, [])
        try:
            if name == "postgres":  # its processes share most of their pages
                text = Path(f"/proc/{each}/smaps_rollup").read_text()
                found += int(text.split("\nPss:")[1].split()[0]) * 1024
            else:
                found += int(Path(f"/proc/{each}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except OSError:
            continue
    return found / 1024 / 1024


@contextmanager
def load_process() -> Iterator[Child]:
    """The load's process; ended in any case."""
    command = with_parent([sys.executable, "-m", "bench.held_load"], signal.SIGKILL)
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    child = Child(process)
    try:
        child.ask()
        yield child
    finally:
        child.end()


class Run:
    """One run, phase by phase; each answers what it saw."""

    def __init__(self, system: WholeSystem, load: Child, watch: Watch) -> None:
        self._system, self._load, self._watch = system, load, watch
        self._pids = list(system.state["pids"].values())
        self.phases: dict[str, Json] = {}

    def gather(self) -> None:
        self._phase(
            "gather", do="gather", state=str(self._system.folder / "state.json"), seed=SEED, customers=CUSTOMERS
        )
        self._load.ask({"do": "keep_told", "count": OPEN_PAGES})

    def saturate(self) -> float:
        """Actions a second, worked off with all that follows from them, of the best step of a closed-loop ramp."""
        self._phase("warm up", do="closed", workers=WORKERS[0], seconds=RAMP)
        idle = self._watch.until_empty(queues=False)
        rates: list[float] = []
        for workers in WORKERS:
            saw = self._phase(f"ramp {workers}", do="closed", workers=workers, seconds=RAMP)
            rates.append(saw["completed"] / (saw["took"] + max(0.0, saw["drained"] - idle)))
        return max(rates)

    def open(self, *stages: tuple[str, float, float]) -> None:
        """Stages one after the other without a pause: name, actions a second, seconds."""
        saw = self._load.ask({"do": "open", "stages": [(rate, seconds) for _, rate, seconds in stages]})
        drained = self._watch.until_empty(queues=True)
        for (name, _, seconds), phase in zip(stages, saw["stages"], strict=True):
            phase["ended"] = phase["began"] + seconds
            phase["cpu"] = self._watch.cores(phase["began"], phase["ended"])
            self._keep(name, phase, drained if name == stages[-1][0] else None)

    def _phase(self, name: str, **question: Any) -> Json:
        cpu, began = cpu_seconds(self._pids), time.monotonic()
        saw = self._load.ask(question)
        saw["ended"] = time.monotonic()
        saw["cpu"] = (cpu_seconds(self._pids) - cpu) / (saw["ended"] - began)
        return self._keep(name, saw, self._watch.until_empty(queues=False))

    def _keep(self, name: str, saw: Json, drained: float | None) -> Json:
        saw["drained"] = drained
        self.phases[name] = saw
        requests, shed = saw["requests"], sum(each.get("503", 0) for each in saw["statuses"].values())
        print(
            f"{name:<12} {saw['completed']:>6} of {saw['actions']} actions, {requests} requests, {shed} refused,"
            f" {len(saw['wrong'])} wrong, {saw['cpu']:.2f} cores, empty after {drained or 0:.1f} s",
            flush=True,
        )
        for line in saw["wrong"][:5]:
            print(f"    {line[:300]}", flush=True)
        return saw


def memory(samples: list[Json], began: float, ended: float) -> list[Json]:
    """Each part's first quartile of minutes two and three and of the last minute (of a shorter run, the same shares).

    Not the median: for as long as identity hashes a password it holds 64 MB more, in up to half of the samples.
    """
    length = ended - began
    windows = ((began + 0.1 * length, began + 0.3 * length), (began + 0.9 * length, ended))
    rows = []
    for name in samples[0]["memory"]:
        early, late = (
            percentile([each["memory"][name] for each in samples if first <= each["at"] <= last], 0.25)
            for first, last in windows
        )
        judged = name.partition("-")[0] in SERVICES
        flat = late - early <= MOST_MEGABYTES and late <= early * (1 + MOST_GROWTH)
        rows.append({"process": name, "early": early, "late": late, "flat": flat if judged else None})
    return rows


def verdicts(result: Json) -> list[Json]:
    """The bars, each with what was seen."""
    held, over, back = (result["phases"][name] for name in ("held", "overload", "recovery"))
    refused = sum(each.get("503", 0) for each in over["statuses"].values())
    rows: list[tuple[str, str, bool]] = [
        ("held: no error", f"{_bad(held)} of {held['requests']} requests", not _bad(held) and not held["unsent"]),
        (
            f"held: memory of each service's process flat (≤ {MOST_GROWTH:.0%} and ≤ {MOST_MEGABYTES:.0f} MB)",
            f"at most {max(row['late'] - row['early'] for row in result['memory'] if row['flat'] is not None):+.1f} MB",
            all(row["flat"] is not False for row in result["memory"]),
        ),
        (
            f"held: outboxes and queues empty within {WITHIN:.0f} s of the end",
            f"after {held['drained']:.1f} s",
            held["drained"] <= WITHIN,
        ),
        (
            f"{TIMES} times that: refused with 503 and Retry-After",
            f"{refused} of {over['requests']}, {over['without_retry_after']} without",
            refused > 0 and not over["without_retry_after"],
        ),
        (f"{TIMES} times that: nothing else goes wrong", f"{_bad(over) - refused} requests", _bad(over) == refused),
        (
            f"recovery: {WELL:.0f} s of the same load without a refusal begin within {WITHIN:.0f} s",
            f"after {back['well_from']:.1f} s",
            back["well_from"] <= WITHIN,
        ),
        ("dead letters", str(result["dead"]), not result["dead"]),
    ]
    rows += [
        (check["name"], f"{check['count']}, {len(check['wrong'])} wrong", not check["wrong"])
        for check in result["books"]
    ]
    return [{"bar": bar, "seen": seen, "met": met} for bar, seen, met in rows]


def _bad(phase: Json) -> int:
    """Answers that are no success, and what was wrong beyond statuses."""
    answers = [(status, int(n)) for each in phase["statuses"].values() for status, n in each.items()]
    refused = sum(n for status, n in answers if status == "503")
    return max(sum(n for status, n in answers if status[0] not in "23"), len(phase["wrong"]) + refused)


def measure(system: WholeSystem, load: Child, watch: Watch) -> Json:
    run = Run(system, load, watch)
    run.gather()
    saturated = run.saturate()
    rate = SHARE * saturated
    print(f"saturates at {saturated:.1f} actions a second; held at {rate:.1f}", flush=True)
    run.open(("held", rate, SECONDS))
    began, ended = run.phases["held"]["began"], run.phases["held"]["ended"]
    rows = memory(watch.samples, began, ended)
    run.open(("overload", TIMES * rate, OVERLOAD), ("recovery", rate, RECOVERY))
    record = system.folder / "record.json"
    told = load.ask({"do": "finish", "into": str(record)})
    books = Books(system.state, json.loads(record.read_text()))
    return {
        "seconds": SECONDS,
        "seed": SEED,
        "replicas": REPLICAS,
        "saturates": saturated,
        "rate": rate,
        "phases": run.phases,
        "memory": rows,
        "most": {
            name: {
                what: max(each[what] for each in watch.samples if phase["began"] <= each["at"] <= phase["ended"] + 1)
                for what in ("outbox", "queued", "mails", "webhooks")
            }
            for name, phase in run.phases.items()
            if name in ("held", "overload", "recovery")
        },
        "dead": watch.waiting()["dead"],
        "told": told["told"],
        "books": [check.__dict__ for check in books.checks()],
    }


def main() -> int:
    # Whoever ends us ends what we started, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(f"SEED={SEED} SECONDS={SECONDS} REPLICAS={REPLICAS}", flush=True)
    # The load says where each of its people sits, as a proxy would.
    with whole_system(replicas=REPLICAS, PORTAL_TRUSTED_PROXIES="127.0.0.1", PORTAL_DEMO="1") as system:
        watch = Watch(system)
        try:
            with load_process() as load:
                result = measure(system, load, watch)
        finally:
            watch.stop()
            log = Path(os.environ.get("HELD_LOG") or os.devnull)
            log.write_text(system.log.read_text(errors="replace"))
    result["verdicts"] = verdicts(result)
    RESULTS.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    held_page.write(result)
    for row in result["verdicts"]:
        print(f"{'met   ' if row['met'] else 'MISSED'} {row['bar']}: {row['seen']}")
    for check in result["books"]:
        for wrong in check["wrong"][:5]:
            print(f"       {wrong}")
    return 0 if all(row["met"] for row in result["verdicts"]) else 1


if __name__ == "__main__":
    sys.exit(main())
