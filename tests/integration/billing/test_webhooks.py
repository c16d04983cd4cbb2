"""The webhook door over real HTTP, and the worker behind it, whatever comes in whichever order."""

from __future__ import annotations

import asyncio
import copy
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import httpx
import pytest
import stripe as sdk

from chassis.ids import new_id
from contracts.billing import GiveUpInvoice, VoidInvoice
from contracts.message import InvoiceId
from services.billing import schedules
from services.billing.store import payments, stripe_events
from services.billing.store.stripe_events import NewEvent
from services.billing.stripe_gateway import StripeUnavailableError
from services.billing.webhooks import StuckWebhooks, worker
from services.billing.webhooks.group_commit import GroupCommit
from services.billing.webhooks.worker import handle_next
from tests.fake_stripe import intent_object, webhook
from tests.integration.billing.shop import SECRET, FakeTill, SandboxTill, Shop, fake, post, shuffled

Json = dict[str, Any]


async def paid_without_webhooks(shop: Shop) -> tuple[Any, Any, list[Json]]:
    """An invoice that was paid, and the events about it, not delivered yet."""
    invoice = await shop.link()
    started = await shop.pay(invoice, shop.contact())
    fake(shop).pays(await shop.session_of(started))
    events, fake(shop).told = fake(shop).told, []
    await shop.news()
    return invoice, started, events


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
    fake(fake_shop).debit_fails(session)
    await fake_shop.till.deliver()
    await fake_shop.work()
    assert await fake_shop.news() == ["payment.failed", "invoice.payment_ended"]
    assert (await fake_shop.invoice(invoice)).amount_processing == 0


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


# --- putting off ------------------------------------------------------------------------------------------------------


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


# --- the door ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"\xff", b"not json", b'{"id": 1, "type": "x", "data": {"object": {}}}'],
)
async def test_the_door_answers_400_to_what_is_no_event_and_stores_nothing(fake_shop: Shop, body: bytes) -> None:
    header = sdk.WebhookSignature.generate_signature_header(body.decode("latin-1"), SECRET)
    async with httpx.AsyncClient() as http:
        answer = await http.post(fake_shop.door, content=body, headers={"stripe-signature": header})
    assert answer.status_code == 400
    assert await fake_shop.stored_events() == []


async def test_the_door_takes_only_what_is_signed_with_our_secret_and_fresh(fake_shop: Shop) -> None:
    event = fake(fake_shop).tell("customer.created", {"id": "cus_1"})
    raw, headers = webhook(event, "whsec_other")
    old_raw, old_headers = webhook(event, SECRET, at=1_700_000_000)
    async with httpx.AsyncClient() as http:
        assert (await http.post(fake_shop.door, content=raw, headers=headers)).status_code == 400
        assert (await http.post(fake_shop.door, content=old_raw, headers=old_headers)).status_code == 400
        assert (await http.post(fake_shop.door, content=raw)).status_code == 400
        assert (await http.get(fake_shop.door)).status_code == 405
    assert await fake_shop.stored_events() == []


async def test_the_door_closes_on_a_body_that_is_too_large(fake_shop: Shop) -> None:
    async with httpx.AsyncClient() as http:
        answer = await http.post(fake_shop.door, content=b"x" * 1_000_001)
    assert answer.status_code == 413


async def test_a_refusal_is_a_problem_document(fake_shop: Shop) -> None:
    async with httpx.AsyncClient() as http:
        answer = await http.post(fake_shop.door, content=b"{}")
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert answer.json() == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "This is not a webhook that Stripe signed for us.",
    }


async def test_the_door_knows_one_path(fake_shop: Shop) -> None:
    async with httpx.AsyncClient() as http:
        assert (await http.post(f"{fake_shop.door}/more")).status_code == 404


async def test_what_was_signed_is_kept_as_it_came_except_the_ways_back_and_to_pay(fake_shop: Shop) -> None:
    taken = {"success_url": 'https://x/pay/a"b', "client_secret": "pi_1_secret_2", "url": "https://checkout.test/cs_1"}
    event = fake(fake_shop).tell("customer.created", {"id": "cus_1", "name": "Zoë\u0000 \ud83d\ude00", **taken})
    raw, headers = webhook(event, SECRET)
    async with httpx.AsyncClient() as http:
        assert (await http.post(fake_shop.door, content=raw, headers=headers)).status_code == 200
    kept = await fake_shop.h.db.fetchval("SELECT payload FROM stripe_event")
    expected = raw.decode()
    for each in taken.values():
        expected = expected.replace(json.dumps(each), "null")
    assert kept == expected


# --- many at once -----------------------------------------------------------------------------------------------------


def some_events(shop: Shop, count: int) -> list[Json]:
    for number in range(count):
        fake(shop).tell("customer.created", {"id": f"cus_{number}"})
    events, fake(shop).told = fake(shop).told, []
    return events


