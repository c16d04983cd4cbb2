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
from local.stripe.lists import created_filters, equal_filters, list_of, read_limit
from local.stripe.lists import page as list_page
from local.stripe.metadata import merge_metadata
from local.stripe.operations import Call, operation
from local.stripe.params import Params
from local.stripe.resources.customers import find_customer
from local.stripe.shapes import price_shape, session_shape
from local.stripe.work import Work, new_id

Json = dict[str, Any]

_DAY = 24 * 3600
_HALF_HOUR = 1800
# What only shapes Stripe's page or is repeated in the object: kept and shown again, played no further.
_ECHOED = (
    "billing_address_collection",
    "client_reference_id",
    "customer_email",
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
    """A session with a hosted page, for a one-time payment."""
    params, work = call.params, call.work
    if params.need("mode") != "payment":
        raise StripeError(400, "The sandbox plays `mode=payment` only.", param="mode")
    if params.take("ui_mode", "hosted_page") != "hosted_page":
        raise StripeError(400, "The sandbox plays the hosted page only.", param="ui_mode")
    session = session_shape(work)
    session["success_url"] = _read_url(params, "success_url", params.need("success_url"))
    session["cancel_url"] = _read_url(params, "cancel_url", params.take("cancel_url"))
    if "branding_settings" in params:
        session["branding_settings"] = _read_branding(work, params.group("branding_settings"))
    session["expires_at"] = _read_expiry(params, work.now)
    _read_customer(call, session)
    session |= {name: params.take(name) for name in _ECHOED if name in params}
    merge_metadata(session, params)
    params.need("line_items")
    items = [_line_item(work, item) for item in params.groups("line_items")]
    session["currency"] = _one_currency(params, items)
    total = sum(item["amount_total"] for item in items)
    session["amount_subtotal"] = session["amount_total"] = check_amount(total, session["currency"], "line_items")
    data = params.group("payment_intent_data")
    intent_data: Json = {name: data.take(name) for name in _INTENT_DATA if name in data}
    merge_metadata(intent_data, data)
    session["url"] = f"{work.settings.public_url}/c/pay/{session['id']}"
    work.insert(session, line_items=items, payment_intent_data=intent_data, idempotency_key=work.idempotency_key)
    return session


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
        session["customer_creation"] = "if_required"
        return
    if "customer_email" in params:
        raise InvalidParameterError(
            "You may only specify one of these parameters: customer, customer_email.", param="customer"
        )
    session["customer"] = find_customer(call.work, params.take("customer"), "customer", status=400)["id"]


def _line_item(work: Work, item: Params) -> Json:
    if "price" in item:
        raise no_such("price", item.take("price"), item.path("price"), status=400)
    item.need("price_data")
    price = item.group("price_data")
    currency = check_currency(price.take("currency"), price.path("currency"))
    amount = price.need("unit_amount")
    if amount < 0:
        raise InvalidParameterError(
            "Invalid non-negative integer", code="parameter_invalid_integer", param=price.path("unit_amount")
        )
    if "product" in price:
        raise no_such("product", price.take("product"), price.path("product"), status=400)
    product = price.need("product_data")
    quantity = item.need("quantity")
    if quantity < 1:
        raise InvalidParameterError(
            "This value must be greater than or equal to 1.",
            code="parameter_invalid_integer",
            param=item.path("quantity"),
        )
    total = amount * quantity
    return {
        "id": new_id("li_"),
        "object": "item",
        "amount_discount": 0,
        "amount_subtotal": total,
        "amount_tax": 0,
        "amount_total": total,
        "currency": currency,
        "description": product["name"],
        "metadata": item.take("metadata", {}),
        "price": price_shape(work, currency, amount, price.take("tax_behavior", "unspecified")),
        "quantity": quantity,
    }


def _one_currency(params: Params, items: list[Json]) -> str:
    currencies = {item["currency"] for item in items}
    if "currency" in params:
        currencies.add(check_currency(params.take("currency"), "currency"))
    if len(currencies) > 1:
        raise InvalidParameterError("All prices must have the same currency.", param="line_items")
    return str(currencies.pop())


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
