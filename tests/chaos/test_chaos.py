"""Kills, cuts and lies under load, on real processes, two of each service; then the books.

`make test` runs a bounded selection. `make chaos` sets CHAOS=full: every fault that there is. The seed is printed, and
$SEED plays the same load and the same choices again (what meets what still depends on the machine).
"""

import os
import random
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import pytest

from tests.chaos import costs, faults, invariants, points
from tests.chaos.faults import Chaos, Fault
from tests.chaos.load import Load
from tests.chaos.plant import Ground, Plant, stretched

pytestmark = pytest.mark.timeout(3600)

FULL = os.environ.get("CHAOS") == "full"
ONLY = os.environ.get("ONLY", "")
"""Faults whose name this expression fits, for whoever looks for a cause."""
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


def _together(*wrongs: Fault) -> Fault:
    """They happen at the same time; `ONLY` picks among them as among all."""
    return partial(faults.together, wrongs=wrongs)


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
    faults.rabbitmq_killed,
    faults.postgres_killed,
    faults.memory_alarm,
    _together(
        faults.frozen,
        partial(
            faults.stripe_misbehaves,
            kinds=("drop_response_after_effect", "error_500", "rate_limit_429", "reset", "hang"),
        ),
        faults.smtp_refuses,
        faults.shuffled,
    ),
    _together(
        partial(faults.webhooks_misbehave, duplicate=4, shuffle=True, before_response=True),
        faults.webhooks_forged,
        faults.smtp_hangs_up,
        faults.five_times,
        faults.poison,
    ),
    _together(partial(faults.webhooks_misbehave, drop=8), faults.killer_message),
    faults.old_messages_queued,
    faults.rolling_restart,
)


def play(chaos: Chaos, wrongs: Sequence[Fault], say: Callable[[str], None]) -> list[invariants.Check]:
    """Every fault in turn, under load; then the end of the load, healing, and the invariants."""
    chaos.load.start()
    chaos.plant.until("payments", lambda: len(chaos.load.record.paid) >= 2)
    for wrong in wrongs:
        with phase(_name(wrong), say, lambda: f"{len(chaos.plant.struck()):>4} deaths at points"):
            wrong(chaos)
    with phase("the load ends", say):
        chaos.plant.arm()
        chaos.plant.wait_ready()
        chaos.load.stop()
    with phase("healed, and the books are right", say):
        took, checks = invariants.settle(chaos.plant, chaos.load.record, chaos.injected, 60)
    late = [f"after {took:.1f} s"] if took > stretched(EMPTIED_WITHIN) else []
    if chaos.wired:
        alive = sorted(points.missing(chaos.wired, chaos.plant.struck()))
        checks.append(invariants.Check("kill points wired, each died at and come back from", len(chaos.wired), alive))
    checks.append(invariants.Check("seconds from healing to empty outboxes", round(took), late))
    return checks


@contextmanager
def phase(name: str, say: Callable[[str], None], more: Callable[[], str] = str) -> Iterator[None]:
    """Say how long it took, and what it cost: on a busy machine only the processor's seconds say how long it would take."""
    began, spent = time.monotonic(), costs.spent()
    yield
    took, cost = time.monotonic() - began, costs.spent() - spent
    say(f"{name:<70} {took:5.1f} s {cost:6.1f} s of a processor, load {os.getloadavg()[0]:4.1f}  {more()}".rstrip())


def _chosen(wrongs: Sequence[Fault]) -> Iterator[Fault]:
    for wrong in wrongs:
        if isinstance(wrong, partial) and wrong.func is faults.together:
            chosen = tuple(_chosen(wrong.keywords["wrongs"]))
            if chosen:
                yield _together(*chosen)
        elif re.search(ONLY, _name(wrong)):
            yield wrong


def _name(wrong: Fault) -> str:
    if isinstance(wrong, partial) and wrong.func is faults.together:
        return ", ".join(map(_name, wrong.keywords["wrongs"]))
    if isinstance(wrong, partial):
        return " ".join([wrong.func.__name__, *map(str, wrong.args), *map(str, wrong.keywords or {})])
    return getattr(wrong, "__name__", repr(wrong))


def test_the_books_are_right_after_all_that_went_wrong(servers: Ground, capsys: pytest.CaptureFixture[str]) -> None:
    plant = Plant(servers)

    def say(line: str) -> None:
        with capsys.disabled():
            print(line, flush=True)  # noqa: T201 - the run's report

    say(f"\nSEED={SEED}")
    with phase("started", say):
        plant.start()
    chaos = Chaos(plant, Load(plant, SEED), random.Random(SEED))
    try:
        checks = play(chaos, list(_chosen(EVERYTHING if FULL else BOUNDED)), say)
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
