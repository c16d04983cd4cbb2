"""The publishing connection comes back, whatever breaks it, and leaves nothing behind."""

import asyncio

import pytest
from aiormq import Connection

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
