"""Payment methods on the pages and in the API: what is shown, what is sent on, and who does not see the merchant's to-dos."""

from datetime import timedelta
from typing import Any

from contracts.billing import (
    AddPaymentMethod,
    PaymentMethod,
    PaymentMethodAdded,
    PaymentMethodInUse,
    PaymentMethodRemoved,
    PaymentMethodStoppedWorking,
    RemovePaymentMethod,
    SetDefaultPaymentMethod,
    SetupStarted,
    UpdatePaymentMethod,
)
from contracts.identity import Contact, ContactJoined, Customer, Merchant
from contracts.message import NotAllowed
from contracts.todos import TodoCreated, TodoSubject
from tests.integration.gateway.browsing import fields_of, signed_in
from tests.integration.gateway.world import START, World, payment_method, todo

HERE = "/portal/payment-methods"


def orders(world: World, kind: type[Any]) -> list[Any]:
    return [each.request for each in world.owners.asked if isinstance(each.request, kind)]


async def test_the_page_lists_each_method_with_what_is_wrong_with_it(
    world: World, customer: Customer, contact: Contact
) -> None:
    cards = [
        payment_method(customer, last4="1111", in_use=True),
        payment_method(customer, last4="2222", is_default=False, exp_month=2, exp_year=2026),
        payment_method(customer, last4="3333", is_default=False, exp_month=3, exp_year=2026),
        payment_method(customer, last4="4444", is_default=False, working=False, failure="stolen_card"),
        payment_method(customer, last4="5555", is_default=False, kind="sepa_debit", exp_month=None, exp_year=None),
        payment_method(customer, last4="6666", is_default=False, working=False, failure="account_changed"),
    ]
    gone = payment_method(customer, last4="9999")
    for each in (*cards, gone):
        await world.hear(PaymentMethodAdded(state=each))
    await world.hear(PaymentMethodRemoved(state=gone.model_copy(update={"deleted": True, "last4": None})))
    async with await signed_in(world, contact) as browser:
        page = (await browser.get(HERE)).text
    rows = {row.split("•••• ")[1][:4]: row for row in page.split("<li>")[1:] if "•••• " in row}
    assert set(rows) == {"1111", "2222", "3333", "4444", "5555", "6666"}
    again = "takes payments through another account now. Please add it again."
    assert [last4 for last4, row in rows.items() if again in row] == ["6666"]
    for last4, badge in (("2222", "Expired"), ("3333", "Expires soon"), ("4444", "Not working")):
        assert f">{badge}</span>" in rows[last4]
    assert ">Default</span>" in rows["1111"]
    assert "used by a subscription" in rows["1111"]
    assert "valid until 12/34" in rows["1111"]
    assert "Bank account" in rows["5555"]
    assert "Make default" not in rows["1111"] + rows["4444"]
    assert "Make default" in rows["3333"]


async def test_adding_leads_to_the_providers_page_and_back_to_one_that_waits_for_the_card(
    world: World, customer: Customer, contact: Contact
) -> None:
    world.owners.answers[AddPaymentMethod] = lambda _: SetupStarted(setup_url="https://checkout.test/cs_1")
    async with await signed_in(world, contact) as browser:
        empty = (await browser.get(HERE)).text
        assert "No payment method yet" in empty
        answer = await browser.post(HERE, data=fields_of(empty, HERE))
        assert (answer.status_code, answer.headers["location"]) == (303, "https://checkout.test/cs_1")
        (order,) = orders(world, AddPaymentMethod)
        world.h.clock.at += timedelta(seconds=2)
        await browser.post(HERE, data=fields_of(empty, HERE))
        assert orders(world, AddPaymentMethod)[1] == order, "Sent again it is another order, which is refused."
        world.h.clock.at -= timedelta(seconds=2)
        assert order.return_path == f"{HERE}/saving?since={int(world.h.clock.now().timestamp())}"
        assert (await browser.get(order.return_path)).headers["location"] == HERE
        back = f"{order.return_path}&added=confirming"
        assert "Saving your payment method" in (await browser.get(back)).text
        old = payment_method(customer, last4="1111", added_at=START - timedelta(days=1))
        await world.hear(PaymentMethodAdded(state=old))
        assert "Saving your payment method" in (await browser.get(back)).text
        fresh = payment_method(customer, last4="7777", is_default=False, added_at=world.h.clock.now())
        await world.hear(PaymentMethodAdded(state=fresh))
        saved = (await browser.get(back)).text
        assert "Payment method saved" in saved
        assert "•••• 7777" in saved
        for broken in ("since=x", "since=" + "9" * 40, "since=-1", ""):
            assert (await browser.get(f"{HERE}/saving?{broken}&added=confirming")).status_code == 200


