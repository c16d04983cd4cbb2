"""A merchant connects another account at Stripe: cards live where they were given, and money is taken there or not at all."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from contracts.billing import AcceptSubscription, RemovePaymentMethod, SetDefaultPaymentMethod
from contracts.message import Conflict, CustomerId, PaymentMethodId
from services.billing.schedules.attempts import ask_about_attempts
from services.billing.schedules.charging import charge_due, charge_next
from services.billing.schedules.renewing import renew_due
from services.billing.schedules.retrying import retry_due
from services.billing.store import collecting
from services.billing.stripe_gateway import StripeClosedError, StripeUnknownError
from tests.integration.billing.collecting import Calendar, monthly
from tests.integration.billing.shop import FakeTill, SandboxTill, Shop, fake
from tests.integration.billing.test_differences import connect

NEW = "acct_nordlicht"


async def subscribed(shop: Shop) -> Calendar:
    shop.clock.at = datetime(2027, 1, 31, 12, tzinfo=UTC)
    calendar = Calendar(shop)
    await calendar.accepted(monthly(shop))
    await shop.news()
    return calendar


async def taken(shop: Shop, account: str | None) -> int:
    """All that this account took, by Stripe's own record."""
    till = shop.till
    if isinstance(till, FakeTill):
        ours = [each for each in till.stripe.intents.values() if till.stripe.owners[each["id"]] == account]
        return sum(each["amount_received"] for each in ours)
    assert isinstance(till, SandboxTill)
    async with till._http() as http:
        lines = (await http.get("/_sandbox/ledger")).json()["lines"]
    mine = str(shop.merchant_id)
    charges = [each for each in lines if each["kind"] == "charge.succeeded"]
    ours = [each for each in charges if each["metadata"].get("merchant_id") == mine and each["account"] == account]
    return sum(each["amount"] for each in ours)


async def begin_renewal(calendar: Calendar) -> None:
    """The renewal is begun, and its charge waits."""
    calendar.shop.clock.at = datetime(2027, 2, 28, 12, tzinfo=UTC)
    await renew_due(calendar.shop.h.runtime)


async def test_a_renewal_takes_nothing_at_the_account_that_was_left_and_the_customer_is_asked(shop: Shop) -> None:
    calendar = await subscribed(shop)
    await connect(shop, NEW)
    await calendar.comes(date(2027, 2, 28))
    assert (await taken(shop, None), await taken(shop, NEW)) == (1250, 0)
    invoice = await calendar.last()
    assert invoice.status == "open"
    assert invoice.last_decline is not None
    assert invoice.last_decline.code == "no_payment_method"
    await calendar.purse.is_looked_at()
    assert "payment_method.stopped_working" in await shop.news()
    [card] = await calendar.purse.shown()
    assert (card.last4, card.is_default, card.working, card.failure) == ("4242", True, False, "account_changed")


async def test_a_card_given_anew_settles_what_is_owed_at_the_new_account_and_replaces_the_old_one(shop: Shop) -> None:
    calendar = await subscribed(shop)
    await connect(shop, NEW)
    await calendar.comes(date(2027, 2, 28))
    await calendar.purse.is_looked_at()
    await calendar.purse.adds("4444")
    assert await calendar.purse.summary() == [("4444", True, True)]
    await calendar.runs()
    assert (await calendar.last()).status == "paid"
    assert (await taken(shop, None), await taken(shop, NEW)) == (1250, 1250)
    await calendar.comes(date(2027, 3, 31))
    assert (await taken(shop, None), await taken(shop, NEW)) == (1250, 2500)


async def test_looking_at_an_empty_new_wallet_takes_no_old_card_away(fake_shop: Shop) -> None:
    calendar = await subscribed(fake_shop)
    await connect(fake_shop, NEW)
    await calendar.purse.begins()
    fake_shop.later(days=2)
    await calendar.purse.is_looked_at()
    await calendar.purse.is_looked_at()
    assert await calendar.purse.summary() == [("4242", True, False)]


