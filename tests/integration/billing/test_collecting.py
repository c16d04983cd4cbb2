"""A year in the life of subscriptions, over both Stripes: renewed, charged, declined, tried again, settled."""

import asyncio
from datetime import UTC, date, datetime, timedelta

import pytest

from chassis import health
from contracts.billing import (
    CancelSubscription,
    InvoiceNotPayable,
    NewEnd,
    PauseSubscription,
    PreviewSubscription,
    Subscription,
)
from contracts.message import SubscriptionId
from services.billing.schedules import reconcile
from services.billing.schedules.charging import charge_due, charge_next
from services.billing.schedules.collecting import Clocks
from services.billing.schedules.renewing import renew_due, renew_next
from services.billing.stripe_gateway import StripeUnknownError
from tests.integration.billing.collecting import Calendar, monthly, plan_of_three
from tests.integration.billing.shop import Shop, fake

JANUARY_31 = datetime(2027, 1, 31, 12, tzinfo=UTC)


def calendar(shop: Shop, at: datetime = JANUARY_31) -> Calendar:
    shop.clock.at = at
    return Calendar(shop)


async def test_monthly_from_the_31st_of_january_is_charged_twelve_more_times_in_a_year(shop: Shop) -> None:
    time = calendar(shop)
    made = await time.accepted(monthly(shop))
    days: list[date] = []
    for _ in range(12):
        assert made.next_charge is not None
        days.append(made.next_charge.on)
        await time.comes(made.next_charge.on - timedelta(days=1))
        await time.comes(made.next_charge.on)
        made = await time.now(made)
    last_days = [28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31, 31]
    assert [day.day for day in days] == last_days
    assert (days[0], days[-1]) == (date(2027, 2, 28), date(2028, 1, 31))
    invoices = await time.invoices()
    assert [each.status for each in invoices] == ["paid"] * 13
    assert [each.number for each in invoices] == [f"INV-{number}" for number in range(1, 14)]
    periods = [each.period for each in invoices if each.period]
    assert [one.ends_on + timedelta(days=1) for one in periods[:-1]] == [each.starts_on for each in periods[1:]]
    assert (made.charges_made, made.charges_paid) == (13, 13)
    assert await time.taken() == await time.booked() == 13 * 1250


async def test_a_plan_of_three_takes_its_total_and_is_completed(shop: Shop) -> None:
    time = calendar(shop)
    made = await time.accepted(plan_of_three(shop))
    for day in (date(2027, 2, 28), date(2027, 3, 31)):
        await time.comes(day)
    made = await time.now(made)
    assert [each.total for each in await time.invoices()] == [3333, 3333, 3334]
    assert (made.status, made.next_charge, made.charges_paid) == ("completed", None, 3)
    assert await time.taken() == await time.booked() == 10000


async def test_a_trial_is_accepted_on_a_hosted_page_and_charged_when_it_is_over(shop: Shop) -> None:
    time = calendar(shop)
    made = await time.accepted_on_its_page(monthly(shop, trial_days=14))
    assert (made.status, made.trial_ends_on, made.charges_made) == ("active", date(2027, 2, 14), 0)
    await time.comes(date(2027, 2, 13))
    assert await time.invoices() == []
    await time.comes(date(2027, 2, 14))
    (invoice,) = await time.invoices()
    assert (invoice.status, invoice.receipts[0].last4) == ("paid", "4242")
    assert await time.taken() == 1250


