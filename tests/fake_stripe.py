"""A Stripe that lives in the test's memory: the same questions, no network, and faults on request.

The scenarios of tests/integration/billing run over it and over the sandbox, so that it cannot drift from what Stripe does.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any, Self

import stripe

from contracts.message import PaymentId
from services.billing.stripe_gateway import Checkout, Intent, StripeRefusedError, checkout_of, intent_of
from tests.fake_charges import FakeCharges
from tests.fake_part import Json
from tests.fake_returns import FakeReturns

DECLINED = {"code": "card_declined", "decline_code": "generic_decline", "message": "Your card was declined."}


def session_object(session_id: str, metadata: Mapping[str, str], amount: int, currency: str) -> Json:
    """An open Checkout Session with the fields that we read."""
    return {
        "id": session_id,
        "object": "checkout.session",
        "status": "open",
        "payment_status": "unpaid",
        "url": f"https://checkout.test/{session_id}",
        "amount_total": amount,
        "currency": currency,
        "payment_intent": None,
        "created": int(time.time()),
        "metadata": dict(metadata),
    }


def intent_object(intent_id: str, metadata: Mapping[str, str], amount: int, currency: str, *, status: str) -> Json:
    """A payment intent with the fields that we read."""
    return {
        "id": intent_id,
        "object": "payment_intent",
        "status": status,
        "amount": amount,
        "amount_received": amount if status == "succeeded" else 0,
        "currency": currency,
        "created": int(time.time()),
        "metadata": dict(metadata),
        "latest_charge": None,
        "last_payment_error": None,
    }


def charge_object(
    charge_id: str, intent_id: str, metadata: Mapping[str, str], brand: str, last4: str, method: str = "pm_once"
) -> Json:
    """A charge with the fields that we read."""
    return {
        "id": charge_id,
        "object": "charge",
        "payment_intent": intent_id,
        "metadata": dict(metadata),
        "payment_method": method,
        "payment_method_details": {"type": "card", "card": {"brand": brand, "last4": last4}},
    }


class FakeStripe(FakeCharges, FakeReturns):
    """What was asked is in `asked`; `fails` holds what the next calls raise, by method name."""

    def __init__(self) -> None:
        super().__init__()
        self.sessions: dict[str, Json] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def reach(self, account: str | None) -> None:
        self._take("reach", self.fails)

    # --- what billing asks --------------------------------------------------------------------------------------------

    async def open_checkout(self, request: Mapping[str, Any], key: str, account: str | None) -> Checkout:
        self._take("open_checkout", self.fails)
        if key not in self.keys:
            item = request["line_items"][0]["price_data"]
            session = session_object(
                f"cs_{next(self._numbers)}", request["metadata"], item["unit_amount"], item["currency"]
            )
            self.sessions[session["id"]] = session | {"request": dict(request)}
            self.owners[session["id"]] = account
            self.keys[key] = session["id"]
        elif self.sessions[self.keys[key]]["request"] != dict(request):
            raise StripeRefusedError("idempotency_error", "The key came with another body.")
        self._take("open_checkout", self.lost, note=False)
        return self._checkout(self.keys[key])

    async def checkout(self, session_id: str, account: str | None) -> Checkout:
        self._take("checkout", self.fails)
        self.own(session_id, account)
        return self._checkout(session_id)

    async def expire_checkout(self, session_id: str, account: str | None) -> Checkout:
        self._take("expire_checkout", self.fails)
        self.own(session_id, account)
        if self.sessions[session_id]["status"] == "open":
            self.expires(session_id)
        self._take("expire_checkout", self.lost, note=False)
        return self._checkout(session_id)

    async def find_checkout(self, payment_id: PaymentId, age: timedelta, account: str | None) -> Checkout | None:
        self._take("find_checkout", self.fails)
        for session in self.sessions.values():
            if session["metadata"]["payment_id"] == str(payment_id) and self.owners[session["id"]] == account:
                return self._checkout(session["id"])
        return None

    async def intent(self, intent_id: str, account: str | None) -> Intent:
        self._take("intent", self.fails)
        self.own(intent_id, account)
        return intent_of(copy.deepcopy(self.intents[intent_id]))

    async def intents_since(self, created: int, account: str | None) -> AsyncIterator[Intent]:
        self._take("intents_since", self.fails)
        for intent in reversed(list(self.intents.values())):
            if intent["created"] >= created and self.owners.get(intent["id"]) == account:
                yield intent_of(copy.deepcopy(intent))

    def _checkout(self, session_id: str) -> Checkout:
        found = copy.deepcopy(self.sessions[session_id])
        found.pop("request", None)
        return checkout_of(found)

    # --- what customers and time do -----------------------------------------------------------------------------------

    def session_at(self, url: str) -> str:
        """The id of the session behind a checkout's URL."""
        return url.rsplit("/", 1)[1]

    def pays(self, session_id: str, brand: str = "visa", last4: str = "4242") -> None:
        """The customer pays; Stripe tells it in its order."""
        session, intent = self._begun(session_id)
        customer = session["request"].get("customer")
        method = self.attaches(customer, last4) if customer else "pm_once"
        charge = charge_object(f"ch_{next(self._numbers)}", intent["id"], intent["metadata"], brand, last4, method)
        fresh = intent_object(
            intent["id"], intent["metadata"], intent["amount"], intent["currency"], status="succeeded"
        )
        self.intents[intent["id"]] = fresh | {"latest_charge": charge}
        session.update(status="complete", payment_status="paid", url=None)
        self.tell("charge.succeeded", charge, self.owners[session_id])
        self.tell("payment_intent.succeeded", fresh | {"latest_charge": charge["id"]}, self.owners[session_id])
        self.tell("checkout.session.completed", session, self.owners[session_id])

    def is_declined(self, session_id: str) -> None:
        """A card is declined; the session stays open."""
        _, intent = self._begun(session_id)
        intent.update(status="requires_payment_method", last_payment_error=dict(DECLINED))
        self.tell("payment_intent.payment_failed", intent, self.owners[session_id])

    def debits(self, session_id: str) -> None:
        """The customer is done, by bank debit: the money comes days later, or does not."""
        session, intent = self._begun(session_id)
        intent["status"] = "processing"
        session.update(status="complete", url=None)
        self.tell("checkout.session.completed", session, self.owners[session_id])

    def debit_arrives(self, session_id: str) -> None:
        """The bank debit succeeds."""
        session, intent = self._begun(session_id)
        intent.update(status="succeeded", amount_received=intent["amount"])
        session["payment_status"] = "paid"
        self.tell("checkout.session.async_payment_succeeded", session, self.owners[session_id])

    def debit_fails(self, session_id: str) -> None:
        """The bank debit fails."""
        session, intent = self._begun(session_id)
        intent["status"] = "requires_payment_method"
        self.tell("checkout.session.async_payment_failed", session, self.owners[session_id])

    def expires(self, session_id: str) -> None:
        """Twenty-four hours are over, or somebody closed it."""
        session = self.sessions[session_id]
        session.update(status="expired", url=None)
        self.tell("checkout.session.expired", session, self.owners[session_id])

    def _begun(self, session_id: str) -> tuple[Json, Json]:
        session = self.sessions[session_id]
        if session["payment_intent"] is None:
            intent = intent_object(
                f"pi_{next(self._numbers)}",
                session["metadata"],
                session["amount_total"],
                session["currency"],
                status="processing",
            )
            session["payment_intent"] = intent["id"]
            self.intents[intent["id"]] = intent
            self.owners[intent["id"]] = self.owners[session_id]
        return session, self.intents[session["payment_intent"]]


def webhook(event: Json, secret: str, at: float | None = None) -> tuple[bytes, dict[str, str]]:
    """An event as Stripe would post it: its bytes and headers."""
    raw = json.dumps(event)
    signature = stripe.WebhookSignature.generate_signature_header(raw, secret, int(at or time.time()))
    return raw.encode(), {"stripe-signature": signature, "content-type": "application/json"}
