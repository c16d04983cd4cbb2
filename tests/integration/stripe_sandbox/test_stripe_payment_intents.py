"""Charges without a page: saved cards off session, challenges, cancellation, refunds."""

from typing import Any

import httpx
import pytest
import stripe

from tests.integration.stripe_sandbox.cards import charge, customer_with_card
from tests.integration.stripe_sandbox.sandbox import Running
from tests.integration.stripe_sandbox.shapes import misfits


async def test_a_saved_card_is_charged_off_session(sandbox: Running) -> None:
    customer, method = await customer_with_card(sandbox, "pm_card_visa")
    intent = await charge(sandbox, customer, method, metadata={"attempt": "a1"})
    assert (intent.status, intent.amount_received) == ("succeeded", 2000)
    lines = sandbox.ledger(intent.id)
    assert [(line["kind"], line["charge"], line["metadata"]) for line in lines] == [
        ("charge.succeeded", intent.latest_charge, {"attempt": "a1"})
    ]
    methods = await sandbox.stripe.v1.customers.payment_methods.list_async(customer, {"type": "card"})
    assert [(found.id, found.card.last4 if found.card else None) for found in methods.data] == [(method, "4242")]


@pytest.mark.parametrize(
    ("card", "code", "decline_code"),
    [
        ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
        ("pm_card_chargeCustomerFail", "card_declined", "generic_decline"),
        ("pm_card_authenticationRequired", "authentication_required", "authentication_required"),
        ("pm_card_authenticationRequiredOnSetup", "authentication_required", "authentication_required"),
    ],
)
async def test_a_decline_is_a_402_with_the_failed_intent(
    sandbox: Running, card: str, code: str, decline_code: str
) -> None:
    customer = await sandbox.stripe.v1.customers.create_async({})
    with pytest.raises(stripe.CardError) as declined:
        await charge(sandbox, customer.id, card)
    assert declined.value.http_status == 402
    error: Any = declined.value.error
    assert (declined.value.code, error.decline_code) == (code, decline_code)
    intent = await sandbox.stripe.v1.payment_intents.retrieve_async(error.payment_intent.id)
    assert intent.status == "requires_payment_method"
    assert intent.last_payment_error is not None
    assert intent.last_payment_error.charge == intent.latest_charge
    assert sandbox.ledger(intent.id) == []
    await sandbox.receiver.until_types(
        intent.id, ["payment_intent.created", "charge.failed", "payment_intent.payment_failed"]
    )


async def test_a_card_authenticated_once_for_later_use_is_charged_off_session(sandbox: Running) -> None:
    customer = await sandbox.stripe.v1.customers.create_async({})
    data: Any = {"setup_future_usage": "off_session"}
    session = await sandbox.session(customer=customer.id, payment_intent_data=data)
    await sandbox.control("POST", f"/sessions/{session.id}/pay", card="4000002500003155", authenticate=True)
    methods = await sandbox.stripe.v1.payment_methods.list_async({"customer": customer.id})
    assert (await charge(sandbox, customer.id, methods.data[0].id)).status == "succeeded"


async def test_a_challenge_of_the_api_is_passed_on_its_page(sandbox: Running) -> None:
    request: Any = {
        "amount": 700,
        "currency": "eur",
        "payment_method": "pm_card_authenticationRequired",
        "confirm": True,
        "return_url": "http://merchant.test/after",
    }
    intent: Any = await sandbox.stripe.v1.payment_intents.create_async(request)
    assert intent.status == "requires_action"
    page = intent.next_action.redirect_to_url.url
    assert "Complete authentication" in (await sandbox.http.get(page)).text
    back = await sandbox.http.post(page, data={"answer": "complete"})
    assert back.headers["location"].startswith(f"http://merchant.test/after?payment_intent={intent.id}&")
    assert back.headers["location"].endswith("&redirect_status=succeeded")
    assert (await sandbox.stripe.v1.payment_intents.retrieve_async(intent.id)).status == "succeeded"
    assert (await sandbox.http.get(page)).status_code == 404


async def test_a_charge_that_needs_its_customer_is_confirmed_with_them_there(sandbox: Running) -> None:
    customer, method = await customer_with_card(sandbox, "pm_card_authenticationRequired")
    with pytest.raises(stripe.CardError) as declined:
        await charge(sandbox, customer, method)
    failed: Any = declined.value.error
    assert (failed.code, failed.payment_intent.status) == ("authentication_required", "requires_payment_method")
    intents = sandbox.stripe.v1.payment_intents
    for passed, status in ((False, "requires_payment_method"), (True, "succeeded")):
        asked = await intents.confirm_async(
            failed.payment_intent.id, {"payment_method": method, "return_url": "http://merchant.test/after"}
        )
        assert asked.status == "requires_action"
        assert misfits(asked.to_dict(), stripe.PaymentIntent) == []
        told = await sandbox.control("POST", f"/challenges/{asked.id}", authenticate=passed)
        assert told["status"] == status
    with pytest.raises(httpx.HTTPStatusError, match="409"):
        await sandbox.control("POST", f"/challenges/{asked.id}", authenticate=True)
    assert [line["amount"] for line in sandbox.ledger(asked.id)] == [2000]


