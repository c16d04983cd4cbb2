"""A service's life: schedules run once, an orderly end finishes what was taken, health tells the truth, traces hang together."""

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from chassis import deadletters, health, telemetry
from chassis.amqp import Properties
from chassis.migrations import migrate
from chassis.schedules import Schedule, claim
from chassis.service import Runtime
from contracts.message import NotAccepted
from contracts.todos import CreateTodo
from tests.integration.chassis.conftest import CUSTOMER, Pair, cause, eventually, running, todos_service
from tests.parts import Vhost


async def test_a_schedule_runs_once_however_many_replicas_there_are(
    database: str, vhost: Vhost, tmp_path: Path
) -> None:
    ran: list[str] = []

    async def run(runtime: Runtime) -> None:
        ran.append("once")

    schedules = [Schedule("tick", timedelta(hours=1), run)]
    async with (
        running(todos_service(database, vhost, tmp_path / "one", schedules=schedules)) as one,
        running(todos_service(database, vhost, tmp_path / "two", schedules=schedules)) as two,
    ):
        assert ran == ["once"]
        assert not await claim(one.db, schedules[0])
        await two.db.execute("UPDATE schedule SET last_started_at = last_started_at - interval '61 minutes'")
        claimed = await asyncio.gather(*(claim(each.db, schedules[0]) for each in (one, two, one, two)))
        assert sorted(claimed) == [False, False, False, True]


async def test_a_schedule_that_fails_comes_round_again(database: str, vhost: Vhost, tmp_path: Path) -> None:
    runs: list[int] = []

    async def run(runtime: Runtime) -> None:
        runs.append(1)
        raise RuntimeError("not this time")

    async with running(
        todos_service(database, vhost, tmp_path, schedules=[Schedule("bad", timedelta(milliseconds=300), run)])
    ):

        async def again() -> bool:
            return len(runs) >= 2

        await eventually(again)


async def test_an_orderly_end_finishes_what_was_taken(pair: Pair) -> None:
    slow = asyncio.create_task(pair.gateway.rpc.ask(CreateTodo(customer_id=CUSTOMER, title="slow"), cause()))

    async def taken() -> bool:
        return pair.todos.consumers.in_flight == 1

    await eventually(taken)
    await pair.todos.stop()
    assert (await slow).result.title == "slow"
    pair.gateway.rpc._answered_at.clear()
    with pytest.raises(NotAccepted):
        await pair.gateway.rpc.ask(CreateTodo(customer_id=CUSTOMER, title="late"), cause())
    await pair.todos.start()  # the fixture stops it once more


@pytest.mark.parametrize("first", range(0, 200, 40))
async def test_a_service_can_be_stopped_at_any_moment_of_its_start(
    database: str, vhost: Vhost, tmp_path: Path, first: int
) -> None:
    service = todos_service(database, vhost, tmp_path)
    migrate(database, service.migrations)
    before = asyncio.all_tasks()
    for milliseconds in range(first, first + 40, 4):
        runtime = Runtime(service)
        await runtime.start()
        await asyncio.sleep(milliseconds / 1000)
        async with asyncio.timeout(30):
            await runtime.stop()
    await nothing_goes_on(before)


async def test_a_service_can_be_stopped_while_the_broker_says_nothing(
    database: str, vhost: Vhost, tmp_path: Path
) -> None:
    """As it does when it stands still: the connection is taken, and nobody answers on it."""
    taken: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
    silent = await asyncio.start_server(lambda _, writer: taken.put_nowait(writer), "127.0.0.1", 0)
    service = todos_service(database, vhost, tmp_path)
    migrate(database, service.migrations)
    before = asyncio.all_tasks()
    runtime = Runtime(service)
    # The publishing connection is up; the one that consumes is the one that hangs.
    address = f"amqp://portal_todos@127.0.0.1:{silent.sockets[0].getsockname()[1]}/"
    runtime.settings = runtime.settings.model_copy(update={"amqp_url": address})
    await runtime.start()
    async with asyncio.timeout(30):
        connection = await taken.get()
        await runtime.stop()
    await nothing_goes_on(before)
    connection.close()
    silent.close()
    await silent.wait_closed()


async def nothing_goes_on(before: set[asyncio.Task[Any]]) -> None:
    """Fail when tasks live that were not there before: a process would never end."""

    async def ended() -> bool:
        return not asyncio.all_tasks() - before

    await eventually(ended)


async def test_health_tells_what_stands_in_the_way(pair: Pair) -> None:
    assert (await health.answer(pair.gateway, "/readyz"))[0] == 200
    assert (await health.answer(pair.gateway, "/livez"))[0] == 200
    status, _, body = await health.answer(pair.gateway, "/metrics")
    assert (status, b"portal_messages_handled_total" in body) == (200, True)
    pair.gateway.draining = True
    status, _, body = await health.answer(pair.gateway, "/readyz")
    assert (status, json.loads(body)["wrong"]) == (503, {"service": "Shutting down."})


async def test_the_dead_letter_tool_lists_shows_redrives_and_discards(
    pair: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("first", "second"):
        properties = Properties(delivery_mode=2, message_id=name)
        await pair.todos.rpc.link.publish(
            b"not an event", exchange="", routing_key="gateway.todo", properties=properties
        )

    # The tool opens a link of its own, as in a process of its own.
    tool = Runtime(pair.gateway.wiring)

    async def listed() -> bool:
        assert await deadletters.run(tool, ["list"]) == 0
        return "2 dead letters." in capsys.readouterr().out

    await eventually(listed)
    assert await deadletters.run(tool, ["show", "first"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["reason"], shown["where"], shown["details"]["body"]) == ("poison", "gateway.todo", "not an event")
    assert await deadletters.run(tool, ["show", "nobody"]) == 1
    assert await deadletters.run(tool, ["discard", "first"]) == 0
    assert await deadletters.run(tool, ["redrive", "first"]) == 1
    assert await deadletters.run(tool, ["redrive"]) == 2
    capsys.readouterr()
    assert await deadletters.run(tool, ["redrive", "--all"]) == 0
    assert capsys.readouterr().out == "1 redriven.\n"

    async def back() -> bool:  # still poison, so it is dead again, and only it
        assert await deadletters.run(tool, ["list"]) == 0
        out = capsys.readouterr().out
        return "second" in out and "1 dead letters." in out

    await eventually(back)


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr("opentelemetry.trace.get_tracer", provider.get_tracer)
    monkeypatch.setattr(telemetry, "_tracing", True)
    yield exporter
    provider.shutdown()


async def test_a_command_and_the_event_it_causes_are_one_trace(pair: Pair, spans: InMemorySpanExporter) -> None:
    reply = await pair.gateway.rpc.ask(CreateTodo(customer_id=CUSTOMER, title="traced"), cause())
    finished = {span.name: span for span in spans.get_finished_spans()}
    asked, answered = finished["ask todos.create_todo"], finished["answer todos.create_todo.v1"]
    assert asked.context is not None
    assert answered.parent is not None
    assert answered.parent.span_id == asked.context.span_id
    (event,) = reply.changed
    assert event.traceparent is not None
    assert event.traceparent.split("-")[1] == f"{asked.context.trace_id:032x}"
