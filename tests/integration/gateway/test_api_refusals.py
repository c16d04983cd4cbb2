"""What the API refuses, and how it says so."""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from chassis.ids import new_id
from chassis.rpc import TIMEOUT, RpcClient
from chassis.testing import envelope_of
from contracts.billing import CreatePaymentLink, InvoiceOpened, VoidInvoice
from contracts.identity import CreateCustomer, CustomerCreated, SignIn
from contracts.message import CommandReused, OutcomeUnknown, Reply, TooManyAttempts
from contracts.todos import CreateTodo
from services.gateway.security import Room
from tests.integration.gateway.browsing import LINK, problem
from tests.integration.gateway.world import Asked, World, invoice, todo


async def test_every_error_is_a_problem_document(world: World) -> None:
    merchant = await world.merchant()
    customer = await world.customer(merchant)
    path = f"/api/v1/customers/{customer.id}/payment-links"
    async with world.client(await world.sign_in(await world.member(merchant))) as browser:
        problem(await browser.get("/api/v1/nothing"), 404)
        problem(await browser.get("/api/v1/invoices/not-an-id"), 404)
        refused = await browser.put("/api/v1/customers")
        problem(refused, 405)
        assert {"GET", "POST"} & set(refused.headers["allow"].split(", "))
        json_type = {"content-type": "application/json"}
        problem(await browser.post(path, content=b'{"currency": ', headers=json_type), 400)
        problem(await browser.post(path, content=b"currency=EUR", headers={"content-type": "text/plain"}), 415)
        problem(await browser.post(path, content=b"{}"), 415)
        problem(await browser.post(path, content=b" " * 2_000_001, headers=json_type), 413)

        async def endless() -> AsyncIterator[bytes]:
            for _ in range(21):
                yield b" " * 100_000

        problem(await browser.post(path, content=endless(), headers=json_type), 413)
        problem(await browser.get("/api/v1/invoices", params={"status": "lost"}), 422)
        problem(await browser.get("/api/v1/invoices", params={"cursor": "nonsense"}), 422)
        problem(await browser.get("/api/v1/invoices", params={"limit": "101"}), 422)
    async with world.client() as browser:
        refused = await browser.get("/api/v1/invoices")
        problem(refused, 401)
        assert refused.headers["www-authenticate"] == "Bearer"
        problem(await browser.get("/api/v1/invoices", headers={"authorization": "Bearer nonsense"}), 401)
    assert [asked for asked in world.owners.asked if isinstance(asked.request, CreatePaymentLink)] == []


async def test_invalid_fields_are_named_and_what_was_sent_is_not_repeated(world: World) -> None:
    merchant = await world.merchant()
    customer = await world.customer(merchant)
    body = {
        **LINK,
        "currency": "euro",
        "lines": [{"description": "hush-hush", "quantity": "0", "unit_amount": 1}],
        "x": 1,
    }
    async with world.client(await world.sign_in(await world.member(merchant))) as browser:
        answer = await browser.post(f"/api/v1/customers/{customer.id}/payment-links", json=body)
    document = problem(answer, 422)
    assert {error["field"] for error in document["errors"]} == {"currency", "lines.0.quantity", "x"}
    [currency] = [error["message"] for error in document["errors"] if error["field"] == "currency"]
    assert currency == "Input should be a currency code such as 'EUR'"
    assert "hush-hush" not in answer.text


@pytest.mark.parametrize("sign", ["\0", "\x1b", "\x7f", "\x9b", "\u202e"])
async def test_what_nobody_can_read_is_no_text(world: World, sign: str) -> None:
    merchant = await world.merchant()
    customer = await world.customer(merchant)
    typed = {**LINK, "memo": f"Thank{sign}you", "lines": [{"description": f"Work{sign}shop", "unit_amount": 1200}]}
    async with world.client(await world.sign_in(await world.member(merchant))) as browser:
        answer = await browser.post(f"/api/v1/customers/{customer.id}/payment-links", json=typed)
        assert {(each["field"], each["message"]) for each in problem(answer, 422)["errors"]} == {
            (field, "Input contains characters that cannot be shown") for field in ("memo", "lines.0.description")
        }
        world.owners.answers[CreatePaymentLink] = lambda _: invoice(customer)
        typed |= {"memo": "Danke!\n\t\u200f\u0634\u0643\u0631\u064b\u0627 \U0001f389"}
        typed |= {"lines": [{"description": "\u0642\u0647\u0648\u0629 \U0001f389", "unit_amount": 1200}]}
        path = f"/api/v1/customers/{customer.id}/payment-links"
        assert (await browser.post(path, json=typed)).status_code == 201


@pytest.mark.parametrize("amount", ["12.00", "1200", True, 12.0])
async def test_an_amount_is_a_whole_number_and_is_never_guessed_at(world: World, amount: object) -> None:
    merchant = await world.merchant()
    customer = await world.customer(merchant)
    bill = invoice(customer, "paid", allow_partial=True)
    await world.hear(InvoiceOpened(state=bill))
    line = {"description": "Consulting", "unit_amount": amount}
    async with world.client(await world.sign_in(await world.member(merchant))) as browser:
        path = f"/api/v1/customers/{customer.id}/payment-links"
        answer = await browser.post(path, json={**LINK, "lines": [line]})
        assert [each["field"] for each in problem(answer, 422)["errors"]] == ["lines.0.unit_amount"]
        answer = await browser.post(f"/api/v1/invoices/{bill.id}/refunds", json={"amount": amount})
        assert [each["field"] for each in problem(answer, 422)["errors"]] == ["amount"]
    async with world.client(await world.sign_in(await world.contact(customer))) as browser:
        answer = await browser.post(f"/api/v1/invoices/{bill.id}/pay", json={"amount": amount})
        assert [each["field"] for each in problem(answer, 422)["errors"]] == ["amount"]
    assert {type(each.request) for each in world.owners.asked} == {SignIn}


