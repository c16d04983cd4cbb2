"""From Pay to a receipt, over the fake and over the sandbox."""

from __future__ import annotations

import asyncio

import pytest

from contracts.billing import InvoiceAlreadyPaid, InvoiceNotPayable, VoidInvoice
from contracts.message import Conflict, InvoiceId
from services.billing import schedules
from services.billing.store import payments
from tests.integration.billing.shop import Shop


async def test_the_checkout_names_the_merchant_who_is_paid(fake_shop: Shop) -> None:
    await fake_shop.pay(await fake_shop.link(), fake_shop.contact())
    branding = await fake_shop.h.db.fetchval("SELECT request::jsonb->'branding_settings'->>'display_name' FROM payment")
    assert branding == "Nordlicht GmbH"


async def test_a_paid_checkout_settles_the_invoice_and_gives_a_receipt(shop: Shop) -> None:
    invoice = await shop.link()
    started = await shop.pay(invoice, shop.contact())
    assert await shop.news() == ["invoice.opened", "payment.started", "invoice.payment_started"]
    paying = await shop.invoice(invoice)
    assert paying.being_paid is not None
    assert (paying.being_paid.payment_id, paying.being_paid.by) == (started.payment_id, "Ada")

    await shop.customer_pays(started)

    events = await shop.news_events()
    assert [each.type for each in events] == ["billing.invoice.paid.v1", "billing.payment.succeeded.v1"]
    assert [each.sequence for each in events] == [3, 2]
    paid = await shop.invoice(invoice)
    assert (paid.status, paid.amount_paid, paid.amount_due, paid.being_paid) == ("paid", 1250, 0, None)
    assert [(each.number, each.amount, each.method, each.last4) for each in paid.receipts] == [
        ("REC-1", 1250, "visa", "4242")
    ]
    payment = await shop.payment(started)
    assert (payment.status, payment.surplus, payment.receipt_number) == ("succeeded", False, "REC-1")
    assert events[1].data["invoice"] == paid.model_dump(mode="json")
    assert events[1].data["state"] == payment.model_dump(mode="json")


async def test_everything_about_a_payment_belongs_to_the_press_that_began_it(shop: Shop) -> None:
    started = await shop.pay(await shop.link(), shop.contact())
    pressed = (await shop.news_events())[-1]
    await shop.customer_pays(started)
    for told in await shop.news_events():
        assert told.correlationid == pressed.correlationid
        assert told.actor == "system:billing"
        assert told.causationid is not None
        assert told.causationid.startswith("evt_")


async def test_a_decline_is_a_note_and_the_same_checkout_may_still_succeed(shop: Shop) -> None:
    invoice = await shop.link()
    started = await shop.pay(invoice, shop.contact())
    await shop.news()
    await shop.till.is_declined(await shop.session_of(started))
    await shop.work()
    assert await shop.news() == ["payment.changed", "invoice.payment_declined"]
    declined = await shop.invoice(invoice)
    assert declined.last_decline is not None
    assert declined.last_decline.code == "generic_decline"
    assert declined.last_decline.message == "Your card was declined."
    assert (declined.status, declined.being_paid is not None) == ("open", True)

    await shop.customer_pays(started)
    assert await shop.news() == ["invoice.paid", "payment.succeeded"]
    assert (await shop.invoice(invoice)).last_decline is None
    assert await shop.payments_of(invoice) == [(1, "succeeded")]


async def test_pressing_pay_again_resumes_the_same_checkout(shop: Shop) -> None:
    invoice, ada = await shop.link(), shop.contact()
    first = await shop.pay(invoice, ada)
    for wait in (0, 600):
        shop.later(seconds=wait)
        assert await shop.pay(invoice, ada) == first
    assert await shop.payments_of(invoice) == [(1, "created")]


