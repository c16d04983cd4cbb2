"""Three merchants, two of them with an account of their own at Stripe: their calls, webhooks and objects never meet.

And what the comparison with each account's books finds.
"""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

from chassis.ids import new_id
from contracts.billing import BillingDefaults, Invoice, Reconciliation
from contracts.identity import MerchantCreated
from contracts.message import InvoiceId
from services.billing import schedules
from services.billing.store import payments
from services.billing.stripe_gateway import StripeUnavailableError
from tests.fake_stripe import intent_object
from tests.integration.billing.returns import (
    disputes_of,
    intent_of,
    paid,
    press_refund_at_stripe,
    refund,
    refunds_of,
    stripe_id_of,
)
from tests.integration.billing.shop import FakeTill, Shop, a_customer, a_merchant, fake, post


async def another(shop: Shop, name: str, account: str) -> Shop:
    """A second merchant in the same service, with a connected account."""
    merchant = a_merchant(shop.clock.now(), name)
    await shop.h.deliver(MerchantCreated(state=merchant))
    await shop.h.db.execute(
        "INSERT INTO billing_defaults (merchant_id, sequence, state, stripe_account) VALUES ($1, 1, $3, $2)",
        merchant.id,
        account,
        BillingDefaults(id=merchant.id, merchant_id=merchant.merchant_id).model_dump_json(),
    )
    return dataclasses.replace(shop, merchant=merchant, customer=a_customer(merchant))


async def reconcile(shop: Shop) -> None:
    await schedules.reconcile(shop.h.runtime, stripe=shop.stripe)
    await shop.work()


async def result_of(shop: Shop) -> Reconciliation | None:
    state = await shop.h.db.fetchval("SELECT state FROM reconciliation WHERE merchant_id = $1", shop.merchant_id)
    return None if state is None else Reconciliation.model_validate_json(state)


async def test_three_merchants_on_three_accounts_pay_and_refund_apart(shop: Shop) -> None:
    alpha, beta = await another(shop, "Alpha", "acct_alpha"), await another(shop, "Beta", "acct_beta")
    accounts = {None: shop, "acct_alpha": alpha, "acct_beta": beta}
    made = {}
    for account, of in accounts.items():
        invoice, payment_id = await paid(of)
        made[account] = (invoice, await intent_of(of, payment_id), await refund(of, invoice, amount=100))
        attempt = await payments.attempt(of.h.db, of.merchant_id, payment_id)
        assert attempt is not None
        assert attempt.account == account
    if isinstance(shop.till, FakeTill):
        await shop.till.deliver()
    await shop.work()
    for account, of in accounts.items():
        invoice, intent_id, back = made[account]
        assert [each.status for each in await refunds_of(of, invoice)] == ["succeeded"]
        assert [each.id async for each in of.stripe.intents_since(0, account) if each.id in _intents(made)] == [
            intent_id
        ]
        seen = [each.id async for each in of.stripe.refunds_since(0, account)]
        assert await stripe_id_of(of, back) in seen
        others = [await stripe_id_of(accounts[other], made[other][2]) for other in accounts if other != account]
        assert set(others) & set(seen) == set()
        assert (await of.invoice(invoice)).amount_refunded == 100
    rows = await shop.h.db.fetch("SELECT DISTINCT account FROM stripe_event WHERE type = 'refund.created'")
    assert {row["account"] for row in rows} == {None, "acct_alpha", "acct_beta"}


def _intents(made: dict[Any, Any]) -> set[str]:
    return {intent_id for _, intent_id, _ in made.values()}


async def test_what_began_with_an_account_stays_with_it_when_the_merchant_changes_it(fake_shop: Shop) -> None:
    alpha = await another(fake_shop, "Alpha", "acct_alpha")
    invoice, payment_id = await paid(alpha)
    await alpha.h.db.execute("UPDATE billing_defaults SET stripe_account = 'acct_new'")
    back = await refund(alpha, invoice)
    assert fake(alpha).owners[await stripe_id_of(alpha, back)] == "acct_alpha"
    attempt = await payments.attempt(alpha.h.db, alpha.merchant_id, payment_id)
    assert attempt is not None
    assert attempt.account == "acct_alpha"


async def test_metadata_that_a_connected_merchant_typed_moves_nobody_elses_books(fake_shop: Shop) -> None:
    mallory = await another(fake_shop, "Mallory", "acct_mallory")
    invoice = await fake_shop.link()
    started = await fake_shop.pay(invoice, fake_shop.contact())
    stripe = fake(fake_shop)
    session = await fake_shop.session_of(started)
    typed = dict(stripe.sessions[session]["metadata"])
    stripe.intents["pi_evil"] = intent_object("pi_evil", typed, 1250, "eur", status="succeeded")
    stripe.owners["pi_evil"] = "acct_mallory"
    stripe.tell("payment_intent.succeeded", stripe.intents["pi_evil"], "acct_mallory")
    stripe.refunded("pi_evil", 100, typed, account="acct_mallory")
    stripe.disputed("pi_evil", 1250)
    assert isinstance(fake_shop.till, FakeTill)
    await fake_shop.till.deliver()
    await fake_shop.work()
    await reconcile(fake_shop)
    now = await fake_shop.invoice(invoice)
    assert (now.status, now.amount_paid, now.amount_refunded, now.amount_disputed) == ("open", 0, 0, 0)
    assert (await refunds_of(fake_shop, invoice), await disputes_of(fake_shop, invoice)) == ([], [])
    assert {(status, str(outcome)[:7]) for _, status, outcome in await fake_shop.stored_events()} == {
        ("done", "foreign")
    }
    assert await result_of(fake_shop) is await result_of(mallory) is None


