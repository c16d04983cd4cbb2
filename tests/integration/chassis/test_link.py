"""The publishing connection comes back, whatever breaks it, and leaves nothing behind."""

import asyncio
from typing import Any

import pytest
from aiormq import Connection
from aiormq.channel import Channel

from chassis.amqp import Link
from tests.integration.chassis.conftest import eventually
from tests.parts import Vhost


@pytest.mark.parametrize("raised", [asyncio.CancelledError(), EOFError("0 bytes read"), AttributeError("transport")])
async def test_a_link_comes_back_after_whatever_a_breaking_connection_raises_while_it_is_opened(
    vhost: Vhost, monkeypatch: pytest.MonkeyPatch, raised: BaseException
) -> None:
    """aiormq cancels its own futures when the broker dies during the handshake; the link took that for its own end."""
    connect, calls = Connection.connect, 0

    async def broken_at_first(connection: Connection) -> bool:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise raised
        return bool(await connect(connection))

    monkeypatch.setattr(Connection, "connect", broken_at_first)
    async with Link(vhost.url("todos"), "test") as link:

        async def connected() -> bool:
            return link.connected

        await eventually(connected)
    assert calls == 2


async def test_a_link_that_is_closed_in_the_moment_it_comes_up_leaves_no_connection_behind(
    vhost: Vhost, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, up = Connection.connect, asyncio.Event()

    async def at_that_moment(connection: Connection) -> bool:
        await connect(connection)
        up.set()
        await asyncio.sleep(60)  # the end comes before its result does
        return True

    monkeypatch.setattr(Connection, "connect", at_that_moment)
    before = asyncio.all_tasks()
    async with Link(vhost.url("todos"), "test"):
        await up.wait()

    async def nothing_goes_on() -> bool:
        return not asyncio.all_tasks() - before

    await eventually(nothing_goes_on)


async def test_whoever_asks_who_consumes_leaves_no_channel_behind_not_with_others_and_not_when_they_give_up(
    vhost: Vhost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker allows 2,047 to a connection."""
    declare, sent = Channel.queue_declare, asyncio.Event()

    async def told(channel: Channel, *arguments: Any, **options: Any) -> Any:
        sent.set()
        return await declare(channel, *arguments, **options)

    async with Link(vhost.url("todos"), "test") as link:
        await (await link.channel()).queue_declare("todos.asked", durable=True)
        connection = link._connection
        assert connection is not None
        before = len(connection.channels)

        async def few() -> bool:
            return len(connection.channels) <= before + 4

        for _ in range(5):
            assert await asyncio.gather(*(link.consumers("todos.asked") for _ in range(10))) == [0] * 10
        await eventually(few, 10)
        monkeypatch.setattr(Channel, "queue_declare", told)
        for _ in range(10):
            sent.clear()
            asking = asyncio.create_task(link.consumers("todos.asked"))
            await sent.wait()
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        await eventually(few, 10)
        assert await link.consumers("todos.asked") == 0
