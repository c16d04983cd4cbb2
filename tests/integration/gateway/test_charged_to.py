"""What a subscription is charged to: in the API, on its page, and who chooses."""

from __future__ import annotations

from chassis.ids import new_id
from contracts.billing import ChooseSubscriptionMethod, InvoiceOpened, PaymentMethodAdded, SubscriptionAccepted
from contracts.identity import Contact, ContactChanged, Customer, Member, Merchant
from contracts.message import FieldError, InvalidInput, SubscriptionId
from tests.integration.gateway.browsing import posted, problem, signed_in
from tests.integration.gateway.world import World, invoice, payment_method, subscription


async def test_what_a_subscription_charges_is_chosen_in_the_api(
    world: World, customer: Customer, contact: Contact
) -> None:
    running, card = subscription(customer), payment_method(customer)
    await world.hear(SubscriptionAccepted(state=running))
    chosen = running.model_copy(update={"payment_method_id": card.id})
    world.owners.answers[ChooseSubscriptionMethod] = lambda _: chosen
    path = f"/api/v1/subscriptions/{running.id}"
    async with world.client(await world.sign_in(contact)) as browser:
        answer = await browser.patch(path, json={"payment_method_id": str(card.id)})
        assert (answer.status_code, answer.json()["payment_method_id"]) == (200, str(card.id))
        assert (await browser.patch(path, json={"payment_method_id": None})).status_code == 200
        problem(await browser.patch(path, json={}), 422)
    sent = [each.request for each in world.owners.asked if isinstance(each.request, ChooseSubscriptionMethod)]
    assert [each.payment_method_id for each in sent] == [card.id, None]


async def test_the_page_says_what_is_charged_and_offers_what_works(
    world: World, customer: Customer, contact: Contact, member: Member
) -> None:
    running = subscription(customer)
    await world.hear(SubscriptionAccepted(state=running))
    usual = payment_method(customer)
    other = payment_method(customer, is_default=False, brand="mastercard", last4="4444")
    dead = payment_method(customer, is_default=False, last4="0341", working=False)
    foreign = payment_method(await world.customer(await world.merchant(), "Bob"), last4="9999")
    for each in (usual, other, dead, foreign):
        await world.hear(PaymentMethodAdded(state=each))
    chosen = running.model_copy(update={"payment_method_id": other.id})
    world.owners.answers[ChooseSubscriptionMethod] = lambda _: chosen
    here = f"/portal/subscriptions/{running.id}"
    async with await signed_in(world, contact) as browser:
        page = (await browser.get(here)).text
        assert "the default (Visa •••• 4242)" in page
        assert f'value="{other.id}">Mastercard •••• 4444' in page
        assert "•••• 0341" not in page
        assert "•••• 9999" not in page
        sent = await posted(browser, here, f"{here}/payment-method", payment_method_id=str(other.id))
        assert (sent.status_code, sent.headers["location"]) == (303, f"{here}?done=method-chosen")
        assert world.owners.asked[-1].request == ChooseSubscriptionMethod(
            subscription_id=SubscriptionId(running.id), payment_method_id=other.id
        )
        wrong = FieldError(field="payment_method_id", message="No.", code="no-such-method")
        world.owners.answers[ChooseSubscriptionMethod] = lambda _: InvalidInput(errors=(wrong,))
        refused = await posted(browser, here, f"{here}/payment-method", payment_method_id="")
        assert (refused.status_code, "Choose one of the payment methods" in refused.text) == (422, True)
    await world.hear(SubscriptionAccepted(state=chosen))
    async with await signed_in(world, member) as browser:
        page = (await browser.get(f"/console/subscriptions/{running.id}")).text
        assert "chosen for this subscription" in page
        assert f'value="{other.id}" selected' in page


async def test_who_does_not_look_after_the_money_sees_what_is_charged_and_chooses_nothing(
    world: World, merchant: Merchant, customer: Customer
) -> None:
    running = subscription(customer)
    await world.hear(SubscriptionAccepted(state=running))
    for last4, default in (("4242", True), ("4444", False)):
        await world.hear(PaymentMethodAdded(state=payment_method(customer, last4=last4, is_default=default)))
    colleague = (await world.contact(customer)).model_copy(update={"role": "member"})
    await world.hear(ContactChanged(state=colleague))
    for side, who in (
        ("portal", colleague),
        ("console", await world.member(merchant, role="sales")),
    ):
        async with await signed_in(world, who) as browser:
            page = (await browser.get(f"/{side}/subscriptions/{running.id}")).text
            assert "4242" in page
            assert "/payment-method" not in page.replace("/portal/payment-methods", "")


async def test_a_members_invoice_names_what_it_belongs_to(world: World, customer: Customer, member: Member) -> None:
    running, unheard = subscription(customer), SubscriptionId(new_id())
    bills = [invoice(customer, subscription_id=id_) for id_ in (SubscriptionId(running.id), unheard)]
    await world.hear(SubscriptionAccepted(state=running))
    async with await signed_in(world, member) as browser:
        for bill, named in zip(bills, (f"<bdi>{running.title}</bdi>", "its subscription"), strict=True):
            await world.hear(InvoiceOpened(state=bill))
            page = (await browser.get(f"/console/invoices/{bill.id}")).text
            assert f'<a href="/console/subscriptions/{bill.subscription_id}">{named}</a>' in page
