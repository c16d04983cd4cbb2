from typing import Any

from stripe.params import (
    SetupIntentCancelParams,
    SetupIntentConfirmParams,
    SetupIntentCreateParams,
    SetupIntentListParams,
    SetupIntentRetrieveParams,
    SetupIntentUpdateParams,
)

from local.stripe.cards import Challenge, Decline
from local.stripe.errors import CardError, InvalidParameterError, StripeError
from local.stripe.lists import created_filters, equal_filters, page
from local.stripe.metadata import merge_metadata
from local.stripe.methods import method_of
from local.stripe.operations import Call, operation
from local.stripe.resources.customers import find_customer
from local.stripe.resources.redirects import check_return_url
from local.stripe.setups import OPEN, ask_for_challenge, cancel_setup, confirm_setup, new_setup

Json = dict[str, Any]

_ECHOED = ("automatic_payment_methods", "description", "on_behalf_of", "usage")
_ONLY_TO_CONFIRM = ("return_url", "use_stripe_sdk")


@operation("POST", "/v1/setup_intents", SetupIntentCreateParams)
def create(call: Call) -> Json:
    """A SetupIntent, tried at once with `confirm=true`."""
    params, work = call.params, call.work
    fields: Json = {name: params.take(name) for name in _ECHOED if name in params}
    if "customer" in params:
        fields["customer"] = find_customer(work, params.take("customer"), "customer", status=400)["id"]
    merge_metadata(fields, params)
    confirming = params.take("confirm", False)
    for name in _ONLY_TO_CONFIRM:
        if name in params and not confirming:
            raise InvalidParameterError(f"You can only set `{name}` when confirming: pass `confirm=true`.", param=name)
    if "payment_method" in params:
        fields["payment_method"] = method_of(work, params.take("payment_method"), "payment_method")["id"]
        fields["status"] = "requires_confirmation"
    setup = new_setup(work, fields)
    return _confirm(call, setup) if confirming else setup


@operation("POST", "/v1/setup_intents/{intent}/confirm", SetupIntentConfirmParams)
def confirm(call: Call) -> Json:
    """Tries to set the method up."""
    setup = _own(call, "confirm")
    if "payment_method" in call.params:
        setup["payment_method"] = method_of(call.work, call.params.take("payment_method"), "payment_method")["id"]
    return _confirm(call, setup)


def _confirm(call: Call, setup: Json) -> Json:
    params, work = call.params, call.work
    if setup["status"] not in OPEN:
        raise _unexpected(setup, "confirm", f"it has a status of {setup['status']}")
    if setup["payment_method"] is None:
        raise _unexpected(setup, "confirm", "it's missing a payment method")
    return_url = params.take("return_url")
    check_return_url(setup, elsewhere=bool(return_url or params.take("use_stripe_sdk", False)))
    method = method_of(work, setup["payment_method"], "payment_method")
    outcome = confirm_setup(work, setup, method)
    if isinstance(outcome, Decline):
        raise CardError({**setup["last_setup_error"], "setup_intent": setup})
    if isinstance(outcome, Challenge):
        work.remember(setup["id"], return_url=return_url)
        ask_for_challenge(work, setup, f"{work.settings.public_url}/challenge/{setup['id']}", return_url)
    return setup


def _own(call: Call, verb: str) -> Json:
    """The SetupIntent, unless an open Checkout Session holds it.

    Raises:
        StripeError: `resource_missing`, or the SetupIntent belongs to Checkout.
    """
    setup = _find(call)
    if call.work.private(setup["id"]).get("session") and setup["status"] in OPEN:
        raise StripeError(
            400,
            f"You cannot {verb} this SetupIntent because it was created by Checkout. To cancel it, expire the "
            "Checkout Session instead.",
        )
    return setup


def _find(call: Call) -> Json:
    return call.work.fetch("setup_intent", call.ids["intent"], "intent", noun="setupintent")


def _unexpected(setup: Json, verb: str, problem: str) -> StripeError:
    return StripeError(
        400,
        f"You cannot {verb} this SetupIntent because {problem}.",
        code="setup_intent_unexpected_state",
        setup_intent=setup,
    )


@operation("GET", "/v1/setup_intents/{intent}", SetupIntentRetrieveParams)
def retrieve(call: Call) -> Json:
    """A SetupIntent."""
    secret = call.params.take("client_secret")
    setup = _find(call)
    if secret is not None and secret != setup["client_secret"]:
        raise StripeError(400, "The client_secret provided does not match.", param="client_secret")
    return setup


@operation("POST", "/v1/setup_intents/{intent}", SetupIntentUpdateParams)
def update(call: Call) -> Json:
    """Changes metadata or description."""
    setup = _find(call)
    if "description" in call.params:
        setup["description"] = call.params.take("description") or None
    merge_metadata(setup, call.params)
    return call.work.save(setup)


@operation("POST", "/v1/setup_intents/{intent}/cancel", SetupIntentCancelParams)
def cancel(call: Call) -> Json:
    """Ends a SetupIntent that has not succeeded."""
    setup = _own(call, "cancel")
    if setup["status"] not in OPEN:
        raise _unexpected(setup, "cancel", f"it has a status of {setup['status']}")
    return cancel_setup(call.work, setup, call.params.take("cancellation_reason"))


@operation("GET", "/v1/setup_intents", SetupIntentListParams)
def list_all(call: Call) -> Json:
    """SetupIntents, newest first."""
    chosen = equal_filters(call, customer="customer", payment_method="payment_method")
    return page(call, "setup_intent", [*created_filters(call), *chosen])
