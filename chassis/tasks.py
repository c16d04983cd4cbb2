"""Ending tasks, for certain."""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

log = logging.getLogger("portal.tasks")

_ROUNDS = 5


def cancelled_by_us() -> bool:
    """Whether somebody ends the running task.

    aiormq also cancels its own futures when a connection breaks under them: such a CancelledError says that the
    connection is lost, and a task that took it for its end would never come back.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def end(tasks: Iterable[asyncio.Task[Any]], *, patience: float) -> None:
    """Cancel tasks and wait until they have ended. Who still runs after `patience` seconds is cancelled again.

    One cancellation is not always enough: Python 3.11's `wait_for` forgets one that comes together with its result, and
    aiormq turns one into the error that its connection was closed with. A loop that survives such errors goes on, and who
    waits for it waits for ever.
    """
    left = set(tasks)
    for _ in range(_ROUNDS):
        if not left:
            return
        for task in left:
            task.cancel()
        done, left = await asyncio.wait(left, timeout=patience)
        for task in done:
            if not task.cancelled():
                task.exception()  # seen: its loop has logged it
    if left:
        log.error("Tasks do not end.", extra={"tasks": sorted(task.get_name() for task in left)})
