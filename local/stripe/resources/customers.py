from typing import Any

from stripe.params import (
    CustomerCreateParams,
    CustomerDeleteParams,
    CustomerListParams,
    CustomerPaymentMethodListParams,
    CustomerPaymentMethodRetrieveParams,
    CustomerRetrieveParams,
    CustomerUpdateParams,
)

from local.stripe.customers import customer_shape, new_customer
from local.stripe.lists import created_filters, equal_filters, page
from local.stripe.metadata import changed, merge_metadata
from local.stripe.methods import not_theirs
from local.stripe.operations import Call, operation
from local.stripe.store import field_is
from local.stripe.work import Work

Json = dict[str, Any]

_PLAIN = ("address", "business_name", "description", "email", "individual_name", "name", "phone", "shipping")


def find_customer(work: Work, customer: str, param: str, *, status: int = 404) -> Json:
    """A customer that is not deleted.

    Raises:
        StripeError: `resource_missing`.
    """
    body = work.fetch("customer", customer, param, status=status)
    if body.get("deleted"):
        return work.fetch("a deleted customer", customer, param, status=status, noun="customer")
    return body


@operation("POST", "/v1/customers", CustomerCreateParams)
def create(call: Call) -> Json:
    """A customer."""
    body = customer_shape(call.work)
    _apply(call, body)
    return new_customer(call.work, body)


def _apply(call: Call, body: Json) -> None:
    for name in _PLAIN:
        if name in call.params:
            body[name] = call.params.take(name) or None
    if isinstance(body["address"], dict):
        parts = ("city", "country", "line1", "line2", "postal_code", "state")
        body["address"] = {part: body["address"].get(part) or None for part in parts}
    body["preferred_locales"] = call.params.take("preferred_locales", body["preferred_locales"])
    body["tax_exempt"] = call.params.take("tax_exempt") or body["tax_exempt"]
    merge_metadata(body, call.params)
    settings = call.params.group("invoice_settings")
    if "default_payment_method" in settings:
        method = settings.take("default_payment_method") or None
        if method is not None:
            path = settings.path("default_payment_method")
            found = call.work.fetch("payment_method", method, path, status=400, noun="PaymentMethod")
            if found["customer"] != body["id"]:
                raise not_theirs(method, path)
        body["invoice_settings"]["default_payment_method"] = method


@operation("GET", "/v1/customers/{customer}", CustomerRetrieveParams)
def retrieve(call: Call) -> Json:
    """A customer; of a deleted one only its id and that it is deleted."""
    return call.work.fetch("customer", call.ids["customer"], "id")


@operation("POST", "/v1/customers/{customer}", CustomerUpdateParams)
def update(call: Call) -> Json:
    """Changes the given fields."""
    body = find_customer(call.work, call.ids["customer"], "id")
    before = {**body, "invoice_settings": dict(body["invoice_settings"]), "metadata": dict(body["metadata"])}
    _apply(call, body)
    if previous := changed(before, body):
        call.work.save(body)
        call.work.emit("customer.updated", body, previous)
    return body


@operation("DELETE", "/v1/customers/{customer}", CustomerDeleteParams)
def delete(call: Call) -> Json:
    """Deletes a customer; the payment methods are detached."""
    body = find_customer(call.work, call.ids["customer"], "id")
    for method in call.work.store.page(
        call.work.account, "payment_method", [field_is("customer", body["id"])], limit=1000, before=None, after=None
    ):
        call.work.save({**method, "customer": None})
    call.work.emit("customer.deleted", body)
    return call.work.save({"id": body["id"], "object": "customer", "deleted": True})


@operation("GET", "/v1/customers", CustomerListParams)
def list_all(call: Call) -> Json:
    """Customers, newest first."""
    return page(call, "customer", [*created_filters(call), *equal_filters(call, email="email")])


@operation("GET", "/v1/customers/{customer}/payment_methods", CustomerPaymentMethodListParams)
def list_payment_methods(call: Call) -> Json:
    """A customer's payment methods."""
    customer = find_customer(call.work, call.ids["customer"], "customer")
    chosen = equal_filters(call, type="type", allow_redisplay="allow_redisplay")
    return page(call, "payment_method", [field_is("customer", customer["id"]), *chosen])


@operation("GET", "/v1/customers/{customer}/payment_methods/{payment_method}", CustomerPaymentMethodRetrieveParams)
def retrieve_payment_method(call: Call) -> Json:
    """One of a customer's payment methods."""
    customer = find_customer(call.work, call.ids["customer"], "customer")
    method = call.work.fetch("payment_method", call.ids["payment_method"], "payment_method", noun="PaymentMethod")
    if method["customer"] != customer["id"]:
        return call.work.fetch("a method of theirs", method["id"], "payment_method", noun="PaymentMethod")
    return method
