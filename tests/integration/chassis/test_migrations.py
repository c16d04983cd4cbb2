"""Starting on tables that are there, and on tables that are not."""

from pathlib import Path

import psycopg
import pytest

from chassis.migrations import _LOCK, migrate, migrate_aside


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_first.sql").write_text("CREATE TABLE first (id int);")
    return tmp_path


def test_a_service_whose_tables_are_up_to_date_starts_while_somebody_migrates(database: str, folder: Path) -> None:
    migrate(database, folder)
    with psycopg.connect(database, autocommit=True) as somebody:
        somebody.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        # Whoever had something to apply would wait for its turn, and here give up.
        migrate_aside(f"{database}?options=-c%20lock_timeout%3D1000", folder)
        (folder / "0002_second.sql").write_text("CREATE TABLE second (id int);")
        with pytest.raises(SystemExit, match="could not be brought up to date"):
            migrate_aside(f"{database}?options=-c%20lock_timeout%3D1000", folder)


def test_what_is_missing_is_applied_at_the_start(database: str, folder: Path) -> None:
    migrate_aside(database, folder)
    (folder / "0002_second.sql").write_text("CREATE TABLE second (id int);")
    migrate_aside(database, folder)
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM first, second").fetchone() == (0,)
