"""Every operation of the API with ids that are not one's own: not found, forbidden, or the owner's to answer."""

import re
from collections import defaultdict
from typing import Any

import httpx

from chassis.ids import new_id
from contracts.billing import (
    InvoiceOpened,
    PaymentMethodAdded,
    PaymentMethodRemoved,
    RefundSucceeded,
    SubscriptionAccepted,
)
from contracts.identity import Customer, SignIn
from contracts.message import EVENTS, NotAllowed
from contracts.todos import TodoCreated, TodoDeleted
from tests.builders import refund
from tests.integration.gateway.browsing import LINK, problem
from tests.integration.gateway.world import World, invoice, payment_method, subscription, todo

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
