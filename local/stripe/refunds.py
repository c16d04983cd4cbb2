"""Money that goes back: at once, or so it seems until the customer's bank sends it back."""

from typing import Any

from local.stripe.errors import InvalidParameterError, StripeError
from local.stripe.work import Work, new_id

Json = dict[str, Any]

FAILS_AFTER = 60
"""Seconds until the refund of a card whose refunds fail does so, on the sandbox's clock."""


def make_refund(work: Work, charge: Json, fields: Json) -> Json:
    """Refunds a charge; `fields` are the refund's amount (None: all that is left), reason and metadata.

    Raises:
        StripeError: not paid, charged back, or more than is left.
    """
    if not charge["paid"]:
        raise StripeError(400, f"Charge {charge['id']} has not succeeded and cannot be refunded.", param="charge")
    private = work.private(charge["id"])
    if private.get("charged_back"):
        message = f"Charge {charge['id']} has been charged back; cannot issue a refund."
        raise StripeError(400, message, code="charge_disputed")
    left = charge["amount"] - charge["amount_refunded"]
    if left == 0:
        raise StripeError(400, f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    amount = left if fields["amount"] is None else fields["amount"]
    if amount < 1:
        raise InvalidParameterError("Invalid positive integer", code="parameter_invalid_integer", param="amount")
    if amount > left:
        raise StripeError(
            400, f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})", param="amount"
        )
    method = charge["payment_method_details"]["type"]
    body: Json = {
        "id": new_id("re_"),
        "object": "refund",
        "balance_transaction": None,
        "charge": charge["id"],
        "created": work.now,
        "currency": charge["currency"],
        "destination_details": {"card": {"type": "refund"}, "type": "card"} if method == "card" else None,
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
        **fields,
        "amount": amount,
    }
    work.insert(body, due_at=work.now + FAILS_AFTER if private.get("refund_fails") else None)
    _count(work, charge, amount)
    work.record_money("refund.succeeded", charge, amount=amount, about=body["id"])
    work.emit("refund.created", body)
    work.emit("charge.refunded", charge)
    return body


def fail_refund(work: Work, refund: Json, reason: str) -> Json:
    """The customer's bank sends the money back: it is the merchant's again, and can be refunded again."""
    refund.update(status="failed", failure_reason=reason, failure_balance_transaction=None)
    work.save(refund)
    work.remember(refund["id"], due_at=None)
    charge = work.fetch("charge", refund["charge"], "charge")
    _count(work, charge, -refund["amount"])
    work.record_money("refund.failed", charge, amount=refund["amount"], about=refund["id"])
    work.emit("refund.failed", refund)
    return refund


def _count(work: Work, charge: Json, amount: int) -> None:
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    work.save(charge)