async def test_another_persons_press_closes_the_first_checkout_at_stripe(shop: Shop) -> None:
    invoice = await shop.link()
    first = await shop.pay(invoice, shop.contact("Ada"))
    session = await shop.session_of(first)
    await shop.news()
    second = await shop.pay(invoice, shop.contact("Bert"))
    assert second.checkout_url != first.checkout_url
    still_open = await shop.till.open_sessions()
    assert session not in still_open
    assert await shop.session_of(second) in still_open
    assert await shop.payments_of(invoice) == [(1, "failed"), (2, "created")]
    assert await shop.news() == [
        "payment.failed",
        "invoice.payment_ended",
        "payment.started",
        "invoice.payment_started",
    ]
    being_paid = (await shop.invoice(invoice)).being_paid
    assert being_paid is not None
    assert being_paid.by == "Bert"


async def test_an_expired_checkout_ends_the_attempt_and_the_next_press_begins_another(shop: Shop) -> None:
    invoice, ada = await shop.link(), shop.contact()
    started = await shop.pay(invoice, ada)
    await shop.news()
    await shop.till.expires(await shop.session_of(started))
    await shop.work()
    assert await shop.news() == ["payment.failed", "invoice.payment_ended"]
    assert (await shop.invoice(invoice)).being_paid is None
    again = await shop.pay(invoice, ada)
    assert again.payment_id != started.payment_id
    assert await shop.payments_of(invoice) == [(1, "failed"), (2, "created")]


async def test_a_checkout_that_expired_without_a_webhook_is_replaced_at_the_next_press(shop: Shop) -> None:
    invoice, ada = await shop.link(), shop.contact()
    started = await shop.pay(invoice, ada)
    await shop.till.loses_webhooks()
    await shop.till.expires(await shop.session_of(started))
    shop.later(hours=24)
    again = await shop.pay(invoice, ada)
    assert again.checkout_url != started.checkout_url
    assert await shop.payments_of(invoice) == [(1, "failed"), (2, "created")]


async def test_nobody_overtakes_a_checkout_that_is_already_paid(shop: Shop) -> None:
    invoice = await shop.link()
    started = await shop.pay(invoice, shop.contact("Ada"))
    await shop.till.loses_webhooks()
    await shop.till.pays(await shop.session_of(started))
    with pytest.raises(InvoiceNotPayable) as refused:
        await shop.pay(invoice, shop.contact("Bert"))
    assert refused.value.members["why"] == "confirming"
    # And what the press found out is handled as if the webhook had come.
    await shop.work()
    assert (await shop.invoice(invoice)).status == "paid"
    assert await shop.payments_of(invoice) == [(1, "succeeded")]


async def test_who_comes_back_to_a_paid_checkout_is_told_that_it_is_being_confirmed(shop: Shop) -> None:
    invoice, ada = await shop.link(), shop.contact()
    started = await shop.pay(invoice, ada)
    await shop.till.loses_webhooks()
    await shop.till.pays(await shop.session_of(started))
    shop.later(seconds=5)
    with pytest.raises(InvoiceNotPayable) as refused:
        await shop.pay(invoice, ada)
    assert refused.value.members["why"] == "confirming"


async def test_a_paid_invoice_says_since_when_and_opens_nothing(shop: Shop) -> None:
    invoice = await shop.link()
    await shop.customer_pays(await shop.pay(invoice, shop.contact()))
    await shop.news()
    with pytest.raises(InvoiceAlreadyPaid) as refused:
        await shop.pay(invoice, shop.contact())
    paid_at = (await shop.invoice(invoice)).model_dump(mode="json")["paid_at"]
    assert str(refused.value.members["paid_at"])[:19] == paid_at[:19]
    assert await shop.news() == []
    assert await shop.payments_of(invoice) == [(1, "succeeded")]


