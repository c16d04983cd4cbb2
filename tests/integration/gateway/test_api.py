"""The JSON API: what it answers, what it refuses and how it says so, and what it asks of the owners."""

import json
import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import httpx
import pytest
import schemathesis

from chassis.ids import new_id
from chassis.rpc import RpcClient
from chassis.testing import envelope_of
from contracts.billing import (
    CheckoutStarted,
    CreatePaymentLink,
    InvoiceAlreadyPaid,
    InvoiceOpened,
    InvoicePdf,
    NoReceiptYet,
    PayLinkUrl,
    PaymentMethodAdded,
    PaymentMethodRemoved,
    ReceiptPdf,
    RefundSucceeded,
    StartInvoicePayment,
    SubscriptionAccepted,
    VoidInvoice,
)
from contracts.identity import (
    AcceptInvitation,
    ContactJoined,
    CreateCustomer,
    Customer,
    CustomerCreated,
    Logo,
    SetLogo,
    SignedIn,
    SignIn,
)
from contracts.message import (
    EVENTS,
    CommandReused,
    Document,
    MailFacts,
    NotAllowed,
    OutcomeUnknown,
    PaymentId,
    Reply,
    TooManyAttempts,
)
from contracts.todos import CreateTodo, TodoCreated, TodoDeleted, UpdateTodo
from services.gateway.api.errors import PATTERNS
from services.gateway.security import Room
from tests.builders import refund
from tests.integration.gateway.browsing import problem
from tests.integration.gateway.world import PASSWORD, START, Asked, World, invoice, payment_method, subscription, todo

LINK = {
    "kind": "one_time",
    "currency": "EUR",
    "lines": [{"description": "Consulting", "quantity": "2.5", "unit_amount": 12000}],
    "due_on": "2026-04-01",
    "send_email": True,
}


# --- what works -----------------------------------------------------------------------------------------------------


async def test_signing_in_answers_with_a_token_and_the_accounts(world: World) -> None:
    customer = await world.customer(await world.merchant("Nordlicht"), "Ada")
    contact = await world.contact(customer)
    token = await world.sign_in(contact)
    async with world.client() as browser:
        answer = await browser.post("/api/v1/session", json={"email": contact.email, "password": PASSWORD})
    body = answer.json()
    account = {
        "id": str(customer.id),
        "kind": "customer",
        "name": "Ada",
        "role": "owner",
        "merchant_id": str(customer.merchant_id),
        "merchant_name": "Nordlicht",
    }
    assert (answer.status_code, body["account"], body["accounts"]) == (201, account, [account])
    assert body["expires_at"] == "2026-03-02T21:00:00Z"
    assert body["token"] != token
    assert "set-cookie" not in answer.headers
    question = world.owners.asked[-1].request
    assert isinstance(question, SignIn)
    assert question.address == "127.0.0.1"


async def test_what_a_command_made_is_there_for_the_very_next_request(world: World) -> None:
    merchant = await world.merchant()
    token = await world.sign_in(await world.member(merchant))

    def make(asked: Asked) -> Reply[Customer]:
        assert isinstance(asked.request, CreateCustomer)
        state = Customer(
            id=new_id(),
            merchant_id=asked.cause.merchant_id,
            name=asked.request.name,
            email=asked.request.email,
            portal_access="none",
            created_at=START,
        )
        return Reply(state, (envelope_of(CustomerCreated(state=state)),))

    world.owners.answers[CreateCustomer] = make
    async with world.client(token) as browser:
        made = await browser.post("/api/v1/customers", json={"name": "Ada", "email": "ada@example.com"})
        assert made.status_code == 201
        listed = await browser.get("/api/v1/customers")
        assert listed.json() == {"items": [made.json()], "next_cursor": None}
        assert (await browser.get(f"/api/v1/customers/{made.json()['id']}")).json() == made.json()
    asked = world.owners.asked[-1]
    assert (asked.cause.actor.kind, asked.cause.actor.role, asked.cause.merchant_id) == ("member", "admin", merchant.id)


