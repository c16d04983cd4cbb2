"""Stripe away, slow or unclear; our own process dying between two transactions."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest

from chassis import health
from chassis.ids import new_id
from contracts.billing import (
    AddPaymentMethod,
    AmountNotChargeable,
    InvoiceNotPayable,
    PaymentsUnavailable,
    StartInvoicePayment,
    VoidInvoice,
)
from contracts.message import Actor, Conflict, Incident, InvoiceId, PaymentId
from services.billing import schedules
from services.billing.schedules.attempts import ask_about_attempts
from services.billing.stripe_gateway import (
    Checkout,
    StripeGateway,
    StripeRefusedError,
    StripeUnavailableError,
    StripeUnknownError,
)
from tests.integration.billing.conftest import Sandbox
from tests.integration.billing.shop import KEY, FakeTill, SandboxTill, Shop, fake

UNKNOWN = StripeUnknownError("no answer")


async def test_with_stripe_away_nothing_is_charged_and_the_next_press_goes_on_with_the_same_attempt(
    fake_shop: Shop,
) -> None:
    invoice, ada = await fake_shop.link(), fake_shop.contact()
    fake(fake_shop).fails["open_checkout"] = [StripeUnavailableError("away"), StripeUnavailableError("away")]
    with pytest.raises(PaymentsUnavailable):
        await fake_shop.pay(invoice, ada)
    assert await fake_shop.payments_of(invoice) == [(1, "created")]
    assert (await fake_shop.invoice(invoice)).being_paid is None
    await fake_shop.pay(invoice, ada)
    assert await fake_shop.payments_of(invoice) == [(1, "created")]
    assert list(fake(fake_shop).keys) == [f"{invoice.id}:1"]


async def unclear(shop: Shop, ada: Actor) -> Any:
    """A press whose outcome nobody knows: the session was made, every answer was lost."""
    invoice = await shop.link()
    stripe = fake(shop)
    stripe.lost["open_checkout"] = [UNKNOWN, UNKNOWN]
    stripe.fails["find_checkout"] = [UNKNOWN, UNKNOWN]
    await shop.news()
    with pytest.raises(PaymentsUnavailable):
        await shop.pay(invoice, ada)
    assert await shop.payments_of(invoice) == [(1, "unknown")]
    assert await shop.news() == ["payment.started", "payment.changed"]
    return invoice


async def test_an_unclear_outcome_is_said_as_unknown_and_the_next_press_finds_the_checkout(fake_shop: Shop) -> None:
    ada = fake_shop.contact()
    invoice = await unclear(fake_shop, ada)
    started = await fake_shop.pay(invoice, ada)
    assert await fake_shop.session_of(started) == "cs_1"
    assert len(fake(fake_shop).sessions) == 1
    assert await fake_shop.payments_of(invoice) == [(1, "created")]


async def test_reconciliation_finds_the_checkout_of_an_unclear_outcome(fake_shop: Shop) -> None:
    invoice = await unclear(fake_shop, fake_shop.contact())
    fake_shop.later(minutes=1)
    await schedules.reconcile(fake_shop.h.runtime, stripe=fake_shop.stripe)
    assert await fake_shop.news() == ["payment.changed", "invoice.payment_started"]
    assert await fake_shop.payments_of(invoice) == [(1, "created")]
    assert len(fake(fake_shop).sessions) == 1


async def test_reconciliation_ends_an_attempt_that_never_reached_stripe(fake_shop: Shop) -> None:
    invoice, ada = await fake_shop.link(), fake_shop.contact()
    fake(fake_shop).fails["open_checkout"] = [UNKNOWN, UNKNOWN]
    with pytest.raises(PaymentsUnavailable):
        await fake_shop.pay(invoice, ada)
    for minutes, status in ((1, "unknown"), (10, "failed")):
        fake_shop.later(minutes=minutes)
        await schedules.reconcile(fake_shop.h.runtime, stripe=fake_shop.stripe)
        assert await fake_shop.payments_of(invoice) == [(1, status)]


async def test_another_person_joins_an_unclear_attempt_with_its_own_key_and_closes_it(fake_shop: Shop) -> None:
    invoice = await unclear(fake_shop, fake_shop.contact("Ada"))
    started = await fake_shop.pay(invoice, fake_shop.contact("Bert"))
    assert await fake_shop.payments_of(invoice) == [(1, "failed"), (2, "created")]
    assert await fake_shop.till.open_sessions() == [await fake_shop.session_of(started)]


async def test_an_unclear_attempt_is_not_overtaken_while_stripe_cannot_say(fake_shop: Shop) -> None:
    invoice = await unclear(fake_shop, fake_shop.contact("Ada"))
    fake(fake_shop).lost["open_checkout"] = [UNKNOWN]
    fake(fake_shop).fails["find_checkout"] = [UNKNOWN]
    with pytest.raises(InvoiceNotPayable) as refused:
        await fake_shop.pay(invoice, fake_shop.contact("Bert"))
    assert refused.value.members["why"] == "being_paid"
    assert await fake_shop.payments_of(invoice) == [(1, "unknown")]


@pytest.mark.parametrize("trouble", [UNKNOWN, StripeUnavailableError("away")])
async def test_a_checkout_that_could_not_be_closed_is_not_overtaken(fake_shop: Shop, trouble: Exception) -> None:
    invoice = await fake_shop.link()
    first = await fake_shop.pay(invoice, fake_shop.contact("Ada"))
    fake(fake_shop).fails["expire_checkout"] = [trouble]
    with pytest.raises(InvoiceNotPayable) as refused:
        await fake_shop.pay(invoice, fake_shop.contact("Bert"))
    assert refused.value.members["why"] == "being_paid"
    assert await fake_shop.payments_of(invoice) == [(1, "created")]
    assert await fake_shop.till.open_sessions() == [await fake_shop.session_of(first)]


async def test_an_invoice_is_not_voided_while_its_checkout_cannot_be_closed(fake_shop: Shop) -> None:
    invoice = await fake_shop.link()
    await fake_shop.pay(invoice, fake_shop.contact())
    await fake_shop.news()
    fake(fake_shop).fails["expire_checkout"] = [UNKNOWN]
    with pytest.raises(Conflict):
        await fake_shop.order(VoidInvoice(invoice_id=InvoiceId(invoice.id)))
    assert (await fake_shop.invoice(invoice)).status == "open"
    assert await fake_shop.news() == []


async def test_ones_own_checkout_is_shown_again_even_when_stripe_cannot_be_asked(fake_shop: Shop) -> None:
    invoice, ada = await fake_shop.link(), fake_shop.contact()
    first = await fake_shop.pay(invoice, ada)
    fake_shop.later(minutes=10)
    fake(fake_shop).fails["checkout"] = [StripeUnavailableError("away")]
    assert await fake_shop.pay(invoice, ada) == first


async def test_what_stripe_refuses_ends_the_attempt_with_its_reason(fake_shop: Shop) -> None:
    invoice, ada = await fake_shop.link(), fake_shop.contact()
    fake(fake_shop).fails["open_checkout"] = [StripeRefusedError("amount_too_small", "At least 50 cents.")]
    with pytest.raises(AmountNotChargeable):
        await fake_shop.pay(invoice, ada)
    [failed] = [each for each in await fake_shop.news_events() if each.type == "billing.payment.failed.v1"]
    state: Any = failed.data["state"]
    assert (state["decline"]["code"], state["decline"]["message"]) == ("amount_too_small", "At least 50 cents.")
    assert (await fake_shop.invoice(invoice)).being_paid is None


async def test_an_amount_that_no_card_can_be_charged_is_refused_for_good_before_an_attempt_is_made(
    fake_shop: Shop,
) -> None:
    invoice, ada = await fake_shop.link(), fake_shop.contact()
    # As books from before the limits may hold it.
    await fake_shop.h.db.execute("UPDATE invoice SET total = 49, subtotal = 49 WHERE id = $1", invoice.id)
    for _ in range(2):
        with pytest.raises(AmountNotChargeable):
            await fake_shop.pay(invoice, ada)
    assert await fake_shop.payments_of(invoice) == []


async def test_a_crash_between_the_transactions_is_continued_by_the_repeated_command(fake_shop: Shop) -> None:
    invoice, ada, command_id = await fake_shop.link(), fake_shop.contact(), str(new_id())
    # The process dies after Stripe has made the session and before it is stored.
    fake(fake_shop).lost["open_checkout"] = [RuntimeError("killed"), RuntimeError("killed")]
    with pytest.raises(Incident):
        await fake_shop.pay(invoice, ada, id=command_id)
    started = await fake_shop.pay(invoice, ada, id=command_id)
    assert await fake_shop.session_of(started) == "cs_1"
    assert len(fake(fake_shop).sessions) == 1
    assert await fake_shop.payments_of(invoice) == [(1, "created")]
    assert await fake_shop.pay(invoice, ada, id=command_id) == started


async def test_a_late_repeat_of_a_command_whose_attempt_has_ended_begins_no_other(fake_shop: Shop) -> None:
    invoice, ada, command_id = await fake_shop.link(), fake_shop.contact("Ada"), str(new_id())
    fake(fake_shop).lost["open_checkout"] = [RuntimeError("killed"), RuntimeError("killed")]
    with pytest.raises(Incident):
        await fake_shop.pay(invoice, ada, id=command_id)
    bert = await fake_shop.pay(invoice, fake_shop.contact("Bert"))
    await fake_shop.till.expires(await fake_shop.session_of(bert))
    await fake_shop.work()
    with pytest.raises(InvoiceNotPayable) as refused:
        await fake_shop.pay(invoice, ada, id=command_id)
    assert refused.value.members["why"] == "ended"
    assert await fake_shop.payments_of(invoice) == [(1, "failed"), (2, "failed")]


async def test_after_23_hours_a_lost_attempt_is_asked_about_and_never_posted_again(fake_shop: Shop) -> None:
    ada = fake_shop.contact()
    invoice = await unclear(fake_shop, ada)
    fake(fake_shop).asked.clear()
    fake_shop.later(hours=23, minutes=1)
    started = await fake_shop.pay(invoice, ada)
    assert fake(fake_shop).asked == ["find_checkout"]
    assert await fake_shop.session_of(started) == "cs_1"


async def test_a_stored_500_is_left_behind_after_a_minute_with_a_new_attempt(sandbox_shop: Shop) -> None:
    till = sandbox_shop.till
    assert isinstance(till, SandboxTill)
    invoice, ada = await sandbox_shop.link(), sandbox_shop.contact()
    # Each try of the SDK meets the stored result, as it does at Stripe.
    await till.control("/faults", match={"method": "POST", "path": "/v1/checkout/sessions"}, times=1, kind="error_500")
    with pytest.raises(PaymentsUnavailable):
        await sandbox_shop.pay(invoice, ada)
    assert await sandbox_shop.payments_of(invoice) == [(1, "unknown")]
    # Among the sessions that are looked through is one of another kind, without an amount.
    owner = ada.model_copy(update={"role": "owner"})
    await sandbox_shop.order(AddPaymentMethod(return_path="/portal/payment-methods"), owner)
    sandbox_shop.clock.advance(timedelta(minutes=2))
    started = await sandbox_shop.pay(invoice, ada)
    assert await sandbox_shop.payments_of(invoice) == [(1, "failed"), (2, "created")]
    await sandbox_shop.customer_pays(started)
    assert (await sandbox_shop.invoice(invoice)).status == "paid"


async def test_a_hanging_stripe_is_given_up_within_the_commands_deadline(sandbox_shop: Shop) -> None:
    till = sandbox_shop.till
    assert isinstance(till, SandboxTill)
    invoice, ada = await sandbox_shop.link(), sandbox_shop.contact()
    match = {"method": "POST", "path": "/v1/checkout/sessions"}
    await till.control("/faults", match=match, times=1, kind="hang", seconds=9)
    body = sandbox_shop.h.message(_press(invoice), actor=ada, merchant_id=sandbox_shop.merchant_id)
    began = time.monotonic()
    answer = await sandbox_shop.h.runtime.answerer.answer(body)
    assert time.monotonic() - began < 9.5
    assert answer is not None
    assert b"payments-unavailable" in answer.body
    assert await sandbox_shop.payments_of(invoice) == [(1, "unknown")]
    # The hung request has its effect after all; the next press gets that session, not a second one.
    started = await sandbox_shop.pay(invoice, ada)
    assert await sandbox_shop.payments_of(invoice) == [(1, "created")]
    await sandbox_shop.customer_pays(started)


async def test_a_refused_connection_is_away_and_not_unknown() -> None:
    async with StripeGateway("sk_test_x", "http://127.0.0.1:9") as gateway:
        with pytest.raises(StripeUnavailableError):
            await gateway.checkout("cs_1", None)


async def test_a_key_that_stripe_does_not_take_is_told_to_the_operator_until_one_is_taken(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    async with StripeGateway("sk_test_expired", sandbox.url) as gateway:
        with pytest.raises(StripeUnavailableError):
            await gateway.now()
    assert [(each.levelname, each.message) for each in caplog.records if each.name == "portal.billing.stripe"] == [
        ("ERROR", "Stripe does not take our key.")
    ]
    assert health.trouble == {"key": "Stripe does not take our key: no payment, refund or renewal goes through."}
    async with StripeGateway(KEY, sandbox.url) as gateway:
        await gateway.now()
    assert health.trouble == {}


async def test_an_empty_id_is_never_sent() -> None:
    async with StripeGateway("sk_test_x", "http://127.0.0.1:9") as gateway:
        with pytest.raises(ValueError, match="empty id"):
            await gateway.checkout("", None)


def _press(invoice: Any) -> Any:
    return StartInvoicePayment(invoice_id=InvoiceId(invoice.id), return_path="/portal")


@pytest.mark.parametrize(("happens", "status"), [("pays", "succeeded"), ("expires", "failed")])
async def test_what_a_webhook_has_told_while_stripe_was_asked_stands(
    fake_shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, happens: str, status: str
) -> None:
    stripe, invoice = fake(fake_shop), await fake_shop.link()
    stripe.lost["open_checkout"] = [StripeUnknownError("lost")] * 2
    stripe.fails["find_checkout"] = [StripeUnknownError("away")] * 2
    with pytest.raises(PaymentsUnavailable):
        await fake_shop.pay(invoice, fake_shop.contact())
    stripe.lost.clear()
    stripe.fails.clear()
    fake_shop.later(minutes=2)
    find = stripe.find_checkout

    async def answers_late(payment_id: PaymentId, age: timedelta, account: str | None) -> Checkout | None:
        seen = await find(payment_id, age, account)
        assert seen is not None
        assert seen.status == "open"
        getattr(stripe, happens)(seen.id)
        assert isinstance(fake_shop.till, FakeTill)
        await fake_shop.till.deliver()
        await fake_shop.work()
        await fake_shop.news()
        return seen

    monkeypatch.setattr(stripe, "find_checkout", answers_late)
    await ask_about_attempts(fake_shop.h.runtime, stripe)
    assert await fake_shop.news() == []
    assert await fake_shop.payments_of(invoice) == [(1, status)]
    assert (await fake_shop.invoice(invoice)).being_paid is None
    assert "One of many" not in caplog.text
