"""Group commit: what arrives while one write is under way is written by the next, in one statement and one transaction.

A commit costs the database the same for one event as for fifty: it waits for its disk. So one write is under way at a time,
and those who come meanwhile share the one after it. At an idle door the group is one event that waits for nobody.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from chassis.database import transient
from services.billing.store.stripe_events import NewEvent

_MOST = 50
"""Events in one group: a body may have 1 MB, and all of a group's are in memory twice."""


_MOST_WAITING = 1_000
"""Events that wait for their write, twenty groups: while the database is stuck, memory must not fill up with bodies."""


class TooManyWaitError(Exception):
    """More events wait than are held: this one was not taken."""


class GroupCommit:
    """Keeps single events by writing them in groups; each event's outcome is that of the write that it was in."""

    def __init__(self, write: Callable[[Sequence[NewEvent]], Awaitable[None]]) -> None:
        self._write = write
        self._waiting: list[tuple[NewEvent, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def keep(self, event: NewEvent) -> None:
        """Return once `event` is committed.

        Raises TooManyWaitError when it was not taken, else what its write raised: then it may or may not be stored.
        """
        if len(self._waiting) >= _MOST_WAITING:
            raise TooManyWaitError
        kept = asyncio.get_running_loop().create_future()
        self._waiting.append((event, kept))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_groups(), name="group commit")
        await kept

    async def _write_groups(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
            await self._write_group(group)

    async def _write_group(self, group: Sequence[tuple[NewEvent, asyncio.Future[None]]]) -> None:
        try:
            await self._write([event for event, _ in group])
        except Exception as failed:  # noqa: BLE001 - whatever it is, those who wait are told
            if len(group) > 1 and not unavailable(failed):
                # One of them may be what the database does not take: the others are not refused for its sake.
                for alone in group:
                    await self._write_group([alone])
                return
            for _, kept in group:
                if not kept.done():
                    kept.set_exception(failed)
        else:
            for _, kept in group:
                # Done already: whoever waited was cancelled. The event is stored all the same.
                if not kept.done():
                    kept.set_result(None)


def unavailable(error: BaseException) -> bool:
    """Whether it was the database that was away (or too slow), whatever it was asked."""
    return transient(error) or isinstance(error, OSError)