async def test_a_payment_link_takes_along_what_we_know_of_merchant_and_customer(world: World) -> None:
    merchant = await world.merchant()
    customer = await world.customer(merchant)
    token = await world.sign_in(await world.member(merchant))
    made = invoice(customer)
    world.owners.answers[CreatePaymentLink] = lambda _: made
    async with world.client(token, **{"Idempotency-Key": "my-key-1"}) as browser:
        answer = await browser.post(f"/api/v1/customers/{customer.id}/payment-links", json=LINK)
    assert answer.status_code == 201, answer.text
    assert (answer.json()["id"], answer.json()["lines"][0]["quantity"]) == (str(made.id), "1")
    assert "token_sha256" not in answer.text
    asked = world.owners.asked[-1]
    command = asked.request
    assert isinstance(command, CreatePaymentLink)
    assert (command.customer_id, str(command.lines[0].quantity), command.due_on) == (
        customer.id,
        "2.5",
        date(2026, 4, 1),
    )
    assert "draft" not in command.model_fields_set
    assert asked.id == "my-key-1"
    assert {(each.noun, each.state["id"]) for each in asked.known} == {
        ("identity.merchant", str(merchant.id)),
        ("identity.customer", str(customer.id)),
    }


async def test_invoices_are_listed_by_state_and_customer_with_a_cursor(world: World) -> None:
    merchant = await world.merchant()
    ada, bob = await world.customer(merchant, "Ada"), await world.customer(merchant, "Bob")
    paid = [invoice(ada, "paid") for _ in range(3)]
    for state in (*paid, invoice(ada), invoice(bob, "paid")):
        await world.hear(InvoiceOpened(state=state))
    async with world.client(await world.sign_in(await world.member(merchant))) as browser:
        wanted = {"status": "paid", "customer_id": str(ada.id), "limit": "2"}
        first = (await browser.get("/api/v1/invoices", params=wanted)).json()
        second = (await browser.get("/api/v1/invoices", params={**wanted, "cursor": first["next_cursor"]})).json()
    assert [each["id"] for each in first["items"] + second["items"]] == [str(each.id) for each in reversed(paid)]
    assert second["next_cursor"] is None


async def test_a_member_copies_the_payment_link(world: World) -> None:
    merchant = await world.merchant()
    bill = invoice(await world.customer(merchant))
    await world.hear(InvoiceOpened(state=bill))
    world.owners.answers[PayLinkUrl] = lambda _: MailFacts(still_true=True, path="/pay/secret")
    async with world.client(await world.sign_in(await world.member(merchant))) as browser:
        answer = await browser.post(f"/api/v1/invoices/{bill.id}/link")
        assert (answer.status_code, answer.json()) == (200, {"url": "http://127.0.0.1:8000/pay/secret"})
        world.owners.answers[PayLinkUrl] = lambda _: MailFacts(still_true=False, why_not="It is paid.")
        assert problem(await browser.post(f"/api/v1/invoices/{bill.id}/link"), 410)["detail"] == "It is paid."


async def test_a_contact_pays_and_a_refusal_says_why(world: World) -> None:
    customer = await world.customer(await world.merchant())
    bill = invoice(customer)
    await world.hear(InvoiceOpened(state=bill))
    world.owners.answers[StartInvoicePayment] = lambda _: CheckoutStarted(
        payment_id=PaymentId(new_id()), checkout_url="https://checkout.stripe.com/c/1", invoice_id=bill.id
    )
    async with world.client(await world.sign_in(await world.contact(customer))) as browser:
        answer = await browser.post(f"/api/v1/invoices/{bill.id}/pay")
        assert (answer.status_code, answer.json()) == (200, {"checkout_url": "https://checkout.stripe.com/c/1"})
        command = world.owners.asked[-1].request
        assert isinstance(command, StartInvoicePayment)
        assert command.return_path == f"/portal/payments/{bill.id}?paid=confirming"
        world.owners.answers[StartInvoicePayment] = lambda _: InvoiceAlreadyPaid(paid_at="2026-03-01T10:00:00Z")
        refused = problem(await browser.post(f"/api/v1/invoices/{bill.id}/pay"), 409)
        assert (refused["type"], refused["paid_at"]) == ("/problems/invoice-already-paid", "2026-03-01T10:00:00Z")


