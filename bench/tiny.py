"""The chassis with the smallest wiring that the contracts allow: what a figure is about is given, the rest does nothing."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from chassis.database import Database
from chassis.republish import CurrentRow
from chassis.service import COPY, Service, ServiceSettings
from chassis.topology import answered_requests, followed_nouns, handled_events
from contracts.message import EVENTS, NOUNS, REQUESTS, NotAllowed, Republished
from contracts.message import Service as ServiceName

TABLES = (
    "\n".join(
        f"CREATE TABLE copy_{state.short_name()} (id uuid PRIMARY KEY, merchant_id uuid, sequence bigint NOT NULL,"
        " deleted boolean NOT NULL DEFAULT false, state jsonb NOT NULL);"
        for state in NOUNS.values()
    )
    + "CREATE TABLE effect (id text PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp());"
)


async def _refuse(_where: Any, _what: Any) -> Any:
    raise NotAllowed


async def _nothing(_tx: Any, _event: Any) -> None:
    return


async def _no_rows(_db: Database) -> AsyncIterator[CurrentRow]:
    for row in list[CurrentRow]():
        yield row


def service(name: ServiceName, **given: dict[Any, Any]) -> Service:
    """A service whose handlers are those given; every other message of its contracts is taken and dropped."""
    folder = Path(tempfile.mkdtemp(prefix="portal-bench-"))
    (folder / "0001_tables.sql").write_text(TABLES)
    requests = [REQUESTS[each] for each in answered_requests(name)]
    requests = [each for each in requests if each.result_type() is not Republished]
    return Service(
        name,
        ServiceSettings.load(name),
        migrations=folder,
        commands={each: _refuse for each in requests if each.stored} | given.get("commands", {}),
        questions={each: _refuse for each in requests if not each.stored},
        follows={NOUNS[each]: COPY for each in followed_nouns(name)},
        facts={EVENTS[each]: _nothing for each in handled_events(name)} | given.get("facts", {}),
        nouns={state: _no_rows for state in NOUNS.values() if state.owner() == name},
        workers=given.get("workers", {}),
    )
