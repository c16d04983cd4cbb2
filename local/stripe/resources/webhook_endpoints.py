from typing import Any

from stripe.params import (
    WebhookEndpointCreateParams,
    WebhookEndpointDeleteParams,
    WebhookEndpointListParams,
    WebhookEndpointRetrieveParams,
    WebhookEndpointUpdateParams,
)

from local.stripe import API_VERSION
from local.stripe.errors import InvalidParameterError
from local.stripe.lists import page
from local.stripe.metadata import merge_metadata
from local.stripe.operations import Call, operation
from local.stripe.store import Filter
from local.stripe.work import new_id

Json = dict[str, Any]


@operation("POST", "/v1/webhook_endpoints", WebhookEndpointCreateParams)
def create(call: Call) -> Json:
    """An endpoint; this response alone carries its signing secret."""
    secret = new_id("whsec_", 32)
    version = call.params.take("api_version", API_VERSION)
    if version != API_VERSION:
        raise InvalidParameterError(f"The sandbox renders events in {API_VERSION} only.", param="api_version")
    body: Json = {
        "id": new_id("we_"),
        "object": "webhook_endpoint",
        "api_version": call.params.take("api_version"),
        "application": None,
        "created": call.work.now,
        "description": None,
        "enabled_events": [],
        "livemode": False,
        "metadata": {},
        "status": "enabled",
        "url": "",
    }
    _apply(call, body)
    call.work.insert(body, secret=secret, connect=call.params.take("connect", False))
    return {**body, "secret": secret}


def _apply(call: Call, body: Json) -> None:
    body["url"] = call.params.take("url", body["url"])
    if not body["url"].startswith(("http://", "https://")):
        raise InvalidParameterError("Not a valid URL", code="url_invalid", param="url")
    body["enabled_events"] = call.params.take("enabled_events", body["enabled_events"])
    if "description" in call.params:
        body["description"] = call.params.take("description") or None
    merge_metadata(body, call.params)


@operation("GET", "/v1/webhook_endpoints/{webhook_endpoint}", WebhookEndpointRetrieveParams)
def retrieve(call: Call) -> Json:
    """An endpoint, without its secret."""
    return call.work.fetch("webhook_endpoint", _existing(call), "webhook_endpoint")


@operation("POST", "/v1/webhook_endpoints/{webhook_endpoint}", WebhookEndpointUpdateParams)
def update(call: Call) -> Json:
    """Changes URL, events, description, or switches the endpoint off and on."""
    body = call.work.fetch("webhook_endpoint", _existing(call), "webhook_endpoint")
    _apply(call, body)
    if "disabled" in call.params:
        body["status"] = "disabled" if call.params.take("disabled") else "enabled"
    return call.work.save(body)


@operation("DELETE", "/v1/webhook_endpoints/{webhook_endpoint}", WebhookEndpointDeleteParams)
def delete(call: Call) -> Json:
    """Removes an endpoint; what is pending for it is given up."""
    body = call.work.fetch("webhook_endpoint", _existing(call), "webhook_endpoint")
    gone = {"id": body["id"], "object": "webhook_endpoint", "deleted": True}
    call.work.save({**body, **gone, "status": "disabled"})
    return gone


@operation("GET", "/v1/webhook_endpoints", WebhookEndpointListParams)
def list_all(call: Call) -> Json:
    """Endpoints, newest first."""
    return page(call, "webhook_endpoint", [Filter("json_extract(body, '$.deleted') IS NULL")])


def _existing(call: Call) -> str:
    """The path's id, or one that cannot exist when the endpoint is deleted, so that it is missing to everyone."""
    endpoint = call.ids["webhook_endpoint"]
    body = call.work.store.find(call.work.account, endpoint) or {}
    return f"{endpoint} (deleted)" if body.get("deleted") else endpoint
