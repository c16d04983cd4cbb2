"""Money that goes back: by a member, on Stripe's own pages, twice at once, failing late."""

from __future__ import annotations

import asyncio
import itertools
from decimal import Decimal
from typing import Any

import pytest

from chassis.ids import new_id
from contracts.billing import NewLine, NothingToRefund, RefundInvoice, RefundRefused, VoidInvoice
from contracts.message import Conflict, InvalidInput, InvoiceId, NotAllowed, NotFound
from services.billing import schedules
from services.billing.stripe_gateway import StripeRefusedError, StripeUnavailableError, StripeUnknownError
from tests.integration.billing.returns import (
    intent_of,
    paid,
    press_refund_at_stripe,
    refund,
    refund_comes_back,
    refunds_of,
    stripe_id_of,
)
from tests.integration.billing.shop import FakeTill, Shop, fake, post, shuffled

TAXED = (
    NewLine(description="Consulting", unit_amount=1000, tax_rate=Decimal(19)),
    NewLine(description="Book", unit_amount=333, tax_rate=Decimal(7)),
)


async def reconcile(shop: Shop) -> None:
    await schedules.reconcile(shop.h.runtime, stripe=shop.stripe)
    await shop.work()


async def test_all_of_an_invoice_is_given_back_with_a_credit_note(shop: Shop) -> None:
    invoice, payment_id = await paid(shop, lines=TAXED)
    made = await refund(shop, invoice, shop.member("manager"), reason="Cancelled.")
    await shop.work()
    assert (made.status, made.amount, made.credited, made.by) == ("succeeded", 1546, 1546, "Nora")
    assert (made.credit_note_number, made.payment_id) == ("CN-1", payment_id)
    assert [(each.rate, each.base, each.amount) for each in made.tax_lines] == [
        (Decimal(7), 333, 23),
        (Decimal(19), 1000, 190),
    ]
    now = await shop.invoice(invoice)
    assert (now.status, now.amount_paid, now.amount_refunded) == ("paid", 1546, 1546)
    assert [(each.number, each.amount, each.failed) for each in now.credit_notes] == [("CN-1", 1546, False)]
    assert [each for each in await shop.news() if not each.startswith("payment.")] == [
        "refund.started",
        "invoice.refunded",
        "invoice.refunded",
        "refund.succeeded",
    ]


async def test_parts_are_given_back_until_nothing_is_left_and_their_notes_add_up_to_the_invoice(shop: Shop) -> None:
    invoice, _ = await paid(shop, lines=TAXED)
    made = [await refund(shop, invoice, amount=amount) for amount in (500, 1)] + [await refund(shop, invoice)]
    assert [each.amount for each in made] == [500, 1, 1045]
    assert [each.credit_note_number for each in made] == ["CN-1", "CN-2", "CN-3"]
    assert [sum(line.base + line.amount for line in each.tax_lines) for each in made] == [500, 1, 1045]
    for rate, billed in {7: (333, 23), 19: (1000, 190)}.items():
        lines = [line for each in made for line in each.tax_lines if line.rate == rate]
        assert (sum(line.base for line in lines), sum(line.amount for line in lines)) == billed
    with pytest.raises(NothingToRefund):
        await refund(shop, invoice)
    assert len(await refunds_of(shop, invoice)) == 3


async def test_more_than_was_paid_is_refused_with_the_field_and_nothing_moves(shop: Shop) -> None:
    invoice, _ = await paid(shop)
    with pytest.raises(InvalidInput) as refused:
        await refund(shop, invoice, amount=1251)
    assert [(each.field, each.code) for each in refused.value.errors] == [("amount", "refund-too-large")]
    with pytest.raises(InvalidInput) as none:
        await refund(shop, invoice, amount=0)
    assert [(each.field, each.code) for each in none.value.errors] == [("amount", "refund-too-small")]
    assert await refunds_of(shop, invoice) == []
    assert await shop.news() == []


@pytest.mark.parametrize("role", ["sales", None])
async def test_sales_may_not_refund_and_are_told_why(fake_shop: Shop, role: str | None) -> None:
    invoice, _ = await paid(fake_shop)
    actor = fake_shop.member(role) if role else fake_shop.contact()
    with pytest.raises(NotAllowed) as why:
        await refund(fake_shop, invoice, actor)
    assert why.value.detail == (
        "This needs the role admin or manager. Your role is sales." if role else "Only the merchant can do this."
    )
    assert await refunds_of(fake_shop, invoice) == []