async def test_a_declined_card_is_tried_again_on_its_days_and_a_new_default_settles_at_once(shop: Shop) -> None:
    time = calendar(shop)
    await time.accepted(monthly(shop))
    await time.card_is("insufficient_funds")
    await time.comes(date(2027, 2, 28))
    invoice = await time.last()
    assert invoice.status == "open"
    assert invoice.collection is not None
    assert (invoice.collection.failures, invoice.collection.exhausted) == (1, False)
    assert invoice.collection.last_failure is not None
    assert invoice.collection.last_failure.code == "insufficient_funds"
    assert invoice.collection.next_try_at == datetime(2027, 3, 2, 9, tzinfo=UTC)
    await time.comes(date(2027, 3, 1))
    assert (await time.last()).collection == invoice.collection
    await time.comes(date(2027, 3, 2))
    again = (await time.last()).collection
    assert again is not None
    assert not again.declined_for_good
    assert (again.failures, again.next_try_at) == (2, datetime(2027, 3, 7, 9, tzinfo=UTC))
    assert await shop.payments_of(invoice) == [(1, "failed"), (2, "failed")]
    await time.purse.adds("4444")
    shown = await time.purse.shown()
    if not shown[-1].is_default:
        await time.purse.default_at_stripe(shown[-1])
    await time.runs()
    await time.runs()
    assert (await time.last()).status == "paid"
    assert await shop.payments_of(invoice) == [(1, "failed"), (2, "failed"), (3, "succeeded")]
    assert await time.taken() == await time.booked() == 2 * 1250


@pytest.mark.parametrize(("after", "status"), [("cancel", "cancelled"), ("keep", "active")])
async def test_after_the_last_retry_it_is_cancelled_or_kept_and_the_debt_stays(
    fake_shop: Shop, after: str, status: str
) -> None:
    time = calendar(fake_shop)
    made = await time.accepted(monthly(fake_shop, after_last_retry=after, ends=NewEnd(after=2)))
    await time.card_is("insufficient_funds")
    for day in (0, 2, 7, 14, 21):
        await time.comes(date(2027, 2, 28) + timedelta(days=day))
    invoice, made = await time.last(), await time.now(made)
    assert (invoice.status, made.status) == ("open", status)
    assert made.cancelled_by == ("collection" if after == "cancel" else None)
    assert invoice.collection is not None
    assert (invoice.collection.failures, invoice.collection.exhausted) == (5, True)
    assert invoice.collection.next_try_at is None


async def test_a_card_declined_for_good_is_not_asked_again_but_the_customer_is_reminded(shop: Shop) -> None:
    time = calendar(shop)
    await time.accepted(monthly(shop))
    await time.card_is("expired_card")
    await time.comes(date(2027, 2, 28))
    first = (await time.last()).collection
    assert first is not None
    assert (first.attempted, first.declined_for_good) == (True, True)
    await shop.news()
    await time.comes(date(2027, 3, 2))
    assert "invoice.charge_failed" in await shop.news()
    invoice = await time.last()
    assert await shop.payments_of(invoice) == [(1, "failed")]
    assert invoice.collection is not None
    assert invoice.collection.failures == 2
    assert [working for _, _, working in await time.purse.summary()] == [False]


async def test_a_card_declined_for_good_is_charged_what_is_owed_once_it_was_renewed(shop: Shop) -> None:
    time = calendar(shop)
    await time.accepted(monthly(shop))
    await time.card_is("expired_card")
    await time.comes(date(2027, 2, 28))
    assert [working for _, _, working in await time.purse.summary()] == [False]
    await time.card_is(None)
    (card,) = await time.purse.shown()
    await time.purse.changed_at_stripe(card, 12, 2040)
    await time.webhooks()
    await time.runs()
    assert (await time.last()).status == "paid"
    assert await time.taken() == await time.booked() == 2500


@pytest.mark.parametrize("told_by", ["webhook", "reconciliation"])
async def test_a_card_declined_for_good_without_an_answer_to_us_is_not_charged_by_the_next_renewal(
    fake_shop: Shop, told_by: str
) -> None:
    time = calendar(fake_shop)
    await time.accepted(monthly(fake_shop))
    await time.card_is("stolen_card")
    fake_shop.clock.at = datetime(2027, 2, 28, 12, tzinfo=UTC)
    await renew_due(fake_shop.h.runtime)
    stripe = fake(fake_shop)
    stripe.lost["charge"] = [StripeUnknownError("lost")]
    stripe.fails["intents_since"] = [StripeUnknownError("away")]
    assert await charge_next(fake_shop.h.runtime, stripe)
    if told_by == "webhook":
        await time.webhooks()
    else:
        stripe.told.clear()
        fake_shop.later(minutes=20)
        await reconcile(fake_shop.h.runtime, stripe=stripe)
    assert await fake_shop.payments_of(await time.last()) == [(1, "failed")]
    assert [working for _, _, working in await time.purse.summary()] == [False]


