"""docs/load.md, made from what `make load` measured."""

import ast
from collections.abc import Iterable, Sequence
from typing import Any

from bench.report import machine
from local.folder import ROOT

PAGE = ROOT / "docs/load.md"
OPEN = ("held", "overload", "recovery")
PARTS = {
    "outbox": "rows in outboxes",
    "queued": "messages in queues",
    "mails": "mails not handed over",
    "webhooks": "webhooks not dealt with",
}

Json = dict[str, Any]


def write(result: Json) -> None:
    PAGE.write_text("\n".join(_lines(result)) + "\n")


def _lines(result: Json) -> Iterable[str]:
    phases = result["phases"]
    yield from ("# Load held", "", "Made by `make load` from `bench/held.json`; do not edit.", "")
    yield from (f"- {name}: {value}" for name, value in machine())
    yield f"- run: SECONDS={result['seconds']} SEED={result['seed']}; {result['replicas']} of each service, one PostgreSQL, one RabbitMQ"
    yield (
        f"- saturates at {result['saturates']:.0f} actions a second, with all that follows from them (events, mails, webhooks)"
        f" worked off; held at {result['rate']:.0f}"
    )
    yield from ("", "| bar | seen | |", "| --- | --- | --- |")
    yield from _table((row["bar"], row["seen"], "met" if row["met"] else "**missed**") for row in result["verdicts"])
    yield from ("", "## Phases", "", "| phase | actions | requests | refused | other errors | cores | |")
    yield "| --- | ---: | ---: | ---: | ---: | ---: | --- |"
    yield from _table(_phase(name, phase) for name, phase in phases.items())
    yield from (
        "",
        "## Milliseconds",
        "",
        "From the moment that an action was to begin, until the answer is complete.",
        "",
    )
    yield "| | " + " | ".join(f"{name} p50 | p99" for name in OPEN) + " |"
    yield "| --- |" + " ---: | ---: |" * len(OPEN)
    kinds = sorted({kind for name in OPEN for kind in phases[name]["latency_ms"]})
    yield from _table((kind, *_times(phases, kind)) for kind in kinds)
    yield from (
        "",
        "## Memory",
        "",
        "Resident megabytes, the first quartile of the samples of minutes two and three and of the last minute held (not the median: while identity hashes a password it holds 64 MB more).",
        "",
    )
    yield from ("| process | minutes 2-3 | last minute | growth | |", "| --- | ---: | ---: | ---: | --- |")
    yield from _table(_memory(row) for row in result["memory"])
    yield from ("", "## What waited at most", "", "| | " + " | ".join(OPEN) + " |", "| --- |" + " ---: |" * len(OPEN))
    yield from _table((text, *(str(result["most"][name][part]) for name in OPEN)) for part, text in PARTS.items())
    yield from ("", "## How it is done", "", _how(), "", _READING)


def _how() -> str:
    text = ast.get_docstring(ast.parse((ROOT / "bench/held_people.py").read_text())) or ""
    return (
        f"{text} Of a thousand actions: 300 portal pages, 150 console pages, 230 reads through the API, 60 stylesheets and"
        " scripts, 40 payment links opened without signing in, 20 PDFs, 120 to-dos written, assigned and completed, 35 payment"
        " links made (two in five mailed), 20 checkouts paid on the sandbox's hosted page, 9 sign-ins through the form, 6"
        " sign-ups by a mailed invitation, 10 pages left open for live updates beside 30 that stay open all the time."
    )


_READING = """\
- **Saturates**: a ramp of 4, 8, 16, 32 actions at once, each beginning when the last has ended; a step's rate counts the
  time until all that followed from it was worked off, too. The best step counts.
- **Held, overload, recovery**: arrivals drawn beforehand (Poisson), whether earlier ones are answered or not; what is late
  is measured from when it was to begin. Nobody repeats what was refused.
- **Recovery** is the time from the end of the overload until ten seconds begin in which the same load as before meets no
  refusal and no error.
- **Afterwards** the databases, the sandbox's ledger and the mailbox' files are read directly: every command answered with
  success has its effect, every one refused with 503 has left no trace, every payment has its receipt.
- The load generator, the sandbox and the mailbox run on the same cores."""


def _table(rows: Iterable[Sequence[str]]) -> Iterable[str]:
    return ("| " + " | ".join(row) + " |" for row in rows)


def _phase(name: str, phase: Json) -> Sequence[str]:
    answers = [(status, n) for each in phase["statuses"].values() for status, n in each.items()]
    refused = sum(n for status, n in answers if status == "503")
    other = sum(n for status, n in answers if status[0] not in "23") - refused
    drained = "" if phase["drained"] is None else f"all worked off after {phase['drained']:.1f} s"
    counts = (f"{phase['actions']:,}", f"{phase['requests']:,}", f"{refused:,}", f"{other:,}", f"{phase['cpu']:.2f}")
    return (name, *counts, drained)


def _times(phases: Json, kind: str) -> Iterable[str]:
    for name in OPEN:
        found = phases[name]["latency_ms"].get(kind)
        yield from (f"{found['p50']:,.0f}", f"{found['p99']:,.0f}") if found else ("", "")


def _memory(row: Json) -> Sequence[str]:
    grown = row["late"] - row["early"]
    verdict = {True: "flat", False: "**grows**", None: "not judged"}[row["flat"]]
    return (row["process"], f"{row['early']:.1f}", f"{row['late']:.1f}", f"{grown:+.1f}", verdict)
