"""What a message and a page cost the database and the wire, exactly, beside bench/baseline.json.

A change on purpose is written there by `python -m bench.counts`, where a reviewer sees it.
"""

import json
from collections.abc import Callable

from bench import counts


async def test_messages_and_pages_cost_what_the_baseline_says(make_database: Callable[[], str]) -> None:
    assert await counts.everything(make_database) == json.loads(counts.BASELINE.read_text())
