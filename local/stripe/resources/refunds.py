from typing import Any

from stripe.params import RefundCreateParams, RefundListParams, RefundRetrieveParams, RefundUpdateParams

from local.stripe.errors import StripeError, missing_parameter
from local.stripe.lists import created_filters, equal_filters, page
from local.stripe.metadata import merge_metadata
from local.stripe.operations import Call, operation
from local.stripe.refunds import make_refund

Json = dict[str, Any]


@operation("POST", "/v1/refunds", RefundCreateParams)
def create(call: Call) -> Json:
    """Gives money back, wholly or in part, at once."""
    charge = _charge_to_refund(call)
    fields: Json = {"amount": call.params.take("amount"), "reason": call.params.take("reason")}
    merge_metadata(fields, call.params)
    return make_refund(call.work, charge, fields)


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
    return call.work.fetch("charge", charge, "charge", status=400)


@operation("GET", "/v1/refunds/{refund}", RefundRetrieveParams)
def retrieve(call: Call) -> Json:
    """A refund."""
    return call.work.fetch("refund", call.ids["refund"], "refund")


@operation("POST", "/v1/refunds/{refund}", RefundUpdateParams)
def update(call: Call) -> Json:
    """Changes metadata."""
    refund = retrieve(call)
    merge_metadata(refund, call.params)
    call.work.save(refund)
    call.work.emit("refund.updated", refund)
    return refund


@operation("GET", "/v1/refunds", RefundListParams)
def list_all(call: Call) -> Json:
    """Refunds, newest first."""
    chosen = equal_filters(call, charge="charge", payment_intent="payment_intent")
    return page(call, "refund", [*created_filters(call), *chosen])
