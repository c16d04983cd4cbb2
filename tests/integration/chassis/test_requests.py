"""Commands over a real broker: answered once, refused by name, and never mistaken for done."""

import asyncio
import os
import signal
import time
import uuid
from pathlib import Path

import pytest

from chassis.republish import rebuild_copies
from chassis.rpc import TIMEOUT
from chassis.service import Runtime
from contracts.message import (
    Actor,
    CommandReused,
    Incident,
    InvalidInput,
    Known,
    NotAccepted,
    OutcomeUnknown,
)
from contracts.todos import CreateTodo, RepublishTodos, Todo, TodoFollowsFacts
from local.rabbitmq import RabbitMQ
from tests.integration.chassis.conftest import (
    CUSTOMER,
    MERCHANT,
    Pair,
    cause,
    eventually,
    gateway_service,
    running,
)


def create(title: str) -> CreateTodo:
    return CreateTodo(customer_id=CUSTOMER, title=title)


async def titles(runtime: Runtime) -> list[str]:
    return [row["title"] for row in await runtime.db.fetch("SELECT title FROM todo ORDER BY title")]


async def test_a_command_is_answered_with_its_result_and_what_changed(pair: Pair) -> None:
    reply = await pair.gateway.rpc.ask(create("buy milk"), cause())
    assert isinstance(reply.result, Todo)
    assert reply.result.title == "buy milk"
    assert [(each.type, each.sequence, each.subject) for each in reply.changed] == [
        ("todos.todo.created.v1", 1, str(reply.result.id))
    ]


async def test_twenty_commands_at_once_are_not_queued_behind_each_other(pair: Pair) -> None:
    started = time.perf_counter()
    await asyncio.gather(*(pair.gateway.rpc.ask(create("slow"), cause()) for _ in range(20)))
    assert time.perf_counter() - started < 6  # 20 x 0.5 s one after another would be 10


async def test_a_repeated_command_gets_its_first_reply_and_is_done_once(pair: Pair) -> None:
    once = cause()
    first = await pair.gateway.rpc.ask(create("once"), once, id="form-7")
    again = await pair.gateway.rpc.ask(create("once"), once, id="form-7")
    assert again == first
    assert await titles(pair.todos) == ["once"]


async def test_the_same_command_five_times_at_once_is_done_once(pair: Pair) -> None:
    same = cause()
    replies = await asyncio.gather(*(pair.gateway.rpc.ask(create("slow"), same, id="form-8") for _ in range(5)))
    assert len({reply.result.id for reply in replies}) == 1
    assert await titles(pair.todos) == ["slow"]


async def test_a_command_id_used_for_another_body_is_refused(pair: Pair) -> None:
    same = cause()
    await pair.gateway.rpc.ask(create("first"), same, id="form-9")
    with pytest.raises(CommandReused):
        await pair.gateway.rpc.ask(create("second"), same, id="form-9")
    assert await titles(pair.todos) == ["first"]


async def test_another_actor_may_use_the_same_command_id(pair: Pair) -> None:
    mine = cause()
    await pair.gateway.rpc.ask(create("mine"), mine, id="form-1")
    other = cause()
    other = type(other)(Actor(kind="member", id=uuid.uuid4(), merchant_id=MERCHANT), MERCHANT, "m", "c")
    await pair.gateway.rpc.ask(create("other"), other, id="form-1")
    assert await titles(pair.todos) == ["mine", "other"]


async def test_a_refusal_is_the_same_class_in_the_caller_and_is_stored(pair: Pair) -> None:
    same = cause()
    for _ in range(2):
        with pytest.raises(TodoFollowsFacts, match=r"This one was refused\.") as refused:
            await pair.gateway.rpc.ask(create("refuse"), same, id="form-2")
        assert refused.value.members == {"reason": "asked for"}
    assert await pair.todos.db.fetchval("SELECT count(*) FROM command_reply WHERE reply IS NOT NULL") == 1


async def test_a_surprise_is_an_incident_number_and_nothing_more(pair: Pair) -> None:
    with pytest.raises(Incident) as surprised:
        await pair.gateway.rpc.ask(create("crash"), cause())
    assert set(surprised.value.members) == {"incident"}
    assert "secret detail" not in str(surprised.value.document())
    assert await titles(pair.todos) == []


