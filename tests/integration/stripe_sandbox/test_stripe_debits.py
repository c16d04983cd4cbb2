"""Money that takes days: SEPA debits are processing until the bank answers."""

from typing import Any

import httpx
import pytest
import stripe

from tests.integration.stripe_sandbox.cards import charge, customer_with_card, new_customer
from tests.integration.stripe_sandbox.sandbox import Running, line_item
from tests.integration.stripe_sandbox.shapes import misfits

GOOD, BAD = "DE89370400440532013000", "DE62370400440532013001"
_STARTED = ["payment_intent.created", "charge.pending", "payment_intent.processing", "checkout.session.completed"]


async def debit(sandbox: Running, iban: str, **params: Any) -> tuple[stripe.checkout.Session, str]:
    """A session completed with a debit: (session, its PaymentIntent's id)."""
    session = await sandbox.session(**params)
    form = {"kind": "sepa_debit", "iban": iban, "holder": "Ada Lovelace"}
    assert (await sandbox.http.post(f"/c/pay/{session.id}", data=form)).status_code == 303
    after = await sandbox.stripe.v1.checkout.sessions.retrieve_async(session.id)
    return after, str(after.payment_intent)


async def test_a_debit_completes_the_session_unpaid_and_is_paid_days_later(sandbox: Running) -> None:
    session, intent = await debit(sandbox, "de89 3704 0044 0532 0130 00")
    assert (session.status, session.payment_status) == ("complete", "unpaid")
    intents = sandbox.stripe.v1.payment_intents
    found: Any = await intents.retrieve_async(intent, {"expand": ["latest_charge", "payment_method"]})
    assert (found.status, found.amount_received) == ("processing", 0)
    assert (found.latest_charge.status, found.latest_charge.paid) == ("pending", False)
    assert found.latest_charge.payment_method_details.sepa_debit.last4 == "3000"
    assert misfits(found.to_dict(), stripe.PaymentIntent) == []
    assert sandbox.ledger(intent) == []
    await sandbox.receiver.until_types(intent, _STARTED)

    await sandbox.control("POST", f"/payment_intents/{intent}/settle", outcome="succeeded")
    after = await sandbox.stripe.v1.checkout.sessions.retrieve_async(session.id)
    assert (after.payment_status, (await intents.retrieve_async(intent)).amount_received) == ("paid", 1250)
    assert [(line["kind"], line["amount"]) for line in sandbox.ledger(intent)] == [("charge.succeeded", 1250)]
    later = ["charge.succeeded", "payment_intent.succeeded", "checkout.session.async_payment_succeeded"]
    await sandbox.receiver.until_types(intent, [*_STARTED, *later])
    with pytest.raises(httpx.HTTPStatusError, match="409"):
        await sandbox.control("POST", f"/payment_intents/{intent}/settle")


async def test_a_debit_that_fails_is_told_and_moves_no_money(sandbox: Running) -> None:
    session, intent = await debit(sandbox, BAD)
    await sandbox.control("POST", f"/payment_intents/{intent}/settle")
    found: Any = await sandbox.stripe.v1.payment_intents.retrieve_async(intent, {"expand": ["latest_charge"]})
    assert (found.status, found.last_payment_error.code) == ("requires_payment_method", "insufficient_funds")
    assert (found.latest_charge.status, found.latest_charge.failure_code) == ("failed", "insufficient_funds")
    assert misfits(found.latest_charge.to_dict(), stripe.Charge) == []
    after = await sandbox.stripe.v1.checkout.sessions.retrieve_async(session.id)
    assert (after.status, after.payment_status) == ("complete", "unpaid")
    assert sandbox.ledger(intent) == []
    later = ["charge.failed", "payment_intent.payment_failed", "checkout.session.async_payment_failed"]
    await sandbox.receiver.until_types(intent, [*_STARTED, *later])
    assert (await sandbox.stripe.v1.payment_intents.cancel_async(intent)).status == "canceled"


async def test_a_debit_settles_by_itself_after_five_days_of_the_sandboxs_clock(sandbox: Running) -> None:
    _, good = await debit(sandbox, GOOD)
    _, bad = await debit(sandbox, BAD)
    await sandbox.control("POST", "/clock", advance=5 * 24 * 3600 - 60)
    intents = sandbox.stripe.v1.payment_intents
    assert (await intents.retrieve_async(good)).status == "processing"
    await sandbox.control("POST", "/clock", advance=61)
    assert (await intents.retrieve_async(good)).status == "succeeded"
    assert (await intents.retrieve_async(bad)).status == "requires_payment_method"


async def test_a_saved_account_is_debited_without_its_customer(sandbox: Running) -> None:
    customer = await new_customer(sandbox)
    setup: Any = {"mode": "setup", "line_items": None, "currency": "eur", "customer": customer}
    session = await sandbox.session(**setup)
    told = await sandbox.control("POST", f"/sessions/{session.id}/pay", iban=GOOD, name="Ada")
    assert told["outcome"] == "succeeded"
    (method,) = (await sandbox.stripe.v1.customers.payment_methods.list_async(customer)).data
    assert misfits(method.to_dict(), stripe.PaymentMethod) == []
    intent = await charge(sandbox, customer, method.id)
    assert intent.status == "processing"
    for refused in (sandbox.stripe.v1.payment_intents.cancel_async, sandbox.stripe.v1.payment_intents.confirm_async):
        with pytest.raises(stripe.InvalidRequestError, match="status of processing"):
            await refused(intent.id)
    with pytest.raises(stripe.InvalidRequestError, match="does not have a successful charge"):
        await sandbox.stripe.v1.refunds.create_async({"payment_intent": intent.id})
    await sandbox.control("POST", f"/payment_intents/{intent.id}/settle")
    refund = await sandbox.stripe.v1.refunds.create_async({"payment_intent": intent.id, "amount": 500})
    assert misfits(refund.to_dict(), stripe.Refund) == []


async def test_debits_are_for_euros_only_and_can_be_left_out(sandbox: Running) -> None:
    dollars = await sandbox.session(line_items=[line_item(currency="usd")])
    cards_only = await sandbox.session(excluded_payment_method_types=["sepa_debit"])
    for session in (dollars, cards_only):
        assert "IBAN" not in (await sandbox.http.get(str(session.url))).text
        form = {"kind": "sepa_debit", "iban": GOOD, "holder": "Ada"}
        assert (await sandbox.http.post(f"/c/pay/{session.id}", data=form)).status_code == 422
    customer, method = await customer_with_card(sandbox, "pm_success_de")
    with pytest.raises(stripe.InvalidRequestError, match="it takes eur"):
        await charge(sandbox, customer, method, currency="usd")


async def test_a_mistyped_iban_is_no_attempt(sandbox: Running) -> None:
    session = await sandbox.session()
    form = {"kind": "sepa_debit", "iban": "DE89370400440532013001", "holder": ""}
    answer = await sandbox.http.post(f"/c/pay/{session.id}", data=form)
    assert answer.status_code == 422
    assert "Your IBAN is invalid." in answer.text
    assert "Enter the account holder&#39;s name." in answer.text
    assert (await sandbox.stripe.v1.checkout.sessions.retrieve_async(session.id)).payment_intent is None
