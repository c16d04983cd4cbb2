from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.integration.stripe_sandbox.sandbox import Running, receiving, run_sandbox


@pytest_asyncio.fixture(scope="session")
async def _shared_sandbox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    async with receiving() as receiver, run_sandbox(tmp_path_factory.mktemp("stripe"), receiver) as running:
        yield running


@pytest_asyncio.fixture
async def sandbox(_shared_sandbox: Running) -> AsyncIterator[Running]:
    """The suite's sandbox, well-behaved at the start and again at the end of every test."""
    yield _shared_sandbox
    await _shared_sandbox.control("DELETE", "/faults")
    await _shared_sandbox.control("POST", "/webhooks", duplicate=0)
    _shared_sandbox.receiver.answers.clear()