async def test_documents_are_handed_on_byte_by_byte_under_a_safe_name(world: World) -> None:
    customer = await world.customer(await world.merchant())
    bill = invoice(customer, "paid")
    await world.hear(InvoiceOpened(state=bill))
    pdf = Document("application/pdf", 'Rechnung "7"\r\nSet-Cookie: a=b; ä.pdf', b"%PDF-1.7 \x00\xff")
    world.owners.answers[InvoicePdf] = lambda _: pdf
    world.owners.answers[ReceiptPdf] = lambda _: NoReceiptYet()
    async with world.client(await world.sign_in(await world.contact(customer))) as browser:
        answer = await browser.get(f"/api/v1/invoices/{bill.id}/invoice.pdf")
        assert (answer.content, answer.headers["content-type"]) == (pdf.body, "application/pdf")
        assert answer.headers["content-disposition"] == (
            "attachment; filename*=UTF-8''Rechnung%20%227%22%0D%0ASet-Cookie%3A%20a%3Db%3B%20%C3%A4.pdf"
        )
        assert "set-cookie" not in answer.headers
        problem(await browser.get(f"/api/v1/invoices/{bill.id}/receipt.pdf"), 404)


async def test_a_contact_adds_a_to_do_of_their_own_and_completes_it(world: World) -> None:
    customer = await world.customer(await world.merchant())
    state = todo(customer)
    world.owners.answers[CreateTodo] = lambda _: Reply(state, (envelope_of(TodoCreated(state=state)),))
    done = state.model_copy(update={"status": "done"})
    world.owners.answers[UpdateTodo] = lambda _: done
    async with world.client(await world.sign_in(await world.contact(customer))) as browser:
        made = await browser.post("/api/v1/todos", json={"title": "Water the plants"})
        assert made.status_code == 201
        command = world.owners.asked[-1].request
        assert isinstance(command, CreateTodo)
        assert command.customer_id == customer.id
        changed = await browser.patch(f"/api/v1/todos/{state.id}", json={"status": "done"})
        assert (changed.status_code, changed.json()["status"]) == (200, "done")
    update = world.owners.asked[-1].request
    assert update.model_fields_set == {"todo_id", "status"}


async def test_a_member_must_say_for_which_customer(world: World) -> None:
    async with world.client(await world.sign_in(await world.member(await world.merchant()))) as browser:
        refused = problem(await browser.post("/api/v1/todos", json={"title": "Call"}), 422)
    assert refused["errors"][0]["field"] == "customer_id"


async def test_an_accepted_invitation_begins_in_the_portal_that_it_was_for(world: World) -> None:
    merchant = await world.merchant()
    old, new = await world.customer(merchant, "Old"), await world.customer(merchant, "New")
    person = await world.person("Ada", f"{new_id()}@example.com")
    await world.contact(old, person)
    joined = (await world.contact(new, person)).model_copy()
    signed_in = SignedIn(
        person_id=joined.person_id,
        name="Ada",
        email=str(person.email),
        locale="en",
        time_zone="UTC",
        accounts=await world.accounts(person.id),
    )
    world.owners.answers[AcceptInvitation] = lambda _: Reply(signed_in, (envelope_of(ContactJoined(state=joined)),))
    async with world.client() as browser:
        body = {"token": "secret", "name": "Ada", "password": PASSWORD}
        answer = await browser.post("/api/v1/invitations/accept", json=body)
        assert (answer.status_code, answer.json()["account"]["name"]) == (201, "New")
        other = await browser.post("/api/v1/invitations/accept", json={**body, "token": "another"})
        assert other.status_code == 201
    first, second = (asked.cause.actor for asked in world.owners.asked[-2:])
    assert (first.kind, first.id is not None, first.id != second.id) == ("public", True, True)
    async with world.client(answer.json()["token"]) as browser:
        assert (await browser.get("/api/v1/session")).json()["name"] == "Ada"


