"""The checks can fail: one safeguard switched off at a time, and the invariants report it. Part of `make chaos`.

The switches live in `sabotage.py`, inside the processes of this test; no setting of production reaches them. Each run is
short and aimed: the fault that this safeguard is for, and nothing else.
"""

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import pytest

from tests.chaos import costs, faults, invariants
from tests.chaos.faults import Chaos
from tests.chaos.invariants import Check
from tests.chaos.load import Load
from tests.chaos.plant import Ground, Plant

pytestmark = pytest.mark.timeout(1800)


def publish_lost(chaos: Chaos) -> None:
    """The connection ends before a public event has reached the broker."""
    faults.cut(chaos, ["billing amqp"], "publish")


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


def red(servers: Ground, safeguard: str) -> list[Check]:
    """What the invariants report of a run without this safeguard, with as much load as its fault needs."""
    aimed, _ = AIMED[safeguard]
    plant = Plant(servers, replicas=1, sabotage=safeguard)
    plant.start()
    chaos = Chaos(plant, Load(plant, 11, at_once=1, chapters=()), random.Random(11))
    try:
        chaos.load.start()
        plant.until("a payment", lambda: chaos.load.record.paid)
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
    return [each for each in checks if each.wrong]


@pytest.fixture(scope="module")
def verdicts(servers: Ground) -> Iterator[dict[str, Future[list[Check]]]]:
    """All of them at once, for each waits more than it works."""
    with ThreadPoolExecutor(len(AIMED)) as pool:
        yield {safeguard: pool.submit(red, servers, safeguard) for safeguard in AIMED}


@pytest.mark.parametrize("safeguard", AIMED)
def test_a_safeguard_switched_off_turns_the_run_red(
    verdicts: dict[str, Future[list[Check]]], safeguard: str, capsys: pytest.CaptureFixture[str]
) -> None:
    began, spent = time.monotonic(), costs.spent()
    wrong = verdicts[safeguard].result()
    took, cost = time.monotonic() - began, costs.spent() - spent
    with capsys.disabled():
        print(f"\nwithout {safeguard} (known after another {took:.0f} s, {cost:.0f} s of a processor):")  # noqa: T201 - the run's report
        print(invariants.table(wrong), flush=True)  # noqa: T201 - the same
    _, expected = AIMED[safeguard]
    assert expected in {each.name for each in wrong}
