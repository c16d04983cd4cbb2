"""The pool: who gets a connection when there are fewer than are wanted."""

import asyncio

from chassis.clock import Clock
from chassis.database import Database
from tests.integration.chassis.conftest import cause


async def test_who_waits_for_a_connection_gets_it_before_whoever_comes_later(database: str) -> None:
    """asyncpg's pool alone hands it to a newcomer that runs before the one who was woken; under load some never get any."""
    served: list[str] = []
    async with Database(database, "todos", Clock(), size=1) as db:

        async def ask(who: str) -> None:
            await db.fetchval("SELECT 1")
            served.append(who)

        async def come_when_it_is_free() -> None:
            while not db.pool.get_idle_size():  # noqa: ASYNC110 - to come in between is what this is about
                await asyncio.sleep(0)
            await ask("later")

        async with db.transaction(cause()):
            tasks = [asyncio.create_task(ask("first"))]
            tasks += [asyncio.create_task(come_when_it_is_free()) for _ in range(3)]
            await asyncio.sleep(0.05)
        await asyncio.gather(*tasks)
    assert served == ["first", "later", "later", "later"]
