"""What becomes of subscriptions, offers, debts and cards when a customer is archived or erased, over both Stripes."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from contracts.billing import BillingMailFacts, RequestFreshLink, SendPaymentLink, Subscription
from contracts.identity import CustomerChanged
from contracts.message import Actor, InvoiceId, NotFound
from services.billing.schedules import reconcile
from services.billing.schedules.archiving import close_customers
from services.billing.schedules.attempts import ask_about_attempts, close_requested
from services.billing.schedules.charging import charge_due, charge_next
from services.billing.schedules.renewing import renew_due
from services.billing.stripe_gateway import StripeUnknownError
from tests.integration.billing.collecting import Calendar, monthly, plan_of_three
from tests.integration.billing.shop import Shop, fake


def calendar(shop: Shop) -> Calendar:
    shop.clock.at = datetime(2027, 1, 31, 12, tzinfo=UTC)
    return Calendar(shop)


async def hears(shop: Shop, sequence: int = 2, **changes: Any) -> None:
    """Identity tells of the customer."""
    shop.customer = shop.customer.model_copy(update=changes)
    await shop.h.deliver(CustomerChanged(state=shop.customer), sequence=sequence)


async def is_erased(shop: Shop) -> None:
    await hears(shop, deleted=True, name=None, email=None, billing_address=None)


async def ends(shop: Shop) -> int:
    return await close_customers(shop.h.runtime, shop.stripe)


async def test_an_archived_customers_subscription_is_cancelled_and_the_card_kept_but_never_charged(shop: Shop) -> None:
    time = calendar(shop)
    made = await time.accepted(monthly(shop))
    await shop.news()
    await hears(shop, archived=True)
    assert await ends(shop) == 1
    assert await shop.news() == ["subscription.cancelled", "payment_method.changed"]
    ended = await time.now(made)
    assert (ended.status, ended.cancelled_by, ended.next_charge) == ("cancelled", "archiving", None)
    await time.comes(date(2027, 2, 28))
    await time.comes(date(2027, 3, 31))
    assert await time.taken() == await time.booked() == 1250
    assert await time.purse.summary() == [("4242", True, True)]
    assert await time.purse.left_at_stripe() == 1
    assert await ends(shop) == 0


async def test_a_renewal_that_is_faster_than_the_news_is_dealt_with_charges_nothing(fake_shop: Shop) -> None:
    time = calendar(fake_shop)
    made = await time.accepted(monthly(fake_shop))
    fake_shop.clock.at = datetime(2027, 2, 28, 12, tzinfo=UTC)
    await hears(fake_shop, archived=True)
    await renew_due(fake_shop.h.runtime)
    assert len(await time.invoices()) == 1
    await time.runs()
    assert ((await time.now(made)).status, len(await time.invoices())) == ("cancelled", 1)


@pytest.mark.parametrize(("agreed", "owed"), [("ask", [3333, 6667]), ("owe", [3333, 6667]), ("waive", [3333])])
async def test_an_archived_customers_plan_owes_its_rest_uncharged_unless_that_was_waived(
    fake_shop: Shop, agreed: Any, owed: list[int]
) -> None:
    time = calendar(fake_shop)
    await time.accepted(plan_of_three(fake_shop, plan_on_cancel=agreed))
    await hears(fake_shop, archived=True)
    await time.runs()
    await time.comes(date(2027, 3, 31))
    assert [each.total for each in await time.invoices()] == owed
    assert await time.taken() == 3333
    if len(owed) > 1:
        rest = await time.last()
        assert (rest.status, rest.collection) == ("open", None)
        await fake_shop.customer_pays(await fake_shop.pay(rest, fake_shop.contact()))
        assert (await time.last()).status == "paid"


async def test_dunning_ends_with_the_archiving_and_a_new_card_takes_no_old_debt(fake_shop: Shop) -> None:
    time = calendar(fake_shop)
    await time.accepted(monthly(fake_shop, after_last_retry="keep"))
    await time.card_is("insufficient_funds")
    await time.comes(date(2027, 2, 28))
    await fake_shop.news()
    await hears(fake_shop, archived=True)
    await ends(fake_shop)
    assert "invoice.collection_stopped" in await fake_shop.news()
    await time.card_is(None)
    for day in (2, 7, 14, 21):
        await time.comes(date(2027, 3, day))
    await hears(fake_shop, sequence=3, archived=False)
    await time.purse.adds("4444")
    await time.comes(date(2027, 4, 30))
    debt = await time.last()
    assert (debt.status, debt.collection) == ("open", None)
    assert await fake_shop.payments_of(debt) == [(1, "failed")]
    assert await time.taken() == 1250


async def test_a_charge_that_has_not_reached_stripe_is_not_made_any_more(fake_shop: Shop) -> None:
    time = calendar(fake_shop)
    await time.accepted(monthly(fake_shop))
    fake_shop.clock.at = datetime(2027, 2, 28, 12, tzinfo=UTC)
    await renew_due(fake_shop.h.runtime)
    await hears(fake_shop, archived=True)
    for _ in range(3):
        await time.runs()
        fake_shop.later(minutes=30)
        await reconcile(fake_shop.h.runtime, stripe=fake_shop.stripe)
    assert await fake_shop.payments_of(await time.last()) == [(1, "failed")]
    assert await time.taken() == 1250


@pytest.mark.parametrize("dealt_with", [True, False])
@pytest.mark.parametrize("told_by", ["answer", "webhook", "reconciliation"])
async def test_a_charge_under_way_that_is_declined_afterwards_is_booked_and_nobody_is_told(
    fake_shop: Shop, told_by: str, *, dealt_with: bool
) -> None:
    time = calendar(fake_shop)
    await time.accepted(monthly(fake_shop))
    await time.card_is("insufficient_funds")
    fake_shop.clock.at = datetime(2027, 2, 28, 12, tzinfo=UTC)
    await renew_due(fake_shop.h.runtime)
    stripe = fake(fake_shop)
    if told_by != "answer":
        stripe.lost["charge"] = [StripeUnknownError("lost")]
        stripe.fails["intents_since"] = [StripeUnknownError("away")]
        assert await charge_next(fake_shop.h.runtime, stripe)
        await hears(fake_shop, archived=True)
    if dealt_with and told_by != "answer":
        await ends(fake_shop)
    await fake_shop.news()
    if told_by == "webhook":
        await time.webhooks()
    elif told_by == "answer":
        bank = stripe.charge

        async def is_archived_meanwhile(*asked: Any) -> Any:
            await hears(fake_shop, archived=True)
            return await bank(*asked)

        vars(stripe)["charge"] = is_archived_meanwhile
        await charge_due(fake_shop.h.runtime, stripe)
    else:
        stripe.told.clear()
        fake_shop.later(minutes=20)
        await ask_about_attempts(fake_shop.h.runtime, stripe)
    assert await fake_shop.news() == ["payment.failed", "invoice.payment_ended"]
    debt = await time.last()
    assert (debt.status, debt.collection) == ("open", None)
    await ends(fake_shop)
    await time.comes(date(2027, 3, 31))
    assert await fake_shop.payments_of(debt) == [(1, "failed")]


async def test_a_mail_of_a_failed_charge_that_waits_is_not_sent_to_whoever_was_archived(fake_shop: Shop) -> None:
    time = calendar(fake_shop)
    await time.accepted(monthly(fake_shop))
    await time.card_is("insufficient_funds")
    await time.comes(date(2027, 2, 28))
    system = Actor(kind="system", name="notifications")
    question = BillingMailFacts(kind="payment_failed", id=InvoiceId((await time.last()).id))
    facts = await fake_shop.h.ask(question, actor=system, merchant_id=fake_shop.merchant_id)
    assert facts.still_true
    await hears(fake_shop, archived=True)
    facts = await fake_shop.h.ask(question, actor=system, merchant_id=fake_shop.merchant_id)
    assert (facts.still_true, facts.why_not, facts.path) == (False, "archived", None)


async def test_a_charge_that_is_faster_than_the_news_is_dealt_with_is_not_made(fake_shop: Shop) -> None:
    time = calendar(fake_shop)
    await time.accepted(monthly(fake_shop))
    fake_shop.clock.at = datetime(2027, 2, 28, 12, tzinfo=UTC)
    await renew_due(fake_shop.h.runtime)
    await hears(fake_shop, archived=True)
    await charge_due(fake_shop.h.runtime, fake_shop.stripe)
    assert await time.taken() == 1250
    assert await ends(fake_shop) == 1
    for _ in range(3):
        fake_shop.later(minutes=30)
        await reconcile(fake_shop.h.runtime, stripe=fake_shop.stripe)
        await time.runs()
    assert await fake_shop.payments_of(await time.last()) == [(1, "failed")]
    assert (await time.last()).collection is None
    assert await time.taken() == 1250


async def test_open_offers_are_withdrawn_and_an_open_checkout_of_one_is_closed_first(shop: Shop) -> None:
    time = calendar(shop)
    now: Subscription = await shop.order(monthly(shop))
    later: Subscription = await shop.order(monthly(shop, trial_days=14))
    invoice = await time.first_invoice(now)
    session = await shop.session_of(await shop.pay(invoice, shop.contact()))
    bill = await shop.link()
    await hears(shop, archived=True)
    await ends(shop)
    assert ((await time.now(later)).status, (await time.now(now)).status) == ("cancelled", "pending")
    await close_requested(shop.h.runtime, shop.stripe)
    shop.later(minutes=2)
    assert await ends(shop) == 1
    assert session not in await shop.till.open_sessions()
    assert ((await time.now(now)).status, (await time.now(now)).cancelled_by) == ("cancelled", "archiving")
    assert (await shop.invoice(invoice)).status == "void"
    # What is owed for itself stays so, and is paid by its link.
    assert (await shop.invoice(bill)).status == "open"
    await shop.customer_pays(await shop.pay(bill, shop.contact()))
    assert (await shop.invoice(bill)).status == "paid"
    assert await ends(shop) == 0


async def test_out_of_the_archive_what_was_cancelled_stays_so_and_something_new_is_charged(fake_shop: Shop) -> None:
    time = calendar(fake_shop)
    made = await time.accepted(monthly(fake_shop))
    await hears(fake_shop, archived=True)
    await ends(fake_shop)
    with pytest.raises(NotFound):
        await fake_shop.order(monthly(fake_shop), known=())
    await hears(fake_shop, sequence=3, archived=False)
    fresh = await time.accepted(monthly(fake_shop))
    await time.comes(date(2027, 2, 28))
    assert ((await time.now(made)).status, (await time.now(fresh)).charges_paid) == ("cancelled", 2)


async def test_an_erased_customer_is_charged_nothing_and_their_cards_and_links_are_gone(shop: Shop) -> None:
    time = calendar(shop)
    made = await time.accepted(monthly(shop))
    plan = await time.accepted(plan_of_three(shop))
    bill = await shop.link()
    await is_erased(shop)
    await time.runs()
    await time.comes(date(2027, 3, 31))
    assert [(await time.now(each)).status for each in (made, plan)] == ["cancelled", "cancelled"]
    assert await time.taken() == await time.booked() == 1250 + 3333
    assert await time.purse.shown() == []
    assert await time.purse.left_at_stripe() == 0
    now = await shop.invoice(bill)
    assert now.link is not None
    assert (now.status, now.link.revoked) == ("open", True)
    assert await ends(shop) == 0


async def test_a_dead_link_of_an_archived_customer_says_nothing_and_mails_nothing(fake_shop: Shop) -> None:
    shop = fake_shop
    bill = await shop.link(link_expires_at=datetime.now(UTC).replace(year=2031))
    assert bill.link is not None
    await hears(shop, archived=True)
    await ends(shop)
    shop.clock.at = datetime(2031, 12, 31, 12, tzinfo=UTC)
    await shop.news()
    asked = RequestFreshLink(invoice_id=InvoiceId(bill.id), token_sha256=bill.link.token_sha256)
    public = shop.contact().model_copy(update={"kind": "public"})
    assert (await shop.order(asked, public, known=())).invoice_id == bill.id
    assert await shop.news() == []
    with pytest.raises(NotFound):
        await shop.order(SendPaymentLink(invoice_id=InvoiceId(bill.id)), known=())
