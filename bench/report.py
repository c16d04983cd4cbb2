"""bench/results.json, and docs/performance.md made from it."""

import ast
import json
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.measure import Row
from local import postgres
from local.folder import ROOT

RESULTS = ROOT / "bench/results.json"
PAGE = ROOT / "docs/performance.md"
NOTES = ROOT / "bench/notes.md"
_LIBRARIES = (
    "aio-pika",
    "aiormq",
    "asyncpg",
    "faststream",
    "fastapi",
    "uvicorn",
    "uvloop",
    "pydantic",
    "stripe",
    "typst",
)

_INTRODUCTION = (
    "Made by `make bench` from `bench/results.json`; do not edit. Each figure was measured beside its floor in the same run,"
    " taking turns; numbers are medians, in brackets the smallest and largest of the runs, and the ratio is the median of the"
    " pairs' ratios. *CPU* is user and system time of"
    " all processes of that side, RabbitMQ and PostgreSQL; load comes from another process. PostgreSQL waits for its disk"
    " (`fsync` on). Rates wander with whatever else the machine does; ratios wander less."
)


def keep(rows: list[Row], figures: tuple[str, ...]) -> None:
    """Put new rows in the place of old ones of the same name, and write the page again."""
    old: list[dict[str, Any]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    new = {row.name: row.as_json() for row in rows}
    kept = [new.pop(row["name"], row) for row in old] + list(new.values())
    RESULTS.write_text("[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in kept) + "\n]\n")
    PAGE.write_text(page(kept, figures))


def page(rows: list[dict[str, Any]], figures: tuple[str, ...]) -> str:
    lines = [
        "# Performance",
        "",
        _INTRODUCTION,
        "",
        *(f"- {name}: {value}" for name, value in machine()),
        "",
        "| figure | ours | floor | stock | ratio | bar | |",
        "| --- | ---: | ---: | ---: | ---: | --- | --- |",
        *map(_line, rows),
        "",
        "## What each is beside",
        "",
    ]
    for figure in figures:
        text = ast.get_docstring(ast.parse((ROOT / f"bench/{figure}.py").read_text())) or ""
        first, _, rest = text.partition("\n\n")
        lines += [f"- {' '.join((first + ' ' + rest).split())}"]
    if NOTES.exists():
        lines += ["", NOTES.read_text().strip()]
    return "\n".join(lines) + "\n"


def _line(row: dict[str, Any]) -> str:
    cells = [f"`{row['name']}` ({row['unit']})"]
    for side in ("ours", "floor", "stock"):
        value, runs = row[side], row["runs"].get(side)
        cells.append("" if value is None else f"{_short(value)} [{_short(min(runs))}-{_short(max(runs))}]")
    cells.append("" if row["ratio"] is None else f"{row['ratio']:.2f}")
    cells += [row["bar"], {True: "met", False: "**missed**", None: ""}[row["met"]]]
    return "| " + " | ".join(cells) + " |"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def machine() -> list[tuple[str, str]]:
    info = Path("/proc/cpuinfo").read_text()
    model = next((line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name")), "unknown")
    memory = int(Path("/proc/meminfo").read_text().split()[1]) // 1024 // 1024
    server = subprocess.run([postgres.binaries() / "postgres", "--version"], capture_output=True, text=True, check=True)
    broker = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", "rabbitmq-server"], capture_output=True, text=True, check=False
    )
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return [
        ("machine", f"{os.cpu_count()} cores ({model}), {memory} GB; load at the end {load} (1, 5, 15 minutes)"),
        ("system", f"Linux {platform.release()}, Python {platform.python_version()}"),
        ("servers", f"{server.stdout.strip()}, RabbitMQ {broker.stdout or 'of another packaging'}"),
        ("libraries", libraries),
    ]
