"""Unit tests cannot reach a network, and still have their event loop."""

import asyncio
import socket

import pytest
import pytest_socket


def test_opening_a_network_socket_is_an_error() -> None:
    with pytest.warns(UserWarning, match="tried to use socket"), pytest.raises(pytest_socket.SocketBlockedError):
        socket.create_connection(("127.0.0.1", 5432), timeout=1)


async def test_the_event_loop_works_without_a_network() -> None:
    assert await asyncio.to_thread(lambda: 42) == 42
