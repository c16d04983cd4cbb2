"""What the worker behind the webhook door makes of the events of a payment, whatever comes in whichever order."""

from __future__ import annotations

import asyncio
import copy
import itertools
from typing import Any, Literal

import pytest

from contracts.billing import BillingMailFacts, GiveUpInvoice, Invoice, InvoiceAlreadyPaid, VoidInvoice
from contracts.message import InvoiceId
from services.billing import schedules
from services.billing.store import payments
from services.billing.webhooks import StuckWebhooks
from tests.fake_stripe import intent_object
from tests.integration.billing.shop import FakeTill, SandboxTill, Shop, fake, paid_without_webhooks, post, shuffled


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_the_order_of_webhooks_decides_nothing(fake_shop: Shop, order: tuple[int, ...]) -> None:
    invoice, _, events = await paid_without_webhooks(fake_shop)
    for place in order:
        assert await post(fake_shop.door, [events[place]]) == [200]
        await fake_shop.work()
    assert await fake_shop.news() == ["invoice.paid", "payment.succeeded"]
    receipts = (await fake_shop.invoice(invoice)).receipts
    assert [(each.number, each.method, each.last4) for each in receipts] == [("REC-1", "visa", "4242")]


@pytest.mark.parametrize("kept", [0, 1, 2])
async def test_any_one_of_the_events_of_a_payment_may_be_lost(fake_shop: Shop, kept: int) -> None:
    _, _, events = await paid_without_webhooks(fake_shop)
    await post(fake_shop.door, [event for place, event in enumerate(events) if place != kept])
    await fake_shop.work()
    assert await fake_shop.news() == ["invoice.paid", "payment.succeeded"]


async def test_every_event_five_times_at_once_pays_once(fake_shop: Shop) -> None:
    invoice, _, events = await paid_without_webhooks(fake_shop)
    assert await post(fake_shop.door, shuffled(events * 5, 7)) == [200] * 15
    assert len(await fake_shop.stored_events()) == 3
    await asyncio.gather(*(fake_shop.work() for _ in range(5)))
    assert await fake_shop.news() == ["invoice.paid", "payment.succeeded"]
    assert len((await fake_shop.invoice(invoice)).receipts) == 1


async def test_a_second_webhook_for_a_paid_invoice_announces_nothing(fake_shop: Shop) -> None:
    _, _, events = await paid_without_webhooks(fake_shop)
    await post(fake_shop.door, events)
    await fake_shop.work()
    await fake_shop.news()
    await post(fake_shop.door, [event | {"id": f"evt_again_{place}"} for place, event in enumerate(events)])
    await fake_shop.work()
    assert await fake_shop.news() == []


async def test_what_is_told_after_the_money_has_come_changes_nothing(fake_shop: Shop) -> None:
    invoice, started, events = await paid_without_webhooks(fake_shop)
    await post(fake_shop.door, events)
    await fake_shop.work()
    await fake_shop.news()
    stripe, session = fake(fake_shop), events[2]["data"]["object"]
    declined = events[1]["data"]["object"] | {"last_payment_error": {"code": "card_declined", "message": "No."}}
    late = [
        stripe.tell("payment_intent.payment_failed", declined),
        stripe.tell("checkout.session.completed", session | {"payment_status": "unpaid"}),
        stripe.tell("checkout.session.expired", session | {"status": "expired"}),
        stripe.tell("checkout.session.async_payment_failed", session),
    ]
    assert await post(fake_shop.door, late) == [200] * 4
    await fake_shop.work()
    assert await fake_shop.news() == []
    assert (await fake_shop.payment(started)).status == "succeeded"
    assert (await fake_shop.invoice(invoice)).last_decline is None
    assert {status for _, status, _ in await fake_shop.stored_events()} == {"done"}


async def test_the_sandboxs_duplicates_and_shuffles_pay_once(sandbox_shop: Shop) -> None:
    assert isinstance(sandbox_shop.till, SandboxTill)
    await sandbox_shop.till.control("/webhooks", duplicate=4, shuffle=True)
    invoice = await sandbox_shop.link()
    started = await sandbox_shop.pay(invoice, sandbox_shop.contact())
    await sandbox_shop.news()
    await sandbox_shop.customer_pays(started)
    assert await sandbox_shop.news() == ["invoice.paid", "payment.succeeded"]


