"""Stripe's objects and events, in our own words. Nothing here reaches outside."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.message import InvoiceId, MerchantId, Money, PaymentId
from services.billing.domain.currencies import from_stripe, to_stripe

_SECRETS = re.compile(r'("(?:(?:success|cancel|return)_url|url|client_secret)"\s*:\s*)"(?:[^"\\]|\\.)*"')


class NotFromStripeError(ValueError):
    """A webhook that is not signed with our secret, too old, or not an event."""


@dataclass(frozen=True)
class Reference:
    """Which of our attempts an object says it belongs to. A hint: amount, currency and account decide."""

    merchant_id: MerchantId
    invoice_id: InvoiceId
    payment_id: PaymentId

    def metadata(self) -> dict[str, str]:
        """As Stripe keeps it on the session and, separately, on its payment intent."""
        return {
            "merchant_id": str(self.merchant_id),
            "invoice_id": str(self.invoice_id),
            "payment_id": str(self.payment_id),
        }


@dataclass(frozen=True)
class Card:
    """How somebody paid: `visa` and `4242`, or another method without digits. `stripe_id` is Stripe's of what it keeps."""

    method: str
    last4: str | None
    stripe_id: str | None = None


@dataclass(frozen=True)
class Checkout:
    """A Checkout Session. `status` is open, complete or expired; complete is not paid: see `paid`."""

    id: str
    status: str
    paid: bool
    url: str | None
    amount: Money
    intent_id: str | None
    created: int
    metadata: Mapping[str, str]
    raw: Mapping[str, Any] = field(repr=False, compare=False)


@dataclass(frozen=True)
class Refusal:
    """Why a payment did not work: Stripe's decline code and its sentence for the customer."""

    code: str
    message: str


@dataclass(frozen=True)
class Intent:
    """A payment intent. `received` is what was really taken.

    `card`, and whether all of it was `given_back` since, are known when the charge came with it.
    """

    id: str
    status: str
    amount: Money
    received: Money
    created: int
    metadata: Mapping[str, str]
    card: Card | None
    refusal: Refusal | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)
    given_back: bool = False


@dataclass(frozen=True)
class Charge:
    """A charge, which is where Stripe says which card it was."""

    id: str
    intent_id: str | None
    metadata: Mapping[str, str]
    card: Card | None


@dataclass(frozen=True)
class Event:
    """A webhook that Stripe signed; `account` is the connected account it happened on, None the platform's own."""

    id: str
    type: str
    account: str | None
    created: int
    object: Mapping[str, Any]


def checkout_request(
    reference: Reference,
    amount: Money,
    title: str,
    email: str | None,
    success_url: str,
    cancel_url: str,
    *,
    merchant_name: str | None = None,
    keep_for: str | None = None,
) -> dict[str, Any]:
    """The parameters of a session for one payment, in Stripe's words: what is stored with the attempt and sent again.

    `keep_for` is Stripe's id of the customer for whom the method is kept, to be charged without them later.
    """
    request: dict[str, Any] = {
        "mode": "payment",
        "client_reference_id": str(reference.invoice_id),
        "line_items": [
            {
                "quantity": 1,
                "price_data": {
                    "currency": amount.currency.lower(),
                    "unit_amount": to_stripe(amount.amount, amount.currency),
                    "product_data": {"name": title},
                },
            }
        ],
        "metadata": reference.metadata(),
        # Not copied from the session: without this the payment intent's own events would be foreign to us.
        "payment_intent_data": {"metadata": reference.metadata(), "description": title},
        "success_url": success_url,
        "cancel_url": cancel_url,
    }
    if keep_for:
        request["customer"] = keep_for
        request["payment_intent_data"]["setup_future_usage"] = "off_session"
    elif email:
        request["customer_email"] = email
    if merchant_name:
        # One platform account serves many merchants: the payer must see whom they pay.
        request["branding_settings"] = {"display_name": merchant_name}
    return request


def charge_request(reference: Reference, amount: Money, description: str, customer: str, method: str) -> dict[str, Any]:
    """The parameters of a charge without the customer: what is stored with the attempt and sent again.

    `customer` and `method` are Stripe's ids. No `setup_future_usage`: on a renewal it would force a challenge.
    """
    return {
        "amount": to_stripe(amount.amount, amount.currency),
        "currency": amount.currency.lower(),
        "customer": customer,
        "payment_method": method,
        "confirm": True,
        "off_session": True,
        "metadata": reference.metadata(),
        "description": description,
        # The charge says which card it was.
        "expand": ["latest_charge"],
    }


