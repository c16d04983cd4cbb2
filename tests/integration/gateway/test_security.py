"""The doors: CSRF tokens, cookies, headers, other origins, over every route that there is."""

import hashlib
import re
from datetime import timedelta
from typing import Any

import httpx
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from chassis.ids import new_id
from contracts.billing import InvoiceOpened
from contracts.identity import Customer, Person, SignIn
from contracts.message import NotAccepted
from contracts.todos import TodoAssigned, TodoCreated
from services.gateway.security.sessions import csrf_of
from tests.integration.gateway.world import PASSWORD, START, World, invoice, todo

UNSAFE = {"POST", "PUT", "PATCH", "DELETE"}
PUBLIC = {"/api/v1/session", "/api/v1/invitations/accept"}


def application(world: World) -> FastAPI:
    app: Any = world.app
    while not isinstance(app, FastAPI):
        app = app.app
    return app


def routes(world: World) -> list[tuple[str, str]]:
    """Every method and path of the application, pages included."""
    found = [
        (method, str(context.path))
        for context in iter_route_contexts(application(world).routes)
        for method in context.methods or ()
        if method not in {"HEAD", "OPTIONS"}
    ]
    assert len(found) > 60
    return found


def filled(path: str, ids: dict[str, str] | None = None) -> str:
    given = {"verb": "pause"} | (ids or {})
    return re.sub(r"\{(\w+)[^}]*\}", lambda match: given.get(match[1], str(new_id())), path)


async def everything(world: World) -> str:
    """A fingerprint of all that is stored, but for when a session was last seen."""
    digest = hashlib.sha256()
    for table in await world.h.db.fetch("SELECT relname FROM pg_stat_user_tables ORDER BY relname"):
        name = table["relname"]
        rows = await world.h.db.fetch(
            f"SELECT (to_jsonb(t) - 'last_seen_at')::text AS line FROM \"{name}\" AS t ORDER BY 1"
        )
        digest.update(name.encode() + "\n".join(row["line"] for row in rows).encode())
    return digest.hexdigest()


# --- CSRF -----------------------------------------------------------------------------------------------------------


async def test_no_unsafe_route_does_anything_for_a_cookie_without_its_token(world: World) -> None:
    token = await world.sign_in(await world.member(await world.merchant()))
    asked, before = len(world.owners.asked), await everything(world)
    unsafe = [each for each in routes(world) if each[0] in UNSAFE]
    assert len(unsafe) > 30
    async with world.client(Cookie=f"portal={token}") as browser:
        for method, path in unsafe:
            for sent in ({}, {"X-CSRF-Token": csrf_of("another session")}):
                answer = await browser.request(method, filled(path), headers=sent)
                assert answer.status_code == 403, (method, path, answer.text)
    assert len(world.owners.asked) == asked
    assert await everything(world) == before


async def test_no_page_takes_a_form_from_a_visitor_without_a_token(world: World) -> None:
    unsafe = [each for each in routes(world) if each[0] in UNSAFE and not each[1].startswith("/api/")]
    async with world.client() as browser:
        for method, path in unsafe:
            answer = await browser.request(method, filled(path), data={"csrf": csrf_of("made up")})
            private = path.startswith(("/portal", "/console", "/account", "/sign-out"))
            assert answer.status_code == (303 if private else 403), (method, path)
            assert answer.headers.get("location", "").startswith("/sign-in") == private
    assert world.owners.asked == []


async def test_the_sessions_token_opens_the_api_to_its_cookie(world: World) -> None:
    merchant = await world.merchant()
    token = await world.sign_in(await world.member(merchant))
    bill = invoice(await world.customer(merchant))
    await world.hear(InvoiceOpened(state=bill))
    async with world.client(Cookie=f"portal={token}") as browser:
        csrf = (await browser.get("/api/v1/session")).json()["csrf"]
        assert csrf == csrf_of(token, merchant.id)
        assert token not in csrf
        answer = await browser.delete("/api/v1/session", headers={"X-CSRF-Token": csrf})
        assert answer.status_code == 204
        assert 'portal=""' in answer.headers["set-cookie"]