async def test_a_merchant_who_comes_back_finds_its_customers_cards_working(fake_shop: Shop) -> None:
    calendar = await subscribed(fake_shop)
    await connect(fake_shop, NEW)
    await calendar.purse.is_looked_at()
    [before] = await calendar.purse.shown()
    await connect(fake_shop, None)
    await calendar.purse.is_looked_at()
    assert await calendar.purse.shown() == [before.model_copy(update={"working": True, "failure": None})]
    await calendar.comes(date(2027, 2, 28))
    assert (await calendar.last()).status == "paid"
    assert await taken(fake_shop, None) == 2500


async def test_before_the_schedule_has_come_round_nothing_is_charged_either(fake_shop: Shop) -> None:
    calendar = await subscribed(fake_shop)
    whose = (fake_shop.merchant_id, CustomerId(fake_shop.customer.id), None)
    assert await collecting.chargeable(fake_shop.h.db, *whose) is not None
    await connect(fake_shop, NEW)
    assert await calendar.purse.summary() == [("4242", True, True)]
    assert await collecting.chargeable(fake_shop.h.db, *whose) is None
    [card] = await calendar.purse.shown()
    order = SetDefaultPaymentMethod(payment_method_id=PaymentMethodId(card.id))
    with pytest.raises(Conflict):
        await fake_shop.order(order, calendar.purse.payer())


async def test_a_card_at_the_account_that_was_left_can_still_be_removed_there(fake_shop: Shop) -> None:
    purse = Calendar(fake_shop).purse
    old = await purse.adds()
    stripe_id = await purse.stripe_id(old)
    await connect(fake_shop, NEW)
    await fake_shop.order(RemovePaymentMethod(payment_method_id=PaymentMethodId(old.id)), purse.payer())
    assert await purse.shown() == []
    assert fake(fake_shop).methods[stripe_id]["customer"] is None


# --- a page that was opened before -----------------------------------------------------------------------------------


async def left_page(shop: Shop, last4: str = "4242") -> Calendar:
    """A card is given on a page that was opened before the account was left."""
    calendar = Calendar(shop)
    session = await calendar.purse.session_of(await calendar.purse.begins())
    await connect(shop, NEW)
    await calendar.purse.gives(session, last4)
    return calendar


async def test_a_card_given_at_the_account_that_was_left_is_shown_as_not_working_until_it_is_given_anew(
    shop: Shop,
) -> None:
    calendar = await left_page(shop)
    await shop.news()
    await shop.work()
    assert await shop.news() == ["payment_method.added"]
    [card] = await calendar.purse.shown()
    assert (card.last4, card.is_default, card.working, card.failure) == ("4242", True, False, "account_changed")
    assert await calendar.purse.setup_statuses() == ["done"]
    await calendar.purse.adds("4444")
    assert await calendar.purse.summary() == [("4444", True, True)]


async def test_such_a_card_does_not_take_the_place_of_a_default_at_the_new_account(fake_shop: Shop) -> None:
    purse = Calendar(fake_shop).purse
    session = await purse.session_of(await purse.begins())
    await connect(fake_shop, NEW)
    await purse.adds("4444")
    await purse.gives(session)
    await fake_shop.work()
    assert sorted(await purse.summary()) == [("4242", False, False), ("4444", True, True)]


async def test_such_a_card_is_found_when_its_webhooks_are_lost(shop: Shop) -> None:
    await shop.till.loses_webhooks()
    calendar = await left_page(shop)
    shop.later(minutes=1)
    await calendar.purse.is_looked_at()
    assert await calendar.purse.summary() == [("4242", True, False)]
    assert await calendar.purse.setup_statuses() == ["done"]


