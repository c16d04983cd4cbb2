from typing import Any

from stripe.params import (
    PaymentMethodAttachParams,
    PaymentMethodCreateParams,
    PaymentMethodDetachParams,
    PaymentMethodListParams,
    PaymentMethodRetrieveParams,
    PaymentMethodUpdateParams,
)

from local.stripe.cards import CardDetails, card_of
from local.stripe.errors import StripeError
from local.stripe.lists import equal_filters, page
from local.stripe.metadata import changed, merge_metadata
from local.stripe.operations import Call, operation
from local.stripe.payments import attach, method_of, new_method
from local.stripe.resources.customers import find_customer

Json = dict[str, Any]


@operation("POST", "/v1/payment_methods", PaymentMethodCreateParams)
def create(call: Call) -> Json:
    """A card by its number (test cards only; any other number will decline)."""
    if call.params.need("type") != "card":
        raise StripeError(400, "The sandbox plays cards only.", param="type")
    card = call.params.group("card")
    card.take("cvc")
    details = CardDetails(card_of(card.need("number")), card.need("exp_month"), card.need("exp_year"))
    method = new_method(call.work, details, call.params.take("billing_details"))
    method["allow_redisplay"] = call.params.take("allow_redisplay", "unspecified")
    merge_metadata(method, call.params)
    return call.work.save(method)


@operation("GET", "/v1/payment_methods/{payment_method}", PaymentMethodRetrieveParams)
def retrieve(call: Call) -> Json:
    """A payment method."""
    return call.work.fetch("payment_method", call.ids["payment_method"], "payment_method", noun="PaymentMethod")


@operation("POST", "/v1/payment_methods/{payment_method}", PaymentMethodUpdateParams)
def update(call: Call) -> Json:
    """Changes billing details, expiry or metadata."""
    body = retrieve(call)
    before = {**body, "card": dict(body["card"]), "metadata": dict(body["metadata"])}
    card = call.params.group("card")
    for name in ("exp_month", "exp_year"):
        body["card"][name] = card.take(name, body["card"][name])
    body["billing_details"] = {**body["billing_details"], **call.params.take("billing_details", {})}
    body["allow_redisplay"] = call.params.take("allow_redisplay", body["allow_redisplay"])
    merge_metadata(body, call.params)
    call.work.save(body)
    call.work.emit("payment_method.updated", body, changed(before, body))
    return body


@operation("GET", "/v1/payment_methods", PaymentMethodListParams)
def list_all(call: Call) -> Json:
    """Payment methods, newest first."""
    return page(
        call,
        "payment_method",
        equal_filters(call, customer="customer", type="type", allow_redisplay="allow_redisplay"),
    )


@operation("POST", "/v1/payment_methods/{payment_method}/attach", PaymentMethodAttachParams)
def attach_to_customer(call: Call) -> Json:
    """Ties the method to a customer. A used or detached method can never be attached again."""
    method = method_of(call.work, call.ids["payment_method"], "payment_method", status=404)
    customer = find_customer(call.work, call.params.need("customer"), "customer", status=400)
    if method["customer"] not in (None, customer["id"]):
        raise StripeError(
            400, "The payment method you provided has already been attached to a customer.", param="payment_method"
        )
    if method["customer"] is None and call.work.private(method["id"]).get("used"):
        raise StripeError(
            400,
            "This PaymentMethod was previously used without being attached to a Customer or was detached from a "
            "Customer, and may not be used again.",
        )
    return attach(call.work, method, customer["id"])


@operation("POST", "/v1/payment_methods/{payment_method}/detach", PaymentMethodDetachParams)
def detach(call: Call) -> Json:
    """Unties the method; it can never be used again."""
    method = retrieve(call)
    if method["customer"] is None:
        raise StripeError(
            400,
            "The payment method you provided is not attached to a customer so detachment is impossible.",
            param="payment_method",
        )
    customer_id = method["customer"]
    customer = find_customer(call.work, customer_id, "customer")
    if customer["invoice_settings"]["default_payment_method"] == method["id"]:
        customer["invoice_settings"]["default_payment_method"] = None
        call.work.save(customer)
    method["customer"] = None
    call.work.save(method)
    call.work.remember(method["id"], used=True)
    call.work.emit("payment_method.detached", method, {"customer": customer_id})
    return method