async def test_input_that_does_not_fit_names_the_field(pair: Pair) -> None:
    broken = CreateTodo.model_construct({"customer_id", "title"}, customer_id=CUSTOMER, title="x" * 201)
    with pytest.raises(InvalidInput) as refused:
        await pair.gateway.rpc.ask(broken, cause())
    assert [error.field for error in refused.value.errors] == ["title"]


async def test_what_the_asker_knows_is_in_the_owners_copy_before_it_decides(pair: Pair) -> None:
    state = {"id": str(CUSTOMER), "merchant_id": str(MERCHANT), "name": "Ada", "deleted": False}
    await pair.gateway.rpc.ask(
        create("with customer"), cause(), known=[Known(noun="identity.customer", sequence=4, state=state)]
    )
    row = await pair.todos.db.fetchrow(
        "SELECT sequence, state->>'name' AS name FROM copy_customer WHERE id = $1", CUSTOMER
    )
    assert row is not None
    assert (row["sequence"], row["name"]) == (4, "Ada")


async def test_a_service_that_is_not_there_is_a_refusal_long_before_the_deadline(pair: Pair) -> None:
    await pair.todos.consumers.stop(1)
    pair.gateway.rpc._answered_at.clear()
    started = time.perf_counter()
    with pytest.raises(NotAccepted):
        await pair.gateway.rpc.ask(create("nobody home"), cause())
    assert time.perf_counter() - started < TIMEOUT / 2


async def test_an_answer_that_does_not_come_in_time_is_unknown_and_the_repeat_tells(pair: Pair) -> None:
    same = cause()
    with pytest.raises(OutcomeUnknown):
        await pair.gateway.rpc.ask(create("slow"), same, id="form-3", timeout=0.2)
    reply = await pair.gateway.rpc.ask(create("slow"), same, id="form-3")
    assert await titles(pair.todos) == ["slow"]
    assert reply.result.title == "slow"


async def test_an_event_reaches_the_follower_and_republish_rebuilds_a_lost_copy(pair: Pair) -> None:
    for title in ("a", "b", "c"):
        await pair.gateway.rpc.ask(create(title), cause())

    async def copied() -> bool:
        return await pair.copies() == [("a", 1), ("b", 1), ("c", 1)]

    await eventually(copied)
    await pair.gateway.db.execute("DELETE FROM copy_todo")
    reply = await pair.gateway.rpc.ask(RepublishTodos(noun="todo", to="gateway"), cause())
    assert reply.result.count == 3
    await eventually(copied)
    assert await pair.todos.db.fetchval("SELECT count(*) FROM outbox") == 0


async def test_an_operator_has_copies_sent_again(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    await pair.gateway.rpc.ask(create("a"), cause())

    async def copied() -> bool:
        return await pair.copies() == [("a", 1)]

    await eventually(copied)
    await pair.gateway.db.execute("DELETE FROM copy_todo")
    operator = Runtime(pair.gateway.wiring)
    assert await rebuild_copies(operator, ["todos.todo"]) == 0
    assert capsys.readouterr().out == "todos.todo: 1 rows\n"
    await eventually(copied)
    for arguments in ([], ["todos.todo", "--all"], ["todos.list"]):
        with pytest.raises(SystemExit) as ended:
            await rebuild_copies(operator, arguments)
        assert ended.value.code == 2


async def test_a_broker_that_does_not_answer_is_a_refusal_long_before_the_deadline(
    database: str, own_rabbitmq: RabbitMQ, tmp_path: Path
) -> None:
    wiring = gateway_service(database, own_rabbitmq.url("portal_gateway"), tmp_path / "gateway")
    async with running(wiring) as gateway:
        os.kill(own_rabbitmq.process.pid, signal.SIGSTOP)
        try:
            started = time.perf_counter()
            with pytest.raises(NotAccepted, match="does not answer"):
                await gateway.rpc.ask(create("into the void"), cause())
            assert time.perf_counter() - started < TIMEOUT / 2
        finally:
            os.kill(own_rabbitmq.process.pid, signal.SIGCONT)
