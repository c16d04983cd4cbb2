"""An example of every message, always the same one: fixed ids and times, amounts that add up.

Nouns are written by hand, once; an event's example is its noun with what that event changed. A noun, event or request
that nobody wrote an example for gets one made from its schema, so that a new message needs nothing here.
"""

from __future__ import annotations

import zlib
from typing import Any
from uuid import UUID

from contracts.book.schemas import Schema, schema_of
from contracts.message import Event, Request, State

MORNING = "2026-03-02T09:30:00.000000Z"
NOON = "2026-03-02T12:05:00.000000Z"


def fixed_id(name: str) -> str:
    """The id that examples use for the thing called `name`: shaped like a UUIDv7, the same for ever."""
    return str(UUID(int=0x0195_5600_0000_7000_8000_0000_0000_0000 | zlib.crc32(name.encode())))


_OWNERS_OF = {"merchant_id": fixed_id("merchant"), "customer_id": fixed_id("customer")}

_LINE = {
    "description": "Website care, March",
    "quantity": "2.5",
    "unit_amount": 8000,
    "tax_rate": "19",
    "amount": 20000,
}
_RECEIPT = {
    "payment_id": fixed_id("payment"),
    "number": "R-2026-0007",
    "amount": 23800,
    "paid_at": NOON,
    "method": "visa",
    "last4": "4242",
}
_DECLINE = {"code": "insufficient_funds", "message": "Your card has insufficient funds.", "at": "2026-03-02T12:03:00Z"}
_PAID = {
    "status": "paid",
    "amount_paid": 23800,
    "amount_due": 0,
    "receipts": [_RECEIPT],
    "paid_at": NOON,
    "closed_at": NOON,
}
_CREDITED = {
    "credit_note_number": "CN-3",
    "tax_lines": [{"rate": "19", "base": 10000, "amount": 1900}],
    "issued_at": "2026-03-05T10:00:02Z",
}
_CREDIT_NOTE = {
    "refund_id": fixed_id("refund"),
    "number": "CN-3",
    "amount": 11900,
    "issued_at": "2026-03-05T10:00:02Z",
}
_REFUNDED = {"amount_refunded": 11900, "credit_notes": [_CREDIT_NOTE]}
_FAILURE = {"status": "failed", "failure": "expired_or_canceled_card", "settled_at": "2026-03-09T07:00:00Z"}

_UNACCEPTED: dict[str, Any] = dict.fromkeys(("anchor_on", "current_period", "next_charge", "accepted_at")) | {
    "status": "pending",
    "charges_made": 0,
    "charges_paid": 0,
}
_ENDED: dict[str, Any] = {"next_charge": None, "ended_on": "2026-04-02", "ended_at": "2026-04-02T07:00:00Z"}

