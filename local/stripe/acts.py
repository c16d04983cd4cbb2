"""What the routes below `/_sandbox` share: strict bodies, and a transaction around an act upon an object."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import HTTPException
from pydantic import BaseModel, ConfigDict

from local.stripe.errors import StripeError
from local.stripe.sandbox import Sandbox
from local.stripe.work import Work

Json = dict[str, Any]


class Body(BaseModel):
    """A request's body; what it does not name is refused."""

    model_config = ConfigDict(extra="forbid")


def find_any(sandbox: Sandbox, object_id: str) -> tuple[str, Json]:
    """(account, object) by an id, in whatever account it lives.

    Raises:
        HTTPException: 404.
    """
    account = sandbox.store.find_owner(object_id)
    body = sandbox.store.find(account, object_id) if account is not None else None
    if account is None or body is None:
        raise HTTPException(404, f"nothing has the id {object_id}")
    return account, body


@asynccontextmanager
async def about(sandbox: Sandbox, object_id: str, *kinds: str) -> AsyncIterator[tuple[Work, Json]]:
    """An object, and a transaction around what happens to it; its events and ledger lines follow the commit.

    Raises:
        HTTPException: 404 for an id of no such object, 409 for what Stripe itself would refuse.
    """
    sandbox.let_happen()
    account, body = find_any(sandbox, object_id)
    if body["object"] not in kinds:
        raise HTTPException(404, f"{object_id} is no {' or '.join(kinds)}")
    work = sandbox.work(account)
    try:
        with work.store.transaction():
            yield work, body
    except StripeError as refusal:
        raise HTTPException(409, refusal.error["message"]) from refusal
    await sandbox.after_commit(work)
