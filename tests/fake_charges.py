"""Charges of FakeStripe for which nobody is there: saved methods, and how their banks behave."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from services.billing.stripe_gateway import Intent, Refusal, StripeDeclinedError, StripeRefusedError, intent_of
from tests.fake_part import Json
from tests.fake_wallets import FakeWallets


class FakeCharges(FakeWallets):
    """A part of FakeStripe. `behaves` says of a method's id what its bank answers: a decline code, or *processing*."""

    def __init__(self) -> None:
        super().__init__()
        self.behaves: dict[str, str] = {}
        self.charged: dict[str, Json] = {}
        self.apart = timedelta(0)

    async def charge(self, request: Mapping[str, Any], key: str, account: str | None) -> Intent:
        self._take("charge", self.fails)
        if key not in self.keys:
            self.own(request["payment_method"], account)
            self.keys[key] = self._tried(request, account)
            self.charged[key] = dict(request)
        elif self.charged[key] != dict(request):
            raise StripeRefusedError("idempotency_error", "The key came with another body.")
        self._take("charge", self.lost, note=False)
        intent = self.intents[self.keys[key]]
        if intent["status"] == "requires_payment_method":
            error = intent["last_payment_error"]
            raise StripeDeclinedError(Refusal(error["decline_code"], error["message"]), "card_declined", intent["id"])
        return intent_of(copy.deepcopy(intent))

    async def now(self) -> datetime:
        return datetime.now(UTC) + self.apart

    def _tried(self, request: Mapping[str, Any], account: str | None) -> str:
        method = self.methods[request["payment_method"]]
        assert method["customer"] == request["customer"], "Stripe charges a customer's own methods only."
        answer = self.behaves.get(method["id"], "succeeded")
        intent: Json = {
            "id": f"pi_{next(self._numbers)}",
            "object": "payment_intent",
            "amount": request["amount"],
            "amount_received": 0,
            "currency": request["currency"],
            "created": int(datetime.now(UTC).timestamp()),
            "metadata": dict(request["metadata"]),
            "latest_charge": None,
            "last_payment_error": None,
            "status": answer,
        }
        self.intents[intent["id"]], self.owners[intent["id"]] = intent, account
        if answer == "succeeded":
            self._succeeds(intent, method["card"])
        elif answer != "processing":
            self._is_refused(intent, answer)
        return str(intent["id"])

    def _succeeds(self, intent: Json, card: Json) -> None:
        details = {"type": "card", "card": {"brand": card["brand"], "last4": card["last4"]}}
        charge = {"id": f"ch_{next(self._numbers)}", "object": "charge", "payment_intent": intent["id"]}
        charge |= {"metadata": intent["metadata"], "payment_method_details": details}
        intent.update(status="succeeded", amount_received=intent["amount"], latest_charge=charge)
        account = self.owners[intent["id"]]
        self.tell("charge.succeeded", charge, account)
        self.tell("payment_intent.succeeded", intent | {"latest_charge": charge["id"]}, account)

    def _is_refused(self, intent: Json, code: str) -> None:
        error = {"code": "card_declined", "decline_code": code, "message": "Your card was declined."}
        intent.update(status="requires_payment_method", last_payment_error=error)
        self.tell("payment_intent.payment_failed", intent, self.owners[intent["id"]])

    def bank_answers(self, intent_id: str, code: str | None = None) -> None:
        """The bank of a charge that was *processing* says yes, or no with a code."""
        intent = self.intents[intent_id]
        if code is None:
            self._succeeds(intent, {"brand": "visa", "last4": "4242"})
        else:
            self._is_refused(intent, code)
