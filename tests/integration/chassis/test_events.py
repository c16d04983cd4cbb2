"""Events over a real broker: retried, dead-lettered with a reason, believed only from their owner, seen once."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiormq
import pytest

from chassis import deadletters, listeners, outbox, topology
from chassis.amqp import Properties
from chassis.clock import Clock
from chassis.copies import Change, seen_in
from chassis.database import Database, Tx, system_cause
from chassis.migrations import CHASSIS, migrate
from chassis.outbox import Relay
from chassis.rpc import RpcClient
from chassis.service import Runtime
from chassis.tasks import end
from chassis.testing import envelope_of
from contracts.message import INTERNAL, EventEnvelope
from contracts.todos import Todo, TodoCreated
from tests.integration.chassis.conftest import (
    Pair,
    ends_when_told_once,
    eventually,
    gateway_service,
    running,
    todo,
    todos_service,
)
from tests.parts import Vhost


async def announce(runtime: Runtime, *todos: tuple[Todo, int]) -> None:
    async with runtime.db.transaction(system_cause("todos")) as tx:
        for state, sequence in todos:
            tx.announce(TodoCreated(state=state), sequence=sequence)


@asynccontextmanager
async def publisher(url: str) -> AsyncIterator[Callable[..., Any]]:
    connection = await aiormq.connect(url)
    channel = await connection.channel()

    async def publish(body: bytes, *, exchange: str = "", key: str = "gateway.todo", **properties: Any) -> None:
        await channel.basic_publish(body, exchange=exchange, routing_key=key, properties=Properties(**properties))

    yield publish
    await connection.close()


async def dead(runtime: Runtime) -> list[deadletters.DeadLetter]:
    async with deadletters._taken(runtime) as (_, messages):
        return [deadletters._letter(message) for message in messages]


async def test_what_a_rolled_back_transaction_announced_is_never_published(pair: Pair) -> None:
    async def change_my_mind() -> None:
        async with pair.todos.db.transaction(system_cause("todos")) as tx:
            tx.announce(TodoCreated(state=todo("never")), sequence=1)
            raise RuntimeError("changed my mind")

    with pytest.raises(RuntimeError, match="changed my mind"):
        await change_my_mind()
    await announce(pair.todos, (todo("after"), 1))

    async def copied() -> bool:
        return await pair.copies() == [("after", 1)]

    await eventually(copied)


async def test_an_older_state_never_replaces_a_newer_one(pair: Pair) -> None:
    id_ = uuid.uuid4()
    await announce(pair.todos, (todo("newest", id_), 7), (todo("older", id_), 3), (todo("other"), 1))

    async def copied() -> bool:
        return await pair.copies() == [("newest", 7), ("other", 1)]

    await eventually(copied)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"not json", "poison"),
        (b"{}", "poison"),
        (b'{"type":"todos.todo.created.v1"}', "poison"),
    ],
)
async def test_an_unreadable_message_is_dead_with_its_reason_and_blocks_nothing(
    pair: Pair, vhost: Vhost, body: bytes, reason: str
) -> None:
    async with publisher(vhost.url("todos")) as publish:
        await publish(body, message_id="broken", user_id="portal_todos")
    await announce(pair.todos, (todo("next"), 1))

    async def copied() -> bool:
        return await pair.copies() == [("next", 1)]

    await eventually(copied)
    letters = await dead(pair.gateway)
    assert [(letter.id, letter.where, letter.reason) for letter in letters] == [("broken", "gateway.todo", reason)]


async def test_an_event_with_a_state_of_the_wrong_shape_is_poison(pair: Pair, vhost: Vhost) -> None:
    envelope = envelope_of(TodoCreated(state=todo("odd")))
    broken = envelope.model_dump(mode="json") | {"data": {"state": {"id": "no"}}}
    async with publisher(vhost.url("todos")) as publish:
        await publish(json.dumps(broken).encode(), message_id="odd", user_id="portal_todos")

    async def buried() -> bool:
        return [letter.reason for letter in await dead(pair.gateway)] == ["poison"]

    await eventually(buried)


async def test_an_event_that_breaks_the_reading_itself_holds_nothing_up(
    pair: Pair, vhost: Vhost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One delivery that were left unacked would hold up the acks of all behind it."""

    def broken(envelope: EventEnvelope) -> Any:
        if envelope.data["state"]["title"] == "breaks":  # type: ignore[index, call-overload]  # our own state
            raise RuntimeError("cannot be read")
        return seen_in(envelope)

    monkeypatch.setattr(listeners, "seen_in", broken)
    await announce(pair.todos, (todo("before"), 1), (todo("breaks"), 1), (todo("behind"), 1))

    async def copied() -> bool:
        return await pair.copies() == [("before", 1), ("behind", 1)]

    await eventually(copied)

    async def acked() -> bool:
        return [letter.reason for letter in await dead(pair.gateway)] == ["poison"]

    await eventually(acked)
    await pair.gateway.consumers.stop(2)  # whatever was not acked goes back to the queue
    connection = await aiormq.connect(vhost.operator_url)
    channel = await connection.channel()
    left = await channel.basic_get("gateway.todo")
    await connection.close()
    assert left.delivery_tag is None


