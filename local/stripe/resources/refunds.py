from typing import Any

from stripe.params import RefundCreateParams, RefundListParams, RefundRetrieveParams

from local.stripe.errors import InvalidParameterError, StripeError, missing_parameter
from local.stripe.lists import created_filters, equal_filters, page
from local.stripe.metadata import merge_metadata
from local.stripe.operations import Call, operation
from local.stripe.work import new_id

Json = dict[str, Any]


@operation("POST", "/v1/refunds", RefundCreateParams)
def create(call: Call) -> Json:
    """Gives money back, wholly or in part, at once."""
    charge = _charge_to_refund(call)
    left = charge["amount"] - charge["amount_refunded"]
    amount = call.params.take("amount", left)
    if left == 0:
        raise StripeError(400, f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    if amount < 1:
        raise InvalidParameterError("Invalid positive integer", code="parameter_invalid_integer", param="amount")
    if amount > left:
        raise StripeError(
            400, f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})", param="amount"
        )
    body: Json = {
        "id": new_id("re_"),
        "object": "refund",
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": call.work.now,
        "currency": charge["currency"],
        "destination_details": {"card": {"type": "refund"}, "type": "card"},
        "metadata": {},
        "payment_intent": charge["payment_intent"],
        "reason": call.params.take("reason"),
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }
    merge_metadata(body, call.params)
    call.work.insert(body)
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    call.work.save(charge)
    intent = call.work.fetch("payment_intent", charge["payment_intent"], "payment_intent")
    call.work.record_money("refund.succeeded", intent, charge, amount=amount, refund=body["id"])
    call.work.emit("refund.created", body)
    call.work.emit("charge.refunded", charge)
    return body


def _charge_to_refund(call: Call) -> Json:
    charge, intent_id = call.params.take("charge"), call.params.take("payment_intent")
    if charge is None and intent_id is None:
        raise missing_parameter("payment_intent")
    if charge is None:
        intent = call.work.fetch("payment_intent", intent_id, "payment_intent", status=400)
        if intent["status"] != "succeeded":
            raise StripeError(
                400,
                f"This PaymentIntent ({intent_id}) does not have a successful charge to refund.",
                param="payment_intent",
            )
        charge = intent["latest_charge"]
    found = call.work.fetch("charge", charge, "charge", status=400)
    if not found["paid"]:
        raise StripeError(400, f"Charge {charge} has not succeeded and cannot be refunded.", param="charge")
    return found


@operation("GET", "/v1/refunds/{refund}", RefundRetrieveParams)
def retrieve(call: Call) -> Json:
    """A refund."""
    return call.work.fetch("refund", call.ids["refund"], "refund")


@operation("GET", "/v1/refunds", RefundListParams)
def list_all(call: Call) -> Json:
    """Refunds, newest first."""
    chosen = equal_filters(call, charge="charge", payment_intent="payment_intent")
    return page(call, "refund", [*created_filters(call), *chosen])
