"""The pool: who gets a connection when there are too few, whose fault it is when there is none, locks of who stands still."""

import asyncio
import time
from contextlib import suppress
from datetime import timedelta
from urllib.parse import urlsplit

import asyncpg
import pytest

from chassis import database as chassis_database
from chassis.clock import Clock
from chassis.database import Database, DatabaseAwayError, transient
from tests.integration.chassis.conftest import cause, ends_when_told_once


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


async def test_many_who_come_at_once_and_are_soon_done_do_not_fill_the_server(database: str) -> None:
    async with Database(database, "todos", Clock()) as db:
        assert await asyncio.gather(*(db.fetchval("SELECT 1") for _ in range(10))) == [1] * 10
        assert db.pool.get_size() <= 5
        # Those who stay get one each.
        staying = asyncio.Barrier(11)

        async def stay() -> None:
            async with db.transaction(cause()):
                await staying.wait()

        tasks = [asyncio.create_task(stay()) for _ in range(10)]
        async with asyncio.timeout(10):
            await staying.wait()
        await asyncio.gather(*tasks)
        assert db.pool.get_size() == 10


async def test_a_database_that_takes_no_connection_is_away_whatever_it_says_and_is_asked_again(database: str) -> None:
    """It says so with an error of its own (here 55000); a message that meets it would be dead after its last try."""
    name = urlsplit(database).path.removeprefix("/")
    other = await asyncpg.connect(urlsplit(database)._replace(path="/postgres").geturl())
    async with Database(database, "todos", Clock()) as db:
        assert await db.fetchval("SELECT 1") == 1
        await other.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        await other.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
        await asyncio.sleep(0.1)
        with pytest.raises(DatabaseAwayError, match="not currently accepting connections") as away:
            async with db.transaction(cause()):
                raise AssertionError
        assert transient(away.value)
        with pytest.raises(DatabaseAwayError):
            await db.fetchval("SELECT 1")
        await other.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        assert await db.fetchval("SELECT 1") == 1
    await other.close()


async def test_a_statement_that_is_too_slow_is_its_messages_fault(database: str) -> None:
    async with Database(database, "todos", Clock()) as db:
        with pytest.raises(TimeoutError) as slow:
            async with db.transaction(cause()) as tx:
                await tx.connection.execute("SELECT pg_sleep(5)", timeout=0.1)
        assert not transient(slow.value)
        assert await db.fetchval("SELECT 1") == 1


@pytest.mark.parametrize("code", ["53100", "53200", "25006"])
async def test_a_full_disk_short_memory_and_a_stand_by_are_the_databases_fault(database: str, code: str) -> None:
    async with Database(database, "todos", Clock()) as db:
        with pytest.raises(asyncpg.PostgresError) as short:
            await db.execute(f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{code}'; END $$")
        assert transient(short.value)


async def test_whoever_stands_still_in_a_transaction_loses_its_locks(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frozen process's connection stays open, and everybody who wants the same row would wait until it is thawed."""
    monkeypatch.setattr(chassis_database, "_FROZEN", timedelta(milliseconds=1000))
    async with Database(database, "todos", Clock(), size=2) as db:
        await db.execute("CREATE TABLE room (id int PRIMARY KEY, guest text)")
        await db.execute("INSERT INTO room VALUES (1, 'nobody')")

        async def freeze() -> None:
            async with db.transaction(cause()) as tx:
                await tx.execute("UPDATE room SET guest = 'frozen' WHERE id = 1")
                holds.set()
                await thaw.wait()

        holds, thaw = asyncio.Event(), asyncio.Event()
        frozen = asyncio.create_task(freeze())
        await holds.wait()
        async with db.transaction(cause()) as tx:
            await tx.execute("UPDATE room SET guest = 'awake' WHERE id = 1")
        thaw.set()
        await asyncio.wait({frozen})
        thawed = frozen.exception()
        assert thawed is not None
        assert transient(thawed), repr(thawed)
        assert transient(asyncpg.InternalClientError())  # when it wakes up in the middle of the server's goodbye
        assert await db.fetchval("SELECT guest FROM room") == "awake"


async def test_the_whole_line_of_whoever_stands_still_gives_up(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five transactions of a frozen process: one has the row, four are in line before ours and would keep it in turn."""
    monkeypatch.setattr(chassis_database, "_FROZEN", timedelta(milliseconds=2000))
    monkeypatch.setattr(chassis_database, "_IN_LINE", timedelta(milliseconds=600))
    async with Database(database, "todos", Clock(), size=6) as db:
        await db.execute("CREATE TABLE room (id int PRIMARY KEY, guest text)")
        await db.execute("INSERT INTO room VALUES (1, 'nobody')")

        async def take(guest: str, hold: float) -> None:
            async with db.transaction(cause()) as tx:
                await tx.execute("UPDATE room SET guest = $1 WHERE id = 1", guest)
                await asyncio.sleep(hold)

        frozen = []
        for _ in range(5):
            frozen.append(asyncio.create_task(take("frozen", 30)))
            await asyncio.sleep(0.02)
        began, tries = time.monotonic(), 0
        while await db.fetchval("SELECT guest FROM room") != "awake":
            tries += 1
            with suppress(asyncpg.LockNotAvailableError):
                await take("awake", 0)
        took = time.monotonic() - began
        assert tries > 1
        assert took < 8  # and not the ten seconds of five turns
        assert transient(asyncpg.LockNotAvailableError())
        for each in frozen:
            each.cancel()
        await asyncio.gather(*frozen, return_exceptions=True)


async def test_who_listens_for_wake_up_calls_ends_when_told_once_also_when_the_server_says_nothing(
    database: str,
) -> None:
    async with Database(database, "todos", Clock()) as db:
        for _ in range(2):  # the second returns when somebody listens
            await db.wait("bell", 30)
        assert db._listener is not None
        await ends_when_told_once(db._listener)
