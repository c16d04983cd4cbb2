from typing import Any

from stripe.params.checkout import (
    SessionCreateParams,
    SessionExpireParams,
    SessionLineItemListParams,
    SessionListParams,
    SessionRetrieveParams,
    SessionUpdateParams,
)

from local.stripe.checkout import expire
from local.stripe.currencies import check_amount, check_currency
from local.stripe.errors import InvalidParameterError, StripeError, no_such
from local.stripe.expand import LEFT_OUT
from local.stripe.line_items import line_item, one_currency
from local.stripe.lists import created_filters, equal_filters, list_of, read_limit
from local.stripe.lists import page as list_page
from local.stripe.metadata import merge_metadata
from local.stripe.operations import Call, operation
from local.stripe.params import Params
from local.stripe.resources.customers import find_customer
from local.stripe.setups import new_setup
from local.stripe.shapes import session_shape
from local.stripe.work import Work

Json = dict[str, Any]

_DAY = 24 * 3600
_HALF_HOUR = 1800
# What only shapes Stripe's page or is repeated in the object: kept and shown again, played no further.
_ECHOED = (
    "allowed_payment_method_types",
    "billing_address_collection",
    "client_reference_id",
    "customer_email",
    "excluded_payment_method_types",
    "locale",
    "origin_context",
    "submit_type",
)
_INTENT_DATA = (
    "application_fee_amount",
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


@operation("POST", "/v1/checkout/sessions", SessionCreateParams)
def create(call: Call) -> Json:
    """A session with a hosted page: for a payment, or to set a payment method up."""
    params, work = call.params, call.work
    mode = params.need("mode")
    if mode == "subscription":
        raise StripeError(400, "The sandbox plays `mode=payment` and `mode=setup` only.", param="mode")
    if params.take("ui_mode", "hosted_page") != "hosted_page":
        raise StripeError(400, "The sandbox plays the hosted page only.", param="ui_mode")
    session = {**session_shape(work), "mode": mode}
    session["success_url"] = _read_url(params, "success_url", params.need("success_url"))
    session["cancel_url"] = _read_url(params, "cancel_url", params.take("cancel_url"))
    if "branding_settings" in params:
        session["branding_settings"] = _read_branding(work, params.group("branding_settings"))
    session["expires_at"] = _read_expiry(params, work.now)
    _read_customer(call, session)
    session |= {name: params.take(name) for name in _ECHOED if name in params}
    merge_metadata(session, params)
    session["url"] = f"{work.settings.public_url}/c/pay/{session['id']}"
    private = _read_setup(call, session) if mode == "setup" else _read_payment(call, session)
    work.insert(session, **private, idempotency_key=work.idempotency_key)
    return session


def _read_payment(call: Call, session: Json) -> Json:
    """Amounts and lines; what the PaymentIntent will have, for later."""
    params, work = call.params, call.work
    params.need("line_items")
    items = [line_item(work, item) for item in params.groups("line_items")]
    session["currency"] = one_currency(params, items)
    total = sum(item["amount_total"] for item in items)
    session["amount_subtotal"] = session["amount_total"] = check_amount(total, session["currency"], "line_items")
    session["payment_method_types"] = _method_types(params, session["currency"])
    _read_saving(params, session)
    data = params.group("payment_intent_data")
    intent_data: Json = {name: data.take(name) for name in _INTENT_DATA if name in data}
    merge_metadata(intent_data, data)
    return {"line_items": items, "payment_intent_data": intent_data}


def _read_setup(call: Call, session: Json) -> Json:
    """The SetupIntent, which begins with the session."""
    params, work = call.params, call.work
    if "allowed_payment_method_types" not in params:
        params.need("currency")
    if "currency" in params:
        session["currency"] = check_currency(params.take("currency"), "currency")
    session["payment_method_types"] = _method_types(params, session["currency"])
    session["payment_status"] = "no_payment_required"
    session["payment_method_collection"] = "always"
    session["total_details"] = None
    data = params.group("setup_intent_data")
    fields: Json = {name: data.take(name) for name in ("description", "on_behalf_of") if name in data}
    merge_metadata(fields, data)
    fields |= {"customer": session["customer"], "payment_method_types": session["payment_method_types"]}
    session["setup_intent"] = new_setup(work, fields, session=session["id"])["id"]
    return {"line_items": []}


def _method_types(params: Params, currency: str | None) -> list[str]:
    """Cards, and bank debits for euros, filtered as asked."""
    eligible = ["card", "sepa_debit"] if currency in (None, "eur") else ["card"]
    allowed = params.take("allowed_payment_method_types", eligible)
    excluded = params.take("excluded_payment_method_types", [])
    found = [kind for kind in eligible if kind in allowed and kind not in excluded]
    if not found:
        raise InvalidParameterError(
            "No valid payment method types for this Checkout Session.", param="allowed_payment_method_types"
        )
    return found


def _read_saving(params: Params, session: Json) -> None:
    """Whether saved methods are offered, and whether the page asks to save a new one."""
    if "saved_payment_method_options" not in params:
        return
    options = params.group("saved_payment_method_options")
    if session["customer"] is None and session["customer_creation"] != "always":
        raise InvalidParameterError(
            "`saved_payment_method_options` needs a `customer` or `customer_creation=always`.",
            param="saved_payment_method_options",
        )
    session["saved_payment_method_options"] = {
        "allow_redisplay_filters": options.take("allow_redisplay_filters", ["always"]),
        "payment_method_remove": None,
        "payment_method_save": options.take("payment_method_save"),
    }


def _read_expiry(params: Params, now: int) -> int:
    expires_at = int(params.take("expires_at", now + _DAY))
    if expires_at < now + _HALF_HOUR:
        raise InvalidParameterError(
            "The `expires_at` timestamp must be at least 30 minutes from Checkout Session creation.",
            param="expires_at",
        )
    if expires_at > now + _DAY:
        raise InvalidParameterError(
            "The `expires_at` timestamp must be less than 24 hours from Checkout Session creation.",
            param="expires_at",
        )
    return expires_at


def _read_url(params: Params, name: str, url: str | None) -> str | None:
    """An address that the page can link to: anything but http(s) could run as a script in it."""
    if url is not None and not url.startswith(("http://", "https://")):
        raise InvalidParameterError("Not a valid URL", code="url_invalid", param=params.path(name))
    return url


def _read_branding(work: Work, branding: Params) -> Json:
    """Only the name is played; colours and fonts are the page's own."""
    return {
        "background_color": "#ffffff",
        "border_style": "rounded",
        "button_color": "#2f4bd0",
        "display_name": branding.take("display_name", work.settings.merchant_name),
        "font_family": "default",
        "icon": None,
        "logo": None,
    }


def _read_customer(call: Call, session: Json) -> None:
    params = call.params
    if "customer" not in params:
        session["customer_creation"] = params.take("customer_creation", "if_required")
        return
    if "customer_creation" in params:
        raise InvalidParameterError(
            "You may only specify one of these parameters: customer, customer_creation.", param="customer_creation"
        )
    if "customer_email" in params:
        raise InvalidParameterError(
            "You may only specify one of these parameters: customer, customer_email.", param="customer"
        )
    session["customer"] = find_customer(call.work, params.take("customer"), "customer", status=400)["id"]


@operation("GET", "/v1/checkout/sessions/{session}", SessionRetrieveParams)
def retrieve(call: Call) -> Json:
    """A session; `line_items` only when expanded."""
    return call.work.fetch("checkout.session", call.ids["session"], "session")


@operation("POST", "/v1/checkout/sessions/{session}", SessionUpdateParams)
def update(call: Call) -> Json:
    """Changes metadata."""
    session = retrieve(call)
    merge_metadata(session, call.params)
    return call.work.save(session)


@operation("POST", "/v1/checkout/sessions/{session}/expire", SessionExpireParams)
def expire_session(call: Call) -> Json:
    """Closes an open session, so that nobody can pay it any more."""
    session = retrieve(call)
    if session["status"] != "open":
        raise StripeError(
            400,
            'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session has a status of '
            f"{session['status']}.",
        )
    return expire(call.work, session)


@operation("GET", "/v1/checkout/sessions", SessionListParams)
def list_all(call: Call) -> Json:
    """Sessions, newest first."""
    filters = equal_filters(call, customer="customer", payment_intent="payment_intent", status="status")
    details = call.params.group("customer_details")
    if "email" in details:
        filters += equal_filters(Call(call.work, details, call.path, call.ids), email="customer_details.email")
    return list_page(call, "checkout.session", [*created_filters(call), *filters])


@operation("GET", "/v1/checkout/sessions/{session}/line_items", SessionLineItemListParams)
def list_line_items(call: Call) -> Json:
    """A session's line items, in the order given."""
    items = call.work.private(retrieve(call)["id"])["line_items"]
    limit = read_limit(call)
    after = call.params.take("starting_after")
    ids = [item["id"] for item in items]
    if after is not None and after not in ids:
        raise no_such("line_item", after, "starting_after", status=400)
    start = ids.index(after) + 1 if after is not None else 0
    chosen = items[start : start + limit]
    return list_of(chosen, call.path, has_more=start + limit < len(items))


def _expanded_line_items(work: Work, session: Json) -> Json:
    items = work.private(session["id"])["line_items"]
    return list_of(items[:10], f"/v1/checkout/sessions/{session['id']}/line_items", has_more=len(items) > 10)


LEFT_OUT["checkout.session", "line_items"] = _expanded_line_items