async def test_a_logo_is_sent_as_it_is(world: World) -> None:
    merchant = await world.merchant()
    world.owners.answers[SetLogo] = lambda _: Logo(id=merchant.id, merchant_id=merchant.merchant_id, png_base64="")
    async with world.client(await world.sign_in(await world.member(merchant))) as browser:
        sent = await browser.put("/api/v1/merchant/logo", content=b"\x89PNG", headers={"content-type": "image/png"})
        assert sent.status_code == 204
        command = world.owners.asked[-1].request
        assert isinstance(command, SetLogo)
        assert command.image_base64 == "iVBORw=="
        big = b"x" * 1_000_001
        problem(await browser.put("/api/v1/merchant/logo", content=big, headers={"content-type": "image/png"}), 413)
        problem(await browser.put("/api/v1/merchant/logo", content=b"x", headers={"content-type": "text/html"}), 415)


async def test_an_empty_query_value_is_as_good_as_none(world: World) -> None:
    merchant = await world.merchant()
    customer = await world.customer(merchant)
    bill, own = invoice(customer), todo(customer, "assigned")
    await world.hear(InvoiceOpened(state=bill))
    await world.hear(TodoCreated(state=own))
    async with world.client(await world.sign_in(await world.member(merchant))) as browser:
        for path, id_ in (
            ("invoices?status=&customer_id=&cursor=&limit=", bill.id),
            (f"invoices?status=open&customer_id={customer.id}&cursor", bill.id),
            ("todos?status=&customer_id=&cursor=", own.id),
            ("customers?q=&archived=&cursor=", customer.id),
        ):
            answer = await browser.get(f"/api/v1/{path}")
            assert answer.status_code == 200, (path, answer.text)
            assert [each["id"] for each in answer.json()["items"]] == [str(id_)], path
        problem(await browser.get("/api/v1/invoices?status=lost"), 422)


# --- refusals -------------------------------------------------------------------------------------------------------


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


async def test_without_a_broker_pages_of_data_load_and_a_command_is_refused_within_two_seconds(world: World) -> None:
    merchant = await world.merchant()
    customer = await world.customer(merchant)
    token = await world.sign_in(await world.member(merchant))
    runtime = world.h.runtime
    runtime.rpc = RpcClient("amqp://portal_gateway:x@127.0.0.1:1/none", "gateway", runtime.clock)
    async with runtime.rpc.link, world.client(token) as browser:
        assert (await browser.get("/api/v1/customers")).json()["items"][0]["id"] == str(customer.id)
        began = time.monotonic()
        answer = await browser.post(f"/api/v1/customers/{customer.id}/payment-links", json=LINK)
        assert time.monotonic() - began < 2
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


# --- foreign ids ----------------------------------------------------------------------------------------------------

MEMBERS_OPERATIONS: list[tuple[str, str, Any]] = [
    ("PATCH", "/customers/{customer}", {"name": "X"}),
    ("POST", "/customers/{customer}/invitations", {}),
    ("POST", "/customers/{customer}/payment-links", LINK),
    ("POST", "/invoices/{invoice}/open", {}),
    ("POST", "/invoices/{invoice}/send", None),
    ("POST", "/invoices/{invoice}/void", None),
    ("POST", "/invoices/{invoice}/give-up", None),
    ("POST", "/invoices/{invoice}/link", None),
    ("POST", "/invoices/{invoice}/link/renew", {}),
    ("POST", "/invoices/{invoice}/link/revoke", None),
    ("POST", "/invoices/{invoice}/replace", LINK),
    ("POST", "/invoices/{invoice}/refunds", {}),
    ("POST", "/subscriptions/{subscription}/send", None),
    ("POST", "/subscriptions/{subscription}/link", None),
    ("POST", "/subscriptions/{subscription}/link/renew", {}),
    ("POST", "/subscriptions/{subscription}/link/revoke", None),
]
CONTACTS_OPERATIONS: list[tuple[str, str, Any]] = [
    ("POST", "/invoices/{invoice}/pay", None),
    ("POST", "/subscriptions/{subscription}/ask", {"wish": "cancel"}),
]
EVERYBODYS_OPERATIONS: list[tuple[str, str, Any]] = [
    ("GET", "/customers/{customer}", None),
    ("GET", "/invoices/{invoice}", None),
    ("GET", "/invoices/{invoice}/invoice.pdf", None),
    ("GET", "/invoices/{invoice}/receipt.pdf", None),
    ("GET", "/subscriptions/{subscription}", None),
    ("PATCH", "/subscriptions/{subscription}", {"payment_method_id": None}),
    ("GET", "/subscriptions/{subscription}/invoices", None),
    ("POST", "/subscriptions/{subscription}/preview", {"action": "cancel"}),
    ("POST", "/subscriptions/{subscription}/pause", {}),
    ("POST", "/subscriptions/{subscription}/resume", None),
    ("POST", "/subscriptions/{subscription}/cancel", {}),
    ("POST", "/subscriptions/{subscription}/undo-cancel", None),
    ("GET", "/invoices/{invoice}/credit-notes/{refund}.pdf", None),
    ("GET", "/statements?from=2026-01-01&to=2026-03-31&customer_id={customer}", None),
    ("GET", "/statements/statement.pdf?from=2026-01-01&to=2026-03-31&customer_id={customer}", None),
    ("GET", "/statements/statement.csv?from=2026-01-01&to=2026-03-31&customer_id={customer}", None),
    ("GET", "/payment-methods/{method}", None),
    ("PATCH", "/payment-methods/{method}", {"exp_year": 2040}),
    ("PATCH", "/payment-methods/{method}", {"default": True}),
    ("POST", "/payment-methods/{method}/default", None),
    ("DELETE", "/payment-methods/{method}", None),
    ("POST", "/payment-methods", {"customer_id": "{customer}"}),
    ("GET", "/todos/{todo}", None),
    ("PATCH", "/todos/{todo}", {"status": "done"}),
    ("DELETE", "/todos/{todo}", None),
    ("POST", "/todos", {"title": "X", "customer_id": "{customer}"}),
]


