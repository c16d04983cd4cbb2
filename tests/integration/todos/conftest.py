"""The to-do service's handlers on a real database, one for each module: tests use a merchant of their own."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from chassis.testing import Harness, harness
from services.todos.app import build


@pytest_asyncio.fixture(scope="module")
async def todos(module_database: str) -> AsyncIterator[Harness]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PORTAL_TODOS_DATABASE_URL", module_database)
        environment.setenv("PORTAL_AMQP_URL", "amqp://nobody@127.0.0.1:1/")  # nothing here talks to a broker
        environment.setenv("PORTAL_SECRET_KEY", "a key of at least sixteen characters")
        async with harness(build) as opened:
            yield opened
