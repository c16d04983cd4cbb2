"""The product's main story over public HTTP, with two of each service, and a second start on the same data."""

import pytest

from local.story import Story
from tests import parts
from tests.e2e import whole_system as whole

pytestmark = pytest.mark.timeout(300)


def test_the_story_with_two_of_each_service_and_again_after_a_restart() -> None:
    with parts.folder() as folder:
        system = whole.launch(folder, replicas=2)
        try:
            whole.wait_ready(system)
            play(system)
            assert whole.stop(system) < 15
            system = whole.launch(folder, replicas=2)
            assert whole.wait_ready(system) < 15
            play(system)
        finally:
            whole.stop(system)


def play(system: whole.WholeSystem) -> None:
    for step in Story(system.state).steps():
        try:
            step()
        except Exception as failed:
            raise AssertionError(f"{step.__name__}: {failed}\n{system.tail()}") from failed
