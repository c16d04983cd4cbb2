"""Money that goes back: by us, in the dashboard, and what the banks make of it."""

from typing import Any

import httpx
import pytest
import stripe

from tests.integration.stripe_sandbox.cards import charge, customer_with_card
from tests.integration.stripe_sandbox.sandbox import Running
from tests.integration.stripe_sandbox.shapes import misfits


async def paid(sandbox: Running, card: str = "pm_card_visa") -> str:
    """A paid PaymentIntent over EUR 20.00."""
    customer, method = await customer_with_card(sandbox, card)
    return (await charge(sandbox, customer, method, metadata={"payment": "p1"})).id


def movements(sandbox: Running, intent: str) -> list[tuple[str, int]]:
    return [(line["kind"], line["amount"]) for line in sandbox.ledger(intent)]


async def test_a_refund_that_the_bank_sends_back_fails_a_minute_later(sandbox: Running) -> None:
    intent = await paid(sandbox, "pm_card_refundFail")
    refunds = sandbox.stripe.v1.refunds
    made = await refunds.create_async(
        {"payment_intent": intent, "amount": 500, "metadata": {"refund": "r1"}, "reason": "requested_by_customer"}
    )
    assert made.status == "succeeded"
    await sandbox.control("POST", "/clock", advance=61)
    failed = await refunds.retrieve_async(made.id)
    assert (failed.status, failed.failure_reason) == ("failed", "lost_or_stolen_card")
    assert failed.metadata is not None
    assert failed.metadata.to_dict() == {"refund": "r1"}
    assert misfits(failed.to_dict(), stripe.Refund) == []
    (charged,) = (await sandbox.stripe.v1.charges.list_async({"payment_intent": intent})).data
    assert (charged.amount_refunded, charged.refunded) == (0, False)
    assert movements(sandbox, intent) == [("charge.succeeded", 2000), ("refund.succeeded", 500), ("refund.failed", 500)]
    assert [line["refund"] for line in sandbox.ledger(intent)] == [None, made.id, made.id]
    await sandbox.receiver.until(lambda: len(sandbox.receiver.about(made.id)) == 2)
    told = [(event["type"], event["data"]["object"]["status"]) for event in sandbox.receiver.about(made.id)]
    assert told == [("refund.created", "succeeded"), ("refund.failed", "failed")]
    assert "charge.refunded" in sandbox.receiver.types_about(intent)


async def test_a_refund_can_be_made_to_fail_at_once_and_never_twice(sandbox: Running) -> None:
    intent = await paid(sandbox)
    made = await sandbox.stripe.v1.refunds.create_async({"payment_intent": intent})
    failed = await sandbox.control("POST", f"/refunds/{made.id}/fail", reason="expired_or_canceled_card")
    assert (failed["status"], failed["failure_reason"]) == ("failed", "expired_or_canceled_card")
    with pytest.raises(httpx.HTTPStatusError, match="409"):
        await sandbox.control("POST", f"/refunds/{made.id}/fail")
    again = await sandbox.stripe.v1.refunds.create_async({"payment_intent": intent})
    assert (again.amount, again.status) == (2000, "succeeded")


async def test_each_partial_refund_is_told_and_listed(sandbox: Running) -> None:
    intent = await paid(sandbox)
    refunds = sandbox.stripe.v1.refunds
    made = [(await refunds.create_async({"payment_intent": intent, "amount": part})).id for part in (300, 200)]
    listed = await refunds.list_async({"payment_intent": intent})
    assert [refund.id for refund in listed.data] == list(reversed(made))
    assert (await refunds.list_async({"payment_intent": intent, "created": {"lt": listed.data[0].created}})).data == []
    await sandbox.receiver.until(lambda: sandbox.receiver.types_about(intent).count("charge.refunded") == 2)
    events = [event for event in sandbox.receiver.about(intent) if event["type"] == "charge.refunded"]
    assert [event["data"]["object"]["amount_refunded"] for event in events] == [300, 500]


async def test_a_refund_made_in_the_dashboard_carries_none_of_our_metadata(sandbox: Running) -> None:
    intent = await paid(sandbox)
    made = await sandbox.control("POST", "/refunds", payment_intent=intent, amount=700, reason="duplicate")
    found = await sandbox.stripe.v1.refunds.retrieve_async(made["id"])
    assert (found.amount, found.reason, found.payment_intent) == (700, "duplicate", intent)
    assert found.metadata is not None
    assert found.metadata.to_dict() == {}
    await sandbox.receiver.until(lambda: len(sandbox.receiver.about(found.id)) == 1)
    assert sandbox.receiver.about(found.id)[0]["request"] == {"id": None, "idempotency_key": None}
    assert sandbox.ledger(intent)[-1]["idempotency_key"] is None
    with pytest.raises(httpx.HTTPStatusError, match="409"):
        await sandbox.control("POST", "/refunds", payment_intent=intent, amount=1301)
    assert movements(sandbox, intent) == [("charge.succeeded", 2000), ("refund.succeeded", 700)]


async def test_a_refunds_key_repeats_it_and_moves_the_money_once(sandbox: Running) -> None:
    intent = await paid(sandbox)
    options: Any = {"idempotency_key": f"refund {intent}"}
    both = [await sandbox.stripe.v1.refunds.create_async({"payment_intent": intent}, options) for _ in range(2)]
    assert both[0].id == both[1].id
    assert movements(sandbox, intent) == [("charge.succeeded", 2000), ("refund.succeeded", 2000)]
    assert sandbox.ledger(intent)[-1]["idempotency_key"] == f"refund {intent}"


async def test_metadata_of_a_refund_can_be_changed(sandbox: Running) -> None:
    intent = await paid(sandbox)
    made = await sandbox.stripe.v1.refunds.create_async({"payment_intent": intent})
    changed = await sandbox.stripe.v1.refunds.update_async(made.id, {"metadata": {"note": "n1"}})
    assert changed.metadata is not None
    assert changed.metadata.to_dict() == {"note": "n1"}
