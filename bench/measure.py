"""Alternating runs, medians, CPU seconds by process, and the rows of results.json."""

import os
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

RUNS = int(os.environ.get("BENCH_RUNS", "5"))
"""Of each side, after one for warming up. Fewer are for looking, not for keeping."""
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Sample:
    """One run of one side: its rate a second, its CPU milliseconds per piece, and whatever else it measured."""

    rate: float
    cpu: float
    more: dict[str, float] = field(default_factory=dict)


@dataclass
class Row:
    """One line of results.json. `ratio` is ours over the floor's, the median of the pairs; `runs` are the single values of both sides.

    `bar` is the limit of the ratio (of `ours` where there is no floor), `holds` how it is read; None is recorded only.
    """

    name: str
    ours: float
    floor: float | None
    ratio: float | None
    unit: str
    runs: dict[str, list[float]]
    bar: str = ""
    met: bool | None = None
    stock: float | None = None

    def as_json(self) -> dict[str, Any]:
        return {key: rounded(value) for key, value in asdict(self).items()}


def rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list) else value


def compare(
    name: str, unit: str, runs: Mapping[str, Sequence[float]], *, least: float | None = None, most: float | None = None
) -> Row:
    """A row of `ours` beside `floor` (and `stock`): medians, and whether the ratio keeps the bar.

    The ratio is the median of the pairs' ratios: what else the machine did hit both of a pair alike.
    """
    kept = {side: list(values) for side, values in runs.items()}
    middle = {side: statistics.median(values) for side, values in kept.items()}
    ratio = statistics.median(ours / floor for ours, floor in zip(kept["ours"], kept["floor"], strict=True))
    row = Row(name, middle["ours"], middle["floor"], ratio, unit, kept, stock=middle.get("stock"))
    if least is not None:
        row.bar, row.met = f"ratio ≥ {least}", ratio >= least
    if most is not None:
        row.bar, row.met = f"ratio ≤ {most}", ratio <= most
    return row


def absolute(
    name: str, unit: str, values: Sequence[float], most: float | None = None, ours: float | None = None
) -> Row:
    """A row with a limit of its own instead of a floor; `ours` is the median unless given."""
    value = statistics.median(values) if ours is None else ours
    row = Row(name, value, None, None, unit, {"ours": list(values)})
    if most is not None:
        row.bar, row.met = f"≤ {most:g} {unit}", value <= most
    return row


def alternate(sides: Mapping[str, Callable[[], Sample]], runs: int = RUNS) -> dict[str, list[Sample]]:
    """Each side once for warming up, then in turn, so that whatever else the machine does hits all alike."""
    for run in sides.values():
        run()
    samples: dict[str, list[Sample]] = {side: [] for side in sides}
    for _ in range(runs):
        for side, run in sides.items():
            samples[side].append(run())
    return samples


def rates(samples: Mapping[str, Sequence[Sample]]) -> dict[str, list[float]]:
    return {side: [each.rate for each in runs] for side, runs in samples.items()}


def cpus(samples: Mapping[str, Sequence[Sample]]) -> dict[str, list[float]]:
    return {side: [each.cpu for each in runs] for side, runs in samples.items()}


def extra(samples: Mapping[str, Sequence[Sample]], name: str) -> dict[str, list[float]]:
    return {side: [each.more[name] for each in runs] for side, runs in samples.items()}


def percentile(values: Iterable[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of processes and all their children, ended ones (as far as they were waited for) too."""
    children: dict[int, list[int]] = {}
    used: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            children.setdefault(int(stat[1]), []).append(int(entry.name))
            used[int(entry.name)] = sum(map(int, stat[11:15]))
    wanted, ticks = list(pids), 0
    while wanted:
        pid = wanted.pop()
        ticks += used.get(pid, 0)
        wanted += children.get(pid, [])
    return ticks / _TICKS


def timed(work: Callable[[], int], pids: Sequence[int]) -> Sample:
    """How fast `work` was, which returns how many pieces it did, and what it cost the processes."""
    cpu, began = cpu_seconds(pids), time.monotonic()
    pieces = work()
    seconds = time.monotonic() - began
    return Sample(pieces / seconds, (cpu_seconds(pids) - cpu) * 1000 / pieces)
