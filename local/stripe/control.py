"""`/_sandbox`: what tests use to make Stripe misbehave, and to do what a customer does without a browser."""

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, ConfigDict, Field

from local.stripe.cards import Approval, CardDetails, Challenge, Decline, card_of
from local.stripe.checkout import awaits_challenge, pass_challenge, pay, success_url
from local.stripe.faults import Fault
from local.stripe.sandbox import Sandbox

Json = dict[str, Any]


class Behaviour(BaseModel):
    """The webhooks' misbehaviour, as `WebhookBehaviour`; what is not given is switched off."""

    model_config = ConfigDict(extra="forbid")

    duplicate: int = Field(default=0, ge=0, le=20)
    shuffle: bool = False
    delay: float = Field(default=0.0, ge=0.0)
    drop: int = Field(default=0, ge=0)
    before_response: bool = False


class Payment(BaseModel):
    """What a customer types on the hosted page; `authenticate` answers a 3D Secure challenge (null: stays on it)."""

    model_config = ConfigDict(extra="forbid")

    card: str
    name: str | None = None
    authenticate: bool | None = None


class ClockTurn(BaseModel):
    """Turns the sandbox's clock forward, for expiry and for idempotency's 24 hours; until the next restart."""

    model_config = ConfigDict(extra="forbid")

    advance: int = Field(ge=0, description="seconds")


def control_room(sandbox: Sandbox) -> APIRouter:
    """The routes below `/_sandbox`."""
    router = APIRouter(prefix="/_sandbox")

    @router.post("/faults")
    async def add_fault(fault: Fault) -> Json:
        sandbox.faults.waiting.append(fault)
        return {"waiting": [waiting.model_dump() for waiting in sandbox.faults.waiting]}

    @router.get("/faults")
    async def list_faults() -> Json:
        return {"waiting": [waiting.model_dump() for waiting in sandbox.faults.waiting]}

    @router.delete("/faults")
    async def clear_faults() -> Json:
        sandbox.faults.waiting.clear()
        return {"waiting": []}

    @router.post("/webhooks")
    async def set_webhooks(behaviour: Behaviour) -> Json:
        for name, value in behaviour.model_dump().items():
            setattr(sandbox.webhooks, name, value)
        return behaviour.model_dump()

    @router.get("/events/{event_id}/deliveries")
    async def list_deliveries(event_id: str) -> Json:
        account, _ = _find(sandbox, event_id)
        return {"deliveries": sandbox.store.deliveries_of(account, event_id)}

    @router.post("/events/{event_id}/redeliver")
    async def redeliver(event_id: str) -> Json:
        account, event = _find(sandbox, event_id)
        work = sandbox.work(account)
        with work.store.transaction():
            work.queue(event)
        sandbox.deliverer.wake()
        return {"event": event_id, "type": event["type"]}

    @router.get("/ledger")
    async def read_ledger() -> Json:
        return {"lines": sandbox.ledger.read()}

    @router.post("/clock")
    async def turn_clock(turn: ClockTurn) -> Json:
        sandbox.clock_offset += turn.advance
        sandbox.expire_due()
        return {"now": sandbox.now(), "offset": sandbox.clock_offset}

    @router.post("/sessions/{session_id}/pay")
    async def pay_session(session_id: str, payment: Payment) -> Json:
        return await _pay(sandbox, session_id, payment)

    return router


async def _pay(sandbox: Sandbox, session_id: str, payment: Payment) -> Json:
    sandbox.expire_due()
    account, session = _find(sandbox, session_id)
    if session["status"] != "open":
        raise HTTPException(409, f"the session is {session['status']}")
    work = sandbox.work(account)
    year = datetime.fromtimestamp(work.now, UTC).year + 8
    with work.store.transaction():
        outcome = pay(work, session, CardDetails(card_of(payment.card), 12, year, payment.name))
        if payment.authenticate is not None and awaits_challenge(work, session):
            outcome = pass_challenge(work, session, authenticated=payment.authenticate)
    await sandbox.after_commit(work)
    answer: Json = {"session": session_id, "payment_intent": session["payment_intent"]}
    match outcome:
        case Approval():
            return {**answer, "outcome": "succeeded", "redirect": success_url(session)}
        case Challenge():
            url = f"{sandbox.settings.public_url}/c/pay/{session_id}/challenge"
            return {**answer, "outcome": "requires_action", "redirect": url}
        case Decline():
            return {
                **answer,
                "outcome": "declined",
                "code": outcome.code,
                "decline_code": outcome.decline_code,
                "message": outcome.message,
            }


def _find(sandbox: Sandbox, object_id: str) -> tuple[str, Json]:
    account = sandbox.store.find_owner(object_id)
    body = sandbox.store.find(account, object_id) if account is not None else None
    if account is None or body is None:
        raise HTTPException(404, f"nothing has the id {object_id}")
    return account, body