async def stored_ids(shop: Shop) -> list[str]:
    return [row["id"] for row in await shop.h.db.fetch("SELECT id FROM stripe_event ORDER BY id")]


@asynccontextmanager
async def holding_up(shop: Shop) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    """Nothing can be stored meanwhile. Gives a function that waits for the next PostgreSQL process that tries to."""
    sql = "SELECT pid FROM pg_locks WHERE relation = 'stripe_event'::regclass AND NOT granted"
    seen: set[int] = set()

    async def held() -> int:
        for _ in range(500):
            pid = await shop.h.db.fetchval(sql)
            if pid is not None and pid not in seen:
                seen.add(pid)
                return int(pid)
            await asyncio.sleep(0.01)
        raise AssertionError("Nobody tries to store anything.")

    async with shop.h.db.pool.acquire() as other, other.transaction():
        await other.execute("LOCK TABLE stripe_event IN EXCLUSIVE MODE")
        yield held


async def test_events_that_come_during_a_commit_share_the_next_one(fake_shop: Shop) -> None:
    first, *others = some_events(fake_shop, 30)
    async with holding_up(fake_shop) as held:
        posting = [asyncio.create_task(post(fake_shop.door, [first]))]
        await held()
        posting.append(asyncio.create_task(post(fake_shop.door, others)))
        await asyncio.sleep(0.5)
        assert [each.done() for each in posting] == [False, False]
    assert await asyncio.gather(*posting) == [[200], [200] * 29]
    assert await stored_ids(fake_shop) == sorted(each["id"] for each in (first, *others))
    # `xmin` is the transaction that wrote a row: the first event's, and one that all the others share.
    assert await fake_shop.h.db.fetchval("SELECT count(DISTINCT xmin::text) FROM stripe_event") == 2


async def test_a_cut_connection_refuses_its_whole_group_with_503_and_stripe_comes_again(fake_shop: Shop) -> None:
    first, *others = some_events(fake_shop, 10)
    async with holding_up(fake_shop) as held:
        posting = [asyncio.create_task(post(fake_shop.door, [first]))]
        pid = await held()
        posting.append(asyncio.create_task(post(fake_shop.door, others)))
        await asyncio.sleep(0.5)
        await fake_shop.h.db.execute("SELECT pg_terminate_backend($1)", pid)
        await fake_shop.h.db.execute("SELECT pg_terminate_backend($1)", await held())
        assert await asyncio.gather(*posting) == [[503], [503] * 9]
    assert await stored_ids(fake_shop) == []
    assert await post(fake_shop.door, [first, *others]) == [200] * 10
    assert await stored_ids(fake_shop) == sorted(each["id"] for each in (first, *others))


async def test_two_processes_that_store_the_same_events_in_opposite_order_do_not_stand_in_each_others_way(
    fake_shop: Shop,
) -> None:
    runtime = fake_shop.h.runtime
    doors = [GroupCommit(partial(stripe_events.store, runtime.db)) for _ in range(2)]
    for turn in range(100):
        new = [NewEvent(f"evt_{turn}_{number}", "x", None, "{}", runtime.clock.now()) for number in range(50)]
        orders = (new, new[::-1])
        await asyncio.gather(*(door.keep(each) for door, order in zip(doors, orders, strict=True) for each in order))
    assert len(await stored_ids(fake_shop)) == 5000


async def test_one_event_that_the_database_does_not_take_is_refused_without_its_neighbours(fake_shop: Shop) -> None:
    runtime = fake_shop.h.runtime
    commits = GroupCommit(partial(stripe_events.store, runtime.db))
    new = [NewEvent(f"evt_{number}", "x", None, "{}", runtime.clock.now()) for number in range(5)]
    new[3] = new[3]._replace(payload="\x00")
    told = await asyncio.gather(*map(commits.keep, new), return_exceptions=True)
    assert [type(each).__name__ for each in told] == ["NoneType"] * 3 + ["CharacterNotInRepertoireError", "NoneType"]
    assert await stored_ids(fake_shop) == ["evt_0", "evt_1", "evt_2", "evt_4"]


async def test_news_wakes_the_worker_once_a_group_and_no_news_does_not(fake_shop: Shop) -> None:
    db, now = fake_shop.h.db, fake_shop.clock.now()
    heard: list[object] = []
    async with db.pool.acquire() as listening:
        await listening.add_listener(stripe_events.CHANNEL, lambda *said: heard.append(said))
        news = [NewEvent(f"evt_{number}", "x", None, "{}", now) for number in range(3)]
        await stripe_events.store(db, [each._replace(id=f"done_{each.id}", outcome="foreign") for each in news])
        await stripe_events.store(db, news)
        await stripe_events.store(db, news)
        await listening.fetch("SELECT 1")
        await listening.reset()
    assert len(heard) == 1
    assert [status for _, status, _ in await fake_shop.stored_events()] == ["done"] * 3 + ["waiting"] * 3


async def _to_close(shop: Shop) -> list[Any]:
    return (await payments.to_close(shop.h.db, None, 100)).found
