"""`docs/asyncapi.json`: every message for machines, as AsyncAPI 3.0 (https://www.asyncapi.com/docs/reference/specification/v3.0.0)."""

from __future__ import annotations

import inspect
from typing import Any

from contracts.book.examples import event_example, result_example
from contracts.book.schemas import Schema, answered_with_json, schema_of
from contracts.message import (
    EVENTS,
    PUBLIC,
    REQUESTS,
    Event,
    EventEnvelope,
    ReplyData,
    Request,
    RequestEnvelope,
    fact_queue,
    follower_queue,
)

CLOUDEVENT = "application/cloudevents+json"
PROBLEM = "application/problem+json"
_BINDING = "0.3.0"

INFO = {
    "title": "Customer portal",
    "version": "1.0.0",
    "description": (
        "Events, commands and questions of the customer portal over RabbitMQ. Other systems subscribe to the events of "
        f"`{PUBLIC}`; everything else is between the portal's own services. The same for people: docs/messages.md."
    ),
    "license": {"name": "Apache-2.0"},
}


def asyncapi_document() -> dict[str, Any]:
    """The whole document."""
    schemas: dict[str, Schema] = {}
    document: dict[str, Any] = {
        "asyncapi": "3.0.0",
        "info": INFO,
        "defaultContentType": CLOUDEVENT,
        "servers": {
            "broker": {
                "host": "localhost:5672",
                "pathname": "/",  # the vhost
                "protocol": "amqp",
                "protocolVersion": "0.9.1",
                "description": "RabbitMQ",
            }
        },
        "channels": {},
        "operations": {},
        "components": {"messages": {"problem": _problem()}, "schemas": schemas},
    }
    for event in EVENTS.values():
        _add_event(document, event)
    for request in REQUESTS.values():
        _add_request(document, request)
    for envelope in (EventEnvelope, RequestEnvelope, ReplyData):
        _schema(schemas, envelope)
    return document


def _add_event(document: dict[str, Any], event: type[Event[Any]]) -> None:
    noun, type_ = event.of(), event.wire_type
    message = {
        "name": type_,
        "title": event.__name__,
        "summary": _doc(event),
        "contentType": CLOUDEVENT,
        "payload": _enveloped("EventEnvelope", type_, {"data": _schema(document["components"]["schemas"], event)}),
        "bindings": {"amqp": {"messageType": type_, "bindingVersion": _BINDING}},
        "examples": [{"name": event.__name__, "payload": event_example(event)}],
        "tags": [{"name": noun.owner()}, {"name": "public" if noun.exchange == PUBLIC else "internal"}],
    }
    exchange = {"name": noun.exchange, "type": "topic", "durable": True, "autoDelete": False}
    document["components"]["messages"][type_] = message
    document["channels"][type_] = {
        "address": type_,
        "messages": {event.__name__: {"$ref": f"#/components/messages/{type_}"}},
        "bindings": {"amqp": {"is": "routingKey", "exchange": exchange, "bindingVersion": _BINDING}},
    }
    document["operations"][f"announce.{type_}"] = _operation("send", type_, event.__name__, _doc(event), noun.owner())
    listeners = [(each, follower_queue(each, noun)) for each in noun.followed_by]
    listeners += [(each, fact_queue(each, event)) for each in event.handled_by]
    for service, queue in listeners:
        summary = f"{service} reads it from its queue {queue}."
        operation = _operation("receive", type_, event.__name__, summary, service)
        document["operations"][f"{queue}.{type_}"] = operation


def _add_request(document: dict[str, Any], request: type[Request[Any]]) -> None:
    type_, messages = request.wire_type, document["components"]["messages"]
    data = {"type": "object", "properties": {"body": _schema(document["components"]["schemas"], request)}}
    messages[type_] = {
        "name": type_,
        "title": request.__name__,
        "summary": _doc(request),
        "contentType": CLOUDEVENT,
        "payload": _enveloped("RequestEnvelope", type_, {"data": data}),
        "bindings": {"amqp": {"messageType": type_, "bindingVersion": _BINDING}},
        "tags": [{"name": request.owner()}, {"name": "command" if request.stored else "question"}],
    }
    messages[f"{type_}.reply"] = _reply(document["components"]["schemas"], request)
    queue = {"name": request.queue(), "durable": True, "exclusive": False, "autoDelete": False}
    document["channels"][type_] = {
        "address": request.queue(),
        "messages": {request.__name__: {"$ref": f"#/components/messages/{type_}"}},
        "bindings": {"amqp": {"is": "queue", "queue": queue, "bindingVersion": _BINDING}},
    }
    document["channels"][f"{type_}.reply"] = {
        "address": None,  # each asker's own, named by the request's reply-to
        "messages": {
            "answer": {"$ref": f"#/components/messages/{type_}.reply"},
            "refusal": {"$ref": "#/components/messages/problem"},
        },
    }
    operation = _operation("receive", type_, request.__name__, _doc(request), request.owner())
    operation["description"] = f"Asked by {' and '.join(request.askers)}."
    operation["reply"] = {
        "address": {"location": "$message.header#/reply_to"},
        "channel": {"$ref": f"#/channels/{type_}.reply"},
        "messages": [{"$ref": f"#/channels/{type_}.reply/messages/{each}"} for each in ("answer", "refusal")],
    }
    document["operations"][f"answer.{type_}"] = operation


def _reply(schemas: dict[str, Schema], request: type[Request[Any]]) -> dict[str, Any]:
    reply: dict[str, Any] = {"name": f"{request.wire_type}.reply", "title": f"{request.__name__} answered"}
    if not answered_with_json(request):
        return {
            **reply,
            "summary": "A file under its own content type, 5 MB at most.",
            "contentType": "application/pdf",
            "payload": {"type": "string", "format": "binary"},
        }
    result = _schema(schemas, request.result_type())
    return {
        **reply,
        "contentType": "application/json",
        "payload": {"allOf": [_ref("ReplyData"), {"type": "object", "properties": {"result": result}}]},
        "examples": [{"payload": {"result": result_example(request), "changed": []}}],
    }


def _problem() -> dict[str, Any]:
    text, number = {"type": "string"}, {"type": "integer"}
    return {
        "name": "problem",
        "title": "A named refusal",
        "summary": "RFC 9457: `type` ends with the refusal's name, `detail` is a sentence for a person.",
        "contentType": PROBLEM,
        "payload": {
            "type": "object",
            "properties": {"type": text, "title": text, "status": number, "detail": text},
            "required": ["type", "title", "status", "detail"],
        },
    }


def _operation(action: str, channel: str, message: str, summary: str, service: str) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/{channel}/messages/{message}"}],
        "tags": [{"name": service}],
    }


def _enveloped(envelope: str, type_: str, data: Schema) -> Schema:
    """The envelope's schema, its type fixed and its data known."""
    return {"allOf": [_ref(envelope), {"type": "object", "properties": {"type": {"const": type_}, **data}}]}


def _schema(schemas: dict[str, Schema], type_: Any) -> Schema:
    """Put the type's schema and those it refers to into the components; a reference to it, or itself if it has no name."""
    found = schema_of(type_, "#/components/schemas/{model}")
    schemas.update(found.pop("$defs", {}))
    if "title" not in found:
        return found
    schemas[found["title"]] = found
    return _ref(found["title"])


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _doc(of: type[Any]) -> str:
    return inspect.getdoc(of) or ""
