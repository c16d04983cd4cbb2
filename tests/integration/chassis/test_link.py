"""The publishing connection comes back, whatever breaks it."""

import asyncio

import aiormq
import pytest

from chassis.amqp import Link
from tests.integration.chassis.conftest import eventually
from tests.parts import Vhost


@pytest.mark.parametrize("raised", [asyncio.CancelledError(), EOFError("0 bytes read"), AttributeError("transport")])
async def test_a_link_comes_back_after_whatever_a_breaking_connection_raises_while_it_is_opened(
    vhost: Vhost, monkeypatch: pytest.MonkeyPatch, raised: BaseException
) -> None:
    """aiormq cancels its own futures when the broker dies during the handshake; the link took that for its own end."""
    connect, calls = aiormq.connect, 0

    async def broken_at_first(url: str) -> object:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise raised
        return await connect(url)

    monkeypatch.setattr(aiormq, "connect", broken_at_first)
    async with Link(vhost.url("todos"), "test") as link:

        async def connected() -> bool:
            return link.connected

        await eventually(connected)
    assert calls == 2
