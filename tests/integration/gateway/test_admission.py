"""Too much at once, on a gateway that listens on a real port: what is refused, how, and that nothing came of it."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx
import pytest
import uvicorn

from chassis.service import application
from contracts.billing import InvoiceOpened, InvoicePdf
from contracts.identity import CreateCustomer
from contracts.message import Document, Reply
from contracts.todos import CreateTodo
from local.children import free_port
from services.gateway import live
from services.gateway.app import build_http
from services.gateway.security import admission
from tests.integration.gateway.world import Asked, Owners, World, invoice, todo, use


@dataclass
class Held(Owners):
    """Owners that answer once they are let go."""

    go: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, request: Any, cause: Any, **more: Any) -> Reply[Any]:
        held = isinstance(request, CreateTodo | InvoicePdf)
        if held:
            self.asked.append(Asked(request, cause, more.get("id"), ()))
            await self.go.wait()
        return await super().ask(request, cause, **more)


@dataclass
class Door:
    """The gateway with few places, the member who knocks, and what holds a place."""

    world: World
    url: str
    token: str
    customer_id: str
    owners: Held
    tasks: list[asyncio.Task[httpx.Response]] = field(default_factory=list)

    def client(self, **headers: str) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=10)

    @asynccontextmanager
    async def signed_in(self) -> AsyncIterator[httpx.AsyncClient]:
        async with self.client(Authorization=f"Bearer {self.token}") as client:
            yield client

    async def hold(self, method: str, path: str, body: Any = None) -> asyncio.Task[httpx.Response]:
        """Send a request that keeps its place until the owners are let go."""
        before = len(self.owners.asked)

        async def send() -> httpx.Response:
            async with self.signed_in() as client:
                return await client.request(method, path, json=body)

        task = asyncio.create_task(send())
        self.tasks.append(task)
        await eventually(lambda: len(self.owners.asked) > before)
        return task

    async def hold_a_change(self) -> asyncio.Task[httpx.Response]:
        body = {"customer_id": self.customer_id, "title": "Water the plants"}
        return await self.hold("POST", "/api/v1/todos", body)


async def eventually(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.01)


@pytest.fixture
async def door(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Door]:
    """One request of each kind and one stream may be under way."""
    wiring = world.h.runtime.wiring
    settings: Any = world.h.runtime.settings
    few = settings.model_copy(update={"requests_at_once": 1, "streams_at_once": 1})
    merchant = await world.merchant()
    customer = await world.customer(merchant)
    token = await world.sign_in(await world.member(merchant))
    owners = Held(answers=world.owners.answers)
    use(owners, world.h)
    owners.answers[CreateTodo] = lambda _: todo(customer, "assigned")
    monkeypatch.setattr(wiring, "http", partial(build_http, settings=few, hub=live.Hub()))
    port = free_port()
    config = uvicorn.Config(
        application(world.h.runtime), host="127.0.0.1", port=port, lifespan="off", log_config=None, access_log=False
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    await eventually(lambda: server.started)
    running = Door(world, f"http://127.0.0.1:{port}", token, str(customer.id), owners)
    try:
        yield running
    finally:
        owners.go.set()
        await asyncio.gather(*running.tasks, return_exceptions=True)
        server.should_exit = True
        await serving


async def test_a_change_too_many_is_refused_and_nothing_has_come_of_it(door: Door) -> None:
    first = await door.hold_a_change()
    async with door.signed_in() as client:
        began = time.monotonic()
        refused = await client.post("/api/v1/customers", json={"name": "Ada", "email": "ada@example.com"})
        took = time.monotonic() - began
        document = refused.json()
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
        assert refused.headers["content-type"] == "application/problem+json"
        assert (document["type"], document["retry_after"]) == ("/problems/overloaded", 2)
        assert admission.PATIENCE <= took < admission.PATIENCE + 1
        assert [type(each.request) for each in door.owners.asked if not isinstance(each.request, CreateTodo)] == []
        # Everything else goes on: reading, stylesheets, health.
        assert (await client.get("/api/v1/customers")).status_code == 200
        assert (await client.get("/livez")).status_code == 200
        assert 'portal_gateway_refused_total{of="changing"}' in (await client.get("/metrics")).text
        door.owners.go.set()
        assert (await first).status_code == 201
        made = await door.world.customer(await door.world.merchant())
        door.owners.answers[CreateCustomer] = lambda _: made
        again = await client.post("/api/v1/customers", json={"name": "Ada", "email": "ada@example.com"})
        assert again.status_code == 201
    assert [type(each.request) for each in door.owners.asked if isinstance(each.request, CreateCustomer)] == [
        CreateCustomer
    ]


async def test_a_request_waits_a_moment_for_a_place(door: Door) -> None:
    await door.hold_a_change()
    asyncio.get_running_loop().call_later(admission.PATIENCE / 3, door.owners.go.set)
    async with door.signed_in() as client:
        body = {"customer_id": door.customer_id, "title": "Call the bank"}
        assert (await client.post("/api/v1/todos", json=body)).status_code == 201


async def test_no_more_wait_than_there_are_places(door: Door) -> None:
    await door.hold_a_change()

    async def change() -> tuple[int, float]:
        async with door.signed_in() as client:
            began = time.monotonic()
            answer = await client.post("/api/v1/todos", json={"customer_id": door.customer_id, "title": "x"})
            return answer.status_code, time.monotonic() - began

    answers = await asyncio.gather(*(change() for _ in range(4)))
    assert [status for status, _ in answers] == [503] * 4
    assert sum(took >= admission.PATIENCE for _, took in answers) == 1


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
    customer = await door.world.customer(await door.world.merchant())
    state = invoice(customer)
    await door.world.hear(InvoiceOpened(state=state))
    token = await door.world.sign_in(await door.world.contact(customer))
    door.owners.answers[InvoicePdf] = lambda _: Document("application/pdf", "invoice.pdf", b"%PDF-")
    door.token, door.owners.asked[:] = token, []
    pdf = await door.hold("GET", f"/api/v1/invoices/{state.id}/invoice.pdf")
    async with door.client(**{"Accept-Language": language, "Cookie": f"portal={token}"}) as browser:
        page = await browser.get("/portal/payments")
        assert (page.status_code, page.headers["retry-after"]) == (503, "2")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "content-security-policy" in page.headers
        assert f'dir="{direction}"' in page.text
        assert words in page.text
        stylesheet = re.search(r'href="(/static/portal\.css[^"]*)"', page.text)
        assert stylesheet is not None
        assert (await browser.get(stylesheet[1])).status_code == 200
        assert '<a class="button" href="/portal/payments">' in page.text
        door.owners.go.set()
        assert (await pdf).content == b"%PDF-"
        assert (await browser.get("/portal/payments")).status_code == 200


async def test_streams_have_places_of_their_own(door: Door) -> None:
    async with door.signed_in() as client, door.signed_in() as other:
        async with client.stream("GET", "/api/v1/changes") as stream:
            assert stream.status_code == 200
            refused = await other.get("/api/v1/changes")
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
            assert (await other.get("/api/v1/customers")).status_code == 200
        async with asyncio.timeout(10):
            while True:
                async with other.stream("GET", "/api/v1/changes") as stream:
                    if stream.status_code == 200:
                        break
                await asyncio.sleep(0.05)


async def test_a_body_that_does_not_come_gives_its_place_back(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "BODY_WITHIN", 0.2)
    host, port = door.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /api/v1/todos HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {door.token}\r\n"
    writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 40\r\n\r\n{{".encode())
    async with asyncio.timeout(5):
        assert (await reader.readline()).startswith(b"HTTP/1.1 4")
    writer.close()
    await writer.wait_closed()
    door.owners.go.set()
    async with door.signed_in() as client:
        body = {"customer_id": door.customer_id, "title": "Call the bank"}
        assert (await client.post("/api/v1/todos", json=body)).status_code == 201
    assert len([each for each in door.owners.asked if isinstance(each.request, CreateTodo)]) == 2  # held, then asked