async def test_another_merchants_invoice_or_payment_is_not_found(fake_shop: Shop) -> None:
    invoice, _ = await paid(fake_shop)
    other, other_payment = await paid(fake_shop)
    with pytest.raises(NotFound):
        await refund(fake_shop, invoice, payment_id=other_payment)
    stranger = fake_shop.member().model_copy(update={"merchant_id": new_id()})
    command = RefundInvoice(invoice_id=InvoiceId(other.id))
    with pytest.raises(NotFound):
        await fake_shop.h.send(command, actor=stranger, merchant_id=stranger.merchant_id)
    assert await refunds_of(fake_shop, invoice) == await refunds_of(fake_shop, other) == []


async def test_two_admins_at_once_never_give_back_more_than_was_paid(shop: Shop) -> None:
    invoice, payment_id = await paid(shop)
    tries = [refund(shop, invoice, amount=700) for _ in range(4)]
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert sorted(type(each).__name__ for each in outcomes) == ["InvalidInput"] * 3 + ["Refund"]
    await shop.work()
    assert [each.amount for each in await refunds_of(shop, invoice)] == [700]
    assert (await shop.invoice(invoice)).amount_refunded == 700
    assert payment_id == (await refunds_of(shop, invoice))[0].payment_id


async def test_a_refund_that_comes_back_is_ours_again_and_can_be_given_back_once_more(shop: Shop) -> None:
    invoice, _ = await paid(shop)
    made = await refund(shop, invoice)
    await shop.work()
    await shop.news()
    await refund_comes_back(shop, await stripe_id_of(shop, made))
    await shop.work()
    assert "refund.failed" in await shop.news()
    now = await shop.invoice(invoice)
    assert (now.status, now.amount_refunded) == ("paid", 0)
    assert [(each.number, each.failed) for each in now.credit_notes] == [("CN-1", True)]
    failed = (await refunds_of(shop, invoice))[0]
    assert (failed.status, failed.failure) == ("failed", "expired_or_canceled_card")
    again = await refund(shop, invoice)
    assert (again.amount, again.credit_note_number) == (1250, "CN-2")


async def test_a_refund_begun_at_stripe_is_mirrored_with_its_credit_note(shop: Shop) -> None:
    invoice, payment_id = await paid(shop)
    await press_refund_at_stripe(shop, await intent_of(shop, payment_id), 250)
    await shop.work()
    [mirrored] = await refunds_of(shop, invoice)
    assert (mirrored.begun_at_stripe, mirrored.by, mirrored.status, mirrored.amount) == (True, None, "succeeded", 250)
    assert mirrored.credit_note_number == "CN-1"
    assert (await shop.invoice(invoice)).amount_refunded == 250
    with pytest.raises(InvalidInput):
        await refund(shop, invoice, amount=1001)
    assert (await refund(shop, invoice)).amount == 1000


async def test_a_refund_that_only_says_it_is_ours_is_booked_beside_ours(fake_shop: Shop) -> None:
    invoice, payment_id = await paid(fake_shop)
    stripe = fake(fake_shop)
    stripe.fails["create_refund"] = [StripeUnknownError("no answer")] * 2
    made = await refund(fake_shop, invoice, amount=400)
    # Somebody copies its metadata on Stripe's pages, and gives another amount back.
    stripe.refunded(await intent_of(fake_shop, payment_id), 300, {"refund_id": str(made.id)})
    assert isinstance(fake_shop.till, FakeTill)
    await fake_shop.till.deliver()
    await fake_shop.work()
    seen = [(each.amount, each.status, each.begun_at_stripe) for each in await refunds_of(fake_shop, invoice)]
    assert seen == [(400, "unknown", False), (300, "succeeded", True)]
    assert (await fake_shop.invoice(invoice)).amount_refunded == 700