async def test_what_was_accepted_with_such_a_card_stands_and_charges_nothing_until_one_is_given_anew(
    fake_shop: Shop,
) -> None:
    fake_shop.clock.at = datetime(2027, 1, 31, 12, tzinfo=UTC)
    calendar = Calendar(fake_shop)
    made = await fake_shop.order(monthly(fake_shop, trial_days=14))
    order = AcceptSubscription(subscription_id=made.id, return_path="/portal")
    started = await fake_shop.order(order, calendar.purse.payer())
    await connect(fake_shop, NEW)
    await calendar.purse.gives(await calendar.purse.session_of(started))
    await fake_shop.work()
    [card] = await calendar.purse.shown()
    assert (card.is_default, card.working, card.in_use) == (True, False, True)
    await calendar.comes(date(2027, 2, 14))
    assert (await calendar.last()).status == "open"
    assert (await taken(fake_shop, None), await taken(fake_shop, NEW)) == (0, 0)
    await calendar.purse.adds("4444")
    await calendar.runs()
    assert (await calendar.last()).status == "paid"
    assert (await taken(fake_shop, None), await taken(fake_shop, NEW)) == (0, 1250)


# --- a charge in flight -----------------------------------------------------------------------------------------------


async def test_a_charge_that_was_begun_is_made_where_its_card_lives(shop: Shop) -> None:
    calendar = await subscribed(shop)
    await begin_renewal(calendar)
    await connect(shop, NEW)
    await charge_due(shop.h.runtime, shop.stripe)
    await calendar.webhooks()
    assert (await calendar.last()).status == "paid"
    assert (await taken(shop, None), await taken(shop, NEW)) == (2500, 0)


async def test_a_charge_without_an_answer_is_asked_about_at_the_account_where_it_was_made(fake_shop: Shop) -> None:
    calendar = await subscribed(fake_shop)
    await begin_renewal(calendar)
    stripe = fake(fake_shop)
    stripe.lost["charge"] = [StripeUnknownError("lost")]
    stripe.fails["intents_since"] = [StripeUnknownError("away")]
    assert await charge_next(fake_shop.h.runtime, stripe)
    stripe.told.clear()
    assert (await fake_shop.payments_of(await calendar.last()))[-1] == (1, "unknown")
    await connect(fake_shop, NEW)
    fake_shop.later(minutes=1)
    await ask_about_attempts(fake_shop.h.runtime, stripe)
    await fake_shop.work()
    assert (await calendar.last()).status == "paid"
    assert (await taken(fake_shop, None), await taken(fake_shop, NEW)) == (2500, 0)
    assert await calendar.booked() == 2500


async def test_a_success_at_the_old_account_does_not_make_its_card_work_at_the_new_one(fake_shop: Shop) -> None:
    calendar = await subscribed(fake_shop)
    await begin_renewal(calendar)
    await connect(fake_shop, NEW)
    await calendar.purse.is_looked_at()
    await charge_due(fake_shop.h.runtime, fake_shop.stripe)
    await calendar.webhooks()
    assert (await calendar.last()).status == "paid"
    assert await calendar.purse.summary() == [("4242", True, False)]


async def test_a_decline_at_the_old_account_is_not_tried_there_again(fake_shop: Shop) -> None:
    calendar = await subscribed(fake_shop)
    await calendar.card_is("insufficient_funds")
    await calendar.comes(date(2027, 2, 28))
    await connect(fake_shop, NEW)
    await calendar.card_is(None)
    fake_shop.clock.at = datetime(2027, 3, 2, 12, tzinfo=UTC)
    await retry_due(fake_shop.h.runtime)
    await charge_due(fake_shop.h.runtime, fake_shop.stripe)
    invoice = await calendar.last()
    assert invoice.collection is not None
    assert (invoice.status, invoice.collection.failures) == ("open", 2)
    assert await fake_shop.payments_of(invoice) == [(1, "failed")]
    assert await taken(fake_shop, None) == 1250


# --- an account that is closed to us ----------------------------------------------------------------------------------


def is_closed(shop: Shop, *, closed: bool = True) -> None:
    """Whatever is asked about at any account, our key may not."""
    for name in ("charge", "checkout", "find_checkout", "expire_checkout", "intents_since"):
        fake(shop).fails[name] = [StripeClosedError("It has been disconnected.") for _ in range(20 if closed else 0)]


