"""One row that cannot be dealt with stops nobody else's turn: it is logged with whose it is, and counted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import REGISTRY

from contracts.billing import Invoice, PaymentsUnavailable
from contracts.message import Actor
from services.billing import schedules
from services.billing.schedules.attempts import ask_about_attempts, close_requested
from services.billing.schedules.charging import charge_due
from services.billing.schedules.methods import look_at_methods
from services.billing.schedules.refunds import ask_about_refunds
from services.billing.schedules.renewing import renew_due
from services.billing.schedules.retrying import retry_due
from services.billing.stripe_gateway import StripeRefusedError, StripeUnavailableError, StripeUnknownError
from tests.integration.billing.collecting import Calendar, monthly
from tests.integration.billing.returns import intent_of, paid, refund, refunds_of
from tests.integration.billing.shop import FakeTill, Shop, a_customer, fake
from tests.integration.billing.test_accounts import another, result_of
from tests.integration.billing.wallets import Purse

BROKEN = """UPDATE invoice SET buyer = '"nobody"' WHERE id = $1"""
"""Nobody can read this invoice any more."""


@pytest.fixture
def counted() -> Callable[[str], float]:
    """How many rows of a kind have failed since the test began."""

    def value(name: str) -> float:
        labels = {"handler": f"each {name}", "outcome": "failed"}
        return REGISTRY.get_sample_value("portal_messages_handled_total", labels) or 0

    before: dict[str, float] = {name: value(name) for name in NAMES}
    return lambda name: value(name) - before[name]


NAMES = (
    "card",
    "setup",
    "wallet",
    "attempt",
    "refund",
    "checkout",
    "debtor",
    "charge",
    "account",
    "comparison",
    "payment",
)


def named(caplog: pytest.LogCaptureFixture, name: str) -> list[Any]:
    """The ids that the log has of the rows that failed."""
    return [getattr(each, name) for each in caplog.records if hasattr(each, name) and each.levelno >= logging.ERROR]


async def deliver(shop: Shop) -> None:
    assert isinstance(shop.till, FakeTill)
    await shop.till.deliver()
    await shop.work()


async def other_customer(shop: Shop) -> Actor:
    """A second customer of the merchant, as its owner."""
    shop.customer = a_customer(shop.merchant, email="grace@example.test")
    return Purse(shop).payer()


async def test_a_card_that_cannot_be_read_keeps_no_other_from_expiring(
    fake_shop: Shop, caplog: pytest.LogCaptureFixture, counted: Callable[[str], float]
) -> None:
    soon = fake_shop.clock.now().date()
    for last4 in ("4242", "4444"):
        purse = Purse(fake_shop)
        page = await purse.session_of(await purse.begins(await other_customer(fake_shop)))
        fake(fake_shop).gives(page, last4, (soon.month, soon.year))
        await deliver(fake_shop)
    first = await fake_shop.h.db.fetchval("SELECT id FROM payment_method ORDER BY id LIMIT 1")
    await fake_shop.h.db.execute("UPDATE payment_method SET state = '{}' WHERE id = $1", first)
    await fake_shop.news()
    await look_at_methods(fake_shop.h.runtime, stripe=fake_shop.stripe)
    assert await fake_shop.news() == ["payment_method.expiring"]
    assert named(caplog, "payment_method") == [str(first)]
    assert counted("card") == 1


async def test_a_setup_that_cannot_be_asked_about_keeps_no_other_waiting(
    fake_shop: Shop, caplog: pytest.LogCaptureFixture, counted: Callable[[str], float]
) -> None:
    purse = Purse(fake_shop)
    await purse.begins(await other_customer(fake_shop))
    first = await fake_shop.h.db.fetchval("SELECT id FROM setup")
    await fake_shop.h.db.execute("UPDATE setup SET session_id = NULL, request = '{}'")
    purse = Purse(fake_shop)
    page = await purse.session_of(await purse.begins(await other_customer(fake_shop)))
    fake(fake_shop).gives(page)
    fake(fake_shop).told.clear()
    fake_shop.later(minutes=2)
    await look_at_methods(fake_shop.h.runtime, stripe=fake_shop.stripe)
    assert await purse.setup_statuses() == ["created", "done"]
    assert named(caplog, "setup") == [str(first)]
    assert counted("setup") == 1


async def test_a_wallet_without_an_answer_keeps_no_other_waiting_and_no_answer_at_all_is_not_asked_for_twice(
    fake_shop: Shop,
) -> None:
    for last4 in ("4242", "4444"):
        purse = Purse(fake_shop)
        fake(fake_shop).gives(await purse.session_of(await purse.begins(await other_customer(fake_shop))), last4)
    fake(fake_shop).told.clear()
    stripe = fake(fake_shop)
    stripe.fails["wallet"] = [StripeUnknownError("a stored 500")]
    fake_shop.later(days=2)
    await look_at_methods(fake_shop.h.runtime, stripe=stripe)
    assert await fake_shop.h.db.fetchval("SELECT count(*) FROM payment_method") == 1
    fake_shop.later(days=2)
    stripe.asked.clear()
    stripe.fails["wallet"] = [StripeUnavailableError("away")] * 2
    await look_at_methods(fake_shop.h.runtime, stripe=stripe)
    assert stripe.asked.count("wallet") == 1


async def test_an_attempt_that_cannot_be_settled_keeps_no_other_from_being_asked_about(
    fake_shop: Shop, caplog: pytest.LogCaptureFixture, counted: Callable[[str], float]
) -> None:
    stripe, invoices = fake(fake_shop), []
    for _ in range(2):
        invoice = await fake_shop.link()
        stripe.lost["open_checkout"] = [StripeUnknownError("lost")] * 2
        stripe.fails["find_checkout"] = [StripeUnknownError("away")] * 2
        with pytest.raises(PaymentsUnavailable):
            await fake_shop.pay(invoice, fake_shop.contact())
        invoices.append(invoice)
    stripe.lost.clear()
    stripe.fails.clear()
    await fake_shop.h.db.execute(BROKEN, invoices[0].id)
    fake_shop.later(minutes=2)
    await ask_about_attempts(fake_shop.h.runtime, stripe)
    bound = await fake_shop.h.db.fetch("SELECT session_id IS NOT NULL AS bound FROM payment ORDER BY id")
    assert [row["bound"] for row in bound] == [False, True]
    assert len(named(caplog, "payment")) == counted("attempt") == 1


async def test_a_refund_that_cannot_be_given_up_keeps_no_other_from_being_asked_about(
    fake_shop: Shop, caplog: pytest.LogCaptureFixture, counted: Callable[[str], float]
) -> None:
    made, invoices = [], []
    for _ in range(2):
        invoice, _ = await paid(fake_shop)
        fake(fake_shop).fails["create_refund"] = [StripeUnknownError("lost")]
        fake(fake_shop).fails["find_refund"] = [StripeUnknownError("away")]
        made.append(await refund(fake_shop, invoice))
        invoices.append(invoice)
    fake(fake_shop).fails.clear()
    await fake_shop.h.db.execute(BROKEN, invoices[0].id)
    fake_shop.later(hours=24)
    await ask_about_refunds(fake_shop.h.runtime, fake_shop.stripe)
    assert [(await refunds_of(fake_shop, each))[0].status for each in invoices] == ["unknown", "failed"]
    assert named(caplog, "refund") == [str(made[0].id)]
    assert counted("refund") == 1


async def test_a_checkout_that_cannot_be_closed_keeps_no_other_open(
    fake_shop: Shop, caplog: pytest.LogCaptureFixture, counted: Callable[[str], float]
) -> None:
    invoices: list[Invoice] = []
    for _ in range(2):
        invoices.append(await fake_shop.link())
        await fake_shop.pay(invoices[-1], fake_shop.contact())
    await fake_shop.h.db.execute("UPDATE payment SET close_requested = true")
    await fake_shop.h.db.execute(BROKEN, invoices[0].id)
    await close_requested(fake_shop.h.runtime, fake_shop.stripe)
    assert await fake_shop.payments_of(invoices[1]) == [(1, "failed")]
    assert len(named(caplog, "payment")) == counted("checkout") == 1


async def owing(shop: Shop) -> list[Invoice]:
    """Two customers of whom a renewal's charge waits; the first one's invoice cannot be read any more."""
    shop.clock.at = datetime(2027, 1, 31, 12, tzinfo=UTC)
    for _ in range(2):
        await other_customer(shop)
        await Calendar(shop).accepted(monthly(shop))
    shop.clock.at = datetime(2027, 2, 28, 12, tzinfo=UTC)
    await renew_due(shop.h.runtime)
    invoices = (await Calendar(shop).invoices())[2:]
    assert len(invoices) == 2
    await shop.h.db.execute(BROKEN, invoices[0].id)
    return invoices


async def test_a_charge_that_cannot_be_booked_keeps_no_other_from_being_made(
    fake_shop: Shop, caplog: pytest.LogCaptureFixture, counted: Callable[[str], float]
) -> None:
    invoices = await owing(fake_shop)
    assert await charge_due(fake_shop.h.runtime, fake_shop.stripe, at_once=1) == 2
    assert (await fake_shop.invoice(invoices[1])).status == "paid"
    assert len(named(caplog, "payment")) == counted("charge") == 1


async def test_a_debtor_who_cannot_be_charged_keeps_neither_debts_nor_renewals_waiting(
    fake_shop: Shop, caplog: pytest.LogCaptureFixture, counted: Callable[[str], float]
) -> None:
    invoices = await owing(fake_shop)
    first = invoices[0].customer_id
    await fake_shop.h.db.execute("UPDATE invoice SET collection = '{\"failures\": 1}' WHERE id = $1", invoices[0].id)
    await fake_shop.h.db.execute("UPDATE stripe_customer SET collect_since = NULL WHERE customer_id <> $1", first)
    await fake_shop.h.db.execute(
        "UPDATE stripe_customer SET collect_since = $1 WHERE customer_id = $2", fake_shop.clock.now(), first
    )
    await retry_due(fake_shop.h.runtime)
    assert named(caplog, "customer") == [str(first)]
    assert counted("debtor") == 1
    # Put off: the next round comes without them.
    await retry_due(fake_shop.h.runtime)
    assert counted("debtor") == 1
    assert (
        await fake_shop.h.db.fetchval("SELECT collect_since FROM stripe_customer WHERE customer_id = $1", first)
        > fake_shop.clock.now()
    )


async def test_an_account_whose_books_cannot_be_read_keeps_no_other_from_being_compared(
    fake_shop: Shop, caplog: pytest.LogCaptureFixture, counted: Callable[[str], float]
) -> None:
    alpha = await another(fake_shop, "Alpha", "acct_alpha")
    for of in (fake_shop, alpha):
        await paid(of)
    fake(fake_shop).fails["intents_since"] = [KeyError("an object as nobody has seen it")]
    await schedules.reconcile(fake_shop.h.runtime, stripe=fake_shop.stripe)
    assert await result_of(alpha) is not None
    assert named(caplog, "account") == ["platform"]
    assert counted("account") == 1


async def test_an_object_that_cannot_be_compared_keeps_no_other_and_is_not_passed_by(
    fake_shop: Shop, caplog: pytest.LogCaptureFixture, counted: Callable[[str], float]
) -> None:
    for _ in range(2):
        _, payment_id = await paid(fake_shop)
        fake(fake_shop).disputed(await intent_of(fake_shop, payment_id), 400)
    await deliver(fake_shop)
    [broken, _] = await fake_shop.h.db.fetch("SELECT id, state FROM dispute ORDER BY id")
    await fake_shop.h.db.execute("UPDATE dispute SET state = '{}' WHERE id = $1", broken["id"])
    await schedules.reconcile(fake_shop.h.runtime, stripe=fake_shop.stripe)
    assert len(named(caplog, "stripe_id")) == counted("comparison") == 1
    result = await result_of(fake_shop)
    assert result is not None
    assert result.compared == 4
    # It comes back to it: two hours later the walk from where it had come to would be past it.
    fake_shop.later(hours=2)
    await schedules.reconcile(fake_shop.h.runtime, stripe=fake_shop.stripe)
    assert counted("comparison") == 2
    await fake_shop.h.db.execute("UPDATE dispute SET state = $2 WHERE id = $1", broken["id"], broken["state"])
    await schedules.reconcile(fake_shop.h.runtime, stripe=fake_shop.stripe)
    assert counted("comparison") == 2


# --- rows that cannot be read -----------------------------------------------------------------------------------------


async def unreadable(shop: Shop, table: str, row_id: object) -> None:
    """Nobody can read this row any more."""
    column, text = {
        "payment": ("decline", "[]"),
        "refund": ("state", "{}"),
        "subscription": ("state", "{}"),
        "invoice": ("buyer", '"nobody"'),
    }[table]
    await shop.h.db.execute(f"UPDATE {table} SET {column} = $2 WHERE id = $1", row_id, text)


async def test_a_charge_that_cannot_be_read_keeps_no_other_from_being_made(
    fake_shop: Shop, caplog: pytest.LogCaptureFixture, counted: Callable[[str], float]
) -> None:
    fake_shop.clock.at = datetime(2027, 1, 31, 12, tzinfo=UTC)
    for _ in range(2):
        await other_customer(fake_shop)
        await Calendar(fake_shop).accepted(monthly(fake_shop))
    fake_shop.clock.at = datetime(2027, 2, 28, 12, tzinfo=UTC)
    await renew_due(fake_shop.h.runtime)
    first = await fake_shop.h.db.fetchval("SELECT id FROM payment WHERE automatic ORDER BY created_at, id LIMIT 1")
    await unreadable(fake_shop, "payment", first)
    assert await charge_due(fake_shop.h.runtime, fake_shop.stripe, at_once=1) == 2
    statuses = "SELECT status FROM payment WHERE automatic ORDER BY created_at, id"
    assert [row["status"] for row in await fake_shop.h.db.fetch(statuses)] == ["created", "succeeded"]
    assert named(caplog, "payment") == [str(first)]
    assert counted("charge") == 1


async def test_an_attempt_that_cannot_be_read_keeps_no_other_from_being_asked_about(
    fake_shop: Shop,
    caplog: pytest.LogCaptureFixture,
    counted: Callable[[str], float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A page of unreadable rows alone is not the last one either.
    monkeypatch.setattr(schedules.attempts, "_PAGE", 1)
    for _ in range(2):
        await fake_shop.pay(await fake_shop.link(), fake_shop.contact())
    first, second = [row["id"] for row in await fake_shop.h.db.fetch("SELECT id FROM payment ORDER BY id")]
    await unreadable(fake_shop, "payment", first)
    for session in fake(fake_shop).sessions.values():
        session["status"] = "expired"
    fake_shop.later(minutes=2)
    await ask_about_attempts(fake_shop.h.runtime, fake_shop.stripe)
    await fake_shop.work()
    statuses = {row["id"]: row["status"] for row in await fake_shop.h.db.fetch("SELECT id, status FROM payment")}
    assert statuses == {first: "created", second: "failed"}
    assert named(caplog, "payment") == [str(first)]
    assert counted("payment") == 1


async def test_a_refund_that_cannot_be_read_keeps_no_other_from_being_compared(
    fake_shop: Shop, caplog: pytest.LogCaptureFixture, counted: Callable[[str], float]
) -> None:
    lost = []
    for _ in range(3):
        invoice, _ = await paid(fake_shop)
        lost.append(await refund(fake_shop, invoice, amount=100))
    await deliver(fake_shop)
    unread = lost[0].id
    await unreadable(fake_shop, "refund", unread)
    stripe = fake(fake_shop)
    gone = await fake_shop.h.db.fetchval("SELECT stripe_id FROM refund WHERE id = $1", lost[1].id)
    for each in (gone, await fake_shop.h.db.fetchval("SELECT stripe_id FROM refund WHERE id = $1", unread)):
        del stripe.refunds[each]
    stripe.fails["refund"] = [StripeRefusedError("resource_missing", "No such refund")]
    await schedules.reconcile(fake_shop.h.runtime, stripe=stripe)
    result = await result_of(fake_shop)
    assert result is not None
    assert [(each.code, each.stripe_id) for each in result.differences] == [("not_at_stripe", gone)]
    assert named(caplog, "refund") == [str(unread)]
    assert counted("refund") == 1


async def test_a_subscription_and_an_invoice_that_cannot_be_read_keep_no_other_from_being_renewed_and_retried(
    fake_shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    fake_shop.clock.at = datetime(2027, 1, 31, 12, tzinfo=UTC)
    made = []
    for _ in range(2):
        await other_customer(fake_shop)
        made.append(await Calendar(fake_shop).accepted(monthly(fake_shop)))
    kept = await fake_shop.h.db.fetchval("SELECT state FROM subscription WHERE id = $1", made[0].id)
    await unreadable(fake_shop, "subscription", made[0].id)
    fake_shop.clock.at = datetime(2027, 2, 28, 12, tzinfo=UTC)
    assert await renew_due(fake_shop.h.runtime, at_once=1) == 2
    assert named(caplog, "subscription") == [str(made[0].id)]
    assert len(await Calendar(fake_shop).invoices()) == 3
    await fake_shop.h.db.execute("UPDATE subscription SET state = $2 WHERE id = $1", made[0].id, kept)
    fake_shop.later(minutes=11)
    await renew_due(fake_shop.h.runtime)
    invoices = (await Calendar(fake_shop).invoices())[2:]
    assert len(invoices) == 2
    await fake_shop.h.db.execute("UPDATE payment SET status = 'failed' WHERE automatic")
    await fake_shop.h.db.execute("UPDATE invoice SET next_try_at = $1 WHERE status = 'open'", fake_shop.clock.now())
    await unreadable(fake_shop, "invoice", invoices[0].id)
    assert await retry_due(fake_shop.h.runtime) == 2
    assert named(caplog, "invoice") == [str(invoices[0].id)]
    attempts = "SELECT count(*) FROM payment WHERE invoice_id = $1"
    assert [await fake_shop.h.db.fetchval(attempts, each.id) for each in invoices] == [1, 2]
