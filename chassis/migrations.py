"""Schema migrations: yoyo over plain SQL files, under our own advisory lock."""

from __future__ import annotations

import warnings
from pathlib import Path

import psycopg

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
