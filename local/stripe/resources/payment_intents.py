from typing import Any

from stripe.params import (
    PaymentIntentCancelParams,
    PaymentIntentConfirmParams,
    PaymentIntentCreateParams,
    PaymentIntentListParams,
    PaymentIntentRetrieveParams,
    PaymentIntentUpdateParams,
)

from local.stripe.cards import AUTHENTICATION_REQUIRED, Challenge, Decline
from local.stripe.currencies import check_amount, check_currency
from local.stripe.errors import CardError, InvalidParameterError, StripeError
from local.stripe.lists import created_filters, equal_filters, page
from local.stripe.metadata import merge_metadata
from local.stripe.methods import method_of
from local.stripe.operations import Call, operation
from local.stripe.payments import cancel, card_error, confirm, new_intent
from local.stripe.resources.customers import find_customer
from local.stripe.resources.redirects import check_return_url

Json = dict[str, Any]

# Stripe adds "or, in rare cases, processing"; a debit that is with the bank is not one of them.
_CANCELLABLE = (
    "requires_payment_method",
    "requires_capture",
    "requires_confirmation",
    "requires_action",
)
_ECHOED = (
    "application_fee_amount",
    "automatic_payment_methods",
    "description",
    "on_behalf_of",
    "receipt_email",
    "setup_future_usage",
    "shipping",
    "statement_descriptor",
    "statement_descriptor_suffix",
    "transfer_data",
    "transfer_group",
)
_ONLY_TO_CONFIRM = ("off_session", "return_url", "error_on_requires_action", "use_stripe_sdk")


@operation("POST", "/v1/payment_intents", PaymentIntentCreateParams)
def create(call: Call) -> Json:
    """A PaymentIntent, paid at once with `confirm=true` (and `off_session=true` without the customer)."""
    params, work = call.params, call.work
    currency = check_currency(params.take("currency"), "currency")
    fields: Json = {"amount": check_amount(params.take("amount"), currency, "amount"), "currency": currency}
    if "customer" in params:
        fields["customer"] = find_customer(work, params.take("customer"), "customer", status=400)["id"]
    if params.take("capture_method", "automatic_async") == "manual":
        raise StripeError(400, "The sandbox captures at once.", param="capture_method")
    fields |= {name: params.take(name) for name in _ECHOED if name in params}
    merge_metadata(fields, params)
    confirming = params.take("confirm", False)
    for name in _ONLY_TO_CONFIRM:
        if name in params and not confirming:
            raise InvalidParameterError(f"You can only set `{name}` when confirming: pass `confirm=true`.", param=name)
    if "payment_method" in params:
        fields["payment_method"] = method_of(work, params.take("payment_method"), "payment_method")["id"]
        fields["status"] = "requires_confirmation"
    intent = new_intent(work, fields, idempotency_key=work.idempotency_key)
    return _confirm(call, intent) if confirming else intent


@operation("POST", "/v1/payment_intents/{intent}/confirm", PaymentIntentConfirmParams)
def confirm_intent(call: Call) -> Json:
    """Tries to pay."""
    intent = _own(call, "confirm")
    if "payment_method" in call.params:
        intent["payment_method"] = method_of(call.work, call.params.take("payment_method"), "payment_method")["id"]
    for name in ("receipt_email", "setup_future_usage", "shipping"):
        if name in call.params:
            intent[name] = call.params.take(name) or None
    return _confirm(call, intent)


