"""Banks that want to see the customer, and banks that take days, over the fake and over the sandbox."""

from datetime import date, datetime, timedelta
from typing import Any

import pytest

from contracts.billing import InvoiceNotPayable
from services.billing import schedules
from tests.integration.billing.collecting import Calendar, monthly
from tests.integration.billing.shop import SandboxTill, Shop
from tests.integration.billing.test_collecting import calendar

RENEWED = date(2027, 2, 28)
ALWAYS_ASKS = "4000002760003184"


async def challenged(shop: Shop, session_id: str, *, passes: bool) -> dict[str, Any]:
    """On the page a card is given whose bank asks every time; its customer passes the challenge, or does not."""
    assert isinstance(shop.till, SandboxTill)
    told = await shop.till.control(f"/sessions/{session_id}/pay", card=ALWAYS_ASKS, authenticate=passes)
    done = ("checkout.session.completed", session_id)
    await shop.till._stored(*(done if passes else ("payment_intent.payment_failed", told["payment_intent"])))
    await shop.work()
    return told


# --- authentication ---------------------------------------------------------------------------------------------------


async def test_a_bank_that_wants_a_confirmation_gets_it_through_the_link(shop: Shop) -> None:
    time = calendar(shop)
    await time.accepted(monthly(shop))
    await time.card_is("authentication_required")
    await time.comes(RENEWED)
    invoice = await time.last()
    assert invoice.collection is not None
    assert (invoice.collection.confirm, invoice.collection.failures) == (True, 1)
    await shop.customer_pays(await shop.pay(invoice, shop.contact()))
    assert (await time.last()).status == "paid"
    await time.comes(date(2027, 3, 2))
    assert await shop.payments_of(invoice) == [(1, "failed"), (2, "succeeded")]
    assert await time.taken() == await time.booked() == 2500


async def test_a_card_that_wants_to_be_confirmed_is_not_asked_again_without_its_customer(shop: Shop) -> None:
    time = calendar(shop)
    await time.accepted(monthly(shop))
    await time.card_is("authentication_required")
    await time.comes(RENEWED)
    await time.comes(date(2027, 3, 2))
    invoice = await time.last()
    assert await shop.payments_of(invoice) == [(1, "failed")]
    assert invoice.collection is not None
    assert (invoice.collection.confirm, invoice.collection.failures) == (True, 2)
    assert [working for _, _, working in await time.purse.summary()] == [True]
    assert await time.taken() == await time.booked() == 1250


async def test_a_challenge_that_is_not_passed_is_a_note_and_the_same_page_may_still_be_paid(sandbox_shop: Shop) -> None:
    shop = sandbox_shop
    invoice = await shop.link()
    started = await shop.pay(invoice, shop.contact())
    session = await shop.session_of(started)
    assert (await challenged(shop, session, passes=False))["outcome"] == "declined"
    noted = await shop.payment(started)
    assert noted.status == "created"
    assert noted.decline is not None
    assert noted.decline.code == "payment_intent_authentication_failure"
    assert (await challenged(shop, session, passes=True))["outcome"] == "succeeded"
    assert (await shop.invoice(invoice)).status == "paid"
    assert await shop.payments_of(invoice) == [(1, "succeeded")]


async def test_a_card_that_always_asks_is_kept_by_its_first_payment_and_confirmed_each_time(sandbox_shop: Shop) -> None:
    shop = sandbox_shop
    time = calendar(shop)
    made = await shop.order(monthly(shop))
    started = await shop.pay(await time.first_invoice(made), shop.contact())
    await challenged(shop, await shop.session_of(started), passes=True)
    assert (await time.now(made)).status == "active"
    await time.comes(RENEWED)
    invoice = await time.last()
    assert invoice.collection is not None
    assert invoice.collection.confirm
    again = await shop.pay(invoice, shop.contact())
    await challenged(shop, await shop.session_of(again), passes=True)
    assert (await time.last()).status == "paid"
    assert await time.taken() == await time.booked() == 2500


# --- debits -----------------------------------------------------------------------------------------------------------


