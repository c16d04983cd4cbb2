"""The card that a subscription is accepted with, beside an older default: named, charged, kept apart from other subscriptions."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from datetime import UTC, date, datetime

import pytest

from contracts.billing import (
    AcceptSubscription,
    ChooseSubscriptionMethod,
    PaymentMethod,
    SetDefaultPaymentMethod,
    Subscription,
)
from contracts.message import PaymentMethodId, SubscriptionId
from services.billing.stripe_gateway import StripeUnavailableError, setup_of
from tests.integration.billing.collecting import REFUSALS, Calendar, monthly
from tests.integration.billing.shop import FakeTill, SandboxTill, Shop, fake, post
from tests.integration.billing.wallets import CARDS

ORDERS = list(itertools.permutations(range(4)))[::5]
"""Five orders in which the four webhooks of a payment, or the three of a setup, may come."""


async def with_a_default(shop: Shop) -> tuple[Calendar, Subscription]:
    """Since 31 January one subscription runs on the default card, 4242."""
    shop.clock.at = datetime(2027, 1, 31, 12, tzinfo=UTC)
    time = Calendar(shop)
    older = await time.accepted(monthly(shop))
    assert await time.purse.summary() == [("4242", True, True)]
    await shop.news()
    return time, older


async def offered(time: Calendar) -> Subscription:
    """One with 14 days for nothing, which a card accepts."""
    made: Subscription = await time.shop.order(monthly(time.shop, trial_days=14))
    return made


async def page_of(time: Calendar, made: Subscription) -> str:
    """The page at Stripe on which it is accepted."""
    order = AcceptSubscription(subscription_id=SubscriptionId(made.id), return_path="/portal")
    return await time.purse.session_of(await time.shop.order(order, time.purse.payer()))


async def checkout_of(time: Calendar, made: Subscription) -> str:
    """The page at Stripe on which its first invoice is paid."""
    return await time.shop.session_of(await time.shop.pay(await time.first_invoice(made), time.shop.contact()))


async def pays(shop: Shop, session: str, last4: str) -> None:
    """An invoice is paid with this card; the webhooks are stored."""
    till = shop.till
    if isinstance(till, FakeTill):
        till.stripe.pays(session, last4=last4)
        await till.deliver()
        return
    assert isinstance(till, SandboxTill)
    paid = await till.control(f"/sessions/{session}/pay", card=CARDS[last4])
    await till._stored("checkout.session.completed", paid["payment_intent"])
    await till._stored("payment_method.attached", f"{CARDS[last4][-4:]}")


async def method(time: Calendar, last4: str) -> PaymentMethod:
    return next(each for each in await time.purse.shown() if each.last4 == last4)


async def charged_in_february(time: Calendar) -> dict[object, list[str | None]]:
    """The cards that each subscription was charged to once all have been renewed."""
    await time.comes(date(2027, 2, 14))
    await time.comes(date(2027, 2, 28))
    found: dict[object, list[str | None]] = {}
    for invoice in await time.invoices():
        if invoice.opened_at is not None and invoice.opened_at.date() > date(2027, 1, 31):
            found.setdefault(invoice.subscription_id, []).extend(each.last4 for each in invoice.receipts)
    return found


async def test_a_card_given_to_accept_is_charged_and_the_default_goes_on_for_others(shop: Shop) -> None:
    time, older = await with_a_default(shop)
    made = await offered(time)
    await time.purse.gives(await page_of(time, made), "4444")
    await shop.work()
    given = await method(time, "4444")
    assert ((await time.now(made)).status, (await time.now(made)).payment_method_id) == ("active", given.id)
    assert (await time.now(older)).payment_method_id is None
    assert [(each.last4, each.is_default, each.in_use) for each in await time.purse.shown()] == [
        ("4242", True, True),
        ("4444", False, True),
    ]
    assert await charged_in_february(time) == {made.id: ["4444"], older.id: ["4242"]}


async def test_a_card_that_paid_the_first_invoice_is_charged_and_the_default_goes_on_for_others(shop: Shop) -> None:
    time, older = await with_a_default(shop)
    made = await shop.order(monthly(shop))
    await pays(shop, await checkout_of(time, made), "4444")
    await shop.work()
    given = await method(time, "4444")
    assert ((await time.now(made)).status, (await time.now(made)).payment_method_id) == ("active", given.id)
    assert (await time.now(older)).payment_method_id is None
    assert given.in_use
    assert await charged_in_february(time) == {made.id: ["4444"], older.id: ["4242"]}


async def test_a_bank_redirect_that_paid_the_first_invoice_is_charged_as_the_debit_that_stripe_keeps_of_it(
    fake_shop: Shop,
) -> None:
    time, older = await with_a_default(fake_shop)
    made = await fake_shop.order(monthly(fake_shop))
    stripe = fake(fake_shop)
    stripe.pays(await checkout_of(time, made), last4="4444")
    charges = [event["data"]["object"] for event in stripe.told if event["type"] == "charge.succeeded"]
    for charge in [*charges, *(each["latest_charge"] for each in stripe.intents.values())]:
        if charge["id"] == charges[0]["id"]:
            kept, charge["payment_method"] = charge["payment_method"], "pm_once"
            charge["payment_method_details"] = {"type": "ideal", "ideal": {"generated_sepa_debit": kept}}
    await time.webhooks()
    assert (await time.now(made)).payment_method_id == (await method(time, "4444")).id
    assert await charged_in_february(time) == {made.id: ["4444"], older.id: ["4242"]}


@pytest.mark.parametrize("expanded", [True, False])
def test_a_bank_redirect_given_on_a_page_is_the_debit_that_stripe_keeps_of_it(*, expanded: bool) -> None:
    kept = {"id": "pm_debit"} if expanded else "pm_debit"
    details = {"type": "ideal", "ideal": {"generated_sepa_debit": kept, "iban_last4": "4300"}}
    intent = {"payment_method": "pm_once", "latest_attempt": {"payment_method_details": details}}
    page = {
        "id": "cs_1",
        "status": "complete",
        "url": None,
        "customer": "cus_1",
        "metadata": {},
        "setup_intent": intent,
    }
    assert setup_of(page).method == "pm_debit"
    assert setup_of(page | {"setup_intent": intent | {"latest_attempt": None}}).method == "pm_once"


async def arrive(shop: Shop, order: Sequence[int]) -> None:
    """What Stripe has told comes in this order, each twice, and is handled one by one; once more at the end."""
    told, fake(shop).told = fake(shop).told, []
    for place in [*order, *order]:
        if place < len(told):
            await post(shop.door, [told[place]] * 2)
            await shop.work()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("how", ["setup", "payment"])
async def test_in_whatever_order_webhooks_come_the_card_is_named_once(
    fake_shop: Shop, how: str, order: Sequence[int]
) -> None:
    time, _ = await with_a_default(fake_shop)
    made: Subscription
    if how == "setup":
        made = await offered(time)
        fake(fake_shop).gives(await page_of(time, made), "4444")
    else:
        made = await fake_shop.order(monthly(fake_shop))
        fake(fake_shop).pays(await checkout_of(time, made), last4="4444")
    await fake_shop.news()
    await arrive(fake_shop, order)
    now = await time.now(made)
    assert (now.status, now.payment_method_id) == ("active", (await method(time, "4444")).id)
    told = [each.data["state"] for each in await fake_shop.news_events() if each.subject == str(made.id)]
    assert [each["payment_method_id"] is not None for each in told if isinstance(each, dict)][-1:] == [True]
    assert len(told) == len({json.dumps(each, sort_keys=True) for each in told}) <= 2


async def test_a_card_that_becomes_the_default_is_charged_as_that_and_so_is_a_later_default(shop: Shop) -> None:
    shop.clock.at = datetime(2027, 1, 31, 12, tzinfo=UTC)
    time = Calendar(shop)
    made = await time.accepted_on_its_page(monthly(shop, trial_days=14))
    assert (made.payment_method_id, await time.purse.summary()) == (None, [("4242", True, True)])
    later = await time.purse.adds("4444")
    await shop.order(SetDefaultPaymentMethod(payment_method_id=PaymentMethodId(later.id)), time.purse.payer())
    assert await charged_in_february(time) == {made.id: ["4444"]}


async def test_the_default_card_given_again_is_charged_as_the_default(shop: Shop) -> None:
    time, _ = await with_a_default(shop)
    made = await offered(time)
    await time.purse.gives(await page_of(time, made), "4242")
    await shop.work()
    assert (await time.now(made)).payment_method_id is None
    assert await time.purse.summary() == [("4242", True, True)]
    # Nothing is left to be named when another card has become the default.
    later = await time.purse.adds("4444")
    await shop.order(SetDefaultPaymentMethod(payment_method_id=PaymentMethodId(later.id)), time.purse.payer())
    await time.purse.is_looked_at()
    assert (await time.now(made)).payment_method_id is None


async def bank_says(time: Calendar, given: PaymentMethod, answer: str | None) -> None:
    """From now on the bank of this card answers so; None: yes."""
    till, stripe_id = time.shop.till, await time.purse.stripe_id(given)
    if isinstance(till, SandboxTill):
        await till.control(f"/payment_methods/{stripe_id}", behaves_like=REFUSALS[answer])
    elif answer is None:
        fake(time.shop).behaves.pop(stripe_id)
    else:
        fake(time.shop).behaves[stripe_id] = answer


async def test_a_new_default_settles_what_the_given_card_could_not_pay_and_no_more(shop: Shop) -> None:
    time, _ = await with_a_default(shop)
    made = await offered(time)
    await time.purse.gives(await page_of(time, made), "4444")
    await shop.work()
    given = await method(time, "4444")
    await bank_says(time, given, "insufficient_funds")
    await time.comes(date(2027, 2, 14))
    owed = await time.last()
    assert (owed.subscription_id, await shop.payments_of(owed)) == (made.id, [(1, "failed")])
    new = await time.purse.adds("3155")
    await shop.order(SetDefaultPaymentMethod(payment_method_id=PaymentMethodId(new.id)), time.purse.payer())
    await time.runs()
    assert await shop.payments_of(owed) == [(1, "failed"), (2, "succeeded")]
    assert [each.last4 for each in (await shop.invoice(owed)).receipts] == ["3155"]
    assert (await time.now(made)).payment_method_id == given.id
    await bank_says(time, given, None)
    await time.comes(date(2027, 3, 14))
    theirs = [each for each in await time.invoices() if each.subscription_id == made.id]
    assert [each.last4 for invoice in theirs for each in invoice.receipts] == ["3155", "4444"]


async def test_each_new_default_is_tried_once_and_not_the_given_card_again(fake_shop: Shop) -> None:
    time, _ = await with_a_default(fake_shop)
    made = await offered(time)
    await time.purse.gives(await page_of(time, made), "4444")
    await fake_shop.work()
    await bank_says(time, await method(time, "4444"), "insufficient_funds")
    await time.comes(date(2027, 2, 14))
    owed = await time.last()
    new = await time.purse.adds("3155")
    await bank_says(time, new, "insufficient_funds")
    for default, outcome in ((new, "failed"), (await method(time, "4242"), "succeeded")):
        await fake_shop.order(
            SetDefaultPaymentMethod(payment_method_id=PaymentMethodId(default.id)), time.purse.payer()
        )
        await time.runs()
        assert (await fake_shop.payments_of(owed))[-1][1] == outcome
    assert [each[1] for each in await fake_shop.payments_of(owed)] == ["failed", "failed", "succeeded"]
    assert [each.last4 for each in (await fake_shop.invoice(owed)).receipts] == ["4242"]


async def test_a_given_card_that_is_taken_away_before_it_is_known_makes_way_for_the_default(fake_shop: Shop) -> None:
    time, older = await with_a_default(fake_shop)
    made = await fake_shop.order(monthly(fake_shop))
    fake(fake_shop).pays(await checkout_of(time, made), last4="4444")
    fake(fake_shop).detaches(list(fake(fake_shop).methods)[-1])
    await time.webhooks()
    assert ((await time.now(made)).status, (await time.now(made)).payment_method_id) == ("active", None)
    assert await charged_in_february(time) == {made.id: ["4242"], older.id: ["4242"]}


async def test_a_choice_made_before_the_given_card_is_known_stands(fake_shop: Shop) -> None:
    time, _ = await with_a_default(fake_shop)
    third = await time.purse.adds("0341")
    made = await fake_shop.order(monthly(fake_shop))
    fake(fake_shop).pays(await checkout_of(time, made), last4="4444")
    held = [each for each in fake(fake_shop).told if not each["type"].startswith("payment_method")]
    fake(fake_shop).told = held
    await time.webhooks()
    assert (await time.now(made)).payment_method_id is None
    await fake_shop.order(
        ChooseSubscriptionMethod(subscription_id=SubscriptionId(made.id), payment_method_id=PaymentMethodId(third.id))
    )
    await time.purse.is_looked_at()
    assert "4444" in [each.last4 for each in await time.purse.shown()]
    assert (await time.now(made)).payment_method_id == third.id


async def test_without_any_webhook_the_card_is_named_by_who_asks_about_the_page(shop: Shop) -> None:
    time, _ = await with_a_default(shop)
    made = await offered(time)
    session = await page_of(time, made)
    await shop.till.loses_webhooks()
    if isinstance(shop.till, FakeTill):
        fake(shop).gives(session, "4444")
    else:
        assert isinstance(shop.till, SandboxTill)
        await shop.till.control(f"/sessions/{session}/pay", card=CARDS["4444"])
    shop.later(minutes=1)
    await time.purse.is_looked_at()
    now = await time.now(made)
    assert (now.status, now.payment_method_id) == ("active", (await method(time, "4444")).id)


async def test_money_booked_while_stripe_names_no_card_is_named_when_its_charge_is_told(fake_shop: Shop) -> None:
    time, _ = await with_a_default(fake_shop)
    made = await fake_shop.order(monthly(fake_shop))
    fake(fake_shop).pays(await checkout_of(time, made), last4="4444")
    attached, charge, _, completed = fake(fake_shop).told
    fake(fake_shop).told = []
    fake(fake_shop).fails["intent"] = [StripeUnavailableError("away")] * 3
    await post(fake_shop.door, [completed])
    for _ in range(4):
        await fake_shop.work()
        fake_shop.later(seconds=10)
    await post(fake_shop.door, [attached])
    await fake_shop.work()
    now = await time.now(made)
    assert (now.status, now.payment_method_id) == ("active", None)
    await post(fake_shop.door, [charge, charge])
    await fake_shop.work()
    await time.purse.is_looked_at()
    assert (await time.now(made)).payment_method_id == (await method(time, "4444")).id