async def test_metadata_with_an_attempt_that_nobody_made_is_foreign_on_a_connected_account(fake_shop: Shop) -> None:
    await another(fake_shop, "Mallory", "acct_mallory")
    stripe, names = fake(fake_shop), ("merchant_id", "invoice_id", "payment_id")
    typed = {name: str(new_id()) for name in names} | {"merchant_id": str(fake_shop.merchant_id)}
    stripe.intents["pi_evil"] = intent_object("pi_evil", typed, 1250, "eur", status="succeeded")
    stripe.owners["pi_evil"] = "acct_mallory"
    stripe.tell("payment_intent.succeeded", stripe.intents["pi_evil"], "acct_mallory")
    stripe.refunded("pi_evil", 100, typed, account="acct_mallory")
    assert isinstance(fake_shop.till, FakeTill)
    await fake_shop.till.deliver()
    await fake_shop.work()
    found = await fake_shop.stored_events()
    assert {kind.split(".")[0] for kind, _, _ in found} >= {"payment_intent", "refund"}
    assert {(status, str(outcome)[:7]) for _, status, outcome in found} == {("done", "foreign")}


async def test_a_webhook_that_names_another_account_changes_nothing(fake_shop: Shop) -> None:
    alpha = await another(fake_shop, "Alpha", "acct_alpha")
    invoice, payment_id = await paid(alpha)
    stripe = fake(alpha)
    stripe.refunded(await intent_of(alpha, payment_id), 100, account="acct_alpha")
    events, stripe.told = stripe.told, []
    for account in (None, "acct_beta"):
        await post(alpha.door, [event | {"account": account, "id": f"evt_{account}"} for event in events])
        await alpha.work()
    assert await refunds_of(alpha, invoice) == []
    await post(alpha.door, events)
    await alpha.work()
    assert [each.amount for each in await refunds_of(alpha, invoice)] == [100]


# --- what the comparison finds ----------------------------------------------------------------------------------------


async def test_money_and_refunds_that_no_webhook_told_are_found_on_every_account(shop: Shop) -> None:
    alpha = await another(shop, "Alpha", "acct_alpha")
    for of in (shop, alpha):
        invoice, payment_id = await paid(of)
        await of.till.loses_webhooks()
        await press_refund_at_stripe(of, await intent_of(of, payment_id), 250)
        await _hear_again(of)
        await reconcile(of)
        assert [(each.amount, each.begun_at_stripe) for each in await refunds_of(of, invoice)] == [(250, True)]
        result = await result_of(of)
        assert result is not None
        assert (result.compared >= 2, result.found, result.differences) == (True, 1, ())


async def _hear_again(shop: Shop) -> None:
    if isinstance(shop.till, FakeTill):
        shop.till.lossy = False
    else:
        shop.till.lossy = False  # type: ignore[attr-defined]  # the sandbox's
        await shop.till.control("/webhooks", drop=0)  # type: ignore[attr-defined]  # likewise


async def test_money_at_stripe_that_cannot_be_booked_is_a_difference_until_it_is(fake_shop: Shop) -> None:
    invoice = await fake_shop.link()
    started = await fake_shop.pay(invoice, fake_shop.contact())
    stripe = fake(fake_shop)
    metadata = dict(stripe.sessions[await fake_shop.session_of(started)]["metadata"])
    stripe.intents["pi_odd"] = intent_object("pi_odd", metadata, 999, "eur", status="succeeded")
    await reconcile(fake_shop)
    await reconcile(fake_shop)
    for days in (0, 3, 3):
        fake_shop.later(days=days)
        await reconcile(fake_shop)
        result = await result_of(fake_shop)
        assert result is not None
        assert [(each.code, each.what, each.stripe_id, each.amount) for each in result.differences] == [
            ("not_in_our_books", "payment", "pi_odd", 999)
        ]
        assert "WrongAmount" in result.differences[0].note


async def test_money_in_our_books_that_stripe_does_not_have_is_a_difference(fake_shop: Shop) -> None:
    invoice, payment_id = await paid(fake_shop)
    intent_id = await intent_of(fake_shop, payment_id)
    back = await refund(fake_shop, invoice, amount=100)
    fake(fake_shop).owners |= {intent_id: "elsewhere", await stripe_id_of(fake_shop, back): "elsewhere"}
    await reconcile(fake_shop)
    result = await result_of(fake_shop)
    assert result is not None
    assert [(each.code, each.what) for each in result.differences] == [
        ("not_at_stripe", "payment"),
        ("not_at_stripe", "refund"),
    ]


async def test_agreeing_books_are_told_once_an_hour(fake_shop: Shop) -> None:
    invoice, _ = await paid(fake_shop)
    assert InvoiceId(invoice.id)
    for minutes in (0, 5, 5, 5, 45):
        fake_shop.clock.advance(timedelta(minutes=minutes))
        await reconcile(fake_shop)
    told = [each for each in await fake_shop.news() if each == "reconciliation.finished"]
    assert told == ["reconciliation.finished"] * 2
    result = await result_of(fake_shop)
    assert result is not None
    assert (result.found, result.differences) == (0, ())


async def test_one_account_that_is_closed_to_us_does_not_keep_us_from_the_others(fake_shop: Shop) -> None:
    alpha = await another(fake_shop, "Alpha", "acct_alpha")
    await paid(fake_shop)
    invoice, _ = await paid(alpha)
    fake(fake_shop).fails["intents_since"] = [StripeUnavailableError("closed")]
    await reconcile(fake_shop)
    assert await result_of(fake_shop) is None
    assert await result_of(alpha) is not None
    assert isinstance(invoice, Invoice)
