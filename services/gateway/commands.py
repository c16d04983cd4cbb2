"""The one way out: a command or question to the owner of a noun, and its answer into our read model before we reply."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from typing import Any, TypeVar
from uuid import UUID, uuid5

import asyncpg
from fastapi import Request

from chassis.database import Cause, transient
from chassis.ids import new_id
from chassis.service import Runtime
from chassis.telemetry import traceparent
from contracts.billing import PayLinkNotUsable
from contracts.identity import Customer, Merchant
from contracts.message import Actor, Command, EventEnvelope, MailFacts, MerchantId, Question, Reply, State
from services.gateway import readmodel, security
from services.gateway.security import Place, Room, current_session, give_place_back

log = logging.getLogger("portal.gateway")

R = TypeVar("R")

_BREATH = 0.1
"""Seconds before what was cut is written again."""
_PUBLIC = UUID("6f0b5b62-9a0e-4c53-9f4e-3d6c5f1c8a10")


def bearer_of(secret: str) -> Actor:
    """The actor *public*: whoever holds a pay link or an invitation, told apart from other holders by its hash alone."""
    return Actor(kind="public", id=uuid5(_PUBLIC, hashlib.sha256(secret.encode()).hexdigest()))


async def send(
    request: Request,
    command: Command[R],
    *,
    id: str | None,  # noqa: A002 - the command's id is what it is
    known: Sequence[tuple[type[State], UUID]] = (),
    public: Actor | None = None,
    merchant_id: MerchantId | None = None,
) -> R:
    """Send a command on behalf of whoever asks, and return its result once our own pages would show it.

    `id` makes it repeatable: the same id gets the first reply again (from a form: its hidden field; from the API:
    `Idempotency-Key`). The merchant's and (by `command.customer_id`) the customer's state go along so that the owner
    knows what we know; `known` adds others, `(Invoice, invoice_id)`. `public` (see `bearer_of`) with `merchant_id`
    stands in for a session on pages that need none.

    Raises the owner's refusals; NotAccepted within two seconds when it could not be taken; OutcomeUnknown when it was
    taken but not answered: the same id may be sent again.
    """
    reply = await dispatch(request, command, id=id, known=known, public=public, merchant_id=merchant_id)
    return reply.result


async def dispatch(
    request: Request,
    command: Command[R],
    *,
    id: str | None,  # noqa: A002 - the command's id is what it is
    known: Sequence[tuple[type[State], UUID]] = (),
    public: Actor | None = None,
    merchant_id: MerchantId | None = None,
) -> Reply[R]:
    """Like `send`, with everything that changed."""
    runtime = request.app.state.runtime
    cause = await _cause(request, id, public, merchant_id)
    copies = await _known(request, command, cause, known)
    with await _room(request, command.owner()):
        reply: Reply[R] = await runtime.rpc.ask(command, cause, id=cause.message_id, known=copies)
    await _read_own_writes(runtime, command, cause, reply.changed)
    return reply


async def _read_own_writes(
    runtime: Runtime, command: Command[Any], cause: Cause, changed: Sequence[EventEnvelope]
) -> None:
    """Write down what a command has changed, so that whoever gave it finds it at once.

    Tried once more where a connection was cut: the next may well be whole. Raises nothing of the database's: it IS done,
    and our followers will hear of it too; saying that it failed would be a lie.
    """
    for is_last in (False, True):
        try:
            async with runtime.db.transaction(cause) as tx:
                await readmodel.apply(tx, changed)
                await security.end_lost_sessions(tx, changed)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
            if not is_last and transient(error):
                await asyncio.sleep(_BREATH)
                continue
            log.exception("A command's changes are not in the read model yet.", extra={"command": command.wire_type})
        return


async def ask(
    request: Request,
    question: Question[R],
    *,
    public: Actor | None = None,
    merchant_id: MerchantId | None = None,
) -> R:
    """Ask a question on behalf of whoever asks. Raises the owner's refusals, NotAccepted, OutcomeUnknown."""
    cause = await _cause(request, None, public, merchant_id)
    with await _room(request, question.owner()):
        reply: Reply[R] = await request.app.state.runtime.rpc.ask(question, cause, id=cause.message_id)
    return reply.result


async def public_url(request: Request, question: Question[MailFacts]) -> str:
    """The address of a public page, whose secret path its owner names. A secret too. Raises PayLinkNotUsable."""
    facts = await ask(request, question)
    if not facts.still_true or facts.path is None:
        raise PayLinkNotUsable(facts.why_not or "")
    return f"{request.app.state.settings.public_url}{facts.path}"


async def _room(request: Request, owner: str) -> Place:
    """A place among what is under way to one owner. Raises Overloaded when there is none in time.

    There are so few that a busy owner answers all of them long before the deadline: what is too much is refused before it
    was sent, instead of becoming an outcome that nobody knows. And an owner that is silent holds up no more than these.
    """
    rooms: dict[str, Room] = request.app.state.rooms
    place = await rooms[owner].enter()
    give_place_back(request)
    return place


async def _cause(request: Request, id_: str | None, public: Actor | None, merchant_id: MerchantId | None) -> Cause:
    session = await current_session(request) if public is None else None
    actor = public or (session.actor if session else Actor(kind="public"))
    merchant = merchant_id or actor.merchant_id
    return Cause(actor, merchant, id_ or str(new_id()), str(new_id()), None, traceparent())


async def _known(
    request: Request, command: Command[Any], cause: Cause, more: Sequence[tuple[type[State], UUID]]
) -> tuple[Any, ...]:
    if cause.merchant_id is None:
        return ()
    wanted: list[tuple[type[State], UUID]] = [(Merchant, cause.merchant_id)]
    customer_id = getattr(command, "customer_id", None) or cause.actor.customer_id
    if customer_id is not None:
        wanted.append((Customer, customer_id))
    # Only what the owner keeps copies of: it has no table for anything else.
    copied = [each for each in (*wanted, *more) if command.owner() in each[0].followed_by]
    return await readmodel.known(request.app.state.runtime.db, cause.merchant_id, copied)
