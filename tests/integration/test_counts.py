"""What a message and a page cost the database and the wire, beside bench/baseline.json.

A change on purpose is written there by `python -m bench.counts`, where a reviewer sees it.
"""

import json
from collections.abc import Callable

import pytest

from bench import counts


async def test_messages_and_pages_cost_what_the_baseline_says(make_database: Callable[[], str]) -> None:
    expected: counts.Counts = json.loads(counts.BASELINE.read_text())
    found = await counts.everything(make_database)
    # A word more on a page is no news, a tenth more is.
    assert _bytes(found) == {name: pytest.approx(size, rel=0.1) for name, size in _bytes(expected).items()}
    assert _exact(found) == _exact(expected)


def _bytes(of: counts.Counts) -> dict[str, int]:
    return {name: each["bytes"] for name, each in of.items() if "bytes" in each}


def _exact(of: counts.Counts) -> counts.Counts:
    return {name: {what: n for what, n in each.items() if what != "bytes"} for name, each in of.items()}
