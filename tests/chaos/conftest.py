"""`make test` does the bounded run; CHAOS=full (`make chaos`) everything; CHAOS=off looks at the kill points alone."""

import os
from collections.abc import Iterator

import pytest

from tests.chaos.plant import Ground, ground

_LEFT_OUT = {"full": [], "off": ["test_chaos.py", "test_sabotage.py"]}
collect_ignore = _LEFT_OUT.get(os.environ.get("CHAOS", ""), ["test_sabotage.py"])


@pytest.fixture(scope="session")
def servers() -> Iterator[Ground]:
    """The servers that all plants stand on, one after another or beside each other."""
    with ground() as made:
        yield made
