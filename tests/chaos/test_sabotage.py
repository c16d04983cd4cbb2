"""The checks can fail: one safeguard switched off at a time, and the invariants report it. Part of `make chaos`.

The switches live in `sabotage.py`, inside the processes of this test; no setting of production reaches them. Each run is
short and aimed: the fault that this safeguard is for, and nothing else.
"""

import random
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.chaos import faults, invariants
from tests.chaos.faults import Chaos
from tests.chaos.load import Load
from tests.chaos.plant import Ground, Plant, ground

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def servers() -> Iterator[Ground]:
    with ground() as made:
        yield made


def publish_lost(chaos: Chaos) -> None:
    """The connection ends before a public event has reached the broker."""
    faults.cut(chaos, "billing amqp", "publish")


def killed_between(chaos: Chaos, *points: str) -> None:
    """Die at each of these points."""
    faults.kill_points(chaos, points)


AIMED: dict[str, tuple[Callable[[Chaos], None], str]] = {
    "inbox": (faults.five_times, "effects of commands and facts, each once"),
    "confirms": (publish_lost, "public events in the log"),
    "idempotency key": (
        partial(faults.stripe_misbehaves, kinds=("drop_response_after_effect", "drop_response_after_effect")),
        "attempts, at most one charge and one checkout each",
    ),
    "outbox": (
        lambda chaos: killed_between(
            chaos, "billing:after-commit:billing.create_payment_link#1", "todos:after-commit:todos.create_todo#1"
        ),
        "public events in the log",
    ),
    "late ack": (
        lambda chaos: killed_between(
            chaos,
            "todos:before-commit:todos.invoice#1",
            "notifications:before-commit:notifications.on_payment_succeeded#1",
        ),
        "facts processed or dead",
    ),
}


@pytest.mark.parametrize("safeguard", AIMED)
def test_a_safeguard_switched_off_turns_the_run_red(
    servers: Ground, safeguard: str, capsys: pytest.CaptureFixture[str]
) -> None:
    aimed, expected = AIMED[safeguard]
    plant = Plant(servers, replicas=1, sabotage=safeguard)
    plant.start()
    chaos = Chaos(plant, Load(plant, 11), random.Random(11))
    began = time.monotonic()
    try:
        chaos.load.start()
        plant.until("payments", lambda: len(chaos.load.record.paid) >= 2)
        aimed(chaos)
        plant.arm()
        plant.wait_ready()
        chaos.load.stop()
        _, checks = invariants.settle(plant, chaos.load.record, chaos.injected, 30, stays_wrong=True)
    except BaseException as surprise:
        surprise.add_note(f"{chaos.load.record.trouble()}\n{plant.tails()}")
        raise
    finally:
        chaos.load.give_up()
        plant.stop()
    wrong = [each for each in checks if each.wrong]
    with capsys.disabled():
        print(f"\nwithout {safeguard} ({time.monotonic() - began:.0f} s):\n{invariants.table(wrong)}", flush=True)  # noqa: T201 - the run's report
    assert expected in {each.name for each in wrong}
