"""The JSON API: what it answers, and what it asks of the owners."""

from collections.abc import Sequence
from datetime import date

import pytest

from chassis.database import Tx
from chassis.ids import new_id
from chassis.testing import envelope_of
from contracts.billing import (
    CheckoutStarted,
    CreatePaymentLink,
    InvoiceAlreadyPaid,
    InvoiceOpened,
    InvoicePdf,
    NoReceiptYet,
    PayLinkUrl,
    ReceiptPdf,
    StartInvoicePayment,
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
from contracts.message import Document, EventEnvelope, MailFacts, PaymentId, Reply
from contracts.todos import CreateTodo, TodoCreated, UpdateTodo
from services.gateway import readmodel
from tests.integration.gateway.browsing import LINK, problem
from tests.integration.gateway.world import PASSWORD, START, Asked, World, invoice, todo


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


def customer_made(asked: Asked) -> Reply[Customer]:
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


async def test_what_a_command_made_is_there_also_when_the_database_cuts_us_off_meanwhile(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await world.sign_in(await world.member(await world.merchant()))
    world.owners.answers[CreateCustomer] = customer_made
    apply, cuts = readmodel.apply, 0

    async def cut_at_first(tx: Tx, changed: Sequence[EventEnvelope]) -> None:
        nonlocal cuts
        cuts += 1
        if cuts == 1:
            await tx.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        await apply(tx, changed)

    monkeypatch.setattr(readmodel, "apply", cut_at_first)
    async with world.client(token) as browser:
        made = await browser.post("/api/v1/customers", json={"name": "Ada", "email": "ada@example.com"})
        assert made.status_code == 201
        assert (await browser.get(f"/api/v1/customers/{made.json()['id']}")).json() == made.json()
    assert cuts == 2


async def test_what_a_command_made_is_there_for_the_very_next_request(world: World) -> None:
    merchant = await world.merchant()
    token = await world.sign_in(await world.member(merchant))
    world.owners.answers[CreateCustomer] = customer_made
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
