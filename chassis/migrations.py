"""Schema migrations: yoyo over plain SQL files, under our own advisory lock."""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
import warnings
from pathlib import Path

import asyncpg

CHASSIS = Path(__file__).parent / "migrations"
# Any number, the same in every process: one migrator at a time per database.
_LOCK = 727_001


def migrate(database_url: str, service: Path) -> list[str]:
    """Bring the database at `database_url` up to date with the chassis' and the service's migrations, in that order.

    Returns the names of those applied now. yoyo's own lock is a row that outlives a killed holder, so we hold a session
    advisory lock around it instead: PostgreSQL drops it with the connection.
    """
    with warnings.catch_warnings():
        # yoyo imports pkg_resources-era APIs; its warnings are not ours to mend.
        warnings.simplefilter("ignore", DeprecationWarning)
        import psycopg  # noqa: PLC0415 - only whoever migrates pays for its memory
        from yoyo import get_backend, read_migrations  # noqa: PLC0415 - imported under the warning filter

        url = database_url.replace("postgres://", "postgresql://", 1)
        applied: list[str] = []
        with psycopg.connect(url, autocommit=True) as guard:
            guard.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
            backend = get_backend(url.replace("postgresql://", "postgresql+psycopg://", 1))
            try:
                for folder in (CHASSIS, service):
                    todo = backend.to_apply(read_migrations(str(folder)))
                    backend.apply_migrations(todo)
                    applied += [migration.id for migration in todo]
            finally:
                backend.connection.close()
    return applied


def migrate_aside(database_url: str, service: Path) -> None:
    """Migrate in a child process, so that what it needs (11 MB) is gone when a service begins. Ends this one if it fails.

    Most starts find nothing to do and see that in one statement. Call it before there are threads or an event loop: it
    forks.
    """
    if asyncio.run(_up_to_date(database_url, service)):
        return
    child = os.fork()
    if child == 0:
        try:
            migrate(database_url, service)
        except BaseException:  # noqa: BLE001 - it must not go on as a second service, whatever happened
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1] != 0:
        sys.exit("The database could not be brought up to date.")


async def _up_to_date(database_url: str, service: Path) -> bool:
    """Whether yoyo's own table names every migration. Whatever is in the way of knowing is for `migrate` to say."""
    wanted = {file.stem for folder in (CHASSIS, service) for file in folder.glob("*.sql")}
    try:
        connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(database_url, timeout=10)
        try:
            rows = await connection.fetch("SELECT migration_id FROM _yoyo_migration")
        finally:
            await connection.close(timeout=1)
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
        return False
    return wanted <= {row["migration_id"] for row in rows}