async def test_debt_that_somebody_is_just_paying_is_charged_to_the_new_default_once_they_have_left(
    fake_shop: Shop,
) -> None:
    time = calendar(fake_shop)
    await time.accepted(monthly(fake_shop))
    await time.card_is("insufficient_funds")
    await time.comes(date(2027, 2, 28))
    invoice = await time.last()
    started = await fake_shop.pay(invoice, fake_shop.contact())
    await time.purse.default_at_stripe(await time.purse.adds("4444"))
    await time.runs()
    await time.runs()
    assert await fake_shop.payments_of(invoice) == [(1, "failed"), (2, "created")]
    await fake_shop.till.expires(await fake_shop.session_of(started))
    await time.webhooks()
    fake_shop.later(hours=1)
    await time.runs()
    await time.runs()
    assert await fake_shop.payments_of(invoice) == [(1, "failed"), (2, "failed"), (3, "succeeded")]
    assert await fake_shop.h.db.fetchval("SELECT collect_since FROM stripe_customer") is None


async def test_a_debit_under_way_by_the_new_default_is_not_made_again_at_once_when_it_is_refused(
    fake_shop: Shop,
) -> None:
    time = calendar(fake_shop)
    await time.accepted(monthly(fake_shop))
    await time.card_is("processing")
    await time.comes(date(2027, 2, 28))
    invoice, db = await time.last(), fake_shop.h.db
    await db.execute("UPDATE stripe_customer SET collect_since = $1", fake_shop.clock.now())
    await db.execute("UPDATE invoice SET collection = '{\"failures\": 1}' WHERE id = $1", invoice.id)
    await time.runs()
    assert await db.fetchval("SELECT collect_since FROM stripe_customer") is None


async def test_killed_between_charge_and_commit_it_is_charged_once(fake_shop: Shop) -> None:
    time = calendar(fake_shop)
    await time.accepted(monthly(fake_shop))
    fake_shop.clock.at = datetime(2027, 2, 28, 12, tzinfo=UTC)
    await renew_due(fake_shop.h.runtime)
    fake(fake_shop).lost["charge"] = [asyncio.CancelledError()]  # type: ignore[list-item]  # a kill, as it looks from inside
    with pytest.raises(asyncio.CancelledError):
        await charge_next(fake_shop.h.runtime, fake_shop.stripe)
    assert not await charge_next(fake_shop.h.runtime, fake_shop.stripe), "It is leased to the dead worker."
    fake_shop.later(seconds=31)
    assert await charge_next(fake_shop.h.runtime, fake_shop.stripe)
    assert (await time.last()).status == "paid"
    await time.webhooks()
    assert await time.taken() == await time.booked() == 2500


