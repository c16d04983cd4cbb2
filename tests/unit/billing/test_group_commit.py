"""Who shares a write with whom, and what each is told."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from services.billing.store.stripe_events import NewEvent
from services.billing.webhooks.group_commit import GroupCommit, TooManyWaitError

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def event(number: int) -> NewEvent:
    return NewEvent(f"evt_{number}", "x", None, "{}", NOON)


class Disk:
    """Where groups are written, once `ready` is set. An event in `refused` fails its group."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []
        self.began = asyncio.Event()
        self.ready = asyncio.Event()
        self.refused: dict[str, Exception] = {}

    async def write(self, events: Sequence[NewEvent]) -> None:
        self.groups.append([each.id for each in events])
        self.began.set()
        await self.ready.wait()
        for each in events:
            if each.id in self.refused:
                raise self.refused[each.id]


@asynccontextmanager
async def arriving(disk: Disk, count: int) -> AsyncIterator[list[asyncio.Task[None]]]:
    """The first event is being written, the others have come meanwhile; at the end all have been told."""
    commits = GroupCommit(disk.write)
    tasks = [asyncio.create_task(commits.keep(event(0)))]
    await disk.began.wait()
    tasks += [asyncio.create_task(commits.keep(event(number))) for number in range(1, count)]
    await asyncio.sleep(0)
    yield tasks
    disk.ready.set()
    await asyncio.wait(tasks)


async def test_an_event_at_an_idle_door_is_written_at_once_and_alone() -> None:
    disk = Disk()
    disk.ready.set()
    commits = GroupCommit(disk.write)
    await commits.keep(event(1))
    await commits.keep(event(2))
    assert disk.groups == [["evt_1"], ["evt_2"]]


async def test_what_comes_during_a_write_is_written_together_by_the_next_in_groups_of_fifty() -> None:
    disk = Disk()
    async with arriving(disk, 71):
        assert disk.groups == [["evt_0"]]
    assert [len(group) for group in disk.groups] == [1, 50, 20]
    assert [id_ for group in disk.groups for id_ in group] == [f"evt_{number}" for number in range(71)]


async def test_nobody_is_told_before_the_write_has_ended() -> None:
    disk = Disk()
    async with arriving(disk, 3) as tasks:
        for _ in range(10):
            await asyncio.sleep(0)
        assert [task.done() for task in tasks] == [False] * 3
    assert [task.exception() for task in tasks] == [None] * 3


async def test_an_event_that_the_database_does_not_take_is_refused_alone() -> None:
    disk = Disk()
    wrong = disk.refused["evt_2"] = ValueError("not text")
    async with arriving(disk, 4) as tasks:
        pass
    assert [task.exception() for task in tasks] == [None, None, wrong, None]
    assert disk.groups == [["evt_0"], ["evt_1", "evt_2", "evt_3"], ["evt_1"], ["evt_2"], ["evt_3"]]


@pytest.mark.parametrize("away", [ConnectionRefusedError("away"), TimeoutError("frozen")])
async def test_a_group_whose_database_is_away_is_told_so_without_another_try_and_the_next_one_is_written(
    away: Exception,
) -> None:
    disk = Disk()
    disk.refused["evt_2"] = away
    async with arriving(disk, 53) as tasks:
        pass
    assert [task.exception() for task in tasks] == [None, *[away] * 50, None, None]
    assert [len(group) for group in disk.groups] == [1, 50, 2]


async def test_a_request_that_is_given_up_changes_nothing_for_its_neighbours() -> None:
    disk = Disk()
    async with arriving(disk, 4) as tasks:
        tasks[0].cancel()
        tasks[2].cancel()
    assert [task.cancelled() for task in tasks] == [True, False, True, False]
    assert disk.groups == [["evt_0"], ["evt_1", "evt_2", "evt_3"]]


async def test_a_thousand_may_wait_and_whoever_comes_then_is_told_at_once_that_they_were_not_taken() -> None:
    disk = Disk()
    async with arriving(disk, 1_003) as tasks:
        refused = [task for task in tasks if task.done()]
        assert [type(task.exception()) for task in refused] == [TooManyWaitError] * 2
    assert sum(len(group) for group in disk.groups) == 1_001
    assert [task.exception() for task in tasks if task not in refused] == [None] * 1_001
