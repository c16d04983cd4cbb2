"""Who may look at a service's health on a door that strangers can reach."""

from typing import Any

import pytest

from chassis.health import from_nearby


def scope(client: str | None, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"client": (client, 1234) if client else None, "headers": list(headers)}


@pytest.mark.parametrize("client", ["127.0.0.1", "10.1.2.3", "192.168.0.9", "::1"])
def test_this_machine_and_private_networks_may_look(client: str) -> None:
    assert from_nearby(scope(client))


@pytest.mark.parametrize("client", ["8.8.8.8", "2a00:1450::1", "not an address", None])
def test_strangers_may_not(client: str | None) -> None:
    assert not from_nearby(scope(client))


@pytest.mark.parametrize("header", [b"x-forwarded-for", b"forwarded"])
def test_nobody_may_through_a_proxy_however_near_it_is(header: bytes) -> None:
    assert not from_nearby(scope("127.0.0.1", (header, b"127.0.0.1")))