async def _operations(
    world: World, browser: httpx.AsyncClient, operations: list[tuple[str, str, Any]], ids: dict[str, str]
) -> set[int]:
    statuses = set()
    for method, path, body in operations:
        given = {k: v.format(**ids) if k == "customer_id" else v for k, v in body.items()} if body is not None else None
        asked = len(world.owners.asked)
        answer = await browser.request(method, "/api/v1" + path.format(**ids), json=given)
        assert len(world.owners.asked) == asked, f"{method} {path} was sent on"
        assert answer.headers["content-type"] == "application/problem+json"
        statuses.add(answer.status_code)
    return statuses


async def test_foreign_ids_are_not_found_and_nothing_is_asked(world: World) -> None:
    merchant = await world.merchant()
    ada, bob = await world.customer(merchant, "Ada"), await world.customer(merchant, "Bob")
    stranger = await world.customer(await world.merchant(), "Stranger")
    every = [*MEMBERS_OPERATIONS, *CONTACTS_OPERATIONS, *EVERYBODYS_OPERATIONS]

    async def ids(customer: Customer) -> dict[str, str]:
        bill, thing, agreed = invoice(customer), todo(customer, "assigned"), subscription(customer)
        await world.hear(InvoiceOpened(state=bill))
        await world.hear(SubscriptionAccepted(state=agreed))
        await world.hear(TodoCreated(state=thing))
        card = payment_method(customer)
        await world.hear(PaymentMethodAdded(state=card))
        back = refund(bill, 100)
        await world.hear(RefundSucceeded(state=back, invoice=bill))
        found = {
            "customer": customer,
            "invoice": bill,
            "todo": thing,
            "subscription": agreed,
            "refund": back,
            "method": card,
        }
        return {name: str(each.id) for name, each in found.items()}

    nobodys = dict.fromkeys(("customer", "invoice", "todo", "subscription", "refund", "method"), str(new_id()))
    async with world.client(await world.sign_in(await world.member(merchant))) as member:
        assert await _operations(world, member, every, await ids(stranger)) == {404}
        assert await _operations(world, member, every, nobodys) == {404}
        assert await _operations(world, member, CONTACTS_OPERATIONS, await ids(ada)) == {403}
    async with world.client(await world.sign_in(await world.contact(ada))) as contact:
        assert await _operations(world, contact, every, await ids(stranger)) == {404}
        assert await _operations(world, contact, every, await ids(bob)) == {404}
        assert await _operations(world, contact, MEMBERS_OPERATIONS, await ids(ada)) == {403}
        refusing = (("GET", "/customers"), ("POST", "/customers"), ("PATCH", "/merchant"), ("GET", "/billing-defaults"))
        more = (("PATCH", "/billing-defaults"), ("GET", "/disputes"), ("GET", "/reconciliation"))
        for method, path in (*refusing, *more):
            body = {"name": "X", "email": "x@example.com"} if method == "POST" else {}
            refused = await contact.request(method, f"/api/v1{path}", json=body)
            assert problem(refused, 403)["detail"] == "Only members of the merchant's team may do this."


