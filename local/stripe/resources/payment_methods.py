import json
from datetime import UTC, datetime
from typing import Any

from stripe.params import (
    PaymentMethodAttachParams,
    PaymentMethodCreateParams,
    PaymentMethodDetachParams,
    PaymentMethodListParams,
    PaymentMethodRetrieveParams,
    PaymentMethodUpdateParams,
)

from local.stripe.cards import CardDetails, TestCard, card_of
from local.stripe.debits import DebitDetails, account_of
from local.stripe.errors import CardError, StripeError
from local.stripe.lists import equal_filters, page
from local.stripe.metadata import changed, merge_metadata
from local.stripe.methods import Details, attach, behind, last_error, method_of, new_method
from local.stripe.operations import Call, operation
from local.stripe.params import Params
from local.stripe.resources.customers import find_customer

Json = dict[str, Any]


@operation("POST", "/v1/payment_methods", PaymentMethodCreateParams)
def create(call: Call) -> Json:
    """A card by its number or a bank account by its IBAN (those of the testing page; any other will decline)."""
    method = new_method(call.work, _read_details(call), _read_billing(call))
    method["allow_redisplay"] = call.params.take("allow_redisplay", "unspecified")
    merge_metadata(method, call.params)
    return call.work.save(method)


def _read_details(call: Call) -> Details:
    kind = call.params.need("type")
    given = call.params.group(kind)
    if kind == "sepa_debit":
        return DebitDetails(account_of(given.need("iban").replace(" ", "")))
    if kind != "card":
        raise StripeError(400, "The sandbox plays `card` and `sepa_debit` only.", param="type")
    given.take("cvc")
    if "token" in given:
        raise StripeError(400, "The sandbox has no tokens: name a test method, like pm_card_visa.", param="card[token]")
    return CardDetails(card_of(given.need("number")), given.need("exp_month"), given.need("exp_year"))


def _read_billing(call: Call) -> Json:
    """What was given, an empty string as null."""
    given = call.params.take("billing_details") or {}
    billing: Json = {name: value or None for name, value in given.items()}
    if billing.get("address"):
        billing["address"] = {part: value or None for part, value in billing["address"].items()}
    return billing


@operation("GET", "/v1/payment_methods/{payment_method}", PaymentMethodRetrieveParams)
def retrieve(call: Call) -> Json:
    """A payment method."""
    return call.work.fetch("payment_method", call.ids["payment_method"], "payment_method", noun="PaymentMethod")


@operation("POST", "/v1/payment_methods/{payment_method}", PaymentMethodUpdateParams)
def update(call: Call) -> Json:
    """Changes billing details, expiry or metadata of a method that a customer has."""
    body = retrieve(call)
    if body["customer"] is None:
        raise StripeError(
            400,
            "You must save this PaymentMethod to a customer before you can update it.",
            code="resource_missing",
            param="payment_method",
        )
    before = json.loads(json.dumps(body))
    card = call.params.group("card")
    for name in ("exp_month", "exp_year"):
        if name in card:
            body["card"][name] = _read_expiry(call, card, name)
    billing = _read_billing(call)
    if billing.get("address"):
        billing["address"] = {**(body["billing_details"]["address"] or {}), **billing["address"]}
    body["billing_details"].update(billing)
    body["allow_redisplay"] = call.params.take("allow_redisplay", body["allow_redisplay"])
    merge_metadata(body, call.params)
    if previous := changed(before, body):
        call.work.save(body)
        call.work.emit("payment_method.updated", body, previous)
    return body


def _read_expiry(call: Call, card: Params, name: str) -> int:
    """A month 1 to 12, or a year that is not over.

    Raises:
        StripeError: 402, as Stripe says it of a card.
    """
    value = int(card.take(name))
    this_year = datetime.fromtimestamp(call.work.now, UTC).year
    if name == "exp_month" and not 1 <= value <= 12:
        what = "month"
    elif name == "exp_year" and not this_year <= value <= this_year + 50:
        what = "year"
    else:
        return value
    raise StripeError(
        402,
        f"Your card's expiration {what} is invalid.",
        code=f"invalid_expiry_{what}",
        param=name,
        type="card_error",
    )


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
    bank = behind(call.work, method)
    if isinstance(bank, TestCard) and not bank.can_be_saved and bank.decline is not None:
        raise CardError(last_error(bank.decline, method))
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
        before = {"invoice_settings": dict(customer["invoice_settings"])}
        customer["invoice_settings"]["default_payment_method"] = None
        call.work.save(customer)
        call.work.emit("customer.updated", customer, before)
    method["customer"] = None
    call.work.save(method)
    call.work.remember(method["id"], used=True)
    call.work.emit("payment_method.detached", method, {"customer": customer_id})
    return method
