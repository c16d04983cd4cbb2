"""The bars of `make load`: each one can be missed, and what is lost is found."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from bench.held import memory, verdicts
from bench.held_books import Books
from bench.held_load import well_from

PHASE = {
    "requests": 3,
    "statuses": {"page": {"200": 2}, "command": {"303": 1}},
    "wrong": [],
    "unsent": 0,
    "without_retry_after": 0,
    "well_from": 0.0,
    "drained": 1.0,
}
GOOD = {
    "phases": {
        "held": PHASE,
        "overload": PHASE | {"statuses": {"page": {"200": 2, "503": 1}}, "drained": None},
        "recovery": PHASE | {"well_from": 3.0},
    },
    "memory": [{"process": "gateway", "early": 88.0, "late": 89.0, "flat": True}],
    "dead": 0,
    "books": [{"name": "commands", "count": 7, "wrong": []}],
}


def missed(result: dict[str, Any]) -> list[str]:
    return [row["bar"] for row in verdicts(result) if not row["met"]]


def test_a_good_run_misses_nothing() -> None:
    assert missed(GOOD) == []


@pytest.mark.parametrize(
    ("where", "value", "bar"),
    [
        (("phases", "held", "statuses", "page", "503"), 1, "held: no error"),
        (("phases", "held", "statuses", "page", "cut"), 1, "held: no error"),
        (("phases", "held", "wrong"), ["no invitation within 30 s"], "held: no error"),
        (("phases", "held", "unsent"), 1, "held: no error"),
        (("phases", "held", "drained"), 31.0, "held: outboxes and queues empty"),
        (("memory", 0, "flat"), False, "held: memory o"),
        (("phases", "overload", "statuses", "page", "503"), 0, "3 times that: refused "),
        (("phases", "overload", "without_retry_after"), 1, "3 times that: refused "),
        (("phases", "overload", "statuses", "command"), {"504": 1}, "3 times that: nothing e"),
        (("phases", "overload", "statuses", "command"), {"cut": 1}, "3 times that: nothing e"),
        (("phases", "recovery", "well_from"), 30.5, "recovery: 10 s of the same"),
        (("dead",), 1, "dead letters"),
        (("books", 0, "wrong"), ["invoice 7"], "commands"),
    ],
)
def test_each_bar_can_be_missed(where: tuple[Any, ...], value: Any, bar: str) -> None:
    result: Any = copy.deepcopy(GOOD)
    at = result
    for step in where[:-1]:
        at = at[step]
    at[where[-1]] = value
    assert [each.startswith(bar) for each in missed(result)] == [True]


@pytest.mark.parametrize(("late", "flat"), [(97.0, True), (101.0, False)])
def test_memory_is_flat_while_it_grows_by_no_more_than_a_tenth(late: float, flat: bool) -> None:
    samples = [{"at": float(at), "memory": {"gateway": 90.0 if at < 90 else late, "postgres": at}} for at in range(101)]
    rows = {row["process"]: row["flat"] for row in memory(samples, 0, 100)}
    assert rows == {"gateway": flat, "postgres": None}


@pytest.mark.parametrize(
    ("bad", "begins"), [([], 0.0), ([12.0], 0.0), ([4.0, 1.0, 13.0, 24.0], 13.0), ([9.0, 18.0, 27.0], 27.0)]
)
def test_all_is_well_when_ten_seconds_without_a_refusal_begin(bad: list[float], begins: float) -> None:
    assert well_from(bad) == begins


class Shelf(Books):
    """Books whose tables a test fills: rows by a word of the statement."""

    tables: dict[str, list[Any]]

    def rows(self, service: str, sql: str) -> list[Any]:
        return next((rows for words, rows in self.tables.items() if words in sql), [])


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    (tmp_path / "ledger.jsonl").write_text(
        json.dumps({"kind": "charge.succeeded", "payment_intent": "pi_1", "amount": 100}) + "\n"
    )
    state = {
        "databases": {},
        "stripe": {"ledger": str(tmp_path / "ledger.jsonl")},
        "mail": {"dir": str(tmp_path / "mails")},
    }
    record = {"done": [("invoice", "i1"), ("todo title", "Own 1")], "shed": [("todo title", "Own 2")], "paid": ["i1"]}
    found = Shelf(state, record)
    found.tables = {
        "SELECT id::text FROM invoice": [("i1",)],
        "SELECT title": [("Own 1",)],
        "SELECT intent_id, amount": [("pi_1", 100)],
        "SELECT id::text FROM payment": [],
    }
    return found


def test_books_that_agree_have_nothing_wrong(shelf: Shelf) -> None:
    assert [(each.count, each.wrong) for each in shelf.checks()] == [
        (2, []),
        (1, []),
        (1, []),
        (0, []),
        (0, []),
        (0, []),
    ]


@pytest.mark.parametrize(
    ("words", "rows", "check", "wrong"),
    [
        ("SELECT title", [], 0, ["todo title Own 1"]),
        ("SELECT title", [("Own 1",), ("Own 2",)], 1, ["todo title Own 2"]),
        ("SELECT intent_id, amount", [], 2, ["pi_1: 0 times in our books"]),
        ("SELECT intent_id, amount", [("pi_1", 100)] * 2, 2, ["pi_1: 2 times in our books"]),
        ("SELECT intent_id, amount", [("pi_1", 99)], 2, ["pi_1: not at Stripe for 99"]),
        ("SELECT id::text FROM payment", [("p1",)], 3, ["payment p1: 0 receipts"]),
        ("SELECT message_id", [("<m>", "receipt", "p1", "queued")], 3, ["receipt <m>: queued"]),
        ("SELECT id, type", [("evt_1", "charge.succeeded", "stuck")], 4, ["charge.succeeded evt_1: stuck"]),
        ("sequence FROM todo", [("t1", 3)], 5, ["todo t1"]),
    ],
)
def test_what_is_lost_or_doubled_is_found(
    shelf: Shelf, words: str, rows: list[Any], check: int, wrong: list[str]
) -> None:
    shelf.tables[words] = rows
    assert list(shelf.checks())[check].wrong == wrong
