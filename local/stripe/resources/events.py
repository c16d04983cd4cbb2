from typing import Any

from stripe.params import EventListParams, EventRetrieveParams

from local.stripe.errors import InvalidParameterError
from local.stripe.lists import created_filters, page
from local.stripe.operations import Call, operation
from local.stripe.store import Filter, field_in, field_is

Json = dict[str, Any]

_UNDELIVERED = (
    "EXISTS (SELECT 1 FROM deliveries d WHERE d.account = objects.account AND d.event = objects.id"
    " AND NOT EXISTS (SELECT 1 FROM deliveries o WHERE o.account = d.account AND o.event = d.event"
    " AND o.endpoint = d.endpoint AND o.state = 'delivered'))"
)


@operation("GET", "/v1/events/{id}", EventRetrieveParams)
def retrieve(call: Call) -> Json:
    """An event, as it was when it happened."""
    return _with_pending(call, call.work.fetch("event", call.ids["id"], "id"))


@operation("GET", "/v1/events", EventListParams)
def list_all(call: Call) -> Json:
    """Events, newest first; `delivery_success=false` are those some endpoint has not acknowledged."""
    filters = created_filters(call)
    one, several = call.params.take("type"), call.params.take("types")
    if one and several:
        raise InvalidParameterError("You may only specify one of these parameters: type, types.")
    if one and "*" in one:
        filters.append(Filter("json_extract(body, '$.type') GLOB ?", (one,)))
    elif one:
        filters.append(field_is("type", one))
    if several:
        filters.append(field_in("type", several))
    if "delivery_success" in call.params:
        filters.append(Filter(f"NOT {_UNDELIVERED}" if call.params.take("delivery_success") else _UNDELIVERED))
    listed = page(call, "event", filters)
    listed["data"] = [_with_pending(call, event) for event in listed["data"]]
    return listed


def _with_pending(call: Call, event: Json) -> Json:
    return {**event, "pending_webhooks": call.work.store.pending_webhooks(call.work.account, event["id"])}
