"""A charge that its customer disputes: the money is withdrawn at once, and comes back when the merchant wins."""

from typing import Any

from stripe import Dispute

from local.stripe.work import Work, new_id

Json = dict[str, Any]

ANSWERABLE = ("needs_response", "under_review")
"""The states of a dispute that is not decided."""
_ANSWER_WITHIN = 7 * 24 * 3600
# Stripe's magic words for the evidence of a test dispute; any other evidence leaves it under review.
_DECIDES = {"winning_evidence": "won", "losing_evidence": "lost"}


def open_dispute(work: Work, charge: Json, *, reason: str = "fraudulent", amount: int | None = None) -> Json:
    """A new dispute; the charge is disputed from now on, its money withdrawn."""
    disputed = charge["amount"] - charge["amount_refunded"] if amount is None else amount
    card = charge["payment_method_details"].get("card")
    brand = card["brand"] if card else None
    details = {"brand": brand, "case_type": "chargeback", "network": brand, "network_reason_code": "10.4"}
    evidence: Json = {**dict.fromkeys(Dispute.Evidence.__annotations__), "enhanced_evidence": {}}
    evidence.pop("appeal")
    body: Json = {
        "id": new_id("du_"),
        "object": "dispute",
        "amount": disputed,
        "balance_transactions": [],
        "charge": charge["id"],
        "created": work.now,
        "currency": charge["currency"],
        "enhanced_eligibility_types": [],
        "evidence": evidence,
        "evidence_details": {
            "due_by": work.now + _ANSWER_WITHIN,
            "enhanced_eligibility": {},
            "has_evidence": False,
            "past_due": False,
            "submission_count": 0,
            "submission_method": "not_submitted",
        },
        "is_charge_refundable": False,
        "livemode": False,
        "metadata": {},
        "network_reason_code": "10.4" if card else None,
        "payment_intent": charge["payment_intent"],
        "payment_method_details": {"card": details, "type": "card"} if card else None,
        "reason": reason,
        "status": "needs_response",
    }
    work.insert(body)
    work.remember(charge["id"], due_at=None, charged_back=True)
    charge["disputed"] = True
    work.save(charge)
    work.emit("charge.dispute.created", body)
    _move(work, body, charge, "withdrawn", -disputed)
    return body


def close_dispute(work: Work, dispute: Json, outcome: str) -> Json:
    """The bank decides, *won* or *lost* for the merchant."""
    dispute["status"] = outcome
    work.save(dispute)
    if outcome == "won":
        charge = work.fetch("charge", dispute["charge"], "charge")
        work.remember(charge["id"], charged_back=False)
        _move(work, dispute, charge, "reinstated", dispute["amount"])
    work.emit("charge.dispute.closed", dispute)
    return dispute


def answer_dispute(work: Work, dispute: Json, evidence: Json, *, submit: bool) -> Json:
    """Keeps the merchant's evidence, and hands it in. The test words `winning_evidence` and `losing_evidence` decide."""
    dispute["evidence"].update({name: value or None for name, value in evidence.items()})
    details = dispute["evidence_details"]
    details["has_evidence"] = any(value for value in dispute["evidence"].values())
    if submit:
        details["submission_count"] += 1
        details["submission_method"] = "manual"
        details["past_due"] = work.now > details["due_by"]
        dispute["status"] = "under_review"
    work.save(dispute)
    work.emit("charge.dispute.updated", dispute)
    decided = _DECIDES.get(dispute["evidence"]["uncategorized_text"] or "")
    return close_dispute(work, dispute, decided) if submit and decided else dispute


def _move(work: Work, dispute: Json, charge: Json, way: str, amount: int) -> None:
    """The money leaves (negative) or comes back. Stripe's own fee is not played."""
    dispute["balance_transactions"].append(
        {
            "id": new_id("txn_"),
            "object": "balance_transaction",
            "amount": amount,
            "available_on": work.now,
            "balance_type": "payments",
            "created": work.now,
            "currency": dispute["currency"],
            "description": f"Chargeback {way} for {charge['id']}",
            "exchange_rate": None,
            "fee": 0,
            "fee_details": [],
            "net": amount,
            "reporting_category": "dispute" if amount < 0 else "dispute_reversal",
            "source": dispute["id"],
            "status": "available",
            "type": "adjustment",
        }
    )
    work.save(dispute)
    work.record_money(f"dispute.funds_{way}", charge, amount=abs(amount), about=dispute["id"])
    work.emit(f"charge.dispute.funds_{way}", dispute)
