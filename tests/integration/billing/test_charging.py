"""What may not go wrong when nobody is there: what is charged, what is not, and what is said of it, over both Stripes."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from chassis.tokens import digest
from contracts.billing import (
    AcceptSubscription,
    BillingMailFacts,
    CancelSubscription,
    NewInstalment,
    NewLine,
    RefundInvoice,
    RenewPaymentLink,
    RenewSubscriptionLink,
    RequestFreshLink,
    RequestFreshOffer,
    RevokePaymentLink,
    SetupStarted,
    StartInvoicePayment,
    Subscription,
    VoidInvoice,
)
from contracts.identity import CustomerChanged
from contracts.message import Actor, Conflict, InvoiceId, MailFacts, SubscriptionId
from services.billing.schedules import reconcile
from services.billing.stripe_gateway import StripeUnknownError
from tests.integration.billing.collecting import Calendar, monthly, plan_of_three
from tests.integration.billing.shop import Shop, fake

JANUARY_31 = datetime(2027, 1, 31, 12, tzinfo=UTC)
MOST = 999_999_99


def calendar(shop: Shop, at: datetime = JANUARY_31) -> Calendar:
    shop.clock.at = at
    return Calendar(shop)


async def test_a_rest_above_what_a_card_can_take_is_owed_in_sums_that_can_be_paid(shop: Shop) -> None:
    time = calendar(shop)
    parts = (NewInstalment(amount=1000), *(NewInstalment(due_on=date(2027, 3, day), amount=MOST) for day in (1, 2)))
    lines = (NewLine(description="A house", unit_amount=1000 + 2 * MOST),)
    made = await time.accepted(
        plan_of_three(shop, lines=lines, instalments=parts, instalment_count=None, interval=None)
    )
    await shop.order(CancelSubscription(subscription_id=SubscriptionId(made.id), rest="owe"))
    for _ in range(3):
        await time.runs()
        shop.later(hours=1)
    assert [(each.total, each.status) for each in await time.invoices()] == [
        (1000, "paid"),
        (MOST, "paid"),
        (MOST, "paid"),
    ]
    assert await time.taken() == 1000 + 2 * MOST


async def _given_before_it_is_mirrored(time: Calendar) -> tuple[Subscription, SetupStarted]:
    """The customer gave a card on the day of the start, no webhook came, and they pressed Accept once more."""
    shop = time.shop
    made: Subscription = await shop.order(monthly(shop, starts_on=date(2027, 2, 1)))
    order = AcceptSubscription(subscription_id=SubscriptionId(made.id), return_path="/portal")
    payer = time.purse.payer()
    started: SetupStarted = await shop.order(order, payer)
    shop.clock.at = datetime(2027, 2, 1, 9, tzinfo=UTC)
    await shop.till.loses_webhooks()
    await time.purse.gives(await time.purse.session_of(started))
    return made, await shop.order(order, payer)


async def test_a_card_given_but_not_mirrored_yet_is_waited_for_and_then_charged(shop: Shop) -> None:
    time = calendar(shop)
    made, _ = await _given_before_it_is_mirrored(time)
    await shop.news()
    await time.runs()
    assert await time.invoices() == []
    assert "invoice.charge_failed" not in await shop.news()
    await time.purse.is_looked_at()
    shop.later(minutes=1)
    await time.runs()
    (invoice,) = await time.invoices()
    assert (invoice.status, invoice.receipts[0].last4) == ("paid", "4242")
    assert (await time.now(made)).current_period is not None


async def test_a_charge_that_never_reached_the_bank_is_nobodys_failure_and_is_made_after_all(fake_shop: Shop) -> None:
    time = calendar(fake_shop)
    await time.accepted(monthly(fake_shop))
    fake(fake_shop).fails["charge"] = [StripeUnknownError("cut off before it was sent")]
    await fake_shop.news()
    await time.comes(date(2027, 2, 28))
    assert await fake_shop.payments_of(await time.last()) == [(1, "unknown")]
    fake_shop.later(minutes=15)
    await reconcile(fake_shop.h.runtime, stripe=fake_shop.stripe)
    heard = await fake_shop.news()
    assert "invoice.charge_failed" not in heard
    assert {"payment.failed", "invoice.payment_ended"} <= set(heard)
    invoice = await time.last()
    assert invoice.collection is not None
    assert (invoice.collection.failures, invoice.last_decline) == (0, None)
    await time.runs()
    assert (await time.last()).status == "paid"
    assert await fake_shop.payments_of(invoice) == [(1, "failed"), (2, "succeeded")]
    assert await time.taken() == await time.booked() == 2500


async def test_a_part_payment_that_was_given_back_whole_no_longer_keeps_the_invoice(shop: Shop) -> None:
    invoice = await shop.link(allow_partial=True)
    invoice_id = InvoiceId(invoice.id)
    press = StartInvoicePayment(invoice_id=invoice_id, return_path="/portal/payments", amount=500)
    await shop.customer_pays(await shop.order(press, shop.contact()))
    assert ((await shop.invoice(invoice)).status, (await shop.invoice(invoice)).amount_paid) == ("open", 500)
    await shop.order(RefundInvoice(invoice_id=invoice_id, amount=200))
    with pytest.raises(Conflict, match="Give that money back first"):
        await shop.order(VoidInvoice(invoice_id=invoice_id))
    assert (await shop.invoice(invoice)).status == "open"
    await shop.order(RefundInvoice(invoice_id=invoice_id))
    withdrawn = await shop.order(VoidInvoice(invoice_id=invoice_id))
    assert (withdrawn.status, withdrawn.amount_paid, withdrawn.amount_refunded) == ("void", 500, 500)


async def _facts(shop: Shop, kind: Any, about: Any) -> MailFacts:
    answer: MailFacts = await shop.h.ask(BillingMailFacts(kind=kind, id=about), merchant_id=shop.merchant_id)
    return answer


@pytest.mark.parametrize("portal", ["active", "none"])
async def test_a_failed_charge_leaves_a_way_to_pay_although_the_link_was_withdrawn(
    fake_shop: Shop, portal: Any
) -> None:
    shop, time = fake_shop, calendar(fake_shop)
    await time.accepted(monthly(shop))
    shop.customer = shop.customer.model_copy(update={"portal_access": portal})
    await shop.h.deliver(CustomerChanged(state=shop.customer), sequence=2)
    await time.card_is("insufficient_funds")
    await time.comes(date(2027, 2, 28))
    invoice_id = InvoiceId((await time.last()).id)
    old = await _facts(shop, "payment_failed", invoice_id)
    assert old.path is not None
    await shop.order(RevokePaymentLink(invoice_id=invoice_id), known=())
    assert (await _facts(shop, "payment_failed", invoice_id)).still_true
    assert (await _facts(shop, "payment_failed", invoice_id)).path is None
    await shop.news()
    await time.comes(date(2027, 3, 2))
    heard = [each for each in await shop.news() if each.startswith("invoice.")]
    told = await _facts(shop, "payment_failed", invoice_id)
    if portal == "active":
        # They have the portal, and what was withdrawn stays so.
        assert (told.still_true, told.path) == (True, None)
        assert heard == ["invoice.charge_started", "invoice.charge_failed"]
        return
    assert told.path not in (None, old.path)
    assert heard == ["invoice.charge_started", "invoice.link_changed", "invoice.charge_failed"]
    link = (await time.last()).link
    assert link is not None
    assert digest((told.path or "").removeprefix("/pay/")) == link.token_sha256
    assert digest(old.path.removeprefix("/pay/")) in link.earlier_sha256


async def test_a_renewal_ahead_knows_whether_there_is_something_to_charge(fake_shop: Shop) -> None:
    time = calendar(fake_shop)
    made = await time.accepted(monthly(fake_shop))
    about = SubscriptionId(made.id)
    assert (await _facts(fake_shop, "renewal_ahead", about)).facts["has_method"] is True
    (card,) = await time.purse.shown()
    await time.purse.detached_at_stripe(card)
    await fake_shop.work()
    assert (await _facts(fake_shop, "renewal_ahead", about)).facts["has_method"] is False


async def test_what_is_due_without_a_method_is_told_as_such_and_not_as_a_refused_card(fake_shop: Shop) -> None:
    time = calendar(fake_shop)
    await time.accepted(monthly(fake_shop))
    (card,) = await time.purse.shown()
    await time.purse.detached_at_stripe(card)
    await fake_shop.work()
    await time.comes(date(2027, 2, 28))
    collection = (await time.last()).collection
    assert collection is not None
    assert collection.last_failure is not None
    assert (collection.attempted, collection.last_failure.code) == (False, "no_payment_method")
    await time.purse.adds()
    await time.runs()
    assert (await time.last()).status == "paid"


async def test_whoever_holds_an_earlier_link_has_the_living_one_mailed_once_an_hour(fake_shop: Shop) -> None:
    invoice = await fake_shop.link()
    offer: Subscription = await fake_shop.order(monthly(fake_shop, trial_days=14))
    assert invoice.link is not None
    assert offer.link is not None
    about, order = InvoiceId(invoice.id), SubscriptionId(offer.id)
    held, offered = invoice.link.token_sha256, offer.link.token_sha256
    public = Actor(kind="public", id=None, name="", merchant_id=fake_shop.merchant_id)
    asks = (
        RequestFreshLink(invoice_id=about, token_sha256=held),
        RequestFreshOffer(subscription_id=order, token_sha256=offered),
    )
    for each in asks:
        # The link in their hands works: there is nothing to mail.
        await fake_shop.order(each, public)
    await fake_shop.order(RenewPaymentLink(invoice_id=about))
    await fake_shop.order(RenewSubscriptionLink(subscription_id=order))
    await fake_shop.news()
    for _ in range(2):
        for each in asks:
            await fake_shop.order(each, public)
    assert await fake_shop.news() == ["invoice.link_email_requested", "subscription.link_email_requested"]
    now = (await fake_shop.invoice(invoice)).link
    assert now is not None
    assert held in now.earlier_sha256
    fake_shop.later(hours=1)
    for each in asks:
        await fake_shop.order(each, public)
    assert await fake_shop.news() == ["invoice.link_email_requested", "subscription.link_email_requested"]
    assert (await fake_shop.invoice(invoice)).link == now.model_copy(update={"asked_at": fake_shop.clock.now()})
