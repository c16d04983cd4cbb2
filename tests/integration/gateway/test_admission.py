"""Too much at once, on a gateway that listens on a real port: what is refused, how, and that nothing came of it."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx
import pytest
import uvicorn

from chassis.service import Asgi, Runtime, application
from contracts.identity import CreateCustomer
from contracts.message import Reply
from contracts.todos import CreateTodo
from local.children import free_port
from services.gateway import live
from services.gateway.app import build_http
from services.gateway.security import admission
from tests.integration.gateway.world import Asked, Owners, World, todo, use


@dataclass
class Held(Owners):
    """Owners that answer once they are let go."""

    go: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, request: Any, cause: Any, **more: Any) -> Reply[Any]:
        if isinstance(request, CreateTodo):
            self.asked.append(Asked(request, cause, more.get("id"), ()))
            await self.go.wait()
        return await super().ask(request, cause, **more)

    def heard(self, kind: type[Any]) -> int:
        return len([each for each in self.asked if isinstance(each.request, kind)])


@dataclass
class Door:
    """The gateway with one place for each kind of work, and the member who knocks."""

    world: World
    url: str
    token: str
    customer_id: str
    owners: Held
    admission: admission.Admission

    def client(self, **headers: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=10)

    @asynccontextmanager
    async def signed_in(self) -> AsyncIterator[httpx.AsyncClient]:
        async with self.client(Authorization=f"Bearer {self.token}") as client:
            yield client

    @asynccontextmanager
    async def a_change_under_way(self) -> AsyncIterator[asyncio.StreamReader]:
        """A request whose body does not come keeps its place."""
        host, port = self.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"POST /api/v1/todos HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {self.token}\r\n"
        writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 40\r\n\r\n{{".encode())
        await eventually(self.admission._changing._places.locked)
        try:
            yield reader
        finally:
            writer.close()
            await writer.wait_closed()

    @asynccontextmanager
    async def a_reader_under_way(self) -> AsyncIterator[None]:
        """A list that waits for its table keeps its place, for the three seconds that a statement waits for a lock."""
        connection = await asyncpg.connect(self.world.h.db.url)
        async with self.signed_in() as client:
            try:
                async with connection.transaction():
                    await connection.execute("LOCK TABLE copy_customer IN ACCESS EXCLUSIVE MODE")
                    waiting = asyncio.create_task(client.get("/api/v1/customers"))
                    await eventually(self.admission._reading._places.locked)
                    yield
            finally:
                await connection.close()
            await waiting

    async def make_customer(self, client: httpx.AsyncClient) -> httpx.Response:
        return await client.post("/api/v1/customers", json={"name": "Ada", "email": "ada@example.com"})

    async def make_todo(self, client: httpx.AsyncClient) -> httpx.Response:
        return await client.post("/api/v1/todos", json={"customer_id": self.customer_id, "title": "Water the plants"})


async def eventually(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.01)


@pytest.fixture
async def door(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Door]:
    wiring = world.h.runtime.wiring
    settings: Any = world.h.runtime.settings
    few = settings.model_copy(update={"requests_at_once": 1, "streams_at_once": 1, "commands_at_once": 1})
    merchant = await world.merchant()
    customer = await world.customer(merchant)
    token = await world.sign_in(await world.member(merchant))
    owners = Held(answers=world.owners.answers)
    use(owners, world.h)
    owners.answers[CreateTodo] = lambda _: todo(customer, "assigned")
    owners.answers[CreateCustomer] = lambda _: customer
    built: list[Any] = []

    def build(runtime: Runtime) -> Asgi:
        app = build_http(runtime, settings=few, hub=live.Hub())
        built.append(app)
        return app

    monkeypatch.setattr(wiring, "http", build)
    port = free_port()
    config = uvicorn.Config(
        application(world.h.runtime), host="127.0.0.1", port=port, lifespan="off", log_config=None, access_log=False
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    await eventually(lambda: server.started)
    try:
        yield Door(world, f"http://127.0.0.1:{port}", token, str(customer.id), owners, built[0].app.app)
    finally:
        owners.go.set()
        server.should_exit = True
        await serving


async def test_a_change_too_many_is_refused_and_nothing_has_come_of_it(door: Door) -> None:
    async with door.signed_in() as client:
        async with door.a_change_under_way():
            began = time.monotonic()
            refused = await door.make_customer(client)
            took = time.monotonic() - began
            document = refused.json()
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
            assert refused.headers["content-type"] == "application/problem+json"
            assert (document["type"], document["retry_after"]) == ("/problems/overloaded", 2)
            assert admission.PATIENCE <= took < admission.PATIENCE + 5
            assert door.owners.heard(CreateCustomer) == 0
            # Everything else goes on: reading, health.
            assert (await client.get("/api/v1/customers")).status_code == 200
            assert (await client.get("/livez")).status_code == 200
            assert 'portal_gateway_refused_total{of="changing"}' in (await client.get("/metrics")).text
        assert (await door.make_customer(client)).status_code == 201
    assert door.owners.heard(CreateCustomer) == 1


async def test_a_request_waits_a_moment_for_a_place(door: Door) -> None:
    door.admission._changing._patience = 10
    async with door.signed_in() as client:
        async with door.a_change_under_way():
            waiting = asyncio.create_task(door.make_customer(client))
            await asyncio.sleep(0.2)
            assert not waiting.done()
        assert (await waiting).status_code == 201


async def test_four_wait_for_a_place_and_who_comes_then_is_refused_at_once(door: Door) -> None:
    door.admission._changing._patience = 3

    async def change() -> tuple[int, float]:
        async with door.signed_in() as client:
            began = time.monotonic()
            answer = await door.make_customer(client)
            return answer.status_code, time.monotonic() - began

    async with door.a_change_under_way():
        answers = await asyncio.gather(*(change() for _ in range(6)))
    assert [status for status, _ in answers] == [503] * 6
    assert sum(took >= 3 for _, took in answers) == 4


async def test_an_owner_that_is_silent_holds_up_nobody_but_those_who_ask_it(door: Door) -> None:
    async with door.signed_in() as client:
        first = asyncio.create_task(door.make_todo(client))
        await eventually(lambda: door.owners.heard(CreateTodo) == 1)
        refused = await door.make_todo(client)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
        assert refused.json()["type"] == "/problems/overloaded"
        assert door.owners.heard(CreateTodo) == 1
        # One place for what changes something, and the first request still waits for its answer.
        assert (await door.make_customer(client)).status_code == 201
        door.owners.go.set()
        assert (await first).status_code == 201
        assert (await door.make_todo(client)).status_code == 201


@pytest.mark.parametrize(
    ("language", "direction", "words"),
    [
        ("de-AT,de;q=0.9", "ltr", "Im Augenblick ist mehr zu tun, als wir schaffen."),
        ("ar", "rtl", "المطلوب الآن أكثر مما نستطيع إنجازه."),
        ("en", "ltr", "There is more to do right now than we can."),
    ],
)
async def test_a_page_too_many_is_refused_by_a_page_in_the_readers_language(
    door: Door, language: str, direction: str, words: str
) -> None:
    # What keeps the place here waits for a lock, and that is given up after three seconds.
    door.admission._reading._patience = 0.2
    async with door.client(**{"Accept-Language": language, "Cookie": f"portal={door.token}"}) as browser:
        async with door.a_reader_under_way():
            page = await browser.get("/console/customers")
            assert (page.status_code, page.headers["retry-after"]) == (503, "2")
            assert page.headers["content-type"] == "text/html; charset=utf-8"
            assert "content-security-policy" in page.headers
            assert f'dir="{direction}"' in page.text
            assert words in page.text
            assert '<a class="button" href="/console/customers">' in page.text
            stylesheet = re.search(r'href="(/static/portal\.css[^"]*)"', page.text)
            assert stylesheet is not None
            assert (await browser.get(stylesheet[1])).status_code == 200
        assert (await browser.get("/console/customers")).status_code == 200


async def test_streams_have_places_of_their_own(door: Door) -> None:
    async with door.signed_in() as client, door.signed_in() as other:
        async with client.stream("GET", "/api/v1/changes") as stream:
            assert stream.status_code == 200
            refused = await other.get("/api/v1/changes")
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
            assert (await other.get("/api/v1/customers")).status_code == 200
        async with asyncio.timeout(30):
            while True:
                async with other.stream("GET", "/api/v1/changes") as stream:
                    if stream.status_code == 200:
                        break
                await asyncio.sleep(0.05)


async def test_a_body_that_does_not_come_gives_its_place_back(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "BODY_WITHIN", 2.0)
    async with door.a_change_under_way() as reader, door.signed_in() as client:
        async with asyncio.timeout(30):
            assert (await reader.readline()).startswith(b"HTTP/1.1 4")
        assert (await door.make_customer(client)).status_code == 201
    assert door.owners.heard(CreateTodo) == 0


async def test_a_form_that_is_refused_comes_back_with_what_was_typed_and_says_when_to_try_again(door: Door) -> None:
    async with door.signed_in() as client:
        csrf = (await client.get("/api/v1/session")).json()["csrf"]
        first = asyncio.create_task(door.make_todo(client))
        await eventually(lambda: door.owners.heard(CreateTodo) == 1)
        form = {"csrf": csrf, "title": "Call the bank", "priority": "normal"}
        async with door.client(Cookie=f"portal={door.token}") as browser:
            page = await browser.post(f"/console/customers/{door.customer_id}/todos", data=form)
            assert (page.status_code, page.headers["retry-after"]) == (503, "2")
            assert "There is more to do right now than we can." in page.text
            assert 'value="Call the bank"' in page.text
        assert door.owners.heard(CreateTodo) == 1
        door.owners.go.set()
        assert (await first).status_code == 201
