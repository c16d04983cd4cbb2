"""Kills, cuts and lies under load, on real processes, two of each service; then the books.

`make test` runs a bounded selection. `make chaos` sets CHAOS=full: every fault that there is. The seed is printed, and
$SEED plays the same load and the same choices again (what meets what still depends on the machine).
"""

import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import pytest

from tests.chaos import faults, invariants, points
from tests.chaos.faults import Chaos, Fault
from tests.chaos.load import Load
from tests.chaos.plant import Ground, Plant, ground, stretched

pytestmark = pytest.mark.timeout(3600)

FULL = os.environ.get("CHAOS") == "full"
ONLY = os.environ.get("ONLY", "")
"""Faults whose name holds this, for whoever looks for a cause."""
SEED = int(os.environ.get("SEED") or (random.SystemRandom().randrange(10**6) if FULL else 7))
EMPTIED_WITHIN = 30.0
"""Seconds after healing in which every outbox must be empty, on a quiet machine."""

CRITICAL = (
    "billing:after-commit:billing.start_invoice_payment#1",
    "billing:after-stripe:POST /checkout/sessions",
    "billing:after-commit:billing.start_invoice_payment#2",
    "billing:after-write:http *",
    "billing:after-publish:billing.payment.succeeded.v1",
    "notifications:after-commit:notifications.on_payment_succeeded#1",
    "notifications:after-smtp:the final dot",
    "identity:after-commit:identity.create_customer#1",
    "todos:before-ack:todos.invoice",
    "gateway:after-ask:billing.create_payment_link",
)

BOUNDED: tuple[Fault, ...] = (
    partial(faults.kill_points, wanted=CRITICAL),
    partial(faults.relay_holder_killed, services=("billing",)),
    partial(faults.connections_cut, commits=("billing",), confirms=("billing",)),
    partial(faults.stripe_misbehaves, kinds=("drop_response_after_effect",)),
    partial(faults.webhooks_misbehave, duplicate=4, shuffle=True, before_response=True),
    faults.webhooks_forged,
    faults.five_times,
    faults.poison,
    faults.rabbitmq_killed,
    faults.postgres_killed,
)

EVERYTHING: tuple[Fault, ...] = (
    partial(faults.kill_points, wanted=CRITICAL),
    faults.every_point,
    partial(faults.relay_holder_killed, services=("billing", "identity", "todos")),
    partial(
        faults.connections_cut,
        commits=("billing", "identity", "notifications", "todos"),
        confirms=("billing", "identity"),
    ),
    faults.storm,
    faults.frozen,
    faults.rabbitmq_killed,
    faults.postgres_killed,
    faults.memory_alarm,
    partial(
        faults.stripe_misbehaves,
        kinds=("drop_response_after_effect", "error_500", "rate_limit_429", "reset", "hang"),
    ),
    partial(faults.webhooks_misbehave, duplicate=4, shuffle=True, before_response=True),
    partial(faults.webhooks_misbehave, drop=8),
    faults.webhooks_forged,
    faults.smtp_refuses,
    faults.smtp_hangs_up,
    faults.five_times,
    faults.shuffled,
    faults.poison,
    faults.killer_message,
    faults.old_messages_queued,
    faults.rolling_restart,
)


@pytest.fixture(scope="module")
def servers() -> Iterator[Ground]:
    with ground() as made:
        yield made


def play(chaos: Chaos, wrongs: Sequence[Fault], say: Callable[[str], None]) -> list[invariants.Check]:
    """Every fault in turn, under load; then the end of the load, healing, and the invariants."""
    chaos.load.start()
    chaos.plant.until("payments", lambda: len(chaos.load.record.paid) >= 2)
    for wrong in wrongs:
        began = time.monotonic()
        wrong(chaos)
        say(f"{_name(wrong):<70} {time.monotonic() - began:5.1f} s  {len(chaos.plant.struck()):>4} deaths at points")
    chaos.plant.arm()
    chaos.plant.wait_ready()
    chaos.load.stop()
    took, checks = invariants.settle(chaos.plant, chaos.load.record, chaos.injected, 60)
    late = [f"after {took:.1f} s"] if took > stretched(EMPTIED_WITHIN) else []
    if chaos.wired:
        alive = sorted(points.missing(chaos.wired, chaos.plant.struck()))
        checks.append(invariants.Check("kill points wired, each died at and come back from", len(chaos.wired), alive))
    checks.append(invariants.Check("seconds from healing to empty outboxes", round(took), late))
    return checks


def _name(wrong: Fault) -> str:
    if isinstance(wrong, partial):
        return " ".join([wrong.func.__name__, *map(str, wrong.args), *map(str, wrong.keywords or {})])
    return getattr(wrong, "__name__", repr(wrong))


def test_the_books_are_right_after_all_that_went_wrong(servers: Ground, capsys: pytest.CaptureFixture[str]) -> None:
    plant = Plant(servers)

    def say(line: str) -> None:
        with capsys.disabled():
            print(line, flush=True)  # noqa: T201 - the run's report

    say(f"\nSEED={SEED}")
    began = time.monotonic()
    plant.start()
    chaos = Chaos(plant, Load(plant, SEED), random.Random(SEED))
    try:
        say(f"{'started':<70} {time.monotonic() - began:5.1f} s")
        faults_ = [each for each in (EVERYTHING if FULL else BOUNDED) if ONLY in _name(each)]
        checks = play(chaos, faults_, say)
        record = chaos.load.record
        say(
            f"{chaos.load.journeys} journeys, {len(record.failed)} requests failed and were repeated, "
            f"{len(plant.struck())} kill points, {sum(p.starts - 1 for p in plant.processes.values())} restarts"
        )
        say(invariants.table(checks))
        assert not [str(each) for each in checks if each.wrong]
    except BaseException:
        say(f"\nSEED={SEED} went wrong; {chaos.load.record.trouble()}\n{plant.tails()}")
        if os.environ.get("KEEP"):
            shutil.copytree(plant.folder, os.environ["KEEP"], dirs_exist_ok=True)
            for service in plant.only:
                subprocess.run(
                    ["pg_dump", "-f", f"{os.environ['KEEP']}/{service}.sql", plant.database(service)], check=False
                )
        raise
    finally:
        chaos.load.give_up()
        plant.stop()