@pytest.mark.parametrize("comes_back", [False, True])
async def test_webhooks_that_are_faster_than_the_answer_have_said_all_there_is(
    fake_shop: Shop, *, comes_back: bool
) -> None:
    invoice, _ = await paid(fake_shop)
    stripe = fake(fake_shop)
    answers = stripe.create_refund

    async def is_told_first(*asked: Any) -> Any:
        seen = await answers(*asked)
        if comes_back:
            stripe.refund_fails(seen.id)
        assert isinstance(fake_shop.till, FakeTill)
        await fake_shop.till.deliver()
        await fake_shop.work()
        return seen

    vars(stripe)["create_refund"] = is_told_first
    await refund(fake_shop, invoice, amount=400)
    (made,) = await refunds_of(fake_shop, invoice)
    assert made.status == ("failed" if comes_back else "succeeded")
    assert (await fake_shop.news()).count("refund.succeeded") == 1
    assert (await fake_shop.invoice(invoice)).amount_refunded == (0 if comes_back else 400)


@pytest.mark.parametrize("order", list(itertools.permutations(range(2))))
async def test_the_order_and_number_of_webhooks_about_a_refund_decides_nothing(
    fake_shop: Shop, order: tuple[int, ...]
) -> None:
    invoice, payment_id = await paid(fake_shop)
    stripe = fake(fake_shop)
    made = stripe.refunded(await intent_of(fake_shop, payment_id), 250)
    stripe.refund_fails(made["id"])
    events, stripe.told = stripe.told, []
    for place in order:
        await post(fake_shop.door, [events[place]] * 3)
        await fake_shop.work()
    again = [event | {"id": f"evt_again_{place}"} for place, event in enumerate(events * 3)]
    await post(fake_shop.door, shuffled(again, 3))
    await fake_shop.work()
    [refunded] = await refunds_of(fake_shop, invoice)
    assert refunded.status == "failed"
    assert (await fake_shop.invoice(invoice)).amount_refunded == 0
    assert {status for _, status, _ in await fake_shop.stored_events()} == {"done"}


async def test_a_refund_whose_payment_is_not_booked_yet_waits_for_it(fake_shop: Shop) -> None:
    invoice = await fake_shop.link()
    started = await fake_shop.pay(invoice, fake_shop.contact())
    session = await fake_shop.session_of(started)
    stripe = fake(fake_shop)
    stripe.pays(session)
    arrival, stripe.told = stripe.told, []
    stripe.refunded(str(stripe.sessions[session]["payment_intent"]), 250)
    assert isinstance(fake_shop.till, FakeTill)
    await fake_shop.till.deliver()
    await fake_shop.work()
    assert await refunds_of(fake_shop, invoice) == []
    await post(fake_shop.door, arrival)
    await fake_shop.work()
    fake_shop.later(seconds=5)
    await fake_shop.work()
    assert [each.amount for each in await refunds_of(fake_shop, invoice)] == [250]


async def test_a_refund_without_an_answer_is_unknown_and_asked_about_not_repeated(shop: Shop) -> None:
    invoice, _ = await paid(shop)
    if isinstance(shop.till, FakeTill):
        fake(shop).lost["create_refund"] = [StripeUnknownError("lost")] * 2
        fake(shop).told.clear()
    else:
        match = {"method": "POST", "path": "/v1/refunds"}
        await shop.till.loses_webhooks()
        await shop.till.control("/faults", match=match, times=3, kind="drop_response_after_effect")  # type: ignore[attr-defined]  # the sandbox's
    made = await refund(shop, invoice, amount=400)
    assert (made.status, made.credit_note_number) == ("unknown", None)
    assert (await shop.invoice(invoice)).amount_refunded == 400
    shop.later(minutes=2)
    await reconcile(shop)
    [now] = await refunds_of(shop, invoice)
    assert (now.status, now.amount, now.credit_note_number) == ("succeeded", 400, "CN-1")
    seen = [each async for each in shop.stripe.refunds_since(0, None) if each.refund_id == now.id]
    assert [each.amount.amount for each in seen] == [400]


async def test_with_stripe_away_a_refund_is_saved_and_made_by_reconciliation(fake_shop: Shop) -> None:
    invoice, _ = await paid(fake_shop)
    fake(fake_shop).fails["create_refund"] = [StripeUnavailableError("away")]
    assert (await refund(fake_shop, invoice)).status == "created"
    with pytest.raises(NothingToRefund):
        await refund(fake_shop, invoice)
    fake_shop.later(minutes=1)
    await reconcile(fake_shop)
    assert [each.status for each in await refunds_of(fake_shop, invoice)] == ["succeeded"]
    assert list(fake(fake_shop).refund_keys) == [f"refund:{(await refunds_of(fake_shop, invoice))[0].id}"]