async def test_a_method_is_updated_made_the_default_and_removed(
    world: World, customer: Customer, contact: Contact
) -> None:
    card, other = payment_method(customer, in_use=True), payment_method(customer, last4="4444", is_default=False)
    for each in (card, other):
        await world.hear(PaymentMethodAdded(state=each))
    kinds: tuple[type[Any], ...] = (UpdatePaymentMethod, SetDefaultPaymentMethod, RemovePaymentMethod)
    for kind in kinds:
        world.owners.answers[kind] = lambda _: card
    async with await signed_in(world, contact) as browser:
        form = fields_of((await browser.get(f"{HERE}/{card.id}")).text, f"{HERE}/{card.id}#problem")
        assert (form["exp_month"], form["exp_year"], form["billing_name"]) == ("12", "2034", "Ada Lovelace")
        changed = form | {"exp_year": "2035", "billing_name": "", "billing_email": "ada@example.com"}
        assert (await browser.post(f"{HERE}/{card.id}", data=changed)).headers[
            "location"
        ] == f"{HERE}?done=method-saved"
        (update,) = orders(world, UpdatePaymentMethod)
        assert update.model_dump(exclude={"payment_method_id"}) == {
            "exp_month": 12, "exp_year": 2035, "billing_name": None, "billing_email": "ada@example.com",
            "billing_country": None,
        }  # fmt: skip
        page = (await browser.get(HERE)).text
        await browser.post(f"{HERE}/{other.id}/default", data=fields_of(page, f"{HERE}/{other.id}/default"))
        assert [each.payment_method_id for each in orders(world, SetDefaultPaymentMethod)] == [other.id]
        leave = (await browser.get(f"{HERE}/{card.id}/remove")).text
        assert "A subscription uses this payment method" in leave
        sent = fields_of(leave, f"{HERE}/{card.id}/remove#problem") | {"replacement_id": str(other.id)}
        assert (
            (await browser.post(f"{HERE}/{card.id}/remove", data=sent)).headers["location"].endswith("method-removed")
        )
        gone = card.model_copy(update={"deleted": True, "last4": None})
        await world.hear(PaymentMethodRemoved(state=gone))
        again = await browser.post(f"{HERE}/{card.id}/remove", data=sent)
        assert (again.status_code, again.headers["location"]) == (303, f"{HERE}?done=method-removed")
        assert [each.replacement_id for each in orders(world, RemovePaymentMethod)] == [other.id, other.id]


async def test_a_refusal_is_said_on_the_page_and_what_was_typed_comes_back(
    world: World, customer: Customer, contact: Contact
) -> None:
    card = payment_method(customer, in_use=True)
    await world.hear(PaymentMethodAdded(state=card))
    world.owners.answers[RemovePaymentMethod] = lambda _: PaymentMethodInUse(subscriptions=[])
    world.owners.answers[AddPaymentMethod] = lambda _: NotAllowed("Only those who look after the money can do this.")
    async with await signed_in(world, contact) as browser:
        assert "Add another one first" in (await browser.get(f"{HERE}/{card.id}/remove")).text
        csrf = fields_of((await browser.get(HERE)).text, HERE)["csrf"]
        refused = await browser.post(f"{HERE}/{card.id}/remove", data={"csrf": csrf})
        assert refused.status_code == 409
        assert "This payment method is in use." in refused.text
        typed = {"csrf": csrf, "exp_month": "12", "exp_year": "2034", "billing_email": "not an address"}
        wrong = await browser.post(f"{HERE}/{card.id}", data=typed)
        assert wrong.status_code == 422
        assert 'value="not an address"' in wrong.text
        assert "Please enter an e-mail address" in wrong.text
        denied = await browser.post(HERE, data={"csrf": csrf})
        assert denied.status_code == 403
        assert "Only those who look after the money can do this." in denied.text


async def test_a_colleague_who_does_not_look_after_the_money_sees_no_buttons(
    world: World, customer: Customer, contact: Contact
) -> None:
    colleague = contact.model_copy(update={"role": "member"})
    await world.hear(ContactJoined(state=colleague))
    await world.hear(PaymentMethodAdded(state=payment_method(customer)))
    async with await signed_in(world, colleague) as browser:
        page = (await browser.get(HERE)).text
    assert "•••• 4242" in page
    assert "Payment methods are looked after by" in page
    assert "<form method" not in page.split("<main", 1)[1].split("</main>")[0]


async def test_a_member_hands_on_the_address_of_the_providers_page(
    world: World, merchant: Merchant, customer: Customer
) -> None:
    await world.hear(PaymentMethodAdded(state=payment_method(customer)))
    world.owners.answers[AddPaymentMethod] = lambda _: SetupStarted(setup_url="https://checkout.test/cs_2")
    async with await signed_in(world, await world.member(merchant)) as browser:
        at = f"/console/customers/{customer.id}"
        tab = (await browser.get(f"{at}/payments")).text
        assert "•••• 4242" in tab
        answer = await browser.post(f"{at}/payment-methods", data=fields_of(tab, f"{at}/payment-methods"))
    assert answer.status_code == 200
    assert 'value="https://checkout.test/cs_2"' in answer.text
    (order,) = orders(world, AddPaymentMethod)
    assert (order.customer_id, order.return_path) == (customer.id, f"/payment-method-given/{merchant.id}")
    async with world.client() as visitor:
        assert "You can close this page" in (await visitor.get(f"{order.return_path}?added=confirming")).text
        assert "No payment method was added" in (await visitor.get(order.return_path)).text
        assert (await visitor.get(f"/payment-method-given/{customer.id}")).status_code == 404