async def test_a_visitors_form_carries_the_token_of_the_cookie_that_came_with_it(world: World) -> None:
    member = await world.member(await world.merchant())
    await world.sign_in(member)
    async with world.client() as browser:
        page = await browser.get("/sign-in")
        found = re.search(r'name="csrf"[^>]*value="([^"]+)"', page.text)
        assert found is not None
        cookie = page.headers["set-cookie"]
        assert re.fullmatch(r"portal-form=[\w-]{43}; HttpOnly; Path=/; SameSite=lax", cookie), cookie
        form = {"csrf": found[1], "email": member.email, "password": PASSWORD}
        answer = await browser.post("/sign-in", data=form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/console")
    assert re.match(r"portal=[\w-]{43}; HttpOnly; Path=/; SameSite=lax", answer.headers["set-cookie"])


def form_token(page: httpx.Response) -> str:
    found = re.search(r'name="csrf"[^>]*value="([^"]+)"', page.text)
    assert found is not None, page.text
    return found[1]


async def two_accounts(world: World) -> tuple[str, Customer, Customer]:
    """A browser's session of somebody who is in the first of two customers' portals and may switch to the second."""
    merchant = await world.merchant()
    first, second = await world.customer(merchant, "Alpha"), await world.customer(merchant, "Beta")
    contact = await world.contact(first)
    await world.contact(second, Person(id=contact.person_id, name="Ada", email="ada@example.com", created_at=START))
    token = await world.sign_in(contact)
    return token, first, second


async def test_a_form_opened_in_one_account_is_not_carried_out_in_another(world: World) -> None:
    token, _first, second = await two_accounts(world)
    asked = len(world.owners.asked)
    async with world.client(Cookie=f"portal={token}") as browser:
        form = {"csrf": form_token(await browser.get("/portal/todos")), "title": "For Alpha's eyes alone"}
        switched = await browser.post("/account", data={"csrf": form["csrf"], "account": str(second.id)})
        assert switched.status_code == 303
        refused = await browser.post("/portal/todos", data=form)
        assert refused.status_code == 403
        assert "This form has expired" in refused.text
        assert 'href="/portal/todos">Try again</a>' in refused.text
        assert len(world.owners.asked) == asked
        assert form_token(await browser.get("/portal/todos")) != form["csrf"]


async def test_a_tab_of_the_account_that_was_left_may_still_switch_back_and_sign_out(world: World) -> None:
    token, first, second = await two_accounts(world)
    async with world.client(Cookie=f"portal={token}") as browser:
        csrf = form_token(await browser.get("/portal"))
        for account in (second, first, second):
            switched = await browser.post("/account", data={"csrf": csrf, "account": str(account.id)})
            assert (switched.status_code, switched.headers["location"]) == (303, "/portal")
        left = await browser.post("/sign-out", data={"csrf": csrf})
        assert (left.status_code, left.headers["location"]) == (303, "/sign-in?done=signed-out")
    async with world.client(token) as browser:
        assert (await browser.get("/api/v1/session")).status_code == 401


async def test_a_form_sent_after_the_session_ended_leads_back_to_its_page(world: World) -> None:
    token, _first, _second = await two_accounts(world)
    async with world.client(Cookie=f"portal={token}") as browser:
        form = {"csrf": form_token(await browser.get("/portal/todos")), "title": "Water the plants"}
        world.h.clock.advance(timedelta(minutes=31))
        sent = await browser.post(f"/portal/todos/{new_id()}/done/nowhere", data=form)
        assert sent.status_code == 404
        sent = await browser.post("/portal/todos", data=form)
        assert (sent.status_code, sent.headers["location"]) == (303, "/sign-in?next=/portal/todos&done=form-expired")
        page = await browser.get(sent.headers["location"])
        assert "This form has expired" in page.text
        assert 'name="next" value="/portal/todos"' in page.text


async def test_signing_in_again_ends_the_browsers_session_before(world: World) -> None:
    merchant = await world.merchant()
    member = await world.member(merchant)
    old = await world.sign_in(member)
    async with world.client(Cookie=f"portal={old}", **{"X-CSRF-Token": csrf_of(old, merchant.id)}) as browser:
        answer = await browser.post("/api/v1/session", json={"email": member.email, "password": PASSWORD})
        assert answer.status_code == 201
    async with world.client(old) as browser:
        assert (await browser.get("/api/v1/session")).status_code == 401


# --- who may enter --------------------------------------------------------------------------------------------------


async def test_no_operation_of_the_api_works_without_a_session_but_the_public_ones(world: World) -> None:
    bodies: dict[str, Any] = {"POST": {}, "PUT": {}, "PATCH": {}}
    async with world.client() as browser:
        for method, path in routes(world):
            if (
                not path.startswith("/api/v1/")
                or (path in PUBLIC and method == "POST")
                or path.endswith("openapi.json")
            ):
                continue
            answer = await browser.request(method, filled(path), json=bodies.get(method))
            assert answer.status_code == 401, (method, path, answer.status_code)
    assert world.owners.asked == []


async def test_reading_changes_nothing(world: World) -> None:
    merchant = await world.merchant()
    customer = await world.customer(merchant)
    bill, own = invoice(customer), todo(customer)
    await world.hear(InvoiceOpened(state=bill))
    await world.hear(TodoCreated(state=own))
    await world.hear(TodoAssigned(state=todo(customer, "assigned")))
    ids = {"customer_id": str(customer.id), "invoice_id": str(bill.id), "todo_id": str(own.id), "name": "portal.css"}
    tokens = [await world.sign_in(who) for who in (await world.member(merchant), await world.contact(customer))]
    before = await everything(world)
    found = 0
    for token in tokens:
        async with world.client(token) as browser:
            for method, path in routes(world):
                if method == "GET" and not path.endswith("/changes"):
                    answer = await browser.get(filled(path, ids))
                    found += answer.status_code == 200
    assert found > 20
    assert await everything(world) == before


async def test_pages_need_no_other_service(world: World) -> None:
    merchant = await world.merchant()
    customer = await world.customer(merchant)
    bill = invoice(customer)
    await world.hear(InvoiceOpened(state=bill))
    ids = {"customer_id": str(customer.id), "invoice_id": str(bill.id)}
    # What stands behind a secret only its owner knows: an invitation, and the address of a payment link. A statement is
    # added up over all of a customer's books, which only billing has. The settings ask which account at Stripe gets the
    # money, wait a second for it and load without (test_links.py).
    asks = {"/invitations/{token}", "/console/invoices/{invoice_id:uuid}/link", "/portal/payments/statement"}
    asks |= {"/console/customers/{customer_id:uuid}/statement", "/console/settings"}
    member, contact = (
        await world.sign_in(await world.member(merchant)),
        await world.sign_in(await world.contact(customer)),
    )
    asked = len(world.owners.asked)
    for token, side in ((member, "/console"), (contact, "/portal")):
        async with world.client(token) as browser:
            for method, path in routes(world):
                page = method == "GET" and not path.startswith("/api/") and not path.endswith((".pdf", "/changes"))
                if page and path not in asks:
                    answer = await browser.get(filled(path, ids))
                    assert answer.status_code < 500, (path, answer.status_code)
                    assert not path.startswith(side) or answer.status_code in {200, 303, 404}, (
                        path,
                        answer.status_code,
                    )
    assert len(world.owners.asked) == asked


# --- headers --------------------------------------------------------------------------------------------------------

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; form-action 'self' https://checkout.stripe.com; frame-ancestors 'none'; base-uri 'none'"
)


