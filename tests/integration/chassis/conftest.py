"""Two small services on real parts: one owns to-dos, the other asks for them and follows everything."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from chassis.database import Cause, Database, Tx
from chassis.ids import new_id
from chassis.migrations import migrate
from chassis.republish import CurrentRow
from chassis.service import COPY, Runtime, Service, ServiceSettings
from chassis.tasks import end
from chassis.topology import handled_events
from contracts.message import EVENTS, NOUNS, Actor, CustomerId, MerchantId
from contracts.todos import CreateTodo, DeleteTodo, Todo, TodoCreated, TodoFollowsFacts, UpdateTodo
from tests.parts import Vhost

COPIES = "\n".join(
    f"CREATE TABLE copy_{state.short_name()} (id uuid PRIMARY KEY, merchant_id uuid, sequence bigint NOT NULL,"
    " deleted boolean NOT NULL DEFAULT false, state jsonb NOT NULL);"
    for state in NOUNS.values()
)
TODOS = "CREATE TABLE todo (id uuid PRIMARY KEY, title text NOT NULL, sequence bigint NOT NULL);"
MERCHANT = MerchantId(uuid.uuid4())
CUSTOMER = CustomerId(uuid.uuid4())
MEMBER = Actor(kind="member", id=uuid.uuid4(), role="admin", merchant_id=MERCHANT)


def cause() -> Cause:
    return Cause(MEMBER, MERCHANT, str(new_id()), str(new_id()))


def todo(title: str, id_: uuid.UUID | None = None) -> Todo:
    return Todo(
        id=id_ or new_id(),
        merchant_id=MERCHANT,
        customer_id=CUSTOMER,
        origin="own",
        title=title,
        status="open",
        created_by="Ada",
        created_at=datetime(2026, 3, 2, tzinfo=UTC),
    )


async def create_todo(tx: Tx, command: CreateTodo) -> Todo:
    """Titles say how it goes: `refuse` is refused, `crash` raises."""
    if command.title == "refuse":
        raise TodoFollowsFacts("This one was refused.", reason="asked for")
    if command.title == "crash":
        raise RuntimeError("secret detail")
    if command.title == "slow":
        await asyncio.sleep(0.5)
    state = todo(command.title)
    await tx.execute("INSERT INTO todo VALUES ($1, $2, 1)", state.id, command.title)
    tx.announce(TodoCreated(state=state), sequence=1)
    return state


async def not_here(tx: Tx, command: Any) -> Todo:
    raise TodoFollowsFacts


async def every_todo(db: Database) -> AsyncIterator[CurrentRow]:
    for row in await db.fetch("SELECT id, title, sequence FROM todo ORDER BY id"):
        yield CurrentRow(todo(row["title"], row["id"]), row["sequence"])


def settings(database: str, amqp_url: str) -> ServiceSettings:
    return ServiceSettings(
        database_url=database, amqp_url=amqp_url, secret_key="k" * 32, pick_up_seconds=0.1, drain_seconds=3
    )


@dataclass
class Pair:
    """Both services, running."""

    todos: Runtime
    gateway: Runtime
    databases: dict[str, str] = field(default_factory=dict)

    async def copies(self, noun: str = "todo") -> list[tuple[str, int]]:
        rows = await self.gateway.db.fetch(
            f"SELECT state->>'title' AS title, sequence FROM copy_{noun} ORDER BY state->>'title'"
        )
        return [(row["title"], row["sequence"]) for row in rows]


async def eventually(check: Callable[[], Awaitable[bool]], seconds: float = 30) -> None:
    """Wait until `check` holds; the test fails with its last word otherwise."""
    end = asyncio.get_running_loop().time() + seconds
    while not await check():
        assert asyncio.get_running_loop().time() < end, f"still not so after {seconds} s"
        await asyncio.sleep(0.02)


async def ends_when_told_once(keeper: asyncio.Task[None]) -> None:
    """Cancel the keeper of a connection that does not say goodbye: an error on its way out must not keep it."""

    async def silent(connection: Any, *, timeout: float | None = None) -> None:
        connection.terminate()
        raise TimeoutError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncpg.Connection, "close", silent)
        keeper.cancel()
        await asyncio.wait({keeper}, timeout=5)
    ended = keeper.cancelled()
    await end([keeper], patience=5)
    assert ended


@asynccontextmanager
async def running(service: Service) -> AsyncIterator[Runtime]:
    migrate(service.settings.database_url, service.migrations)
    runtime = Runtime(service)
    await runtime.start()
    try:

        async def ready() -> bool:
            return runtime.consuming

        await eventually(ready, 60)
        yield runtime
    finally:
        await runtime.stop()


async def leave_it(_tx: Tx, _event: Any) -> None:
    """These services have nothing to do with what the real ones handle."""


def todos_service(database: str, vhost: Vhost, migrations: Path, **wiring: Any) -> Service:
    migrations.mkdir(exist_ok=True)
    (migrations / "0001_todos.sql").write_text(TODOS + COPIES)
    commands = {CreateTodo: create_todo, UpdateTodo: not_here, DeleteTodo: not_here}
    return Service(
        "todos",
        settings(database, vhost.url("todos")),
        migrations=migrations,
        commands=commands | wiring.pop("commands", {}),
        follows={state: COPY for state in NOUNS.values() if "todos" in state.followed_by},
        nouns={Todo: every_todo},
        facts={EVENTS[each]: leave_it for each in handled_events("todos")} | wiring.pop("facts", {}),
        **wiring,
    )


def gateway_service(database: str, amqp_url: str, migrations: Path, **follows: Any) -> Service:
    migrations.mkdir(exist_ok=True)
    (migrations / "0001_copies.sql").write_text(COPIES)
    followed = {state: COPY for state in NOUNS.values() if "gateway" in state.followed_by}
    return Service(
        "gateway",
        settings(database, amqp_url),
        migrations=migrations,
        follows=followed | {state: follows[state.short_name()] for state in followed if state.short_name() in follows},
    )


@pytest.fixture
async def pair(make_database: Callable[[], str], vhost: Vhost, tmp_path: Path) -> AsyncIterator[Pair]:
    """Both services, each with a database of its own, on one broker."""
    databases = {"todos": make_database(), "gateway": make_database()}
    async with (
        running(todos_service(databases["todos"], vhost, tmp_path / "todos")) as todos,
        running(gateway_service(databases["gateway"], vhost.url("gateway"), tmp_path / "gateway")) as gateway,
    ):
        yield Pair(todos, gateway, databases)