STATES: dict[str, dict[str, Any]] = {
    "identity.merchant": {
        "name": "Nordlicht Studio",
        "support_email": "help@nordlicht.example",
        "locale": "de",
        "time_zone": "Europe/Berlin",
        "tax_id": "DE123456789",
        "created_at": "2026-01-05T08:00:00Z",
        "address": {"line1": "Hafenstraße 7", "postal_code": "20457", "city": "Hamburg", "country": "DE"},
    },
    "identity.customer": {
        "name": "Ada Lovelace",
        "company": "Analytical Engines Ltd",
        "email": "ada@engines.example",
        "locale": "en-GB",
        "time_zone": "Europe/London",
        "portal_access": "invited",
        "created_at": MORNING,
        "billing_address": {
            "line1": "12 St James's Square",
            "postal_code": "SW1Y 4JH",
            "city": "London",
            "country": "GB",
        },
    },
    "identity.invitation": {
        "email": "ada@engines.example",
        "role": "owner",
        "origin": "merchant",
        "status": "pending",
        "invited_by": "Jonas Weber",
        "expires_at": "2026-03-09T09:30:00Z",
        "created_at": MORNING,
    },
    "billing.invoice": {
        "kind": "one_time",
        "status": "open",
        "number": "INV-102",
        "currency": "EUR",
        "lines": [_LINE],
        "subtotal": 20000,
        "tax_lines": [{"rate": "19", "base": 20000, "amount": 3800}],
        "tax": 3800,
        "total": 23800,
        "amount_due": 23800,
        "due_on": "2026-03-16",
        "created_at": MORNING,
        "opened_at": MORNING,
        "seller": {"name": "Nordlicht Studio"},
        "buyer": {"name": "Ada Lovelace"},
        "link": {"token_sha256": "0f" * 32},
    },
    "billing.payment": {
        "invoice_id": fixed_id("invoice"),
        "attempt": 1,
        "status": "created",
        "amount": 23800,
        "currency": "EUR",
        "created_at": "2026-03-02T12:02:00Z",
    },
    "billing.subscription": {
        "kind": "recurring",
        "status": "active",
        "title": "Website care",
        "currency": "EUR",
        "lines": [{**_LINE, "description": "Website care"}],
        "subtotal": 20000,
        "tax_lines": [{"rate": "19", "base": 20000, "amount": 3800}],
        "tax": 3800,
        "total": 23800,
        "interval": {"unit": "month", "count": 1},
        "anchor_on": "2026-03-02",
        "current_period": {"starts_on": "2026-03-02", "ends_on": "2026-04-01"},
        "charges_made": 1,
        "charges_paid": 1,
        "next_charge": {
            "on": "2026-04-02",
            "amount": 23800,
            "period": {"starts_on": "2026-04-02", "ends_on": "2026-05-01"},
        },
        "first_invoice_id": fixed_id("invoice"),
        "created_at": MORNING,
        "accepted_at": NOON,
    },
    "billing.refund": {
        "invoice_id": fixed_id("invoice"),
        "payment_id": fixed_id("payment"),
        "status": "created",
        "amount": 11900,
        "credited": 11900,
        "currency": "EUR",
        "reason": "Half of it was not needed.",
        "by": "Jonas Weber",
        "created_at": "2026-03-05T10:00:00Z",
    },
    "billing.dispute": {
        "invoice_id": fixed_id("invoice"),
        "payment_id": fixed_id("payment"),
        "status": "open",
        "amount": 23800,
        "currency": "EUR",
        "reason": "product_not_received",
        "evidence_due_at": "2026-03-20T23:59:59Z",
        "opened_at": "2026-03-10T08:00:00Z",
    },
    "billing.reconciliation": {"finished_at": "2026-03-06T03:00:00Z", "compared": 12, "found": 1},
    "billing.payment_method": {
        "kind": "card",
        "brand": "visa",
        "last4": "4242",
        "exp_month": 12,
        "exp_year": 2034,
        "is_default": True,
        "billing_name": "Ada Lovelace",
        "billing_email": "ada@engines.example",
        "billing_country": "GB",
        "added_at": MORNING,
    },
    "notifications.mail": {
        "template": "payment_link",
        "subject_kind": "invoice",
        "subject_id": fixed_id("invoice"),
        "invoice_id": fixed_id("invoice"),
        "occasion": fixed_id("message"),
        "recipient": "ada@engines.example",
        "status": "queued",
        "message_id": "<0195@portal.example>",
        "queued_at": MORNING,
    },
    "todos.todo": {
        "origin": "assigned",
        "title": "Send us your logo",
        "due_on": "2026-03-09",
        "status": "open",
        "created_by": "Jonas Weber",
        "created_at": MORNING,
    },
}

