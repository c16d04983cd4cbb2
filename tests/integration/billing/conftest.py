from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from local.children import free_port
from local.stripe.launch import running
from tests import parts
from tests.integration.billing.shop import KEY, SECRET, Premises, Shop, opened, premises


@dataclass
class Sandbox:
    """A sandbox process that posts its webhooks to a port on which each test's door opens."""

    url: str
    data: Path
    door_port: int


@pytest_asyncio.fixture(scope="session")
async def sandbox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sandbox]:
    data, port, door_port = tmp_path_factory.mktemp("stripe"), free_port(), free_port()
    door = f"http://127.0.0.1:{door_port}/webhooks/stripe"
    async with running(data, port=port, webhook_url=door, webhook_secret=SECRET, secret_key=KEY):
        yield Sandbox(f"http://127.0.0.1:{port}", data, door_port)


@pytest.fixture(scope="module")
def module_database(postgres_url: str, migrated: Callable[[str], str]) -> Iterator[str]:
    """A database for this module, copied instead of migrated once more."""
    with parts.fresh_database(postgres_url, like=migrated("billing")) as url:
        yield url


@pytest_asyncio.fixture(scope="module")
async def fake_premises(module_database: str) -> AsyncIterator[Premises]:
    async with premises(module_database, free_port(), None) as place:
        yield place


@pytest_asyncio.fixture(scope="module")
async def sandbox_premises(
    postgres_url: str, migrated: Callable[[str], str], sandbox: Sandbox
) -> AsyncIterator[Premises]:
    with parts.fresh_database(postgres_url, like=migrated("billing")) as database:
        async with premises(database, sandbox.door_port, sandbox.url) as place:
            yield place


@pytest_asyncio.fixture
async def fake_shop(fake_premises: Premises) -> Shop:
    """A shop whose Stripe is in memory."""
    return await opened(fake_premises)


@pytest_asyncio.fixture
async def sandbox_shop(sandbox_premises: Premises) -> Shop:
    """A shop whose Stripe is the sandbox, well-behaved at the start."""
    return await opened(sandbox_premises)


@pytest.fixture(params=["fake", "sandbox"])
def shop(request: pytest.FixtureRequest) -> Shop:
    """The same scenario over both: the fake may not drift from what Stripe does."""
    found: Shop = request.getfixturevalue(f"{request.param}_shop")
    return found