async def test_killed_while_renewing_nothing_is_half_done(fake_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    time = calendar(fake_shop)
    made = await time.accepted(monthly(fake_shop))
    fake_shop.clock.at = datetime(2027, 2, 28, 12, tzinfo=UTC)

    async def killed(*_: object) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as dying:
        dying.setattr("services.billing.schedules.renewing.begin_charge", killed)
        with pytest.raises(asyncio.CancelledError):
            await renew_next(fake_shop.h.runtime, fake_shop.clock.now())
    assert (len(await time.invoices()), await time.now(made)) == (1, made)
    await time.runs()
    assert [each.number for each in await time.invoices()] == ["INV-1", "INV-2"]


async def test_renewals_and_charges_that_run_at_once_make_one_invoice_and_one_charge(shop: Shop) -> None:
    time = calendar(shop)
    await time.accepted(monthly(shop))
    shop.clock.at = datetime(2027, 2, 28, 12, tzinfo=UTC)
    runtime = shop.h.runtime
    await asyncio.gather(*(renew_due(runtime) for _ in range(4)))
    await asyncio.gather(*(charge_due(runtime, shop.stripe) for _ in range(3)))
    await time.webhooks()
    await time.runs()
    invoice = await time.last()
    assert len(await time.invoices()) == 2
    assert await shop.payments_of(invoice) == [(1, "succeeded")]
    assert await time.taken() == 2500


async def test_three_months_of_outage_are_charged_oldest_first_and_not_in_one_run(shop: Shop) -> None:
    time = calendar(shop)
    made = await time.accepted(monthly(shop))
    await time.comes(date(2027, 5, 1))
    assert len(await time.invoices()) == 2
    await time.runs()
    assert len(await time.invoices()) == 2
    for count in (3, 4, 4):
        shop.later(hours=1)
        await time.runs()
        assert len(await time.invoices()) == count
    starts = [each.period.starts_on for each in await time.invoices() if each.period]
    assert starts == [date(2027, 1, 31), date(2027, 2, 28), date(2027, 3, 31), date(2027, 4, 30)]
    made = await time.now(made)
    assert made.next_charge is not None
    assert made.next_charge.on == date(2027, 5, 31)
    assert await time.taken() == await time.booked() == 4 * 1250


async def test_a_charge_that_no_answer_and_no_webhook_told_is_found(fake_shop: Shop) -> None:
    time = calendar(fake_shop)
    await time.accepted(monthly(fake_shop))
    await fake_shop.till.loses_webhooks()
    fake(fake_shop).lost["charge"] = [StripeUnknownError("lost")]
    fake(fake_shop).fails["intents_since"] = [StripeUnknownError("away")]
    await time.comes(date(2027, 2, 28))
    assert await fake_shop.payments_of(await time.last()) == [(1, "unknown")]
    with pytest.raises(InvoiceNotPayable) as refused:
        await fake_shop.pay(await time.last(), fake_shop.contact())
    assert refused.value.members["why"] == "charging"
    fake_shop.later(minutes=5)
    await reconcile(fake_shop.h.runtime, stripe=fake_shop.stripe)
    await fake_shop.work()
    assert (await time.last()).status == "paid"
    assert await time.taken() == await time.booked() == 2500


async def test_two_tabs_the_link_and_the_automatic_charge_race_and_one_of_them_collects(fake_shop: Shop) -> None:
    time = calendar(fake_shop)
    await time.accepted(monthly(fake_shop))
    fake_shop.clock.at = datetime(2027, 2, 28, 12, tzinfo=UTC)
    await renew_due(fake_shop.h.runtime)
    invoice = await time.last()
    presses = [fake_shop.pay(invoice, fake_shop.contact(name)) for name in ("Ada", "Bert", "Cleo")]
    charge = charge_due(fake_shop.h.runtime, fake_shop.stripe)
    *pressed, charged = await asyncio.gather(*presses, charge, return_exceptions=True)
    assert charged == 1
    assert [type(each).__name__ for each in pressed if not isinstance(each, InvoiceNotPayable)] in (
        [],
        ["InvoiceAlreadyPaid"],
        ["InvoiceAlreadyPaid"] * 2,
        ["InvoiceAlreadyPaid"] * 3,
    )
    await time.webhooks()
    assert await fake_shop.payments_of(invoice) == [(1, "succeeded")]
    assert await time.taken() == await time.booked() == 2500


async def test_while_somebody_pays_no_retry_begins(fake_shop: Shop) -> None:
    time = calendar(fake_shop)
    await time.accepted(monthly(fake_shop))
    await time.card_is("insufficient_funds")
    await time.comes(date(2027, 2, 28))
    fake_shop.clock.at = datetime(2027, 3, 2, 8, tzinfo=UTC)
    started = await fake_shop.pay(await time.last(), fake_shop.contact())
    await time.comes(date(2027, 3, 2))
    assert await fake_shop.payments_of(await time.last()) == [(1, "failed"), (2, "created")]
    await fake_shop.customer_pays(started)
    await time.comes(date(2027, 3, 3))
    assert await fake_shop.payments_of(await time.last()) == [(1, "failed"), (2, "succeeded")]
    assert await time.booked() == 2500


async def test_what_a_preview_shows_is_what_happens_over_a_year(fake_shop: Shop) -> None:
    time = calendar(fake_shop)
    made = await time.accepted(monthly(fake_shop))
    order, runtime = SubscriptionId(made.id), fake_shop.h.runtime
    question = PreviewSubscription(subscription_id=order, action="pause", until=date(2027, 6, 15))
    seen = await fake_shop.h.ask(question, actor=fake_shop.member(), merchant_id=fake_shop.merchant_id)
    await fake_shop.order(PauseSubscription(subscription_id=order, until=date(2027, 6, 15)))
    gone = {each.on for each in seen.disappear}
    assert gone == {date(2027, 2, 28), date(2027, 3, 31), date(2027, 4, 30), date(2027, 5, 31)}
    made = await _lived_until(time, made, date(2027, 10, 15))
    assert made.next_charge is not None
    question = PreviewSubscription(subscription_id=order, action="cancel", when="period_end")
    seen = await fake_shop.h.ask(question, actor=fake_shop.member(), merchant_id=fake_shop.merchant_id)
    assert seen.effective_on == made.next_charge.on == date(2027, 10, 31)
    await fake_shop.order(CancelSubscription(subscription_id=order, when="period_end"))
    made = await _lived_until(time, made, date(2028, 2, 1))
    assert (made.status, made.ended_on) == ("cancelled", date(2027, 10, 31))
    charged_on = [each.period.starts_on for each in await time.invoices() if each.period]
    assert charged_on == [
        date(2027, 1, 31),
        *(date(2027, month, day) for month, day in ((6, 30), (7, 31), (8, 31), (9, 30))),
    ]
    assert not await renew_next(runtime, fake_shop.clock.now())


async def _lived_until(time: Calendar, subscription: Subscription, end: date) -> Subscription:
    """Day by day, as the workers would."""
    day = time.shop.clock.now().date()
    while day < end:
        day += timedelta(days=1)
        await time.comes(day)
    return await time.now(subscription)


async def test_a_cancelled_plan_owes_its_rest_in_one_last_charge(fake_shop: Shop) -> None:
    time = calendar(fake_shop)
    made = await time.accepted(plan_of_three(fake_shop))
    await fake_shop.order(CancelSubscription(subscription_id=SubscriptionId(made.id), rest="owe"))
    await time.runs()
    assert [each.total for each in await time.invoices()] == [3333, 6667]
    assert await time.booked() == 10000
    assert (await time.now(made)).status == "cancelled"


async def test_clocks_that_differ_by_five_minutes_charge_nothing(fake_shop: Shop) -> None:
    runtime = fake_shop.h.runtime
    fake_shop.clock.at = datetime.now(UTC)
    assert await Clocks(fake_shop.stripe).agree(runtime)
    fake(fake_shop).apart = timedelta(minutes=5, seconds=2)
    assert not await Clocks(fake_shop.stripe).agree(runtime)
    assert "nothing is charged" in health.trouble["clocks"]
    fake(fake_shop).apart = timedelta(0)
    fake_shop.clock.at = datetime.now(UTC) - timedelta(minutes=6)
    assert not await Clocks(fake_shop.stripe).agree(runtime)
    fake_shop.clock.at = datetime.now(UTC)
    assert await Clocks(fake_shop.stripe).agree(runtime)
    assert health.trouble == {}


async def test_stripes_clock_is_read_from_its_answer(sandbox_shop: Shop) -> None:
    assert abs(await sandbox_shop.stripe.now() - datetime.now(UTC)) < timedelta(seconds=30)
