"""`/_sandbox`: what tests use to make Stripe misbehave, to see what it did, and to turn its clock."""

import time
from typing import Any, Self

from fastapi import APIRouter
from pydantic import Field, model_validator

from local.stripe.acts import Body, find_any
from local.stripe.faults import Fault
from local.stripe.sandbox import Sandbox

Json = dict[str, Any]


class Behaviour(Body):
    """The webhooks' misbehaviour, as `WebhookBehaviour`; what is not given is switched off."""

    duplicate: int = Field(default=0, ge=0, le=20)
    shuffle: bool = False
    delay: float = Field(default=0.0, ge=0.0)
    drop: int = Field(default=0, ge=0)
    before_response: bool = False


class ClockTurn(Body):
    """Turns the sandbox's clock, by so many seconds or to a moment; it runs on from there, until the next restart."""

    advance: int | None = Field(default=None, description="seconds, forward or back")
    now: int | None = Field(default=None, ge=0, description="Unix seconds")

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.advance is None) == (self.now is None):
            raise ValueError("give either advance or now")
        return self


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
        account, _ = find_any(sandbox, event_id)
        return {"deliveries": sandbox.store.deliveries_of(account, event_id)}

    @router.post("/events/{event_id}/redeliver")
    async def redeliver(event_id: str) -> Json:
        account, event = find_any(sandbox, event_id)
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
        if turn.now is not None:
            sandbox.clock_offset = turn.now - int(time.time())
        else:
            sandbox.clock_offset += turn.advance or 0
        sandbox.let_happen()
        await sandbox.ledger.flush()
        return {"now": sandbox.now(), "offset": sandbox.clock_offset}

    return router