def checkout_of(source: Mapping[str, Any]) -> Checkout:
    """Read a session object. Raises KeyError or TypeError when it is none."""
    return Checkout(
        id=source["id"],
        status=source["status"],
        paid=source["payment_status"] in ("paid", "no_payment_required"),
        url=source["url"],
        amount=_money(source["amount_total"], source["currency"]),
        intent_id=id_in(source["payment_intent"]),
        created=source["created"],
        metadata=source["metadata"] or {},
        raw=source,
    )


def intent_of(source: Mapping[str, Any]) -> Intent:
    """Read a payment intent object. Raises KeyError or TypeError when it is none."""
    charge, error = source["latest_charge"], source["last_payment_error"]
    return Intent(
        id=source["id"],
        status=source["status"],
        amount=_money(source["amount"], source["currency"]),
        received=_money(source["amount_received"], source["currency"]),
        created=source["created"],
        metadata=source["metadata"] or {},
        card=_card(charge) if isinstance(charge, Mapping) else None,
        refusal=None if error is None else refusal_of(error),
        raw=source,
        given_back=isinstance(charge, Mapping) and bool(charge.get("refunded")),
    )


def charge_of(source: Mapping[str, Any]) -> Charge:
    """Read a charge object. Raises KeyError or TypeError when it is none."""
    return Charge(source["id"], id_in(source["payment_intent"]), source["metadata"] or {}, _card(source))


def event_of(payload: str | bytes) -> Event:
    """Read an event. Raises NotFromStripeError when the text is none."""
    try:
        source = json.loads(payload)
        account = source.get("account")
        event = Event(source["id"], source["type"], account, int(source.get("created", 0)), source["data"]["object"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as broken:
        raise NotFromStripeError(f"This is no event: {broken!r}") from broken
    texts = (event.id, event.type, event.account or "-")
    if not all(
        isinstance(text, str) and 0 < len(text) <= 255 and text.isascii() and text.isprintable() for text in texts
    ):
        raise NotFromStripeError("This is no event: its names are not names.")
    if not isinstance(event.object, Mapping):
        raise NotFromStripeError("This is no event: its object is none.")
    return event


def found_event(kind: str, source: Mapping[str, Any], account: str | None, now: datetime) -> Event:
    """What we saw at Stripe without being told, as the event that should have told us; the same finding has the same id."""
    state = source.get("payment_status") or source["status"]
    return Event(f"found:{kind}:{source['id']}:{state}", kind, account, int(now.timestamp()), source)


def without_secrets(payload: str) -> str:
    """An event's text as it may be kept: without what lets its reader pay or look in.

    That is the hosted page's address, a client secret, and the addresses a customer returns to, which may hold a pay
    link's token.
    """
    return _SECRETS.sub(r"\1null", payload)


def payload_of(event: Event) -> str:
    """An event's text, as `event_of` reads it and as it may be kept."""
    written = {"id": event.id, "type": event.type, "account": event.account, "created": event.created}
    return without_secrets(json.dumps({**written, "object": "event", "data": {"object": event.object}}))


def reference_of(metadata: Mapping[str, str]) -> Reference | None:
    """Which attempt of ours an object says it belongs to; None: it is not one that we made."""
    try:
        return Reference(
            MerchantId(UUID(metadata["merchant_id"])),
            InvoiceId(UUID(metadata["invoice_id"])),
            PaymentId(UUID(metadata["payment_id"])),
        )
    except (KeyError, ValueError, AttributeError, TypeError):
        return None


def _money(amount: int, currency: str) -> Money:
    code = currency.upper()
    return Money(from_stripe(amount, code), code)


def _card(charge: Mapping[str, Any]) -> Card | None:
    details = charge["payment_method_details"]
    if not details:
        return None
    kind, stripe_id = details["type"], kept_debit(details) or id_in(charge.get("payment_method"))
    if kind != "card":
        return Card(kind, (details.get(kind) or {}).get("last4"), stripe_id)
    return Card(details["card"]["brand"] or "card", details["card"]["last4"], stripe_id)


def kept_debit(details: Mapping[str, Any]) -> str | None:
    """Stripe's id of the direct debit that it keeps of a bank redirect, which itself pays only once.

    iDEAL and Bancontact (docs.stripe.com/payments/ideal/save-during-payment): `details` is `payment_method_details` of a
    charge, or of a setup's attempt. None: nothing but the method itself is kept.
    """
    return id_in((details.get(details["type"]) or {}).get("generated_sepa_debit"))


def refusal_of(error: Mapping[str, Any]) -> Refusal:
    """Why a charge did not work, from an error's body or a payment intent's last error."""
    code = error.get("decline_code") or error.get("code") or "declined"
    return Refusal(str(code)[:100], str(error.get("message") or "The payment was declined.")[:500])


def id_in(expandable: Any) -> str | None:
    """The id of what may stand there whole, as its id, or not at all."""
    found = expandable["id"] if isinstance(expandable, Mapping) else expandable
    return None if found is None else str(found)