async def test_an_event_from_somebody_else_is_forged(pair: Pair, vhost: Vhost) -> None:
    envelope = envelope_of(TodoCreated(state=todo("forged")))
    async with publisher(vhost.url("billing")) as publish:
        await publish(envelope.model_dump_json().encode(), message_id="forged", user_id="portal_billing")

    async def buried() -> bool:
        return [letter.reason for letter in await dead(pair.gateway)] == ["forged"]

    await eventually(buried)
    assert await pair.copies() == []


async def test_a_command_from_somebody_else_is_forged_and_its_secret_is_not_kept(pair: Pair, vhost: Vhost) -> None:
    body = {"type": "todos.create_todo.v1", "data": {"body": {"title": "x"}}}
    async with publisher(vhost.url("billing")) as publish:
        await publish(json.dumps(body).encode(), key="todos.create_todo", message_id="c", user_id="portal_billing")

    async def buried() -> bool:
        return [(letter.reason, letter.where) for letter in await dead(pair.todos)] == [("forged", "todos.create_todo")]

    await eventually(buried)
    assert await pair.todos.db.fetchval("SELECT count(*) FROM todo") == 0


async def test_a_failing_follower_tries_again_and_then_the_dead_letter_can_be_redriven(
    make_database: Callable[[], str], vhost: Vhost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.deliveries.RETRY_SECONDS", (1,))
    calls: list[str] = []
    broken = True

    async def follow(tx: Tx, change: Change[Todo]) -> None:
        calls.append(str(change.state.title))
        if broken and change.state.title == "bad":
            raise RuntimeError("not today")

    wiring = gateway_service(make_database(), vhost.url("gateway"), tmp_path / "gateway", todo=follow)
    async with (
        running(todos_service(make_database(), vhost, tmp_path / "todos")) as todos,
        running(wiring) as gateway,
    ):
        await announce(todos, (todo("bad"), 1), (todo("good"), 1))

        async def buried() -> bool:
            return len(await dead(gateway)) == 1

        await eventually(buried)
        (letter,) = await dead(gateway)
        assert (letter.where, letter.reason, letter.attempts) == ("gateway.todo", "exhausted", 2)
        assert letter.error == "RuntimeError: not today"
        copied = await gateway.db.fetch("SELECT state->>'title' AS title FROM copy_todo")
        assert [row["title"] for row in copied] == ["good"]  # the failed one left nothing behind

        broken = False
        async with deadletters._taken(gateway) as (channel, messages):
            await deadletters._redrive(gateway, channel, messages[0])

        async def healed() -> bool:
            return bool(await gateway.db.fetchval("SELECT count(*) = 2 FROM copy_todo"))

        await eventually(healed)
        assert await dead(gateway) == []


async def test_a_message_that_kills_its_worker_is_dead_by_the_delivery_limit(pair: Pair, vhost: Vhost) -> None:
    await pair.gateway.consumers.stop(1)  # its worker is dead
    connection = await aiormq.connect(vhost.url("gateway"))
    await announce(pair.todos, (todo("killer"), 1))
    for _ in range(10):
        channel = await connection.channel()
        for _ in range(100):
            message = await channel.basic_get("gateway.todo")
            if message.delivery_tag is not None:
                break
            await asyncio.sleep(0.02)
        await channel.close()  # taken and never acked, as a killed worker would
    await connection.close()

    async def buried() -> bool:
        return [(letter.reason, letter.where) for letter in await dead(pair.gateway)] == [
            ("delivery_limit", "gateway.todo")
        ]

    await eventually(buried)


async def test_two_relays_stand_by_each_other_and_keep_the_order(pair: Pair, vhost: Vhost, tmp_path: Path) -> None:
    second = todos_service(pair.databases["todos"], vhost, tmp_path / "todos")
    async with running(second) as other:
        id_ = uuid.uuid4()
        for sequence in range(1, 40):
            await announce(other if sequence % 2 else pair.todos, (todo(f"{sequence}", id_), sequence))

        async def last() -> bool:
            return await pair.copies() == [("39", 39)]

        await eventually(last)
        assert await pair.todos.db.fetchval("SELECT count(*) FROM outbox") == 0


async def test_an_event_stays_in_the_outbox_while_the_broker_is_away(database: str) -> None:
    migrate(database, CHASSIS)
    async with Database(database, "todos", Clock()) as db:
        rpc = RpcClient("amqp://nobody:x@127.0.0.1:9/none", "todos", Clock())
        async with rpc.link:
            relay = asyncio.create_task(Relay(db, rpc.link, poll_seconds=0.05).run())
            async with db.transaction(system_cause("todos")) as tx:
                tx.announce(TodoCreated(state=todo("waits")), sequence=1)
            await asyncio.sleep(0.5)
            assert await db.fetchval("SELECT count(*) FROM outbox") == 1
            await end([relay], patience=5)


async def test_a_relay_that_stands_still_is_relieved(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection is open and holds the lock: without a limit nothing would be published until it is thawed."""
    monkeypatch.setattr(outbox, "_STANDS_STILL_SECONDS", 0.3)
    migrate(database, CHASSIS)
    async with Database(database, "todos", Clock()) as db:
        rpc = RpcClient("amqp://nobody:x@127.0.0.1:9/none", "todos", Clock())
        async with rpc.link:
            frozen, other = (Relay(db, rpc.link, poll_seconds=0.05) for _ in range(2))
            monkeypatch.setattr(frozen, "_move", lambda _: asyncio.sleep(3600))
            tasks = [asyncio.create_task(frozen.run())]

            async def holds() -> bool:
                return frozen.active

            await eventually(holds)
            tasks.append(asyncio.create_task(other.run()))

            async def relieved() -> bool:
                return other.active

            await eventually(relieved)
            await end(tasks, patience=5)


async def test_a_relay_ends_when_told_once_also_when_the_server_says_nothing(database: str) -> None:
    migrate(database, CHASSIS)
    async with Database(database, "todos", Clock()) as db:
        relay = Relay(db, RpcClient("amqp://nobody:x@127.0.0.1:9/none", "todos", Clock()).link, poll_seconds=60)
        running = asyncio.create_task(relay.run())

        async def active() -> bool:
            return relay.active

        await eventually(active)
        await ends_when_told_once(running)


async def test_an_event_whose_followers_have_no_queue_yet_waits_for_it(database: str, vhost: Vhost) -> None:
    migrate(database, CHASSIS)
    async with Database(database, "todos", Clock()) as db:
        rpc = RpcClient(vhost.url("todos"), "todos", Clock())
        async with rpc.link:
            channel = await rpc.link.channel()
            await channel.exchange_declare(INTERNAL, exchange_type="topic", durable=True)
            relay = asyncio.create_task(Relay(db, rpc.link, poll_seconds=0.05).run())
            async with db.transaction(system_cause("todos")) as tx:
                tx.announce(TodoCreated(state=todo("early")), sequence=1)
            await asyncio.sleep(0.5)
            assert await db.fetchval("SELECT count(*) FROM outbox") == 1
            await topology.declare(channel, "todos")

            async def arrived() -> bool:
                return (await channel.queue_declare("gateway.todo", passive=True)).message_count == 1

            await eventually(arrived)
            await end([relay], patience=5)


async def test_nothing_is_relayed_before_every_queue_of_its_followers_is_there(
    database: str, vhost: Vhost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare, may_go_on = topology.declare, asyncio.Event()

    async def slowly(channel: Any, service: Any) -> None:
        # The internal exchange and one queue that hears everything are there; the gateway's is not yet.
        await channel.exchange_declare(INTERNAL, exchange_type="topic", durable=True)
        await channel.queue_declare("todos.early")
        await channel.queue_bind("todos.early", INTERNAL, routing_key="#")
        await may_go_on.wait()
        await declare(channel, service)

    monkeypatch.setattr(topology, "declare", slowly)
    service = todos_service(database, vhost, tmp_path / "todos")
    migrate(database, service.migrations)
    todos = Runtime(service)
    await todos.start()
    try:
        await announce(todos, (todo("first"), 1))
        await asyncio.sleep(0.5)
        assert await todos.db.fetchval("SELECT count(*) FROM outbox") == 1
        may_go_on.set()

        async def relayed() -> bool:
            return bool(await todos.db.fetchval("SELECT count(*) = 0 FROM outbox"))

        await eventually(relayed)
        channel = await todos.rpc.link.channel()
        assert (await channel.queue_declare("gateway.todo", passive=True)).message_count == 1
    finally:
        await todos.stop()


def test_an_event_survives_its_own_envelope() -> None:
    event = TodoCreated(state=todo("round trip"))
    envelope = envelope_of(event, sequence=3)
    again = EventEnvelope.model_validate_json(envelope.model_dump_json())
    assert TodoCreated.model_validate(again.data) == event
    assert again.model_dump(mode="json")["specversion"] == "1.0"
