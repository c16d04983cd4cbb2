"""What Stripe has not said, accounts that are closed to us, and transactions that want the same rows."""

import asyncio
from datetime import UTC, date, datetime

import pytest

from chassis.database import Tx
from contracts.billing import AcceptSubscription, BillingDefaults, Invoice, Subscription
from contracts.message import CustomerId, SubscriptionId
from services.billing import schedules
from services.billing.schedules import retrying
from services.billing.schedules.beginning import begin_charge
from services.billing.schedules.charging import charge_due
from services.billing.schedules.renewing import renew_due
from services.billing.schedules.retrying import retry_due
from services.billing.store import methods, subscriptions
from services.billing.store.collecting import Chargeable
from services.billing.store.payments import Attempt
from services.billing.stripe_gateway import (
    NotFromStripeError,
    StripeClosedError,
    StripeRefusedError,
    StripeUnknownError,
    verify,
)
from tests.fake_stripe import webhook
from tests.integration.billing.collecting import Calendar, monthly
from tests.integration.billing.returns import paid, refund, refunds_of
from tests.integration.billing.shop import FakeTill, Shop, fake
from tests.integration.billing.test_accounts import another, result_of
from tests.integration.billing.wallets import Purse

JANUARY_31 = datetime(2027, 1, 31, 12, tzinfo=UTC)
_DEADLOCK_LOOK = 1.3
"""Seconds after which PostgreSQL has looked whether the first to wait waits in a circle: the second is told then."""


async def reconcile(shop: Shop) -> None:
    await schedules.reconcile(shop.h.runtime, stripe=shop.stripe)
    await shop.work()


async def renewed(shop: Shop, count: int = 1) -> Calendar:
    """A shop on the day of a renewal: the attempts are saved, nothing is charged."""
    shop.clock.at = JANUARY_31
    time = Calendar(shop)
    for _ in range(count):
        await time.accepted(monthly(shop))
    shop.clock.at = datetime(2027, 2, 28, 12, tzinfo=UTC)
    await renew_due(shop.h.runtime)
    return time


async def test_a_charge_that_waited_its_turn_and_got_no_answer_is_not_made_again_under_another_key(
    fake_shop: Shop,
) -> None:
    time = await renewed(fake_shop)
    invoice, stripe = await time.last(), fake(fake_shop)
    fake_shop.later(minutes=10)
    stripe.fails["charge"] = [StripeUnknownError("no answer within 8 s, the bank is slow")]
    await charge_due(fake_shop.h.runtime, stripe)
    assert await fake_shop.payments_of(invoice) == [(1, "unknown")]
    stripe.asked.clear()
    fake_shop.later(minutes=5)
    await reconcile(fake_shop)
    assert await retry_due(fake_shop.h.runtime) == 0
    assert await fake_shop.payments_of(invoice) == [(1, "unknown")]
    assert "charge" not in stripe.asked
    fake_shop.later(minutes=6)
    await reconcile(fake_shop)
    await retry_due(fake_shop.h.runtime)
    assert await fake_shop.payments_of(invoice) == [(1, "failed"), (2, "created")]


async def test_pages_for_a_card_are_all_asked_about_however_many_stay_open(
    fake_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedules.methods, "_PAGE", 1)
    purse, stripe = Purse(fake_shop), fake(fake_shop)
    for _ in range(2):
        await purse.begins(purse.payer())
    assert await purse.setup_statuses() == ["created", "created"]
    fake_shop.later(minutes=1)
    stripe.asked.clear()
    await purse.is_looked_at()
    assert stripe.asked.count("setup_page") == 2