async def test_voiding_closes_the_open_checkout_first(shop: Shop) -> None:
    invoice = await shop.link()
    started = await shop.pay(invoice, shop.contact())
    session = await shop.session_of(started)
    await shop.news()
    voided = await shop.order(VoidInvoice(invoice_id=InvoiceId(invoice.id)))
    assert (voided.status, voided.number, voided.being_paid) == ("void", "INV-1", None)
    assert session not in await shop.till.open_sessions()
    assert await shop.news() == ["payment.failed", "invoice.payment_ended", "invoice.voided"]


async def test_an_invoice_whose_checkout_is_already_paid_is_not_voided(shop: Shop) -> None:
    invoice = await shop.link()
    started = await shop.pay(invoice, shop.contact())
    await shop.till.loses_webhooks()
    await shop.till.pays(await shop.session_of(started))
    with pytest.raises(Conflict):
        await shop.order(VoidInvoice(invoice_id=InvoiceId(invoice.id)))
    await shop.work()
    assert (await shop.invoice(invoice)).status == "paid"


async def test_a_lost_answer_opens_no_second_checkout(shop: Shop) -> None:
    before = await shop.till.open_sessions()
    invoice, ada = await shop.link(), shop.contact()
    await shop.till.loses_the_next_answer()
    started = await shop.pay(invoice, ada)
    opened = set(await shop.till.open_sessions()) - set(before)
    assert opened == {await shop.session_of(started)}
    assert await shop.payments_of(invoice) == [(1, "created")]


async def test_reconciliation_books_a_payment_that_no_webhook_told(shop: Shop) -> None:
    invoice = await shop.link()
    started = await shop.pay(invoice, shop.contact())
    await shop.till.loses_webhooks()
    await shop.till.pays(await shop.session_of(started))
    shop.later(minutes=5)
    for _ in range(2):
        await schedules.reconcile(shop.h.runtime, stripe=shop.stripe)
        await shop.work()
    paid = await shop.invoice(invoice)
    assert (paid.status, paid.receipts[0].last4) == ("paid", "4242")
    assert (await shop.news())[-2:] == ["invoice.paid", "payment.succeeded"]


async def test_reconciliation_ends_a_checkout_that_expired_unnoticed(shop: Shop) -> None:
    invoice = await shop.link()
    started = await shop.pay(invoice, shop.contact())
    await shop.news()
    await shop.till.loses_webhooks()
    await shop.till.expires(await shop.session_of(started))
    shop.later(minutes=5)
    await schedules.reconcile(shop.h.runtime, stripe=shop.stripe)
    await shop.work()
    assert await shop.news() == ["payment.failed", "invoice.payment_ended"]


async def test_reconciliation_leaves_an_open_checkout_alone(shop: Shop) -> None:
    invoice = await shop.link()
    await shop.pay(invoice, shop.contact())
    await shop.news()
    shop.later(minutes=5)
    await schedules.reconcile(shop.h.runtime, stripe=shop.stripe)
    await shop.work()
    assert await shop.news() == []
    assert await shop.payments_of(invoice) == [(1, "created")]


async def test_ten_people_who_press_at_once_leave_one_open_checkout(shop: Shop) -> None:
    before = set(await shop.till.open_sessions())
    invoice = await shop.link()
    outcomes = await asyncio.gather(
        *(shop.pay(invoice, shop.contact(f"P{number}")) for number in range(10)), return_exceptions=True
    )
    assert all(not isinstance(each, BaseException) or isinstance(each, InvoiceNotPayable) for each in outcomes), (
        outcomes
    )
    standing = await payments.open_attempt(shop.h.db, shop.merchant_id, InvoiceId(invoice.id))
    opened = set(await shop.till.open_sessions()) - before
    assert len(opened) <= 1
    if standing is not None and standing.session_id is not None:
        assert opened == {standing.session_id}
    # Whoever presses now gets a checkout that can be paid, and the invoice is paid once.
    started = await shop.pay(invoice, shop.contact("Last"))
    await shop.customer_pays(started)
    paid = await shop.invoice(invoice)
    assert (paid.status, len(paid.receipts)) == ("paid", 1)