async def test_a_payment_that_beats_our_own_commit_is_booked_and_the_press_is_told(fake_shop: Shop) -> None:
    stripe = fake(fake_shop)
    real = stripe.open_checkout

    async def paid_before_we_know(*given: Any) -> Any:
        checkout = await real(*given)
        stripe.pays(checkout.id)
        assert isinstance(fake_shop.till, FakeTill)
        await fake_shop.till.deliver()
        await fake_shop.work()
        return checkout

    stripe.open_checkout = paid_before_we_know  # type: ignore[method-assign,assignment]  # this one's answer is slow
    invoice = await fake_shop.link()
    with pytest.raises(Exception, match="already paid"):
        await fake_shop.pay(invoice, fake_shop.contact())
    paid = await fake_shop.invoice(invoice)
    assert (paid.status, paid.being_paid, len(paid.receipts)) == ("paid", None, 1)
    assert (await fake_shop.news())[1:] == ["payment.started", "invoice.paid", "payment.succeeded"]


# --- what must not be settled ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("amount", "currency"), [(1249, "eur"), (1250, "usd"), (12500, "eur")])
async def test_a_wrong_amount_settles_nothing_and_waits_for_a_person(
    fake_shop: Shop, amount: int, currency: str
) -> None:
    invoice, started, events = await paid_without_webhooks(fake_shop)
    wrong = copy.deepcopy(events[1])
    wrong["data"]["object"] |= {"amount_received": amount, "currency": currency}
    await post(fake_shop.door, [wrong])
    await fake_shop.work()
    assert await fake_shop.news() == []
    assert (await fake_shop.invoice(invoice)).status == "open"
    assert (await fake_shop.payment(started)).status == "created"
    [letter] = await StuckWebhooks().entries(fake_shop.h.runtime)
    assert letter.error.startswith("WrongAmount: asked Money(amount=1250, currency='EUR')")


async def test_a_payment_on_another_account_is_foreign_whatever_its_metadata_says(fake_shop: Shop) -> None:
    invoice, _, events = await paid_without_webhooks(fake_shop)
    await post(fake_shop.door, [event | {"account": "acct_1"} for event in events])
    await fake_shop.work()
    assert await fake_shop.news() == []
    assert (await fake_shop.invoice(invoice)).status == "open"
    assert {(status, outcome) for _, status, outcome in await fake_shop.stored_events()} == {
        ("done", "foreign: not this attempt's account or invoice")
    }


async def test_somebody_elses_invoice_id_in_the_metadata_settles_nothing(fake_shop: Shop) -> None:
    _, _, events = await paid_without_webhooks(fake_shop)
    other = await fake_shop.link()
    await fake_shop.news()
    typed = copy.deepcopy(events[1])
    typed["data"]["object"]["metadata"]["invoice_id"] = str(other.id)
    await post(fake_shop.door, [typed])
    await fake_shop.work()
    assert await fake_shop.news() == []
    assert (await fake_shop.invoice(other)).status == "open"


async def test_unknown_types_and_foreign_objects_are_kept_and_marked(fake_shop: Shop) -> None:
    foreign = intent_object("pi_9", {}, 100, "eur", status="succeeded")
    stripe = fake(fake_shop)
    await post(fake_shop.door, [stripe.tell("customer.created", {"id": "cus_1"})])
    await post(fake_shop.door, [stripe.tell("payment_intent.succeeded", foreign)])
    await fake_shop.work()
    assert sorted(await fake_shop.stored_events()) == [
        ("customer.created", "done", "unknown type"),
        ("payment_intent.succeeded", "done", "foreign: without our metadata"),
    ]
    assert await fake_shop.news() == []


# --- money that nobody owes ------------------------------------------------------------------------------------------


async def test_a_second_success_of_one_attempt_is_surplus_once_and_leaves_the_invoice_as_it_is(fake_shop: Shop) -> None:
    invoice, started, events = await paid_without_webhooks(fake_shop)
    await post(fake_shop.door, events)
    await fake_shop.work()
    await fake_shop.news()
    before = await fake_shop.invoice(invoice)
    second = copy.deepcopy(events[1])
    second["data"]["object"]["id"] = "pi_second"
    for number in range(3):
        await post(fake_shop.door, [second | {"id": f"evt_second_{number}"}])
        await fake_shop.work()
    [told] = await fake_shop.news_events()
    state: Any = told.data["state"]
    assert (told.type, told.sequence) == ("billing.payment.succeeded.v1", 1)
    assert (state["surplus"], state["attempt"], state["amount"], state["receipt_number"]) == (True, 2, 1250, None)
    assert await fake_shop.invoice(invoice) == before
    assert (await fake_shop.payment(started)).surplus is False
    assert {status for _, status, _ in await fake_shop.stored_events()} == {"done"}


