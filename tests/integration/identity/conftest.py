"""identity's handlers on a real database, with an office to start from: a merchant, its admin and a customer."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from uuid import UUID

import pytest

from chassis.clock import FakeClock
from chassis.testing import Harness, harness
from contracts.message import Actor, MerchantId
from services.identity import app, cli
from services.identity.security import Passwords
from tests.integration.identity.office import PASSWORD, SECRET_KEY, News, Office

OpenOffice = Callable[..., Awaitable[Office]]
Says = Callable[[str], None]


@pytest.fixture(scope="module")
async def service(module_database: str) -> AsyncIterator[Harness]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PORTAL_DATABASE_URL", module_database)
        patch.setenv("PORTAL_AMQP_URL", "amqp://portal_identity:none@127.0.0.1:1/none")
        patch.setenv("PORTAL_SECRET_KEY", SECRET_KEY)
        # The same code with hashes that cost nothing; what a real one costs is a unit test's business.
        for module in (app, cli):
            patch.setattr(module, "Passwords", partial(Passwords, memory_kib=8, passes=1))
        async with harness(app.build) as running:
            yield running


@pytest.fixture
async def h(service: Harness) -> Harness:
    service.clock.at = FakeClock().at
    await service.db.execute("TRUNCATE merchant, person, attempt, outbox, command_reply CASCADE")
    return service


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Says:
    def says(text: str) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO(text))

    return says


@pytest.fixture
def open_office(h: Harness, stdin: Says, capsys: pytest.CaptureFixture[str]) -> OpenOffice:
    async def opened(name: str = "Nordlicht GmbH", email: str = "admin@nordlicht.example", *more: str) -> Office:
        stdin(PASSWORD + "\n")
        arguments = ["--name", name, "--email", email, "--person", "Nora Licht", "--password-stdin", *more]
        assert await cli.create_merchant(h.runtime, arguments) == 0
        ids = json.loads(capsys.readouterr().out)
        merchant_id, person_id = MerchantId(UUID(ids["merchant_id"])), UUID(ids["person_id"])
        admin = Actor(kind="member", id=person_id, name="Nora Licht", role="admin", merchant_id=merchant_id)
        return Office(h, merchant_id, person_id, admin)

    return opened


@pytest.fixture
async def office(open_office: OpenOffice) -> Office:
    return await open_office()


@pytest.fixture
async def other_office(open_office: OpenOffice) -> Office:
    return await open_office("Südwind AG", "admin@suedwind.example")


@pytest.fixture
async def news(h: Harness, office: Office) -> News:
    fresh = News(h)
    await fresh.read()
    return fresh
