from typing import Any

from stripe.params import ChargeListParams, ChargeRetrieveParams

from local.stripe.expand import LEFT_OUT
from local.stripe.lists import created_filters, equal_filters, list_of, page
from local.stripe.operations import Call, operation
from local.stripe.store import field_is
from local.stripe.work import Work

Json = dict[str, Any]


@operation("GET", "/v1/charges/{charge}", ChargeRetrieveParams)
def retrieve(call: Call) -> Json:
    """A charge, succeeded or failed."""
    return call.work.fetch("charge", call.ids["charge"], "charge")


@operation("GET", "/v1/charges", ChargeListParams)
def list_all(call: Call) -> Json:
    """Charges, newest first."""
    chosen = equal_filters(call, customer="customer", payment_intent="payment_intent", transfer_group="transfer_group")
    return page(call, "charge", [*created_filters(call), *chosen])


def _refunds(work: Work, charge: Json) -> Json:
    found = work.store.page(
        work.account, "refund", [field_is("charge", charge["id"])], limit=100, before=None, after=None
    )
    return list_of(found, f"/v1/charges/{charge['id']}/refunds")


LEFT_OUT["charge", "refunds"] = _refunds
