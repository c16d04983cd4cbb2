"""Live changes over a real HTTP server: who is told of what, and when a stream ends."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx
import pytest
import uvicorn

from chassis.tasks import end
from chassis.tokens import digest
from contracts.billing import InvoiceDrafted, InvoiceOpened, InvoicePaid, PayLink
from contracts.identity import ContactJoined, MerchantChanged
from contracts.todos import TodoAssigned, TodoChanged, TodoCreated
from local.children import free_port
from services.gateway import live
from tests.integration.chassis.conftest import ends_when_told_once
from tests.integration.gateway.world import START, World, invoice, todo, with_link


async def eventually(true: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until something is true."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - what other tasks did is looked at from outside, nobody could set an event
            await asyncio.sleep(0.005)


@dataclass
class Listener:
    """An open stream and everything it has been told."""

    heard: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    comments: int = 0
    ended: bool = False

    @property
    def changes(self) -> list[tuple[str, UUID]]:
        return [(data["noun"], UUID(data["id"])) for event, data in self.heard if event == "change"]

    async def until(self, what: Callable[["Listener"], bool]) -> None:
        await eventually(lambda: what(self))


@dataclass
class Served:
    """A gateway behind a real server."""

    world: World
    url: str
    hub: live.Hub

    @asynccontextmanager
    async def listening(self, token: str | None, path: str = "/api/v1/changes") -> AsyncIterator[Listener]:
        listener = Listener()
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with (
            httpx.AsyncClient(base_url=self.url, headers=headers, timeout=30) as client,
            client.stream("GET", path) as answer,
        ):
            assert answer.status_code == 200, answer.status_code
            assert answer.headers["content-type"].startswith("text/event-stream")
            task = asyncio.create_task(self._read(answer, listener))
            try:
                await listener.until(lambda it: bool(it.heard))
                yield listener
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    @staticmethod
    async def _read(answer: httpx.Response, listener: Listener) -> None:
        event = ""
        async for line in answer.aiter_lines():
            if line.startswith("event: "):
                event = line.removeprefix("event: ")
            elif line.startswith("data: "):
                listener.heard.append((event, json.loads(line.removeprefix("data: "))))
            elif line.startswith(":"):
                listener.comments += 1
        listener.ended = True


@pytest.fixture
async def served(world: World) -> AsyncIterator[Served]:
    app: Any = world.app
    while not hasattr(app, "state"):
        app = app.app
    hub: live.Hub = app.state.hub
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(
            world.app, host="127.0.0.1", port=port, lifespan="off", log_config=None, timeout_graceful_shutdown=1
        )
    )
    tasks = [asyncio.create_task(server.serve()), asyncio.create_task(hub.listen(world.h.runtime))]
    try:
        await hub.hears.wait()
        await eventually(lambda: server.started)
        yield Served(world, f"http://127.0.0.1:{port}", hub)
    finally:
        server.should_exit = True
        await end([tasks[1]], patience=5)
        await tasks[0]


async def fence(world: World, merchant_customer: Any, *listeners: Listener) -> None:
    """A change that all of them are told of: whatever was to come before it has come."""
    marker = invoice(merchant_customer)
    await world.hear(InvoiceOpened(state=marker))
    for listener in listeners:
        await listener.until(lambda it: ("invoice", marker.id) in it.changes)


async def test_a_stream_begins_by_telling_to_fetch_everything(served: Served) -> None:
    token = await served.world.sign_in(await served.world.member(await served.world.merchant()))
    async with served.listening(token) as listener:
        assert listener.heard[0] == ("resync", {"reason": "connected"})


async def test_a_change_is_told_by_noun_and_id_and_nothing_else_before_the_next_sign_of_life(served: Served) -> None:
    world = served.world
    customer = await world.customer(await world.merchant())
    async with served.listening(await world.sign_in(await world.contact(customer))) as listener:
        state = invoice(customer, "paid", memo="hush-hush")
        await world.hear(InvoicePaid(state=state))
        await listener.until(lambda it: bool(it.changes))
        assert listener.heard[1:] == [("change", {"noun": "invoice", "id": str(state.id)})]
        assert listener.comments == 0


async def test_every_noun_that_pages_show_is_told_of(served: Served) -> None:
    rows = await served.world.h.db.fetch(
        """
        SELECT t.table_name, count(DISTINCT g.trigger_name) AS told FROM information_schema.tables AS t
        LEFT JOIN information_schema.triggers AS g
          ON g.event_object_table = t.table_name AND g.trigger_name IN ('tell_inserted', 'tell_updated')
        WHERE t.table_name LIKE 'copy!_%' ESCAPE '!' GROUP BY t.table_name
        """
    )
    untold = {row["table_name"] for row in rows if row["told"] < 2}
    # Settings, and a comparison that comes every few minutes: nobody waits for those with a page open.
    assert untold == {"copy_defaults", "copy_reconciliation"}


async def test_the_same_state_again_is_no_change(served: Served) -> None:
    world = served.world
    customer = await world.customer(await world.merchant())
    state = invoice(customer)
    await world.hear(InvoiceOpened(state=state), sequence=4)
    async with served.listening(await world.sign_in(await world.contact(customer))) as listener:
        await world.hear(InvoiceOpened(state=state), sequence=5)
        await fence(world, customer, listener)
        assert [id_ for _, id_ in listener.changes].count(state.id) == 0


async def test_nobody_is_told_what_they_may_not_see(served: Served) -> None:
    world = served.world
    merchant = await world.merchant()
    ada, bob = await world.customer(merchant, "Ada"), await world.customer(merchant, "Bob")
    stranger = await world.member(await world.merchant())
    tokens = [await world.sign_in(who) for who in (await world.member(merchant), await world.contact(ada), stranger)]
    async with (
        served.listening(tokens[0]) as member,
        served.listening(tokens[1]) as contact,
        served.listening(tokens[2]) as foreign,
    ):
        private, assigned = todo(ada), todo(ada, "assigned")
        draft, bobs = invoice(ada, "draft"), invoice(bob)
        await world.hear(TodoCreated(state=private))
        await world.hear(TodoAssigned(state=assigned))
        await world.hear(InvoiceDrafted(state=draft))
        await world.hear(InvoiceOpened(state=bobs))
        await world.hear(MerchantChanged(state=merchant.model_copy(update={"name": "New name"})))
        await fence(world, ada, member, contact)
        member_told = {id_ for _, id_ in member.changes}
        contact_told = {id_ for _, id_ in contact.changes}
        assert {assigned.id, draft.id, bobs.id, merchant.id} <= member_told
        assert private.id not in member_told
        assert {private.id, assigned.id, merchant.id} <= contact_told
        assert {draft.id, bobs.id} & contact_told == set()
        assert foreign.changes == []


async def test_a_to_do_that_stops_being_shared_disappears_from_the_members_page_and_is_then_private(
    served: Served,
) -> None:
    world = served.world
    merchant = await world.merchant()
    customer = await world.customer(merchant)
    shared = todo(customer, shared=True)
    await world.hear(TodoCreated(state=shared))
    async with served.listening(await world.sign_in(await world.member(merchant))) as member:
        await world.hear(TodoChanged(state=shared.model_copy(update={"shared": False})))
        await fence(world, customer, member)
        assert [id_ for _, id_ in member.changes].count(shared.id) == 1
        await world.hear(TodoChanged(state=shared.model_copy(update={"shared": False, "title": "Secret"})))
        await fence(world, customer, member)
        assert [id_ for _, id_ in member.changes].count(shared.id) == 1


@pytest.fixture
def no_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """With each a stream looks at its session: here it must have been told."""
    monkeypatch.setattr(live, "HEARTBEAT", 600.0)


@pytest.mark.usefixtures("no_signs_of_life")
async def test_a_revoked_session_ends_its_streams_at_once_and_others_go_on(served: Served) -> None:
    world = served.world
    contact = await world.contact(await world.customer(await world.merchant()))
    token, other = await world.sign_in(contact), await world.sign_in(contact)
    async with served.listening(token) as ending, served.listening(other) as going_on:
        async with world.client(token) as browser:
            await browser.delete("/api/v1/session")
        await ending.until(lambda it: it.ended)
        assert ending.heard[-1] == ("end", {"reason": "session"})
        assert not going_on.ended
    async with httpx.AsyncClient(base_url=served.url, headers={"Authorization": f"Bearer {token}"}) as client:
        assert (await client.get("/api/v1/changes")).status_code == 401


@pytest.mark.usefixtures("no_signs_of_life")
async def test_shutting_a_contact_out_ends_their_stream_at_once(served: Served) -> None:
    world = served.world
    contact = await world.contact(await world.customer(await world.merchant()))
    async with served.listening(await world.sign_in(contact)) as listener:
        await world.hear(ContactJoined(state=contact.model_copy(update={"active": False})))
        await listener.until(lambda it: it.ended)


@pytest.mark.usefixtures("no_signs_of_life")
async def test_switching_accounts_ends_the_stream(served: Served) -> None:
    world = served.world
    merchant = await world.merchant()
    person = await world.person("Ada", "ada-switching@example.com")
    contact = await world.contact(await world.customer(merchant, "Alpha"), person)
    second = await world.customer(merchant, "Beta")
    await world.contact(second, person)
    token = await world.sign_in(contact)
    async with served.listening(token) as listener:
        async with world.client(token) as browser:
            await browser.put("/api/v1/session/account", json={"id": str(second.id)})
        await listener.until(lambda it: it.ended)


async def test_an_expired_session_ends_its_stream_at_the_next_sign_of_life(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "HEARTBEAT", 0.1)
    world = served.world
    contact = await world.contact(await world.customer(await world.merchant()))
    async with served.listening(await world.sign_in(contact)) as listener:
        await listener.until(lambda it: it.comments >= 2)
        world.h.clock.advance(timedelta(minutes=30))
        await listener.until(lambda it: it.ended)
        assert listener.heard[-1] == ("end", {"reason": "session"})


async def test_a_stream_does_not_keep_its_session_from_going_idle(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "HEARTBEAT", 0.05)
    world = served.world
    contact = await world.contact(await world.customer(await world.merchant()))
    async with served.listening(await world.sign_in(contact)) as listener:
        for _ in range(30):
            assert not listener.ended
            world.h.clock.advance(timedelta(minutes=1))
            seen = listener.comments
            await eventually(partial(_more, listener, seen))
        await listener.until(lambda it: it.ended)


def _more(listener: Listener, seen: int) -> bool:
    return listener.comments > seen or listener.ended


async def test_a_reader_that_falls_behind_is_told_to_fetch_everything_once(served: Served) -> None:
    stream = live.Stream(lambda _: True)
    for number in range(live.WAITING + 1):
        stream.put(live.message("change", {"noun": "invoice", "id": str(number)}))
    assert stream.queue.qsize() == 1
    assert stream.queue.get_nowait() == live.message("resync", {"reason": "overflow"})


async def test_a_lost_listening_connection_comes_back_and_says_so(served: Served) -> None:
    world = served.world
    customer = await world.customer(await world.merchant())
    async with served.listening(await world.sign_in(await world.contact(customer))) as listener:
        await world.h.db.execute(
            """
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE pid <> pg_backend_pid() AND (query LIKE 'LISTEN%' OR query = 'SELECT 1')
            """
        )
        await listener.until(lambda it: len(it.heard) > 1)
        assert listener.heard[1] == ("resync", {"reason": "connected"})
        await fence(world, customer, listener)


async def test_who_hears_of_changes_ends_when_told_once_also_when_the_server_says_nothing(world: World) -> None:
    hub = live.Hub()
    hearing = asyncio.create_task(hub.listen(world.h.runtime))
    await hub.hears.wait()
    await ends_when_told_once(hearing)


async def test_a_payment_links_page_is_told_of_its_invoice_and_no_other(served: Served) -> None:
    world = served.world
    customer = await world.customer(await world.merchant())
    bill, other = with_link(invoice(customer), digest("the-secret")), invoice(customer)
    await world.hear(InvoiceOpened(state=bill))
    async with served.listening(None, "/pay/the-secret/changes") as listener:
        await world.hear(InvoiceOpened(state=other))
        await world.hear(TodoCreated(state=todo(customer)))
        await world.hear(InvoicePaid(state=with_link(invoice(customer, "paid", id=bill.id), digest("the-secret"))))
        await listener.until(lambda it: bool(it.changes))
        assert listener.changes == [("invoice", bill.id)]
    async with httpx.AsyncClient(base_url=served.url) as client:
        assert (await client.get("/pay/another/changes")).status_code == 404


@pytest.mark.parametrize("dead", [{"revoked": True}, {"expires_at": START + timedelta(minutes=1)}])
async def test_a_payment_links_stream_ends_with_the_link(
    served: Served, monkeypatch: pytest.MonkeyPatch, dead: dict[str, Any]
) -> None:
    monkeypatch.setattr(live, "HEARTBEAT", 0.1)
    world, secret = served.world, f"secret {dead}"
    bill = invoice(await world.customer(await world.merchant()))
    link = PayLink(token_sha256=digest(secret))
    await world.hear(InvoiceOpened(state=bill.model_copy(update={"link": link})))
    path = f"/pay/{quote(secret)}/changes"
    async with served.listening(None, path) as listener:
        await listener.until(lambda it: it.comments > 1)
        await world.hear(InvoiceOpened(state=bill.model_copy(update={"link": link.model_copy(update=dead)})))
        world.h.clock.advance(timedelta(minutes=1))
        await listener.until(lambda it: it.ended)
        assert listener.heard[-1] == ("end", {"reason": "link"})
    async with httpx.AsyncClient(base_url=served.url) as client:
        assert (await client.get(path)).status_code == 404


async def test_a_payment_link_has_twenty_streams_at_most(served: Served) -> None:
    world = served.world
    customer = await world.customer(await world.merchant())
    for secret in ("shared with the world", "another"):
        await world.hear(InvoiceOpened(state=with_link(invoice(customer), digest(secret))))
    async with AsyncExitStack() as open_pages:
        for _ in range(20):
            await open_pages.enter_async_context(served.listening(None, "/pay/shared with the world/changes"))
        async with httpx.AsyncClient(base_url=served.url) as client:
            refused = await client.get("/pay/shared with the world/changes")
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "10")
        async with served.listening(None, "/pay/another/changes"):
            assert len(served.hub.streams) == 21
    await eventually(lambda: not served.hub.streams)
    async with served.listening(None, "/pay/shared with the world/changes"):
        assert len(served.hub.streams) == 1


async def test_a_closed_page_leaves_nothing_behind(served: Served) -> None:
    token = await served.world.sign_in(await served.world.member(await served.world.merchant()))
    async with served.listening(token):
        assert len(served.hub.streams) == 1
    await eventually(lambda: not served.hub.streams)


async def test_a_process_that_is_told_to_go_lets_its_streams_go_at_once(served: Served) -> None:
    world = served.world
    token = await world.sign_in(await world.contact(await world.customer(await world.merchant())))
    async with served.listening(token) as listener:
        world.h.runtime.begin_drain()
        await listener.until(lambda it: it.ended)
        assert listener.heard[-1] == ("end", {"reason": "restart"})