async def test_a_debit_is_processing_for_days_and_nobody_pays_it_twice(shop: Shop) -> None:
    time = calendar(shop)
    await time.accepted_by_debit(monthly(shop))
    await time.comes(RENEWED)
    invoice = await time.last()
    assert (invoice.status, invoice.amount_processing) == ("open", 1250)
    with pytest.raises(InvoiceNotPayable):
        await shop.pay(invoice, shop.contact())
    await time.comes(date(2027, 3, 2))
    assert await shop.payments_of(invoice) == [(1, "processing")]
    await time.bank_answers()
    await time.comes(date(2027, 3, 3))
    assert (await time.last()).status == "paid"
    assert await shop.payments_of(invoice) == [(1, "succeeded")]
    assert await time.taken() == await time.booked() == 2500


async def test_a_debit_refused_days_later_begins_dunning(shop: Shop) -> None:
    time = calendar(shop)
    await time.accepted_by_debit(monthly(shop))
    await time.comes(RENEWED)
    shop.clock.at = datetime.combine(date(2027, 3, 3), shop.clock.at.timetz())
    await time.bank_answers("insufficient_funds")
    invoice = await time.last()
    assert (invoice.status, invoice.amount_processing, invoice.amount_due) == ("open", 0, 1250)
    assert await shop.payments_of(invoice) == [(1, "failed")]
    assert invoice.collection is not None
    assert invoice.collection.last_failure is not None
    assert invoice.collection.last_failure.code == "insufficient_funds"
    assert invoice.collection.next_try_at is not None
    assert invoice.collection.next_try_at.date() == date(2027, 3, 5)
    await time.comes(date(2027, 3, 5))
    assert await shop.payments_of(invoice) == [(1, "failed"), (2, "processing")]
    await time.bank_answers()
    assert (await time.last()).status == "paid"
    assert await time.taken() == await time.booked() == 2500


async def test_a_debit_on_the_page_is_awaited_and_pays_when_the_bank_has_answered(shop: Shop) -> None:
    time = Calendar(shop)
    invoice = await shop.link()
    started = await shop.pay(invoice, shop.contact())
    await time.pays_by_debit(await shop.session_of(started))
    waiting = await shop.invoice(invoice)
    assert (waiting.status, waiting.amount_processing, waiting.being_paid) == ("open", 1250, None)
    assert waiting.receipts == ()
    shop.later(days=5)
    await time.bank_answers()
    paid = await shop.invoice(invoice)
    assert (paid.status, paid.amount_processing, paid.amount_paid) == ("paid", 0, 1250)


async def test_a_debit_on_the_page_that_fails_days_later_leaves_the_invoice_to_be_paid(shop: Shop) -> None:
    time = Calendar(shop)
    invoice = await shop.link()
    started = await shop.pay(invoice, shop.contact())
    await time.pays_by_debit(await shop.session_of(started))
    shop.later(days=5)
    await time.bank_answers("insufficient_funds")
    after = await shop.invoice(invoice)
    assert (after.status, after.amount_processing, after.amount_due) == ("open", 0, 1250)
    assert (await shop.payment(started)).status == "failed"
    await shop.customer_pays(await shop.pay(invoice, shop.contact()))
    assert await shop.payments_of(invoice) == [(1, "failed"), (2, "succeeded")]
    assert await time.taken() == await time.booked() == 1250


async def test_a_debit_whose_webhooks_are_lost_is_followed_by_reconciliation(sandbox_shop: Shop) -> None:
    shop = sandbox_shop
    time = Calendar(shop)
    invoice = await shop.link()
    started = await shop.pay(invoice, shop.contact())
    await shop.till.loses_webhooks()
    await time.pays_by_debit(await shop.session_of(started))
    for status, processing in (("open", 1250), ("paid", 0)):
        shop.clock.advance(timedelta(minutes=5))
        await schedules.reconcile(shop.h.runtime, stripe=shop.stripe)
        await shop.work()
        now = await shop.invoice(invoice)
        assert (now.status, now.amount_processing) == (status, processing)
        if status == "open":
            await time.bank_answers()