async def test_every_answer_carries_the_security_headers(world: World) -> None:
    async with world.client() as browser:
        for path in ("/sign-in", "/nothing", "/api/v1/openapi.json", "/api/v1/invoices", "/static/portal.css"):
            headers = (await browser.get(path)).headers
            assert headers["content-security-policy"] == POLICY, path
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert "strict-transport-security" not in headers
        assert (await browser.get("/sign-in")).headers["cache-control"] == "no-store"


async def test_over_https_the_cookies_are_host_bound_and_secure(world: World) -> None:
    member = await world.member(await world.merchant())
    await world.sign_in(member)
    inner = application(world)
    inner.state.settings = inner.state.settings.model_copy(update={"public_url": "https://portal.example"})
    async with world.client() as browser:
        page = await browser.get("/sign-in")
        assert re.match(
            r"__Host-portal-form=[\w-]{43}; HttpOnly; Path=/; SameSite=lax; Secure$", page.headers["set-cookie"]
        )
        found = re.search(r'name="csrf"[^>]*value="([^"]+)"', page.text)
        assert found is not None
        form = {"csrf": found[1], "email": member.email, "password": PASSWORD}
        sent = {"Cookie": page.headers["set-cookie"].partition(";")[0]}
        cookie = (await browser.post("/sign-in", data=form, headers=sent)).headers["set-cookie"]
    assert re.fullmatch(r"__Host-portal=[\w-]{43}; HttpOnly; Path=/; SameSite=lax; Secure", cookie)


async def preflight(browser: httpx.AsyncClient, origin: str, path: str) -> httpx.Response:
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    return await browser.options(path, headers=headers | {"Access-Control-Request-Headers": "authorization"})


async def test_only_listed_origins_may_call_the_api_and_none_the_pages(world: World) -> None:
    async with world.client() as browser:
        allowed = await preflight(browser, "https://shop.example", "/api/v1/session")
        assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, "https://shop.example")
        assert "access-control-allow-credentials" not in allowed.headers
        foreign = await preflight(browser, "https://evil.example", "/api/v1/session")
        assert "access-control-allow-origin" not in foreign.headers
        page = await browser.get("/sign-in", headers={"Origin": "https://shop.example"})
        assert "access-control-allow-origin" not in page.headers
        refused = await browser.get("/api/v1/invoices", headers={"Origin": "https://shop.example"})
        assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "https://shop.example")


async def test_no_answer_repeats_a_secret(world: World, caplog: Any) -> None:
    world.owners.answers[SignIn] = lambda _: NotAccepted()
    async with world.client() as browser:
        answers = [
            await browser.post("/api/v1/session", json={"email": "a@example.com", "password": "hush-hush"}),
            await browser.post("/api/v1/session", json={"email": "nonsense", "password": "hush-hush"}),
            await browser.post(
                "/api/v1/session", content=b'{"password": "hush-hush"', headers={"content-type": "application/json"}
            ),
            await browser.get("/api/v1/session", headers={"Authorization": "Bearer hush-hush"}),
        ]
    assert [answer.status_code for answer in answers] == [503, 422, 400, 401]
    assert [answer for answer in answers if "hush-hush" in answer.text] == []
    assert "hush-hush" not in caplog.text
    assert [each for each in world.owners.asked if "hush-hush" in repr(each.request)] == []