async def test_other_customers_methods_are_not_there(world: World, merchant: Merchant, contact: Contact) -> None:
    theirs = payment_method(await world.customer(merchant, "Bob"))
    foreign = payment_method(await world.customer(await world.merchant(), "Stranger"))
    for each in (theirs, foreign):
        await world.hear(PaymentMethodAdded(state=each))
    async with await signed_in(world, contact) as browser:
        csrf = fields_of((await browser.get(HERE)).text, HERE)["csrf"]
        for each in (theirs, foreign):
            for path in ("", "/remove"):
                assert (await browser.get(f"{HERE}/{each.id}{path}")).status_code == 404
            for path in ("", "/remove", "/default"):
                answer = await browser.post(f"{HERE}/{each.id}{path}", data={"csrf": csrf})
                assert answer.status_code == 404, path
        assert "••••" not in (await browser.get(HERE)).text
    kinds = (UpdatePaymentMethod, RemovePaymentMethod, SetDefaultPaymentMethod)
    assert [each for kind in kinds for each in orders(world, kind)] == []


async def test_the_api_lists_changes_and_removes(world: World, customer: Customer, contact: Contact) -> None:
    card = payment_method(customer)
    await world.hear(PaymentMethodAdded(state=card))
    kinds: tuple[type[Any], ...] = (UpdatePaymentMethod, SetDefaultPaymentMethod, RemovePaymentMethod)
    for kind in kinds:
        world.owners.answers[kind] = lambda _: card
    world.owners.answers[AddPaymentMethod] = lambda _: SetupStarted(setup_url="https://checkout.test/cs_3")
    async with world.client(await world.sign_in(contact)) as api:
        (listed,) = (await api.get("/api/v1/payment-methods")).json()["items"]
        assert (listed["id"], listed["last4"], listed["is_default"]) == (str(card.id), "4242", True)
        at = f"/api/v1/payment-methods/{card.id}"
        assert (await api.post("/api/v1/payment-methods", json={})).json() == {
            "setup_url": "https://checkout.test/cs_3"
        }
        assert (await api.patch(at, json={"exp_year": 2040})).status_code == 200
        assert (await api.patch(at, json={"default": True})).status_code == 200
        both = await api.patch(at, json={"default": True, "exp_year": 2040})
        assert (both.status_code, both.json()["errors"][0]["field"]) == (422, "default")
        assert (await api.post(f"{at}/default")).status_code == 200
        assert (await api.delete(at)).status_code == 204
        removed = await api.request("DELETE", at, json={"replacement_id": str(card.id)})
        assert removed.status_code == 204
    assert [each.exp_year for each in orders(world, UpdatePaymentMethod)] == [2040]
    assert len(orders(world, SetDefaultPaymentMethod)) == 2
    assert [each.replacement_id for each in orders(world, RemovePaymentMethod)] == [None, card.id]


async def test_a_members_request_of_a_customer_is_the_merchants_alone(
    world: World, merchant: Merchant, customer: Customer, contact: Contact
) -> None:
    subject = TodoSubject(kind="request", id=customer.id, label="Website care")
    asked = todo(
        customer, "merchant", "Ada asks to pause Website care", subject=subject, created_by="Ada", notes="In May"
    )
    await world.hear(TodoCreated(state=asked))
    async with await signed_in(world, contact) as browser:
        for path in ("/portal", "/portal/todos"):
            assert "Website care" not in (await browser.get(path)).text
    async with world.client(await world.sign_in(contact)) as api:
        assert (await api.get("/api/v1/todos")).json()["items"] == []
        assert (await api.get(f"/api/v1/todos/{asked.id}")).status_code == 404
    async with await signed_in(world, await world.member(merchant)) as browser:
        for path in ("/console", f"/console/customers/{customer.id}/todos"):
            page = (await browser.get(path)).text
            assert "Request about Website care" in page
            assert "In May" in page


async def test_a_card_to_replace_leads_to_the_payment_methods(
    world: World, customer: Customer, contact: Contact
) -> None:
    dead = payment_method(customer, working=False, failure="stolen_card", in_use=True)
    await world.hear(PaymentMethodStoppedWorking(state=dead))
    subject = TodoSubject(kind="payment_method", id=dead.id, label="4242")
    await world.hear(TodoCreated(state=todo(customer, "billing", "Replace card ending 4242", subject=subject)))
    async with await signed_in(world, contact) as browser:
        for path in ("/portal", "/portal/todos"):
            page = (await browser.get(path)).text
            assert f'href="{HERE}">Replace the card ending in 4242</a>' in page
        assert "Payment method ending in 4242 does not work any more" in (await browser.get("/portal")).text


def test_a_payment_method_has_no_room_for_a_card_number() -> None:
    assert not {name for name in PaymentMethod.model_fields if "number" in name or "cvc" in name}
