"""Work that a service keeps going begins again after a crash, and ends when the service does."""

import asyncio

from chassis.service import Runtime


async def test_work_whose_task_group_failed_begins_again() -> None:
    starts = 0
    again = asyncio.Event()

    async def fails() -> None:
        raise ConnectionError("the database is away")

    async def work() -> None:
        nonlocal starts
        starts += 1
        if starts > 1:
            again.set()
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(fails())
            group.create_task(asyncio.Event().wait())

    async with asyncio.timeout(5):
        await Runtime._restarting("worker", work)
    assert (starts, again.is_set()) == (2, True)


async def test_work_that_is_told_to_end_does_not_begin_again() -> None:
    starts = 0

    async def work() -> None:
        nonlocal starts
        starts += 1
        try:
            await asyncio.Event().wait()
        finally:
            raise ConnectionError("while ending")

    task = asyncio.create_task(Runtime._restarting("worker", work))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    ended = (await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), 5))[0]
    assert (starts, type(ended)) == (1, ConnectionError)