async def test_a_charge_that_waits_at_a_closed_account_waits_as_long_as_the_merchant_bills_with_it(
    fake_shop: Shop,
) -> None:
    calendar = await subscribed(fake_shop)
    await begin_renewal(calendar)
    is_closed(fake_shop)
    await charge_due(fake_shop.h.runtime, fake_shop.stripe)
    assert await fake_shop.payments_of(await calendar.last()) == [(1, "created")]
    is_closed(fake_shop, closed=False)
    fake_shop.later(minutes=1)
    await charge_due(fake_shop.h.runtime, fake_shop.stripe)
    assert (await calendar.last()).status == "paid"


async def test_a_charge_that_waits_at_a_closed_account_that_was_left_keeps_nobody_from_paying(fake_shop: Shop) -> None:
    calendar = await subscribed(fake_shop)
    await begin_renewal(calendar)
    await connect(fake_shop, NEW)
    is_closed(fake_shop)
    await charge_due(fake_shop.h.runtime, fake_shop.stripe)
    is_closed(fake_shop, closed=False)
    assert await fake_shop.payments_of(await calendar.last()) == [(1, "failed")]
    await retry_due(fake_shop.h.runtime)
    invoice = await calendar.last()
    assert invoice.last_decline is not None
    assert invoice.last_decline.code == "no_payment_method"
    await fake_shop.customer_pays(await fake_shop.pay(invoice, fake_shop.contact()))
    assert (await calendar.last()).status == "paid"
    assert (await taken(fake_shop, None), await taken(fake_shop, NEW)) == (1250, 1250)


async def unanswered_renewal(shop: Shop) -> Calendar:
    """A renewal's charge that never got its answer, at an account that was left then."""
    calendar = await subscribed(shop)
    await begin_renewal(calendar)
    fake(shop).lost["charge"] = [StripeUnknownError("lost")]
    fake(shop).fails["intents_since"] = [StripeUnknownError("away")]
    await charge_next(shop.h.runtime, shop.stripe)
    await connect(shop, NEW)
    return calendar


async def test_a_charge_that_nobody_answered_at_an_account_that_is_closed_by_now_stays_unknown(fake_shop: Shop) -> None:
    calendar = await unanswered_renewal(fake_shop)
    is_closed(fake_shop)
    fake_shop.later(days=2)
    await ask_about_attempts(fake_shop.h.runtime, fake_shop.stripe)
    assert await fake_shop.payments_of(await calendar.last()) == [(1, "unknown")]


async def test_a_checkout_at_a_closed_account_that_was_left_ends_with_its_page(fake_shop: Shop) -> None:
    invoice = await fake_shop.link()
    started = await fake_shop.pay(invoice, fake_shop.contact("Ada"))
    old = await fake_shop.session_of(started)
    is_closed(fake_shop)
    fake_shop.later(hours=26)
    await ask_about_attempts(fake_shop.h.runtime, fake_shop.stripe)
    assert await fake_shop.payments_of(invoice) == [(1, "created")]
    await connect(fake_shop, NEW)
    await ask_about_attempts(fake_shop.h.runtime, fake_shop.stripe)
    assert await fake_shop.payments_of(invoice) == [(1, "failed")]
    is_closed(fake_shop, closed=False)
    await fake_shop.customer_pays(await fake_shop.pay(invoice, fake_shop.contact("Bert")))
    assert (await fake_shop.invoice(invoice)).status == "paid"
    # It had been paid before it was closed, and is told of when it is open again: nothing is swallowed.
    fake(fake_shop).pays(old)
    assert isinstance(fake_shop.till, FakeTill)
    await fake_shop.till.deliver()
    await fake_shop.work()
    assert (await fake_shop.payment(started)).surplus


async def test_a_checkout_at_a_closed_account_that_was_left_is_waited_for_while_its_page_may_be_open(
    fake_shop: Shop,
) -> None:
    invoice = await fake_shop.link()
    await fake_shop.pay(invoice, fake_shop.contact())
    await connect(fake_shop, NEW)
    is_closed(fake_shop)
    fake_shop.later(hours=23)
    await ask_about_attempts(fake_shop.h.runtime, fake_shop.stripe)
    assert await fake_shop.payments_of(invoice) == [(1, "created")]