async def test_a_members_private_to_do_of_a_customer_is_not_found(world: World) -> None:
    merchant = await world.merchant()
    private = todo(await world.customer(merchant))
    await world.hear(TodoCreated(state=private))
    async with world.client(await world.sign_in(await world.member(merchant))) as browser:
        for method, body in (("GET", None), ("PATCH", {"status": "done"}), ("DELETE", None)):
            problem(await browser.request(method, f"/api/v1/todos/{private.id}", json=body), 404)
        assert (await browser.get("/api/v1/todos")).json()["items"] == []
    assert [each for each in world.owners.asked if not isinstance(each.request, SignIn)] == []


async def test_a_command_that_comes_again_is_its_owners_to_answer_although_its_subject_is_gone(world: World) -> None:
    """Its first answer was lost, and our pages know already what became of it: the owner alone has the first reply."""
    merchant = await world.merchant()
    customer = await world.customer(merchant)
    bill, agreed, thing, card = (make(customer) for make in (invoice, subscription, todo, payment_method))
    thing = thing.model_copy(update={"origin": "assigned", "deleted": True, "title": None})
    gone = (TodoDeleted(state=thing), PaymentMethodRemoved(state=card.model_copy(update={"deleted": True})))
    ends = {event for event in EVENTS.values() if event.__name__.endswith(("Deleted", "Removed", "Erased"))}
    assert {type(event) for event in gone} == ends, "A noun can be deleted that is not deleted here."
    for event in (InvoiceOpened(state=bill), SubscriptionAccepted(state=agreed), *gone):
        await world.hear(event)
    ids = {"customer": customer.id, "invoice": bill.id, "todo": thing.id, "subscription": agreed.id, "method": card.id}
    first = NotAllowed("What the owner said at first.")
    member = await world.sign_in(await world.member(merchant))
    world.owners.answers = defaultdict(lambda: lambda _: first)
    async with world.client(member, **{"Idempotency-Key": "once-more"}) as browser:
        orders = [each for each in (*MEMBERS_OPERATIONS, *EVERYBODYS_OPERATIONS) if each[0] != "GET"]
        document = (await browser.get("/api/v1/openapi.json")).json()
        about = {
            (method.upper(), re.sub(r"{payment_(method)_id}|{(\w+)_id}", r"{\1\2}", path.removeprefix("/api/v1")))
            for path, operations in document["paths"].items()
            for method in operations.keys() - {"get"}
            if "{" in path
        }
        assert about == {(method, path) for method, path, _ in (*orders, *CONTACTS_OPERATIONS) if "{" in path}
        for method, path, body in orders:
            given = body and body | ({"customer_id": str(customer.id)} if "customer_id" in body else {})
            answer = await browser.request(method, "/api/v1" + path.format(**ids), json=given)
            assert problem(answer, 403)["detail"] == first.detail, f"{method} {path}"


# --- the document ---------------------------------------------------------------------------------------------------


