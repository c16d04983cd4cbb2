"""Disputes: opened, won, lost, asked about only; in any order, beside a refund of the same payment."""

from __future__ import annotations

import itertools

import pytest

from contracts.billing import AccountStatement, NothingToRefund, RefundRefused
from contracts.message import CustomerId, InvalidInput
from services.billing import schedules
from tests.integration.billing.returns import bank_decides, dispute, disputes_of, intent_of, paid, refund, refunds_of
from tests.integration.billing.shop import Shop, fake, post


async def test_a_dispute_holds_the_money_until_it_is_won(shop: Shop) -> None:
    invoice, payment_id = await paid(shop)
    disputed = await dispute(shop, await intent_of(shop, payment_id), 1250)
    await shop.work()
    [opened] = await disputes_of(shop, invoice)
    assert (opened.status, opened.amount, opened.reason, opened.inquiry) == ("open", 1250, "fraudulent", False)
    assert opened.evidence_due_at is not None
    assert (await shop.invoice(invoice)).amount_disputed == 1250
    assert await shop.news() == ["payment.changed", "invoice.disputed", "dispute.opened"]
    with pytest.raises(NothingToRefund):
        await refund(shop, invoice)
    shop.later(seconds=2)
    await bank_decides(shop, disputed, "won")
    await shop.work()
    assert [each.status for each in await disputes_of(shop, invoice)] == ["won"]
    assert (await shop.invoice(invoice)).amount_disputed == 0
    assert [each for each in await shop.news() if each.startswith("dispute")] == ["dispute.won"]


async def test_a_lost_dispute_keeps_the_money_away(shop: Shop) -> None:
    invoice, payment_id = await paid(shop)
    disputed = await dispute(shop, await intent_of(shop, payment_id), 1250)
    await shop.work()
    await bank_decides(shop, disputed, "lost")
    await shop.work()
    now = await shop.invoice(invoice)
    assert (now.status, now.amount_paid, now.amount_disputed) == ("paid", 1250, 1250)
    with pytest.raises(NothingToRefund):
        await refund(shop, invoice)


async def test_refund_and_dispute_share_one_payment(shop: Shop) -> None:
    invoice, payment_id = await paid(shop)
    await refund(shop, invoice, amount=400)
    await shop.work()
    await dispute(shop, await intent_of(shop, payment_id), 850)
    await shop.work()
    now = await shop.invoice(invoice)
    assert (now.amount_refunded, now.amount_disputed) == (400, 850)
    with pytest.raises(NothingToRefund):
        await refund(shop, invoice)


async def test_what_a_dispute_leaves_cannot_be_refunded_at_stripe_either_and_nothing_is_taken_off(
    fake_shop: Shop,
) -> None:
    invoice, payment_id = await paid(fake_shop)
    await dispute(fake_shop, await intent_of(fake_shop, payment_id), 850)
    await fake_shop.work()
    with pytest.raises(InvalidInput):
        await refund(fake_shop, invoice, amount=401)
    with pytest.raises(RefundRefused):
        await refund(fake_shop, invoice, amount=400)
    assert (await fake_shop.invoice(invoice)).amount_refunded == 0
    assert [each.status for each in await refunds_of(fake_shop, invoice)] == ["failed"]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_the_order_of_a_disputes_events_decides_nothing(fake_shop: Shop, order: tuple[int, ...]) -> None:
    invoice, payment_id = await paid(fake_shop)
    stripe = fake(fake_shop)
    disputed = stripe.disputed(await intent_of(fake_shop, payment_id), 1250)
    stripe.tell("charge.dispute.funds_withdrawn", stripe.disputes[disputed])
    stripe.dispute_closes(disputed, "lost")
    events, stripe.told = stripe.told, []
    for place in order:
        await post(fake_shop.door, [events[place]] * 2)
        await fake_shop.work()
    assert [each.status for each in await disputes_of(fake_shop, invoice)] == ["lost"]
    assert (await fake_shop.invoice(invoice)).amount_disputed == 1250
    assert [each for each in await fake_shop.news() if each == "dispute.lost"] == ["dispute.lost"]


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (2, 0, 1), (2, 1, 0)])
async def test_a_decision_stands_until_a_later_one_whatever_is_told_first(
    fake_shop: Shop, order: tuple[int, ...]
) -> None:
    invoice, payment_id = await paid(fake_shop)
    stripe = fake(fake_shop)
    disputed = stripe.disputed(await intent_of(fake_shop, payment_id), 1250)
    for outcome in ("lost", "won"):
        stripe.dispute_closes(disputed, outcome)
    events, stripe.told = stripe.told, []
    for place, event in enumerate(events):
        event["created"] += 60 * place
    for place in order:
        await post(fake_shop.door, [events[place]])
        await fake_shop.work()
    assert [each.status for each in await disputes_of(fake_shop, invoice)] == ["won"]
    assert (await fake_shop.invoice(invoice)).amount_disputed == 0


