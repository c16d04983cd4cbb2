"""Stored webhooks that wait: for Stripe, for our own commit, for a worker that died, for a person."""

from __future__ import annotations

import asyncio
import copy
import json
from datetime import timedelta
from typing import Any

import pytest

from chassis.ids import new_id
from services.billing import schedules
from services.billing.store import stripe_events
from services.billing.stripe_gateway import StripeUnavailableError
from services.billing.webhooks import StuckWebhooks, worker
from services.billing.webhooks.worker import handle_next
from tests.integration.billing.shop import Shop, fake, paid_without_webhooks, post


async def test_an_event_waits_for_stripe_and_others_do_not_wait_for_it(fake_shop: Shop) -> None:
    invoice, _, events = await paid_without_webhooks(fake_shop)
    fake(fake_shop).fails["intent"] = [StripeUnavailableError("away")]
    await post(fake_shop.door, [events[1]])
    await post(fake_shop.door, [fake(fake_shop).tell("customer.created", {"id": "cus_1"})])
    await fake_shop.work()
    assert [(kind, status) for kind, status, _ in await fake_shop.stored_events()] == [
        ("payment_intent.succeeded", "waiting"),
        ("customer.created", "done"),
    ]
    fake_shop.later(seconds=1)
    await fake_shop.work()
    assert (await fake_shop.invoice(invoice)).receipts[0].last4 == "4242"


async def test_money_is_booked_without_its_card_when_stripe_stays_away(fake_shop: Shop) -> None:
    invoice, _, events = await paid_without_webhooks(fake_shop)
    fake(fake_shop).fails["intent"] = [StripeUnavailableError("away") for _ in range(3)]
    await post(fake_shop.door, [events[1]])
    for _ in range(4):
        await fake_shop.work()
        fake_shop.later(seconds=4)
    paid = await fake_shop.invoice(invoice)
    assert (paid.status, paid.receipts[0].last4) == ("paid", None)


async def test_an_attempt_that_we_do_not_know_is_tried_twelve_times_then_stuck_and_can_be_redriven(
    fake_shop: Shop,
) -> None:
    _, _, events = await paid_without_webhooks(fake_shop)
    unknown = copy.deepcopy(events[1])
    unknown["data"]["object"]["metadata"]["payment_id"] = str(new_id())
    await post(fake_shop.door, [unknown])
    rests = []
    for _ in range(12):
        assert await handle_next(fake_shop.h.runtime, fake_shop.stripe)
        due = await fake_shop.h.db.fetchval("SELECT next_try_at FROM stripe_event")
        rests.append(int((due - fake_shop.clock.now()).total_seconds()))
        fake_shop.clock.advance(max(due - fake_shop.clock.now(), timedelta(0)))
    assert rests[:11] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
    assert not await handle_next(fake_shop.h.runtime, fake_shop.stripe)
    stuck = StuckWebhooks()
    [letter] = await stuck.entries(fake_shop.h.runtime)
    assert (letter.id, letter.attempts) == (unknown["id"], 12)
    assert letter.error == f"NotKnownYetError: payment {unknown['data']['object']['metadata']['payment_id']}"
    assert json.loads(letter.details["body"]) == unknown
    assert await stuck.redrive(fake_shop.h.runtime, letter.id)
    assert not await stuck.redrive(fake_shop.h.runtime, letter.id)
    assert await handle_next(fake_shop.h.runtime, fake_shop.stripe)


async def test_a_stuck_event_can_be_discarded_and_a_repeat_of_it_is_not_taken_up(fake_shop: Shop) -> None:
    _, _, events = await paid_without_webhooks(fake_shop)
    wrong = copy.deepcopy(events[1])
    wrong["data"]["object"]["amount_received"] = 1
    await post(fake_shop.door, [wrong])
    await fake_shop.work()
    stuck = StuckWebhooks()
    assert await stuck.discard(fake_shop.h.runtime, wrong["id"])
    assert not await stuck.discard(fake_shop.h.runtime, wrong["id"])
    assert await stuck.entries(fake_shop.h.runtime) == []
    await post(fake_shop.door, [wrong])
    assert not await handle_next(fake_shop.h.runtime, fake_shop.stripe)


async def test_an_event_of_a_worker_that_died_is_taken_up_by_another_after_twenty_seconds(fake_shop: Shop) -> None:
    invoice, _, events = await paid_without_webhooks(fake_shop)
    await post(fake_shop.door, [events[2]])

    async def killed(*_: object) -> Any:
        raise asyncio.CancelledError

    real, fake(fake_shop).intent = fake(fake_shop).intent, killed  # type: ignore[method-assign,assignment]  # dies while asking
    with pytest.raises(asyncio.CancelledError):
        await handle_next(fake_shop.h.runtime, fake_shop.stripe)
    fake(fake_shop).intent = real  # type: ignore[method-assign]  # the next worker
    assert not await handle_next(fake_shop.h.runtime, fake_shop.stripe)
    fake_shop.later(seconds=20)
    await fake_shop.work()
    assert (await fake_shop.invoice(invoice)).status == "paid"


async def test_an_event_that_took_longer_than_its_lease_has_its_effect_once(fake_shop: Shop) -> None:
    started = await fake_shop.pay(await fake_shop.link(), fake_shop.contact())
    await fake_shop.news()
    await fake_shop.till.is_declined(await fake_shop.session_of(started))
    runtime = fake_shop.h.runtime
    both = []
    for _ in range(2):
        claimed = await stripe_events.claim(runtime.db, fake_shop.clock.now(), timedelta(seconds=20))
        assert claimed is not None
        both.append(claimed)
        fake_shop.later(seconds=20)
    await asyncio.gather(*(worker._handle(runtime, fake_shop.stripe, claimed) for claimed in both))
    assert await fake_shop.news() == ["payment.changed", "invoice.payment_declined"]


async def test_handled_events_are_forgotten_after_thirty_days_and_stuck_ones_are_not(fake_shop: Shop) -> None:
    invoice, _, events = await paid_without_webhooks(fake_shop)
    await post(fake_shop.door, events)
    wrong = copy.deepcopy(events[1]) | {"id": "evt_wrong"}
    other = await fake_shop.pay(await fake_shop.link(), fake_shop.contact())
    payment = await fake_shop.payment(other)
    wrong["data"]["object"] |= {"id": "pi_wrong", "amount_received": 1}
    wrong["data"]["object"]["metadata"] |= {"payment_id": str(payment.id), "invoice_id": str(payment.invoice_id)}
    fake(fake_shop).intents["pi_wrong"] = wrong["data"]["object"]
    await post(fake_shop.door, [wrong])
    await fake_shop.work()
    fake_shop.later(days=29)
    await schedules.prune_webhooks(fake_shop.h.runtime)
    assert len(await fake_shop.stored_events()) == 4
    fake_shop.later(days=2)
    await schedules.prune_webhooks(fake_shop.h.runtime)
    assert [status for _, status, _ in await fake_shop.stored_events()] == ["stuck"]
    assert (await fake_shop.invoice(invoice)).status == "paid"
