"""Stripe's refunds and disputes, in our own words. Nothing here reaches outside."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from contracts.message import Money, RefundId
from services.billing.domain.currencies import to_stripe
from services.billing.domain.returns import DisputeStatus, RefundStatus
from services.billing.stripe_gateway.objects import Reference, _money, id_in

_REFUND_STATES: dict[str, RefundStatus] = {
    "pending": "processing",
    "requires_action": "processing",
    "succeeded": "succeeded",
    "failed": "failed",
    "canceled": "failed",
}
_WON = frozenset({"won", "warning_closed", "prevented"})


@dataclass(frozen=True)
class RefundSeen:
    """A refund at Stripe. `refund_id` is the one of ours that it says it is; a hint, as all metadata."""

    id: str
    status: RefundStatus
    amount: Money
    intent_id: str | None
    refund_id: RefundId | None
    failure: str | None
    created: int
    raw: Mapping[str, Any] = field(repr=False, compare=False)


@dataclass(frozen=True)
class DisputeSeen:
    """A dispute at Stripe. `inquiry`: the bank only asks, and has taken no money."""

    id: str
    status: DisputeStatus
    inquiry: bool
    amount: Money
    intent_id: str | None
    reason: str
    evidence_due_at: datetime | None
    created: int
    raw: Mapping[str, Any] = field(repr=False, compare=False)


def refund_request(reference: Reference, refund_id: RefundId, intent_id: str, amount: Money) -> dict[str, Any]:
    """The parameters of a refund, in Stripe's words; the same for the same refund, as its idempotency key demands."""
    return {
        "payment_intent": intent_id,
        "amount": to_stripe(amount.amount, amount.currency),
        "metadata": {**reference.metadata(), "refund_id": str(refund_id)},
    }


def refund_of(source: Mapping[str, Any]) -> RefundSeen:
    """Read a refund object. Raises KeyError or TypeError when it is none."""
    return RefundSeen(
        id=source["id"],
        status=_REFUND_STATES[source["status"]],
        amount=_money(source["amount"], source["currency"]),
        intent_id=id_in(source["payment_intent"]),
        refund_id=_refund_id(source["metadata"] or {}),
        failure=source.get("failure_reason"),
        created=source["created"],
        raw=source,
    )


def dispute_of(source: Mapping[str, Any]) -> DisputeSeen:
    """Read a dispute object. Raises KeyError or TypeError when it is none."""
    status, due = source["status"], (source.get("evidence_details") or {}).get("due_by")
    stands: DisputeStatus = "won" if status in _WON else "lost" if status == "lost" else "open"
    return DisputeSeen(
        id=source["id"],
        status=stands,
        inquiry=status.startswith("warning_"),
        amount=_money(source["amount"], source["currency"]),
        intent_id=id_in(source["payment_intent"]),
        reason=str(source["reason"])[:100],
        evidence_due_at=datetime.fromtimestamp(due, UTC) if due else None,
        created=source["created"],
        raw=source,
    )


def _refund_id(metadata: Mapping[str, str]) -> RefundId | None:
    try:
        return RefundId(UUID(metadata["refund_id"]))
    except (KeyError, ValueError, AttributeError, TypeError):
        return None
