"""`/_sandbox`: the banks, and the merchant in Stripe's dashboard: what nobody asks the API for."""

from typing import Any, Literal

from fastapi import APIRouter, HTTPException
from pydantic import Field

from local.stripe.acts import Body, about
from local.stripe.cards import card_of
from local.stripe.debits import NO_FUNDS
from local.stripe.disputes import ANSWERABLE, close_dispute, open_dispute
from local.stripe.due import failure_of, settle
from local.stripe.metadata import changed
from local.stripe.refunds import fail_refund, make_refund
from local.stripe.sandbox import Sandbox
from local.stripe.work import Work

Json = dict[str, Any]


class Settlement(Body):
    """The bank's answer to a debit that is processing; null: what the account's IBAN stands for."""

    outcome: Literal["succeeded", "failed"] | None = None


class DashboardRefund(Body):
    """A refund that a member of the merchant makes in Stripe's dashboard; amount null: all that is left."""

    payment_intent: str
    amount: int | None = None
    reason: Literal["duplicate", "fraudulent", "requested_by_customer"] | None = None


class RefundFailure(Body):
    """Why the customer's bank sends the money back."""

    reason: Literal["lost_or_stolen_card", "expired_or_canceled_card", "unknown"] = "unknown"


class NewDispute(Body):
    """A customer disputes a charge at their bank; amount null: all that was not refunded."""

    payment_intent: str
    amount: int | None = Field(default=None, ge=1)
    reason: str = "fraudulent"


class Verdict(Body):
    """How the bank decides a dispute, seen from the merchant."""

    outcome: Literal["won", "lost"]


class BankChange(Body):
    """What becomes of a saved card.

    `behaves_like`: from now on its bank decides as for this test card; the card still looks the same. The others are what
    the network tells of a replaced card, which Stripe announces as `payment_method.automatically_updated`.
    """

    behaves_like: str | None = None
    exp_month: int | None = Field(default=None, ge=1, le=12)
    exp_year: int | None = None
    last4: str | None = Field(default=None, pattern="^[0-9]{4}$")


def bank_acts(sandbox: Sandbox) -> APIRouter:
    """The routes about debits, refunds and saved cards."""
    router = APIRouter(prefix="/_sandbox")

    @router.post("/payment_intents/{intent_id}/settle")
    async def settle_intent(intent_id: str, settlement: Settlement | None = None) -> Json:
        async with about(sandbox, intent_id, "payment_intent") as (work, intent):
            if intent["status"] != "processing":
                raise HTTPException(409, f"the payment is {intent['status']}")
            planned = failure_of(work, intent)
            match settlement and settlement.outcome:
                case "succeeded":
                    settle(work, intent, None)
                case "failed":
                    settle(work, intent, planned or NO_FUNDS)
                case None:
                    settle(work, intent, planned)
        return intent

    @router.post("/refunds")
    async def refund(wanted: DashboardRefund) -> Json:
        async with about(sandbox, wanted.payment_intent, "payment_intent") as (work, intent):
            fields = {"amount": wanted.amount, "reason": wanted.reason}
            return make_refund(work, _charge_of(work, intent), fields)

    @router.post("/refunds/{refund_id}/fail")
    async def fail(refund_id: str, failure: RefundFailure | None = None) -> Json:
        async with about(sandbox, refund_id, "refund") as (work, refund):
            if refund["status"] == "failed":
                raise HTTPException(409, "the refund has failed already")
            return fail_refund(work, refund, (failure or RefundFailure()).reason)

    @router.post("/payment_methods/{method_id}")
    async def change_method(method_id: str, change: BankChange) -> Json:
        async with about(sandbox, method_id, "payment_method") as (work, method):
            if method["type"] != "card":
                raise HTTPException(409, "only a card changes")
            _change(work, method, change)
        return method

    return router


def dispute_acts(sandbox: Sandbox) -> APIRouter:
    """The routes about disputes."""
    router = APIRouter(prefix="/_sandbox")

    @router.post("/disputes")
    async def dispute(wanted: NewDispute) -> Json:
        async with about(sandbox, wanted.payment_intent, "payment_intent") as (work, intent):
            charge = _charge_of(work, intent)
            if charge["disputed"]:
                raise HTTPException(409, "the charge is disputed already")
            return open_dispute(work, charge, reason=wanted.reason, amount=wanted.amount)

    @router.post("/disputes/{dispute_id}/close")
    async def close(dispute_id: str, verdict: Verdict) -> Json:
        async with about(sandbox, dispute_id, "dispute") as (work, dispute):
            if dispute["status"] not in ANSWERABLE:
                raise HTTPException(409, f"the dispute is {dispute['status']}")
            return close_dispute(work, dispute, verdict.outcome)

    return router


def _charge_of(work: Work, intent: Json) -> Json:
    if intent["status"] != "succeeded":
        raise HTTPException(409, f"the payment is {intent['status']}")
    return work.fetch("charge", intent["latest_charge"], "charge")


def _change(work: Work, method: Json, change: BankChange) -> None:
    if change.behaves_like is not None:
        work.remember(method["id"], number=card_of(change.behaves_like).number)
    shown = change.model_dump(exclude={"behaves_like"}, exclude_none=True)
    if shown:
        before = {**method, "card": dict(method["card"])}
        method["card"].update(shown)
        work.save(method)
        work.emit("payment_method.automatically_updated", method, changed(before, method))