@pytest.mark.parametrize("key", ["a" * 256, "two words", "ümlaut"])
async def test_an_idempotency_key_is_visible_ascii_of_at_most_255(world: World, key: str) -> None:
    async with world.client(await world.sign_in(await world.member(await world.merchant()))) as browser:
        headers = [(b"idempotency-key", key.encode())]
        answer = await browser.post("/api/v1/customers", json={"name": "A", "email": "a@example.com"}, headers=headers)
        assert problem(answer, 422)["errors"][0]["field"] == "idempotency-key"


async def test_the_owners_word_on_a_reused_key_is_handed_on(world: World) -> None:
    merchant = await world.merchant()
    bill = invoice(await world.customer(merchant))
    await world.hear(InvoiceOpened(state=bill))
    world.owners.answers[VoidInvoice] = lambda _: CommandReused()
    async with world.client(await world.sign_in(await world.member(merchant))) as browser:
        document = problem(await browser.post(f"/api/v1/invoices/{bill.id}/void"), 422)
    assert document["type"] == "/problems/command-reused"


async def test_an_unknown_outcome_and_a_rate_limit_say_what_to_do(world: World) -> None:
    world.owners.answers[SignIn] = lambda _: TooManyAttempts(retry_after=17)
    async with world.client() as browser:
        limited = await browser.post("/api/v1/session", json={"email": "a@example.com", "password": "x"})
        problem(limited, 429)
        assert limited.headers["retry-after"] == "17"
        world.owners.answers[SignIn] = lambda _: OutcomeUnknown()
        problem(await browser.post("/api/v1/session", json={"email": "a@example.com", "password": "x"}), 504)


async def test_without_a_broker_pages_of_data_load_and_a_command_is_refused_long_before_its_deadline(
    world: World,
) -> None:
    merchant = await world.merchant()
    customer = await world.customer(merchant)
    token = await world.sign_in(await world.member(merchant))
    runtime = world.h.runtime
    runtime.rpc = RpcClient("amqp://portal_gateway:x@127.0.0.1:1/none", "gateway", runtime.clock)
    async with runtime.rpc.link, world.client(token) as browser:
        assert (await browser.get("/api/v1/customers")).json()["items"][0]["id"] == str(customer.id)
        began = time.monotonic()
        answer = await browser.post(f"/api/v1/customers/{customer.id}/payment-links", json=LINK)
        assert time.monotonic() - began < TIMEOUT / 2
    assert problem(answer, 503)["type"] == "/problems/not-accepted"
    assert answer.headers["retry-after"] == "2"


async def test_too_many_commands_at_once_are_turned_away_at_the_door(world: World) -> None:
    merchant = await world.merchant()
    customer = await world.customer(merchant)
    token = await world.sign_in(await world.member(merchant))
    rooms = _application(world).state.rooms
    full = rooms["billing"] = Room("billing", 1)
    async with world.client(token) as browser:
        with await full.enter():
            answer = await browser.post(f"/api/v1/customers/{customer.id}/payment-links", json=LINK)
            assert problem(answer, 503)["type"] == "/problems/overloaded"
            assert answer.headers["retry-after"] == "2"
            assert CreatePaymentLink not in {type(each.request) for each in world.owners.asked}
            # What waits for one owner is in nobody else's way.
            world.owners.answers[CreateTodo] = lambda _: todo(customer, "assigned")
            body = {"customer_id": str(customer.id), "title": "Water the plants"}
            assert (await browser.post("/api/v1/todos", json=body)).status_code == 201
        world.owners.answers[CreatePaymentLink] = lambda _: invoice(customer)
        made = await browser.post(f"/api/v1/customers/{customer.id}/payment-links", json=LINK)
    assert made.status_code == 201


def _application(world: World) -> Any:
    app: Any = world.app
    while not hasattr(app, "state"):
        app = app.app
    return app


async def test_a_surprise_is_an_incident_and_gives_nothing_away(world: World) -> None:
    merchant = await world.merchant()
    token = await world.sign_in(await world.member(merchant))

    def crash(_: Asked) -> Any:
        raise RuntimeError("secret detail")

    world.owners.answers[CreateCustomer] = crash
    async with world.client(token) as browser:
        answer = await browser.post("/api/v1/customers", json={"name": "A", "email": "a@example.com"})
    document = problem(answer, 500)
    assert document["incident"] in document["detail"]
    assert "secret detail" not in answer.text


async def test_a_command_that_was_done_is_not_called_a_failure_when_our_copy_fails(world: World) -> None:
    merchant = await world.merchant()
    token = await world.sign_in(await world.member(merchant))
    state = await world.customer(merchant)
    broken = envelope_of(CustomerCreated(state=state)).model_copy(update={"subject": str(new_id())})
    broken.data["state"]["id"] = "no uuid"  # type: ignore[index, call-overload]  # the database refuses to derive from it
    world.owners.answers[CreateCustomer] = lambda _: Reply(state, (broken,))
    async with world.client(token) as browser:
        answer = await browser.post("/api/v1/customers", json={"name": "A", "email": "a@example.com"})
    assert (answer.status_code, answer.json()["id"]) == (201, str(state.id))
