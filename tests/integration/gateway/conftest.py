"""The gateway on a real database. Other services are stand-ins that a test tells how to answer; no broker."""

from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from chassis.clock import FakeClock
from chassis.testing import Harness, harness
from contracts.identity import Contact, Customer, Member, Merchant
from services.gateway import app
from tests import parts
from tests.integration.gateway.world import START, Owners, World, use


@pytest.fixture(scope="module")
def module_database(postgres_url: str, migrated: Callable[[str], str]) -> Iterator[str]:
    """A database for this module, copied instead of migrated once more."""
    with parts.fresh_database(postgres_url, like=migrated("gateway")) as url:
        yield url


@pytest.fixture(scope="module")
async def module_harness(module_database: str) -> AsyncIterator[Harness]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PORTAL_DATABASE_URL", module_database)
        patch.setenv("PORTAL_AMQP_URL", "amqp://portal_gateway:none@127.0.0.1:1/none")
        patch.setenv("PORTAL_SECRET_KEY", "a key for tests of the gateway alone")
        patch.setenv("PORTAL_PUBLIC_URL", "http://127.0.0.1:8000")
        patch.setenv("PORTAL_CORS_ORIGINS", "https://shop.example")
        async with harness(app.build, clock=FakeClock(START)) as running:
            yield running


@pytest.fixture
def h(module_harness: Harness) -> Harness:
    """Every test has merchants of its own, so they share a database; its clock begins anew."""
    module_harness.clock.at = START
    return module_harness


@pytest.fixture
async def world(h: Harness) -> World:
    owners = Owners()
    use(owners, h)
    http = h.runtime.wiring.http
    assert http is not None
    return World(h, http(h.runtime), owners)


@pytest.fixture
async def merchant(world: World) -> Merchant:
    return await world.merchant(support_email="help@nordlicht.example")


@pytest.fixture
async def member(world: World, merchant: Merchant) -> Member:
    return await world.member(merchant)


@pytest.fixture
async def customer(world: World, merchant: Merchant) -> Customer:
    return await world.customer(merchant)


@pytest.fixture
async def contact(world: World, customer: Customer) -> Contact:
    return await world.contact(customer)