async def test_a_bank_that_only_asks_takes_no_money_until_it_disputes(fake_shop: Shop) -> None:
    invoice, payment_id = await paid(fake_shop)
    stripe = fake(fake_shop)
    asked = await dispute_with(fake_shop, await intent_of(fake_shop, payment_id), "warning_needs_response")
    assert (await fake_shop.invoice(invoice)).amount_disputed == 0
    stripe.disputes[asked]["status"] = "needs_response"
    stripe.tell("charge.dispute.updated", stripe.disputes[asked])
    await deliver(fake_shop)
    assert (await fake_shop.invoice(invoice)).amount_disputed == 1250
    assert [each for each in await fake_shop.news() if each == "dispute.opened"] == ["dispute.opened"] * 2


async def test_a_dispute_that_no_webhook_told_and_its_end_are_found(fake_shop: Shop) -> None:
    invoice, payment_id = await paid(fake_shop)
    stripe = fake(fake_shop)
    disputed = stripe.disputed(await intent_of(fake_shop, payment_id), 1250)
    stripe.told.clear()
    await schedules.reconcile(fake_shop.h.runtime, stripe=stripe)
    await fake_shop.work()
    assert [each.status for each in await disputes_of(fake_shop, invoice)] == ["open"]
    stripe.dispute_closes(disputed, "won")
    stripe.told.clear()
    fake_shop.later(days=40)
    await schedules.reconcile(fake_shop.h.runtime, stripe=stripe)
    await fake_shop.work()
    assert [each.status for each in await disputes_of(fake_shop, invoice)] == ["won"]
    assert (await fake_shop.invoice(invoice)).amount_disputed == 0


async def test_a_dispute_above_its_payment_is_recorded_and_announced_and_holds_the_payment(fake_shop: Shop) -> None:
    invoice, payment_id = await paid(fake_shop)
    disputed = fake(fake_shop).disputed(await intent_of(fake_shop, payment_id), 1650)
    await deliver(fake_shop)
    [opened] = await disputes_of(fake_shop, invoice)
    assert (opened.amount, opened.currency, opened.status) == (1650, "EUR", "open")
    assert (await fake_shop.invoice(invoice)).amount_disputed == 1250
    assert await fake_shop.news() == ["payment.changed", "invoice.disputed", "dispute.opened"]
    fake(fake_shop).dispute_closes(disputed, "won")
    await deliver(fake_shop)
    assert (await fake_shop.invoice(invoice)).amount_disputed == 0
    assert {status for _, status, _ in await fake_shop.stored_events()} == {"done"}


@pytest.mark.parametrize("amount", [900, 190_000])
async def test_a_dispute_in_another_currency_holds_all_of_its_payment(fake_shop: Shop, amount: int) -> None:
    invoice, payment_id = await paid(fake_shop)
    stripe = fake(fake_shop)
    disputed = stripe.disputed(await intent_of(fake_shop, payment_id), amount)
    stripe.disputes[disputed]["currency"] = stripe.told[-1]["data"]["object"]["currency"] = "jpy"
    await deliver(fake_shop)
    [opened] = await disputes_of(fake_shop, invoice)
    assert (opened.amount, opened.currency) == (amount, "JPY")
    assert (await fake_shop.invoice(invoice)).amount_disputed == 1250
    today = fake_shop.clock.now().date()
    question = AccountStatement(customer_id=CustomerId(fake_shop.customer.id), from_on=today, to_on=today)
    statement = await fake_shop.h.ask(question, actor=fake_shop.member(), merchant_id=fake_shop.merchant_id)
    assert [(each.currency, each.closing) for each in statement.currencies] == [("EUR", 1250)]


async def test_a_refund_above_its_payment_is_still_for_a_person_to_look_at(fake_shop: Shop) -> None:
    invoice, payment_id = await paid(fake_shop)
    stripe = fake(fake_shop)
    made = stripe.refunded(await intent_of(fake_shop, payment_id), 1250)
    made["amount"] = stripe.told[-1]["data"]["object"]["amount"] = 1251
    await deliver(fake_shop)
    assert await refunds_of(fake_shop, invoice) == []
    assert ("refund.created", "waiting", None) in await fake_shop.stored_events()


async def dispute_with(shop: Shop, intent_id: str, status: str) -> str:
    made = fake(shop).disputed(intent_id, 1250, status)
    await deliver(shop)
    return made


async def deliver(shop: Shop) -> None:
    stripe = fake(shop)
    happened, stripe.told = stripe.told, []
    for event in happened:
        await post(shop.door, [event])
        await shop.work()