async def test_a_day_later_an_unknown_refund_is_only_looked_for(fake_shop: Shop) -> None:
    invoice, _ = await paid(fake_shop)
    fake(fake_shop).fails["create_refund"] = [StripeUnknownError("lost")]
    assert (await refund(fake_shop, invoice)).status == "unknown"
    fake_shop.later(hours=23, minutes=1)
    fake(fake_shop).asked.clear()
    # The real gateway's decision over the fake's answers.
    await reconcile(fake_shop)
    assert "create_refund" not in fake(fake_shop).asked
    [given_up] = await refunds_of(fake_shop, invoice)
    assert (given_up.status, given_up.failure, given_up.credit_note_number) == (
        "failed",
        "Stripe did not make it.",
        None,
    )
    assert (await fake_shop.invoice(invoice)).amount_refunded == 0


async def test_a_refund_that_stripe_refuses_is_a_refusal_and_nothing_is_taken_off(fake_shop: Shop) -> None:
    invoice, _ = await paid(fake_shop)
    fake(fake_shop).fails["create_refund"] = [StripeRefusedError("charge_disputed", "It has been charged back.")]
    with pytest.raises(RefundRefused) as refused:
        await refund(fake_shop, invoice)
    assert refused.value.detail == "It has been charged back. (charge_disputed)"
    now = await fake_shop.invoice(invoice)
    assert (now.amount_refunded, now.credit_notes) == (0, ())
    assert [each.status for each in await refunds_of(fake_shop, invoice)] == ["failed"]


async def test_surplus_money_is_given_back_without_a_credit_note_and_is_no_longer_owed(fake_shop: Shop) -> None:
    invoice = await fake_shop.link()
    started = await fake_shop.pay(invoice, fake_shop.contact())
    stripe, session = fake(fake_shop), await fake_shop.session_of(started)
    stripe.pays(session)
    second = stripe.sessions[session] | {"payment_intent": "pi_second"}
    stripe.intents["pi_second"] = stripe.intents[stripe.sessions[session]["payment_intent"]] | {"id": "pi_second"}
    stripe.tell("checkout.session.completed", second)
    assert isinstance(fake_shop.till, FakeTill)
    await fake_shop.till.deliver()
    await fake_shop.work()
    surplus = await fake_shop.h.db.fetch("SELECT id FROM payment WHERE surplus")
    assert len(surplus) == 1
    made = await refund(fake_shop, invoice, payment_id=surplus[0]["id"], amount=1000)
    assert (made.credited, made.credit_note_number, made.tax_lines) == (0, None, ())
    assert await fake_shop.h.db.fetchval("SELECT count(*) FROM payment WHERE surplus") == 1
    await refund(fake_shop, invoice, payment_id=surplus[0]["id"])
    assert await fake_shop.h.db.fetchval("SELECT count(*) FROM payment WHERE surplus") == 0
    now = await fake_shop.invoice(invoice)
    assert (now.status, now.amount_paid, now.amount_refunded, now.credit_notes) == ("paid", 1250, 0, ())
    assert (await refund(fake_shop, invoice)).credited == 1250


async def test_an_invoice_with_a_part_payment_is_withdrawn_once_that_money_is_given_back(fake_shop: Shop) -> None:
    invoice, payment_id = await paid(fake_shop)
    # Half of it paid, as a partial payment leaves it.
    await fake_shop.h.db.execute("UPDATE invoice SET status = 'open', total = 2500, subtotal = 2500, paid_at = NULL")
    with pytest.raises(Conflict):
        await fake_shop.order(VoidInvoice(invoice_id=InvoiceId(invoice.id)))
    await refund(fake_shop, invoice, payment_id=payment_id)
    withdrawn = await fake_shop.order(VoidInvoice(invoice_id=InvoiceId(invoice.id)))
    assert (withdrawn.status, withdrawn.amount_refunded) == ("void", 1250)


async def test_a_lost_webhook_of_a_late_failure_is_found_by_looking_back(fake_shop: Shop) -> None:
    invoice, _ = await paid(fake_shop)
    made = await refund(fake_shop, invoice)
    await reconcile(fake_shop)
    fake(fake_shop).refund_fails(await stripe_id_of(fake_shop, made))
    fake(fake_shop).told.clear()
    fake_shop.later(days=5)
    await reconcile(fake_shop)
    assert [each.status for each in await refunds_of(fake_shop, invoice)] == ["failed"]