CHANGES: dict[str, dict[str, Any]] = {
    "identity.customer.created.v1": {"portal_access": "none"},
    "identity.invitation.accepted.v1": {"status": "accepted", "accepted_at": NOON},
    "identity.invitation.revoked.v1": {"status": "revoked"},
    "identity.invitation.expired.v1": {"status": "expired"},
    "identity.invitation.superseded.v1": {"status": "superseded"},
    "billing.invoice.drafted.v1": dict.fromkeys(("number", "opened_at", "seller", "buyer", "link"))
    | {"status": "draft"},
    "billing.invoice.payment_started.v1": {
        "being_paid": {"payment_id": fixed_id("payment"), "since": "2026-03-02T12:02:00Z", "by": "Ada Lovelace"}
    },
    "billing.invoice.payment_declined.v1": {"last_decline": _DECLINE},
    "billing.invoice.charge_failed.v1": {
        "kind": "recurring",
        "subscription_id": fixed_id("subscription"),
        "last_decline": _DECLINE,
        "collection": {
            "failures": 1,
            "first_failed_at": "2026-03-02T12:03:00Z",
            "next_try_at": "2026-03-04T08:00:00Z",
            "last_failure": _DECLINE,
        },
    },
    "billing.invoice.part_paid.v1": {
        "amount_paid": 10000,
        "amount_due": 13800,
        "receipts": [{**_RECEIPT, "amount": 10000}],
    },
    "billing.invoice.paid.v1": _PAID,
    "billing.invoice.voided.v1": {"status": "void", "closed_at": NOON},
    "billing.invoice.given_up.v1": {"status": "uncollectible", "closed_at": NOON},
    "billing.payment.succeeded.v1": {
        "status": "succeeded",
        "method": "visa",
        "last4": "4242",
        "receipt_number": "R-2026-0007",
        "settled_at": NOON,
    },
    "billing.payment.failed.v1": {"status": "failed", "decline": _DECLINE, "settled_at": NOON},
    "billing.payment.changed.v1": {"status": "processing"},
    "billing.subscription.created.v1": _UNACCEPTED,
    "billing.subscription.link_email_requested.v1": _UNACCEPTED
    | {"first_invoice_id": None, "trial_days": 14, "link": {"token_sha256": "0f" * 32}},
    "billing.subscription.pause_planned.v1": {"pause_on": "2026-04-02", "resumes_on": "2026-06-01"},
    "billing.subscription.paused.v1": {"status": "paused", "paused_on": "2026-03-10", "next_charge": None},
    "billing.subscription.cancel_planned.v1": {
        "cancel_on": "2026-04-02",
        "cancelled_by": "customer",
        "next_charge": None,
    },
    "billing.subscription.cancelled.v1": _ENDED | {"status": "cancelled", "cancelled_by": "customer"},
    "billing.subscription.completed.v1": _ENDED | {"status": "completed", "ends_after": 1},
    "billing.invoice.refunded.v1": _PAID | _REFUNDED,
    "billing.invoice.disputed.v1": _PAID | {"amount_disputed": 23800},
    "billing.refund.changed.v1": _CREDITED | {"status": "processing"},
    "billing.refund.succeeded.v1": _CREDITED | {"status": "succeeded", "settled_at": "2026-03-05T10:00:02Z"},
    "billing.refund.failed.v1": _CREDITED | _FAILURE,
    "billing.dispute.won.v1": {"status": "won", "closed_at": "2026-04-02T08:00:00Z"},
    "billing.dispute.lost.v1": {"status": "lost", "closed_at": "2026-04-02T08:00:00Z"},
    "billing.payment_method.stopped_working.v1": {"working": False, "failure": "stolen_card", "in_use": True},
    "billing.payment_method.expiring.v1": {"exp_month": 3, "exp_year": 2026},
    "billing.payment_method.removed.v1": {"deleted": True, "is_default": False}
    | dict.fromkeys(("last4", "billing_name", "billing_email", "billing_country")),
    "notifications.mail.accepted.v1": {"status": "accepted", "settled_at": NOON},
    "notifications.mail.failed.v1": {"status": "failed", "reason": "550 No such user here", "settled_at": NOON},
    "notifications.mail.dropped.v1": {"status": "dropped", "reason": "The invoice is paid.", "settled_at": NOON},
    "notifications.mail.in_doubt.v1": {"status": "in_doubt", "reason": "Connection lost", "settled_at": NOON},
    "todos.todo.created.v1": {"origin": "own", "title": "Ask about the March report", "created_by": "Ada Lovelace"},
    "todos.todo.done.v1": {"status": "done", "done_by": "Ada Lovelace", "done_at": NOON},
    "todos.todo.cancelled.v1": {"status": "cancelled"},
    "todos.todo.deleted.v1": {"origin": "own", "deleted": True, "title": None, "notes": None},
}

_INVOICE_PAID = {"id": fixed_id("invoice"), **_OWNERS_OF, **STATES["billing.invoice"], **_PAID}

FURTHER_DATA: dict[str, dict[str, Any]] = {
    "billing.subscription.change_requested.v1": {
        "wish": {"wish": "pause", "note": "I am away in May.", "asked_by": "Ada Lovelace"}
    },
    "billing.payment.succeeded.v1": {"invoice": _INVOICE_PAID},
    "billing.refund.succeeded.v1": {"invoice": _INVOICE_PAID | _REFUNDED},
    "billing.refund.failed.v1": {"invoice": _INVOICE_PAID | {"credit_notes": [{**_CREDIT_NOTE, "failed": True}]}},
    "billing.dispute.opened.v1": {"invoice": _INVOICE_PAID | {"amount_disputed": 23800}},
}
"""What an event carries beside its state."""

