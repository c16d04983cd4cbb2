"""What FakeStripe knows of money that goes back: refunds and disputes."""

from __future__ import annotations

import copy
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from contracts.message import RefundId
from services.billing.stripe_gateway import DisputeSeen, RefundSeen, StripeRefusedError, dispute_of, refund_of
from tests.fake_part import FakePart, Json


class FakeReturns(FakePart):
    """A part of FakeStripe: its refunds and disputes."""

    def __init__(self) -> None:
        super().__init__()
        self.refunds: dict[str, Json] = {}
        self.disputes: dict[str, Json] = {}
        self.refund_keys: dict[str, tuple[Json, str]] = {}

    # --- what billing asks --------------------------------------------------------------------------------------------

    async def create_refund(self, request: Mapping[str, Any], key: str, account: str | None) -> RefundSeen:
        self._take("create_refund", self.fails)
        if key not in self.refund_keys:
            made = self.refunded(request["payment_intent"], request["amount"], request["metadata"], account=account)
            self.refund_keys[key] = (dict(request), made["id"])
        asked, refund_id = self.refund_keys[key]
        if asked != dict(request):
            raise StripeRefusedError("idempotency_error", "The key came with another body.")
        self._take("create_refund", self.lost, note=False)
        return refund_of(copy.deepcopy(self.refunds[refund_id]))

    async def find_refund(self, intent_id: str, refund_id: RefundId, account: str | None) -> RefundSeen | None:
        self._take("find_refund", self.fails)
        for each in self.refunds.values():
            if each["payment_intent"] == intent_id and each["metadata"].get("refund_id") == str(refund_id):
                return refund_of(copy.deepcopy(each))
        return None

    async def refund(self, stripe_id: str, account: str | None) -> RefundSeen:
        self._take("refund", self.fails)
        self.own(stripe_id, account)
        return refund_of(copy.deepcopy(self.refunds[stripe_id]))

    async def dispute(self, dispute_id: str, account: str | None) -> DisputeSeen:
        self._take("dispute", self.fails)
        self.own(dispute_id, account)
        return dispute_of(copy.deepcopy(self.disputes[dispute_id]))

    async def refunds_since(self, created: int, account: str | None) -> AsyncIterator[RefundSeen]:
        for each in reversed(list(self.refunds.values())):
            if each["created"] >= created and self.owners[each["id"]] == account:
                yield refund_of(copy.deepcopy(each))

    async def disputes_since(self, created: int, account: str | None) -> AsyncIterator[DisputeSeen]:
        for each in reversed(list(self.disputes.values())):
            if each["created"] >= created and self.owners[each["id"]] == account:
                yield dispute_of(copy.deepcopy(each))

    # --- what merchants at Stripe, banks and time do ------------------------------------------------------------------

    def refunded(
        self, intent_id: str, amount: int, metadata: Mapping[str, str] | None = None, *, account: str | None = None
    ) -> Json:
        """A refund is made, by us or on Stripe's pages."""
        self.own(intent_id, account)
        intent = self.intents[intent_id]
        given = sum(
            each["amount"]
            for each in self.refunds.values()
            if each["payment_intent"] == intent_id and each["status"] != "failed"
        )
        if any(each["payment_intent"] == intent_id and each["status"] != "won" for each in self.disputes.values()):
            raise StripeRefusedError("charge_disputed", "The charge has been charged back; cannot issue a refund.")
        if given + amount > intent["amount"]:
            raise StripeRefusedError("invalid_request", "Refund amount is greater than unrefunded amount on charge")
        refund = {
            "id": f"re_{next(self._numbers)}",
            "object": "refund",
            "status": "succeeded",
            "amount": amount,
            "currency": intent["currency"],
            "payment_intent": intent_id,
            "metadata": dict(metadata or {}),
            "failure_reason": None,
            "created": int(time.time()),
        }
        self.refunds[refund["id"]], self.owners[refund["id"]] = refund, account
        self.tell("refund.created", refund, account)
        return refund

    def refund_fails(self, refund_id: str, reason: str = "expired_or_canceled_card") -> None:
        """The customer's bank sends the money back."""
        self.refunds[refund_id].update(status="failed", failure_reason=reason)
        self.tell("refund.failed", self.refunds[refund_id], self.owners[refund_id])

    def disputed(self, intent_id: str, amount: int, status: str = "needs_response") -> str:
        """The cardholder goes to their bank."""
        intent, account = self.intents[intent_id], self.owners.get(intent_id)
        dispute = {
            "id": f"du_{next(self._numbers)}",
            "object": "dispute",
            "status": status,
            "amount": amount,
            "currency": intent["currency"],
            "payment_intent": intent_id,
            "reason": "fraudulent",
            "evidence_details": {"due_by": int(time.time()) + 7 * 24 * 3600},
            "metadata": {},
            "created": int(time.time()),
        }
        self.disputes[dispute["id"]], self.owners[dispute["id"]] = dispute, account
        self.tell("charge.dispute.created", dispute, account)
        return str(dispute["id"])

    def dispute_closes(self, dispute_id: str, outcome: str) -> None:
        """The bank decides."""
        self.disputes[dispute_id]["status"] = outcome
        self.tell("charge.dispute.closed", self.disputes[dispute_id], self.owners[dispute_id])