async def test_a_late_success_of_an_ended_attempt_pays_and_closes_the_checkout_that_took_its_place(
    fake_shop: Shop,
) -> None:
    invoice, ada = await fake_shop.link(), fake_shop.contact()
    first = await fake_shop.pay(invoice, ada)
    session = await fake_shop.session_of(first)
    await fake_shop.till.expires(session)
    await fake_shop.work()
    second = await fake_shop.pay(invoice, ada)
    await fake_shop.news()
    await fake_shop.till.pays(session)
    await fake_shop.work()
    assert await fake_shop.news() == ["invoice.paid", "payment.succeeded"]
    assert (await fake_shop.payment(first)).status == "succeeded"
    for attempt in await _to_close(fake_shop):
        await schedules.close_one(fake_shop.h.runtime, fake_shop.stripe, attempt)
    assert await fake_shop.till.open_sessions() == []
    assert await fake_shop.news() == ["payment.failed"]
    assert (await fake_shop.payment(second)).status == "failed"
    assert await _to_close(fake_shop) == []


async def test_a_checkout_that_opens_while_other_money_settles_the_invoice_is_shown_to_nobody(fake_shop: Shop) -> None:
    invoice, ada = await fake_shop.link(), fake_shop.contact()
    session = await fake_shop.session_of(await fake_shop.pay(invoice, ada))
    await fake_shop.till.expires(session)
    await fake_shop.work()
    stripe, late = fake(fake_shop), [session]
    opens = stripe.open_checkout

    async def is_overtaken(*asked: Any) -> Any:
        while late:
            await fake_shop.till.pays(late.pop())
            await fake_shop.work()
        return await opens(*asked)

    vars(stripe)["open_checkout"] = is_overtaken
    with pytest.raises(InvoiceAlreadyPaid):
        await fake_shop.pay(invoice, ada)
    settled = await fake_shop.invoice(invoice)
    assert (settled.status, settled.being_paid) == ("paid", None)
    for attempt in await _to_close(fake_shop):
        await schedules.close_one(fake_shop.h.runtime, stripe, attempt)
    assert await fake_shop.till.open_sessions() == []
    assert await fake_shop.payments_of(invoice) == [(1, "succeeded"), (2, "failed")]


async def _to_close(shop: Shop) -> list[Any]:
    return (await payments.to_close(shop.h.db, None, 100)).found


async def test_another_session_that_says_it_is_an_attempts_does_not_end_it(fake_shop: Shop) -> None:
    invoice = await fake_shop.link()
    session = await fake_shop.session_of(await fake_shop.pay(invoice, fake_shop.contact()))
    stripe = fake(fake_shop)
    stripe.tell("checkout.session.expired", stripe.sessions[session] | {"id": "cs_other", "status": "expired"})
    assert isinstance(fake_shop.till, FakeTill)
    await fake_shop.till.deliver()
    await fake_shop.work()
    assert await fake_shop.payments_of(invoice) == [(1, "created")]
    assert (await fake_shop.invoice(invoice)).being_paid is not None


async def test_both_checkouts_paid_is_one_payment_and_one_surplus(fake_shop: Shop) -> None:
    invoice, ada = await fake_shop.link(), fake_shop.contact()
    first = await fake_shop.pay(invoice, ada)
    session = await fake_shop.session_of(first)
    await fake_shop.till.expires(session)
    await fake_shop.work()
    second = await fake_shop.pay(invoice, ada)
    await fake_shop.till.pays(await fake_shop.session_of(second))
    await fake_shop.till.pays(session)
    await fake_shop.work()
    paid = await fake_shop.invoice(invoice)
    assert (paid.status, paid.amount_paid, len(paid.receipts)) == ("paid", 1250, 1)
    surplus = [(await fake_shop.payment(each)).surplus for each in (first, second)]
    assert sorted(surplus) == [False, True]