def _confirm(call: Call, intent: Json) -> Json:
    params, work = call.params, call.work
    _check_confirmable(intent)
    off_session = params.take("off_session", False) not in (False, "false")
    return_url = params.take("return_url")
    refuses_action = params.take("error_on_requires_action", False)
    wants_sdk = params.take("use_stripe_sdk", False)
    check_return_url(intent, elsewhere=bool(off_session or return_url or wants_sdk or refuses_action))
    method = method_of(work, intent["payment_method"], "payment_method")
    outcome = confirm(work, intent, method, off_session=off_session)
    if isinstance(outcome, Challenge) and refuses_action:
        decline = AUTHENTICATION_REQUIRED
        raise StripeError(402, decline.message, code=decline.code, decline_code=decline.decline_code, type="card_error")
    if isinstance(outcome, Decline):
        raise CardError(card_error(intent))
    if isinstance(outcome, Challenge):
        url = f"{work.settings.public_url}/challenge/{intent['id']}"
        if return_url:
            intent["next_action"] = {
                "redirect_to_url": {"return_url": return_url, "url": url},
                "type": "redirect_to_url",
            }
        else:
            intent["next_action"] = {"type": "use_stripe_sdk", "use_stripe_sdk": {"stripe_js": url}}
        work.remember(intent["id"], return_url=return_url)
        work.save(intent)
        work.emit("payment_intent.requires_action", intent)
    return intent


def _check_confirmable(intent: Json) -> None:
    if intent["status"] == "succeeded":
        problem = "it has already succeeded after being previously confirmed"
    elif intent["status"] in ("canceled", "processing"):
        problem = f"it has a status of {intent['status']}"
    elif intent["payment_method"] is None:
        problem = (
            "it's missing a payment method. You can either update the PaymentIntent with a payment method and then "
            "confirm it again, or confirm it again directly with a payment method or ConfirmationToken"
        )
    else:
        return
    raise StripeError(
        400,
        f"You cannot confirm this PaymentIntent because {problem}.",
        code="payment_intent_unexpected_state",
        payment_intent=intent,
    )


def _own(call: Call, verb: str) -> Json:
    """The intent, unless an open Checkout Session holds it.

    Raises:
        StripeError: `resource_missing`, or the intent belongs to Checkout.
    """
    intent = call.work.fetch("payment_intent", call.ids["intent"], "intent")
    session = call.work.private(intent["id"]).get("session")
    if session and call.work.fetch("checkout.session", session, "session")["status"] == "open":
        raise StripeError(
            400,
            f"You cannot {verb} this PaymentIntent because it was created by Checkout. To cancel it, expire the "
            "Checkout Session instead.",
        )
    return intent


@operation("GET", "/v1/payment_intents/{intent}", PaymentIntentRetrieveParams)
def retrieve(call: Call) -> Json:
    """A PaymentIntent."""
    secret = call.params.take("client_secret")
    intent = call.work.fetch("payment_intent", call.ids["intent"], "intent")
    if secret is not None and secret != intent["client_secret"]:
        raise StripeError(400, "The client_secret provided does not match.", param="client_secret")
    return intent


@operation("POST", "/v1/payment_intents/{intent}", PaymentIntentUpdateParams)
def update(call: Call) -> Json:
    """Changes metadata, description or receipt address."""
    intent = call.work.fetch("payment_intent", call.ids["intent"], "intent")
    for name in ("description", "receipt_email"):
        if name in call.params:
            intent[name] = call.params.take(name) or None
    merge_metadata(intent, call.params)
    return call.work.save(intent)


@operation("POST", "/v1/payment_intents/{intent}/cancel", PaymentIntentCancelParams)
def cancel_intent(call: Call) -> Json:
    """Ends an intent that has not succeeded."""
    intent = _own(call, "cancel")
    if intent["status"] not in _CANCELLABLE:
        raise StripeError(
            400,
            f"You cannot cancel this PaymentIntent because it has a status of {intent['status']}. Only a PaymentIntent "
            f"with one of the following statuses may be canceled: {', '.join(_CANCELLABLE)}.",
            code="payment_intent_unexpected_state",
            payment_intent=intent,
        )
    return cancel(call.work, intent, call.params.take("cancellation_reason"))


@operation("GET", "/v1/payment_intents", PaymentIntentListParams)
def list_all(call: Call) -> Json:
    """PaymentIntents, newest first."""
    return page(call, "payment_intent", [*created_filters(call), *equal_filters(call, customer="customer")])
