"""Charges that their customers dispute: withdrawn at once, decided later."""

from typing import Any

import httpx
import pytest
import stripe

from tests.integration.stripe_sandbox.cards import charge, customer_with_card
from tests.integration.stripe_sandbox.sandbox import Running
from tests.integration.stripe_sandbox.shapes import misfits
from tests.integration.stripe_sandbox.test_stripe_refunds import movements, paid

_OPENED = ["charge.dispute.created", "charge.dispute.funds_withdrawn"]
_WITHDRAWN = [("charge.succeeded", 2000), ("dispute.funds_withdrawn", 2000)]


async def disputed(sandbox: Running) -> tuple[str, stripe.Dispute]:
    """A payment that is disputed by itself: (PaymentIntent, dispute)."""
    intent = await paid(sandbox, "pm_card_createDispute")
    (found,) = (await sandbox.stripe.v1.disputes.list_async({"payment_intent": intent})).data
    return intent, found


async def test_a_disputed_card_loses_the_money_right_after_it_came(sandbox: Running) -> None:
    intent, dispute = await disputed(sandbox)
    assert (dispute.status, dispute.amount, dispute.reason) == ("needs_response", 2000, "fraudulent")
    assert (dispute.payment_intent, [item.net for item in dispute.balance_transactions]) == (intent, [-2000])
    assert misfits(dispute.to_dict(), stripe.Dispute, "Dispute") == []
    assert (await sandbox.stripe.v1.charges.retrieve_async(str(dispute.charge))).disputed is True
    assert movements(sandbox, intent) == _WITHDRAWN
    assert sandbox.ledger(intent)[1]["dispute"] == dispute.id
    await sandbox.receiver.until_types(dispute.id, _OPENED)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sandbox.stripe.v1.refunds.create_async({"payment_intent": intent})
    assert refused.value.code == "charge_disputed"


@pytest.mark.parametrize(
    ("word", "status", "told", "moved"),
    [
        (
            "winning_evidence",
            "won",
            ["charge.dispute.updated", "charge.dispute.funds_reinstated", "charge.dispute.closed"],
            [("dispute.funds_reinstated", 2000)],
        ),
        ("losing_evidence", "lost", ["charge.dispute.updated", "charge.dispute.closed"], []),
        ("a letter", "under_review", ["charge.dispute.updated"], []),
    ],
)
async def test_evidence_decides_a_test_dispute(
    sandbox: Running, word: str, status: str, told: list[str], moved: list[tuple[str, int]]
) -> None:
    intent, dispute = await disputed(sandbox)
    answered = await sandbox.stripe.v1.disputes.update_async(dispute.id, {"evidence": {"uncategorized_text": word}})
    assert (answered.status, answered.evidence.uncategorized_text) == (status, word)
    assert (answered.evidence_details.has_evidence, answered.evidence_details.submission_count) == (True, 1)
    assert misfits(answered.to_dict(), stripe.Dispute, "Dispute") == []
    assert movements(sandbox, intent) == [*_WITHDRAWN, *moved]
    await sandbox.receiver.until_types(dispute.id, [*_OPENED, *told])


async def test_evidence_can_be_kept_before_it_is_handed_in(sandbox: Running) -> None:
    _, dispute = await disputed(sandbox)
    change: Any = {"evidence": {"uncategorized_text": "winning_evidence"}, "submit": False, "metadata": {"a": "b"}}
    kept = await sandbox.stripe.v1.disputes.update_async(dispute.id, change)
    assert (kept.status, kept.evidence_details.submission_count) == ("needs_response", 0)


async def test_a_dispute_that_is_accepted_is_lost_and_closed_for_good(sandbox: Running) -> None:
    intent, dispute = await disputed(sandbox)
    disputes = sandbox.stripe.v1.disputes
    assert (await disputes.close_async(dispute.id)).status == "lost"
    with pytest.raises(stripe.InvalidRequestError) as closed:
        await disputes.close_async(dispute.id)
    assert closed.value.code == "dispute_already_closed"
    with pytest.raises(stripe.InvalidRequestError):
        await disputes.update_async(dispute.id, {"evidence": {"uncategorized_text": "winning_evidence"}})
    assert movements(sandbox, intent) == _WITHDRAWN


@pytest.mark.parametrize("outcome", ["won", "lost"])
async def test_any_charge_can_be_disputed_in_part_and_decided_by_its_bank(sandbox: Running, outcome: str) -> None:
    intent = await paid(sandbox)
    await sandbox.stripe.v1.refunds.create_async({"payment_intent": intent, "amount": 500})
    opened = await sandbox.control(
        "POST", "/disputes", payment_intent=intent, amount=900, reason="product_not_received"
    )
    assert (opened["amount"], opened["reason"]) == (900, "product_not_received")
    with pytest.raises(httpx.HTTPStatusError, match="409"):
        await sandbox.control("POST", "/disputes", payment_intent=intent)
    await sandbox.control("POST", f"/disputes/{opened['id']}/close", outcome=outcome)
    found = await sandbox.stripe.v1.disputes.retrieve_async(opened["id"], {"expand": ["charge", "payment_intent"]})
    assert found.status == outcome
    assert (found.charge.amount_refunded, found.payment_intent.id) == (500, intent)  # type: ignore[union-attr]  # expanded
    back = [("dispute.funds_reinstated", 900)] if outcome == "won" else []
    assert movements(sandbox, intent)[2:] == [("dispute.funds_withdrawn", 900), *back]
    with pytest.raises(httpx.HTTPStatusError, match="409"):
        await sandbox.control("POST", f"/disputes/{opened['id']}/close", outcome="won")
    rest = sandbox.stripe.v1.refunds.create_async({"payment_intent": intent})
    if outcome == "won":
        assert (await rest).amount == 1500
    else:
        with pytest.raises(stripe.InvalidRequestError, match="charged back"):
            await rest


async def test_disputes_are_listed_by_charge_and_by_their_time(sandbox: Running) -> None:
    intent, dispute = await disputed(sandbox)
    disputes = sandbox.stripe.v1.disputes
    assert [found.id for found in (await disputes.list_async({"charge": str(dispute.charge)})).data] == [dispute.id]
    since: Any = {"payment_intent": intent, "created": {"gte": dispute.created}}
    assert [found.id for found in (await disputes.list_async(since)).data] == [dispute.id]
    before: Any = {"payment_intent": intent, "created": {"lt": dispute.created}}
    assert (await disputes.list_async(before)).data == []


async def test_a_payment_that_did_not_succeed_cannot_be_disputed(sandbox: Running) -> None:
    customer, method = await customer_with_card(sandbox, "pm_success_de")
    intent = await charge(sandbox, customer, method)
    with pytest.raises(httpx.HTTPStatusError, match="409"):
        await sandbox.control("POST", "/disputes", payment_intent=intent.id)