WORDS: dict[str, Any] = {
    "name": "Ada Lovelace",
    "email": "ada@engines.example",
    "company": "Analytical Engines Ltd",
    "password": "correct horse battery",
    "token": "kVb3…43 characters…9Qw",
    "currency": "EUR",
    "locale": "en-GB",
    "time_zone": "Europe/London",
    "png_base64": "iVBORw0KGgo…",
    "image_base64": "iVBORw0KGgo…",
    "description": "Website care, March",
    "unit_amount": 8000,
    "return_path": "/portal/payments",
    "setup_url": "https://checkout.example/c/pay/cs_124",
    "exp_month": 12,
    "exp_year": 2034,
    "billing_name": "Ada Lovelace",
    "billing_email": "ada@engines.example",
    "billing_country": "GB",
    "checkout_url": "https://checkout.example/c/pay/cs_123",
    "path": "/pay/…",
    "title": "Send us your logo",
    "merchant_name": "Nordlicht Studio",
    "customer_name": "Ada Lovelace",
    "count": 12,
    "brand_colour": "#2457d6",
    "quantity": "2.5",
    "tax_rate": "19",
    "why_not": None,
    "tax_ids": ["GB123456789"],
    "link_token_sha256": None,
    "amount": 23800,
    "to": "gateway",
}
"""Values for fields of these names where no example is written by hand."""


def state_example(noun: type[State], changes: dict[str, Any]) -> dict[str, Any]:
    """The noun's public state, with `changes`; as it stands on the wire."""
    written = STATES.get(noun.noun) or made(schema_of(noun), noun.short_name())
    owners: dict[str, str | None] = {name: value for name, value in _OWNERS_OF.items() if name in noun.model_fields}
    if noun.model_fields["merchant_id"].annotation is type(None):
        owners["merchant_id"] = None
    whole = {**written, **owners, "id": fixed_id(noun.short_name()), **changes}
    parsed: dict[str, Any] = noun.model_validate(whole).model_dump(mode="json")
    return parsed


def event_example(event: type[Event[Any]]) -> dict[str, Any]:
    """The event's whole envelope, as published."""
    noun = event.of()
    data = {"state": state_example(noun, CHANGES.get(event.wire_type, {})), **FURTHER_DATA.get(event.wire_type, {})}
    return {
        "specversion": "1.0",
        "id": fixed_id(event.wire_type),
        "type": event.wire_type,
        "source": f"/{noun.owner()}",
        "subject": data["state"]["id"],
        "time": NOON,
        "datacontenttype": "application/json",
        "merchantid": data["state"]["merchant_id"],
        "sequence": 3,
        "correlationid": fixed_id("correlation"),
        "causationid": fixed_id("message"),
        "actor": f"member:{fixed_id('member')}",
        "traceparent": f"00-{'4b' * 16}-{'00f0' * 4}-01",
        "data": event.model_validate(data).model_dump(mode="json"),
    }


def request_example(request: type[Request[Any]]) -> Any:
    """The request's body: what must be given, and what most callers give."""
    return made(schema_of(request), "")


def result_example(request: type[Request[Any]]) -> Any:
    """The answer's result."""
    result = request.result_type()
    if isinstance(result, type) and issubclass(result, State):
        return state_example(result, {})
    return made(schema_of(result), "")


def made(schema: Schema, name: str, root: Schema | None = None) -> Any:
    """A value that fits `schema`, the same one every time; `name` is the field it is for."""
    root = schema if root is None else root
    if "$ref" in schema:
        return made(root["$defs"][schema["$ref"].rsplit("/", 1)[1]], name, root)
    if name in WORDS:
        return WORDS[name]
    if "default" in schema:
        return schema["default"]
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return made(schema["anyOf"][0], name, root)
    match schema.get("type"):
        case "object":
            fields = schema.get("properties", {})
            return {each: made(field, each, root) for each, field in fields.items()}
        case "array":
            return [made(schema["items"], name, root)]
        case "string":
            made_strings = {"uuid": fixed_id(name.removesuffix("_id")), "date-time": MORNING, "date": "2026-03-16"}
            return made_strings.get(schema.get("format", ""), f"{name.replace('_', ' ')}")
        case "integer":
            return max(1, int(schema.get("minimum", 1)))
        case "boolean":
            return True
        case _:
            return None