async def test_intents_are_walked_from_a_moment_on(sandbox: Running) -> None:
    customer, method = await customer_with_card(sandbox, "pm_card_visa")
    made = []
    for _ in range(3):
        made.append(await charge(sandbox, customer, method))
        await sandbox.control("POST", "/clock", advance=10)
    since: Any = {"customer": customer, "created": {"gte": made[1].created}, "limit": 1}
    page = await sandbox.stripe.v1.payment_intents.list_async(since)
    assert [intent.id async for intent in page.auto_paging_iter()] == [made[2].id, made[1].id]
    until: Any = {"customer": customer, "created": {"gt": made[0].created, "lt": made[2].created}}
    assert [intent.id for intent in (await sandbox.stripe.v1.payment_intents.list_async(until)).data] == [made[1].id]


async def test_an_intent_is_confirmed_later_and_never_twice(sandbox: Running) -> None:
    intents = sandbox.stripe.v1.payment_intents
    automatic: Any = {"enabled": True, "allow_redirects": "never"}
    made = await intents.create_async({"amount": 700, "currency": "eur", "automatic_payment_methods": automatic})
    assert made.status == "requires_payment_method"
    with pytest.raises(stripe.InvalidRequestError) as unready:
        await intents.confirm_async(made.id)
    assert unready.value.code == "payment_intent_unexpected_state"
    assert (await intents.confirm_async(made.id, {"payment_method": "pm_card_visa"})).status == "succeeded"
    with pytest.raises(stripe.InvalidRequestError, match="already succeeded"):
        await intents.confirm_async(made.id)
    with pytest.raises(stripe.InvalidRequestError, match="status of succeeded"):
        await intents.cancel_async(made.id)
    assert len(sandbox.ledger(made.id)) == 1


async def test_a_cancelled_intent_takes_no_money(sandbox: Running) -> None:
    intents = sandbox.stripe.v1.payment_intents
    made = await intents.create_async({"amount": 700, "currency": "eur", "payment_method": "pm_card_visa"})
    gone = await intents.cancel_async(made.id, {"cancellation_reason": "abandoned"})
    assert (gone.status, gone.cancellation_reason) == ("canceled", "abandoned")
    with pytest.raises(stripe.InvalidRequestError, match="status of canceled"):
        await intents.confirm_async(made.id, {"return_url": "http://merchant.test/after"})
    assert sandbox.ledger(made.id) == []


async def test_checkouts_own_intent_is_closed_only_through_its_session(sandbox: Running) -> None:
    session = await sandbox.session()
    declined = await sandbox.control("POST", f"/sessions/{session.id}/pay", card="4000000000000002")
    with pytest.raises(stripe.InvalidRequestError, match="expire the Checkout Session"):
        await sandbox.stripe.v1.payment_intents.cancel_async(declined["payment_intent"])


async def test_another_customers_card_is_refused_and_a_detached_one_too(sandbox: Running) -> None:
    customer, method = await customer_with_card(sandbox, "pm_card_visa")
    other, _ = await customer_with_card(sandbox, "pm_card_visa")
    with pytest.raises(stripe.InvalidRequestError, match="does not have a payment method"):
        await charge(sandbox, other, method)
    await sandbox.stripe.v1.payment_methods.detach_async(method)
    with pytest.raises(stripe.InvalidRequestError, match="was detached from a Customer"):
        await charge(sandbox, customer, method)


async def test_money_goes_back_in_parts_and_never_more_than_came(sandbox: Running) -> None:
    customer, method = await customer_with_card(sandbox, "pm_card_visa")
    intent = await charge(sandbox, customer, method)
    refunds = sandbox.stripe.v1.refunds
    first = await refunds.create_async({"payment_intent": intent.id, "amount": 500})
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded amount"):
        await refunds.create_async({"payment_intent": intent.id, "amount": 1501})
    second = await refunds.create_async({"payment_intent": intent.id})
    assert (first.amount, second.amount, second.status) == (500, 1500, "succeeded")
    with pytest.raises(stripe.InvalidRequestError) as spent:
        await refunds.create_async({"payment_intent": intent.id})
    assert spent.value.code == "charge_already_refunded"
    kinds = [(line["kind"], line["amount"], line["refund"]) for line in sandbox.ledger(intent.id)]
    assert kinds == [
        ("charge.succeeded", 2000, None),
        ("refund.succeeded", 500, first.id),
        ("refund.succeeded", 1500, second.id),
    ]
    assert (await sandbox.stripe.v1.charges.retrieve_async(str(intent.latest_charge))).refunded is True