ISSUE = """\
POST /api/v1/session · GET /api/v1/session · DELETE /api/v1/session · PUT /api/v1/session/account ·
GET /api/v1/customers · POST /api/v1/customers · GET /api/v1/customers/{customer_id} ·
PATCH /api/v1/customers/{customer_id} · POST /api/v1/customers/{customer_id}/invitations ·
POST /api/v1/invitations/accept · POST /api/v1/customers/{customer_id}/payment-links · GET /api/v1/invoices ·
GET /api/v1/invoices/{invoice_id} · POST /api/v1/invoices/{invoice_id}/link · POST /api/v1/invoices/{invoice_id}/pay ·
POST /api/v1/invoices/{invoice_id}/link/renew · POST /api/v1/invoices/{invoice_id}/link/revoke ·
POST /api/v1/invoices/{invoice_id}/replace · GET /api/v1/billing-defaults · PATCH /api/v1/billing-defaults ·
POST /api/v1/invoices/{invoice_id}/open · POST /api/v1/invoices/{invoice_id}/send ·
POST /api/v1/invoices/{invoice_id}/refunds · GET /api/v1/refunds · GET /api/v1/disputes · GET /api/v1/reconciliation ·
GET /api/v1/invoices/{invoice_id}/credit-notes/{refund_id}.pdf ·
POST /api/v1/invoices/{invoice_id}/void · POST /api/v1/invoices/{invoice_id}/give-up ·
GET /api/v1/invoices/{invoice_id}/invoice.pdf · GET /api/v1/invoices/{invoice_id}/receipt.pdf ·
GET /api/v1/statements · GET /api/v1/statements/statement.pdf · GET /api/v1/statements/statement.csv ·
GET /api/v1/payment-methods · POST /api/v1/payment-methods · GET /api/v1/payment-methods/{payment_method_id} ·
PATCH /api/v1/payment-methods/{payment_method_id} · DELETE /api/v1/payment-methods/{payment_method_id} ·
POST /api/v1/payment-methods/{payment_method_id}/default ·
GET /api/v1/todos · POST /api/v1/todos · GET /api/v1/todos/{todo_id} · PATCH /api/v1/todos/{todo_id} ·
DELETE /api/v1/todos/{todo_id} · GET /api/v1/merchant · PATCH /api/v1/merchant · PUT /api/v1/merchant/logo ·
DELETE /api/v1/merchant/logo · GET /api/v1/changes · GET /api/v1/subscriptions ·
GET /api/v1/subscriptions/{subscription_id} · GET /api/v1/subscriptions/{subscription_id}/invoices ·
POST /api/v1/subscriptions/{subscription_id}/preview · POST /api/v1/subscriptions/{subscription_id}/pause ·
POST /api/v1/subscriptions/{subscription_id}/resume · POST /api/v1/subscriptions/{subscription_id}/cancel ·
POST /api/v1/subscriptions/{subscription_id}/undo-cancel · POST /api/v1/subscriptions/{subscription_id}/ask ·
POST /api/v1/subscriptions/{subscription_id}/send · PATCH /api/v1/subscriptions/{subscription_id} ·
POST /api/v1/subscriptions/{subscription_id}/link · POST /api/v1/subscriptions/{subscription_id}/link/renew ·
POST /api/v1/subscriptions/{subscription_id}/link/revoke"""


async def test_every_pattern_of_the_api_has_a_sentence(world: World) -> None:
    async with world.client() as browser:
        document = (await browser.get("/api/v1/openapi.json")).text
    asked = set()
    json.loads(document, object_hook=lambda found: asked.add(str(found.get("pattern"))))
    assert asked - {"None"} == PATTERNS.keys()


async def test_the_openapi_document_is_valid_and_complete(world: World) -> None:
    async with world.client() as browser:
        document = (await browser.get("/api/v1/openapi.json")).json()
    schemathesis.openapi.from_dict(document).validate()
    operations = [
        (method.upper(), path, each) for path, found in document["paths"].items() for method, each in found.items()
    ]
    assert {f"{method} {path}" for method, path, _ in operations} == {each.strip() for each in ISSUE.split("·")}
    assert len({each["operationId"] for *_, each in operations}) == len(operations)
    for method, path, each in operations:
        assert each["summary"], path
        assert {"500", "503"} <= each["responses"].keys(), path
        assert each["security"] == [] or {"401", "403"} <= each["responses"].keys(), (method, path)
        for status, answer in each["responses"].items():
            if int(status) >= 400:
                assert list(answer["content"]) == ["application/problem+json"], (method, path, status)
        if method == "POST":
            assert "idempotency-key" in {parameter["name"] for parameter in each["parameters"]}, path
    public = {path for _, path, each in operations if each["security"] == []}
    assert public == {"/api/v1/session", "/api/v1/invitations/accept"}