async def test_money_on_a_voided_invoice_is_surplus_and_the_invoice_stays_void(fake_shop: Shop) -> None:
    invoice = await fake_shop.link()
    started = await fake_shop.pay(invoice, fake_shop.contact())
    await fake_shop.order(VoidInvoice(invoice_id=InvoiceId(invoice.id)))
    await fake_shop.news()
    await fake_shop.customer_pays(started)
    assert await fake_shop.news() == ["payment.succeeded"]
    assert (await fake_shop.invoice(invoice)).status == "void"
    assert (await fake_shop.payment(started)).surplus is True


async def test_money_on_an_invoice_that_was_given_up_pays_it_after_all(fake_shop: Shop) -> None:
    invoice = await fake_shop.link()
    started = await fake_shop.pay(invoice, fake_shop.contact())
    await fake_shop.order(GiveUpInvoice(invoice_id=InvoiceId(invoice.id)))
    await fake_shop.news()
    await fake_shop.customer_pays(started)
    assert await fake_shop.news() == ["invoice.paid", "payment.succeeded"]


# --- bank debits ------------------------------------------------------------------------------------------------------


async def test_a_debit_under_way_blocks_every_other_payment_until_it_has_failed(fake_shop: Shop) -> None:
    assert isinstance(fake_shop.till, FakeTill)
    invoice = await fake_shop.link()
    started = await fake_shop.pay(invoice, fake_shop.contact())
    session = await fake_shop.session_of(started)
    await fake_shop.news()
    fake(fake_shop).debits(session)
    await fake_shop.till.deliver()
    await fake_shop.work()
    assert await fake_shop.news() == ["payment.changed", "invoice.payment_processing"]
    waiting = await fake_shop.invoice(invoice)
    assert (waiting.amount_processing, waiting.being_paid, waiting.status) == (1250, None, "open")
    with pytest.raises(Exception, match="being processed"):
        await fake_shop.pay(invoice, fake_shop.contact())
    assert await _asks_for_money(fake_shop, invoice) == [(False, "processing")] * 3
    fake(fake_shop).debit_fails(session)
    await fake_shop.till.deliver()
    await fake_shop.work()
    assert await fake_shop.news() == ["payment.failed", "invoice.payment_ended"]
    assert (await fake_shop.invoice(invoice)).amount_processing == 0
    assert await _asks_for_money(fake_shop, invoice) == [(True, None)] * 3


async def _asks_for_money(shop: Shop, invoice: Invoice) -> list[tuple[bool, str | None]]:
    """Whether each mail that asks to pay the invoice would be sent now, and why not."""
    kinds: tuple[Literal["payment_link", "payment_failed", "confirm_payment"], ...]
    kinds = ("payment_link", "payment_failed", "confirm_payment")
    asked = [BillingMailFacts(kind=kind, id=InvoiceId(invoice.id)) for kind in kinds]
    told = [await shop.h.ask(each, merchant_id=shop.merchant_id) for each in asked]
    return [(each.still_true, each.why_not) for each in told]


async def test_a_debit_that_arrives_settles(fake_shop: Shop) -> None:
    assert isinstance(fake_shop.till, FakeTill)
    invoice = await fake_shop.link()
    started = await fake_shop.pay(invoice, fake_shop.contact())
    session = await fake_shop.session_of(started)
    fake(fake_shop).debits(session)
    fake(fake_shop).debit_arrives(session)
    fake(fake_shop).told.reverse()  # the success is told first
    await fake_shop.till.deliver()
    await fake_shop.work()
    paid = await fake_shop.invoice(invoice)
    assert (paid.status, paid.amount_processing, paid.amount_paid) == ("paid", 0, 1250)


async def test_reconciliation_follows_a_debit_from_under_way_to_paid(fake_shop: Shop) -> None:
    invoice = await fake_shop.link()
    started = await fake_shop.pay(invoice, fake_shop.contact())
    session = await fake_shop.session_of(started)
    steps = [(fake(fake_shop).debits, "open", 1250), (fake(fake_shop).debit_arrives, "paid", 0)]
    for step, status, processing in steps:
        step(session)
        fake_shop.later(minutes=5)
        await schedules.reconcile(fake_shop.h.runtime, stripe=fake_shop.stripe)
        await fake_shop.work()
        now = await fake_shop.invoice(invoice)
        assert (now.status, now.amount_processing) == (status, processing)