async def test_refunds_and_checkouts_that_cannot_be_ended_keep_no_later_ones_waiting(
    fake_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (schedules.attempts, schedules.refunds):
        monkeypatch.setattr(module, "_PAGE", 1)
    stripe, given, started = fake(fake_shop), [], []
    for _ in range(2):
        invoice, _ = await paid(fake_shop)
        stripe.fails["create_refund"] = [StripeUnknownError("lost")]
        await refund(fake_shop, invoice, amount=400)
        given.append(invoice)
        started.append(await fake_shop.pay(await fake_shop.link(), fake_shop.contact()))
    fake_shop.later(minutes=1)
    stripe.fails["create_refund"] = [StripeUnknownError("lost")]
    await reconcile(fake_shop)
    assert [(await refunds_of(fake_shop, each))[0].status for each in given] == ["unknown", "succeeded"]
    await fake_shop.h.db.execute("UPDATE payment SET close_requested = true WHERE status = 'created'")
    stripe.fails["checkout"] = [StripeUnknownError("lost")]
    await schedules.attempts.close_requested(fake_shop.h.runtime, stripe)
    assert [(await fake_shop.payment(each)).status for each in started] == ["created", "failed"]


async def test_money_on_its_way_stays_so_when_stripe_does_not_know_the_payment(fake_shop: Shop) -> None:
    time = await renewed(fake_shop)
    await time.card_is("processing")
    await charge_due(fake_shop.h.runtime, fake_shop.stripe)
    fake_shop.later(minutes=5)
    fake(fake_shop).fails["intent"] = [StripeRefusedError("resource_missing", "No such payment_intent.")]
    await reconcile(fake_shop)
    invoice = await time.last()
    assert await fake_shop.payments_of(invoice) == [(1, "processing")]
    assert invoice.amount_processing == 1250


async def test_a_refund_that_waited_its_turn_and_got_no_answer_is_not_said_to_have_failed(fake_shop: Shop) -> None:
    invoice, _ = await paid(fake_shop)
    fake(fake_shop).fails["create_refund"] = [StripeUnknownError("lost"), StripeUnknownError("lost")]
    await refund(fake_shop, invoice, amount=400)
    fake_shop.later(minutes=11)
    await reconcile(fake_shop)
    assert [each.status for each in await refunds_of(fake_shop, invoice)] == ["unknown"]


async def test_an_account_that_is_closed_to_us_keeps_nobody_elses_charge_waiting(fake_shop: Shop) -> None:
    await renewed(fake_shop, 2)
    fake(fake_shop).fails["charge"] = [StripeClosedError("The account has been disconnected.")]
    await charge_due(fake_shop.h.runtime, fake_shop.stripe, at_once=1)
    rows = await fake_shop.h.db.fetch("SELECT status FROM payment WHERE automatic ORDER BY created_at, id")
    assert sorted(row["status"] for row in rows) == ["created", "succeeded"]


async def test_an_account_that_is_closed_to_us_keeps_nobody_elses_attempt_without_an_end(fake_shop: Shop) -> None:
    alpha = await another(fake_shop, "Alpha", "acct_alpha")
    await alpha.pay(await alpha.link(), alpha.contact())
    invoice = await fake_shop.link()
    started = await fake_shop.pay(invoice, fake_shop.contact())
    await fake_shop.till.loses_webhooks()
    await fake_shop.till.expires(await fake_shop.session_of(started))
    fake_shop.later(minutes=1)
    fake(fake_shop).fails["checkout"] = [StripeClosedError("The account has been disconnected.")]
    await reconcile(fake_shop)
    assert await fake_shop.payments_of(invoice) == [(1, "failed")]


async def test_an_outage_of_weeks_does_not_use_up_the_retries_within_a_minute(fake_shop: Shop) -> None:
    time = await renewed(fake_shop)
    await time.card_is("insufficient_funds")
    await time.runs()
    await time.comes(date(2027, 3, 25))
    await time.runs()
    invoice = await time.last()
    assert invoice.collection is not None
    assert (invoice.collection.failures, invoice.collection.next_try_at) == (2, datetime(2027, 3, 26, 9, tzinfo=UTC))


async def test_an_old_difference_stays_in_sight_after_the_walk_that_looked_back(fake_shop: Shop) -> None:
    invoice, _ = await paid(fake_shop)
    await refund(fake_shop, invoice, amount=100)
    await fake_shop.h.db.execute("UPDATE refund SET created_at = created_at - interval '3 days'")
    await reconcile(fake_shop)
    await fake_shop.h.db.execute("UPDATE refund SET amount = 99, state = jsonb_set(state, '{amount}', '99')")
    for raw in fake(fake_shop).refunds.values():
        raw["created"] -= 3 * 86400
    for _ in range(3):
        fake_shop.later(hours=6)
        for minutes in (0, 5):
            fake_shop.later(minutes=minutes)
            await reconcile(fake_shop)
            result = await result_of(fake_shop)
            assert result is not None
            assert [(each.code, each.what) for each in result.differences] == [("not_as_booked", "refund")]


async def offered(shop: Shop) -> Subscription:
    """One that is accepted by giving a card."""
    made: Subscription = await shop.order(monthly(shop, trial_days=14))
    return made


async def begins(time: Calendar, made: Subscription) -> str:
    """The customer presses Accept. Returns the page's id at Stripe."""
    order = AcceptSubscription(subscription_id=SubscriptionId(made.id), return_path="/portal")
    return await time.purse.session_of(await time.shop.order(order, time.purse.payer()))


async def held_then_asks(shop: Shop, made: Subscription, other: asyncio.Task[object]) -> None:
    """As whoever ends a subscription: lock it, and, while `other` waits for it, what its customer pays with."""
    async with shop.h.transaction() as tx:
        await subscriptions.lock_subscription(tx, shop.merchant_id, SubscriptionId(made.id))
        await asyncio.wait([other], timeout=_DEADLOCK_LOOK)
        assert not other.done(), "It had to wait."
        await methods.lock_owner(tx, shop.merchant_id, CustomerId(shop.customer.id))
    await other


async def test_a_card_that_accepts_a_subscription_does_not_wait_in_a_circle(fake_shop: Shop) -> None:
    time = Calendar(fake_shop)
    made = await offered(fake_shop)
    session = await begins(time, made)
    await time.purse.gives(session)
    async with asyncio.TaskGroup() as group:
        await held_then_asks(fake_shop, made, group.create_task(fake_shop.work()))
    assert (await time.now(made)).status == "active"


async def test_a_press_on_accept_does_not_wait_in_a_circle(fake_shop: Shop) -> None:
    time = Calendar(fake_shop)
    made = await offered(fake_shop)
    await time.purse.adds()
    async with asyncio.TaskGroup() as group:
        await held_then_asks(fake_shop, made, group.create_task(begins(time, made)))


async def test_a_card_taken_away_from_a_subscription_that_names_it_does_not_wait_in_a_circle(fake_shop: Shop) -> None:
    time = Calendar(fake_shop)
    made = await time.accepted(monthly(fake_shop))
    [shown] = await time.purse.shown()
    await fake_shop.h.db.execute("UPDATE subscription SET payment_method_id = $1", shown.id)
    await fake(fake_shop).detach_method(await time.purse.stripe_id(shown), None)
    assert isinstance(fake_shop.till, FakeTill)
    await fake_shop.till.deliver()
    async with asyncio.TaskGroup() as group:
        await held_then_asks(fake_shop, made, group.create_task(fake_shop.work()))
    assert await time.purse.shown() == []


async def test_an_invoice_that_cannot_be_tried_again_keeps_no_other_waiting(
    fake_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = await renewed(fake_shop, 2)
    await time.card_is("insufficient_funds")
    await time.runs()
    broken, begin = (await time.invoices())[-2].id, begin_charge

    async def begins_unless_broken(tx: Tx, invoice: Invoice, by: Chargeable) -> Attempt:
        if invoice.id == broken:
            raise ValueError("This cannot be said in Stripe's units.")
        return await begin(tx, invoice, by)

    monkeypatch.setattr(retrying, "begin_charge", begins_unless_broken)
    fake_shop.clock.at = datetime(2027, 3, 2, 12, tzinfo=UTC)
    assert await retry_due(fake_shop.h.runtime) == 2
    assert await fake_shop.payments_of(await time.last()) == [(1, "failed"), (2, "created")]
    assert await retry_due(fake_shop.h.runtime) == 0


async def test_cards_at_an_account_that_the_merchant_has_left_do_not_come_back(fake_shop: Shop) -> None:
    purse = Purse(fake_shop)
    await purse.adds("4242")
    await fake_shop.h.db.execute(
        "INSERT INTO billing_defaults (merchant_id, sequence, state, stripe_account) VALUES ($1, 0, $2, 'acct_new')",
        fake_shop.merchant_id,
        BillingDefaults(id=fake_shop.merchant_id, merchant_id=fake_shop.merchant_id).model_dump_json(),
    )
    fake(fake_shop).gives(await purse.session_of(await purse.begins()), "4444")
    fake_shop.later(minutes=1)
    await purse.is_looked_at()
    there = [each.id for each in await purse.shown()]
    for _ in range(2):
        fake_shop.later(days=1, minutes=1)
        await purse.is_looked_at()
        assert [each.id for each in await purse.shown()] == there
    await fake_shop.h.db.execute("UPDATE billing_defaults SET stripe_account = NULL")
    fake_shop.later(days=1, minutes=1)
    await purse.is_looked_at()
    assert await purse.summary() == [("4242", True, True)]


def test_webhooks_of_the_platform_and_of_connected_accounts_are_signed_with_secrets_of_their_own() -> None:
    event = {"id": "evt_1", "type": "payment_intent.succeeded", "data": {"object": {}}}
    for secret in ("whsec_platform", "whsec_connect"):
        raw, headers = webhook(event, secret)
        verify(raw, headers["stripe-signature"], "whsec_platform, whsec_connect")
    raw, headers = webhook(event, "whsec_platform, whsec_connect")
    with pytest.raises(NotFromStripeError):
        verify(raw, headers["stripe-signature"], "whsec_platform, whsec_connect")
