"""Answering: commands and questions, each checked, run once, and its reply stored.

A command's transaction claims its key, keeps the copies that came along, runs the handler and stores the reply. The same
command again gets that reply. A handler of several transactions re-enters until its reply is stored.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json as encode

from chassis.copies import seen_known, upsert
from chassis.database import Cause, Database, Tx, transient
from chassis.ids import new_id
from chassis.rpc import JSON, PROBLEM
from chassis.telemetry import span
from contracts.message import (
    REQUESTS,
    CommandReused,
    Document,
    EventEnvelope,
    FieldError,
    Incident,
    InvalidInput,
    Known,
    Problem,
    Request,
    RequestEnvelope,
    secret_fields,
)

log = logging.getLogger("portal.requests")

C = TypeVar("C", bound=Request[Any])

MOST_BYTES = 5_000_000
_NOBODY = UUID(int=0)
_TRIES = 3


@dataclass(frozen=True)
class Answer:
    """A reply's bytes, ready to send or to store."""

    content_type: str
    body: bytes
    filename: str | None = None


class _Answered(Exception):  # noqa: N818 - not an error: the way out of a handler whose reply is already stored
    def __init__(self, answer: Answer) -> None:
        self.answer = answer


@dataclass
class Work:
    """A command of several transactions, or a question, under way."""

    db: Database
    cause: Cause
    request: RequestEnvelope
    stored: bool
    digest: bytes
    changed: list[EventEnvelope] = field(default_factory=list)
    answer: Answer | None = None
    _known_kept: bool = False

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        """Open a transaction that knows this command's key, so that two deliveries of it take turns."""
        async with self.db.transaction(self.cause) as tx:
            if self.stored:
                await _claim(tx, self.request, self.digest)
            if not self._known_kept:
                await _keep_known(tx, self.request.data.known)
            yield tx
            if tx.answer and self.stored:
                self.answer = await _store(tx, self.request, tx.answer[0], [*self.changed, *tx.announced])
        self._known_kept = True
        self.changed += tx.announced

    def stored_answer(self) -> Answer:
        """The reply that the last transaction stored."""
        assert self.answer is not None, "A command ended without a stored reply."
        return self.answer


TxHandler = Callable[[Tx, C], Awaitable[Any]]
WorkHandler = Callable[[Work, C], Awaitable[Any]]


@dataclass(frozen=True)
class Steps(Generic[C]):
    """Marks a command handler that opens its own transactions, with the network between them."""

    run: WorkHandler[C]


def steps(run: WorkHandler[C]) -> Steps[C]:
    """Wire a command handler of several transactions."""
    return Steps(run)


Commands = dict[type[Any], TxHandler[Any] | Steps[Any]]
Questions = dict[type[Any], WorkHandler[Any]]
"""Which function answers what; stands beside the functions, so that a new one is one file."""


async def _claim(tx: Tx, request: RequestEnvelope, digest: bytes) -> None:
    """Take the command's key. A second delivery waits here for the first's transaction, then finds its reply.

    Raises `_Answered` with the stored reply, or CommandReused when the key belongs to another body.
    """
    row = await tx.fetchrow(
        """
        INSERT INTO command_reply (merchant_id, actor, command, id, body_digest) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (merchant_id, actor, command, id) DO UPDATE SET attempts = command_reply.attempts + 1
        RETURNING body_digest, content_type, reply
        """,
        request.merchantid or _NOBODY,
        request.actor,
        request.type,
        request.id,
        digest,
    )
    assert row is not None
    if row["body_digest"] != digest:
        raise CommandReused
    if row["reply"] is not None:
        raise _Answered(Answer(row["content_type"], row["reply"]))


async def _store(tx: Tx, request: RequestEnvelope, result: Any, changed: list[EventEnvelope]) -> Answer:
    answer = _success(request.type, result, changed)
    await _save(tx, request, answer)
    return answer


async def _save(tx: Tx, request: RequestEnvelope, answer: Answer) -> None:
    await tx.execute(
        """
        UPDATE command_reply SET content_type = $5, reply = $6
        WHERE merchant_id = $1 AND actor = $2 AND command = $3 AND id = $4
        """,
        request.merchantid or _NOBODY,
        request.actor,
        request.type,
        request.id,
        answer.content_type,
        answer.body,
    )


async def _keep_known(tx: Tx, known: tuple[Known, ...]) -> None:
    for each in known:
        await upsert(tx, each.noun, [seen_known(each)])


_RESULTS: dict[str, TypeAdapter[Any]] = {}


def _success(type_: str, result: Any, changed: list[EventEnvelope]) -> Answer:
    if isinstance(result, Document):
        if len(result.body) > MOST_BYTES:
            raise ValueError(f"A document of {len(result.body)} bytes does not fit into a reply.")
        return Answer(result.content_type, result.body, result.filename)
    adapter = _RESULTS.get(type_)
    if adapter is None:
        adapter = _RESULTS[type_] = TypeAdapter(REQUESTS[type_].result_type())
    changes = b",".join(each.model_dump_json().encode() for each in changed)
    return Answer(JSON, b'{"result":' + adapter.dump_json(result) + b',"changed":[' + changes + b"]}")


def _refusal(problem: Problem) -> Answer:
    return Answer(PROBLEM, encode(problem.document()))


class Answerer:
    """The service's table of commands and questions, and how one of them is run."""

    def __init__(
        self,
        db: Database,
        secret_key: str,
        commands: Commands,
        questions: Questions,
    ) -> None:
        self.db = db
        self._key = hashlib.sha256(b"command-body" + secret_key.encode()).digest()
        self._handlers: dict[str, TxHandler[Any] | Steps[Any]] = {}
        for request, handler in commands.items():
            if any(secret_fields(request.result_type())):
                raise TypeError(f"{request.__name__} is answered with a secret, which may not be stored.")
            self._handlers[request.wire_type] = handler
        for request, asked in questions.items():
            self._handlers[request.wire_type] = Steps(asked)

    async def answer(self, body: bytes, deadline_ms: int | None = None) -> Answer | None:
        """The reply to one message; None when its asker has given up. Never raises for what a message may contain."""
        if deadline_ms is not None and time.time() * 1000 > deadline_ms:
            return None
        try:
            request = RequestEnvelope.model_validate_json(body)
            kind = REQUESTS[request.type]
            handler = self._handlers[request.type]
            command = kind.model_validate(request.data.body)
        except KeyError:
            return _refusal(InvalidInput("This service does not know such a request."))
        except ValidationError as invalid:
            return _refusal(invalid_input(invalid))
        with span(f"answer {request.type}", request.traceparent):
            return await self._run(request, command, handler)

    async def _run(
        self, request: RequestEnvelope, command: Request[Any], handler: TxHandler[Any] | Steps[Any]
    ) -> Answer:
        cause = Cause(
            request.data.actor,
            request.merchantid,
            request.id,
            request.correlationid,
            request.causationid,
            request.traceparent,
        )
        # Keyed, because a body may hold a password, and whoever reads the table must not be able to try words against it.
        digest = hmac.digest(self._key, encode(request.data.body), "sha256")
        attempt = 0
        while True:
            attempt += 1
            work = Work(self.db, cause, request, REQUESTS[request.type].stored, digest)
            try:
                return await self._once(work, command, handler)
            except _Answered as stored:
                return stored.answer
            except Problem as refused:
                return await self._refuse(work, refused)
            except Exception as surprise:
                if transient(surprise) and attempt < _TRIES:
                    extra = {"request": request.type, "attempt": attempt, "error": repr(surprise)}
                    log.warning("A request is tried again.", extra=extra)
                    await asyncio.sleep(0.05 * attempt)
                    continue
                incident = str(new_id())
                log.exception("A request failed.", extra={"incident": incident, "request": request.type})
                return _refusal(Incident(f"Something went wrong. It is noted as {incident}.", incident=incident))

    async def _once(self, work: Work, command: Request[Any], handler: TxHandler[Any] | Steps[Any]) -> Answer:
        if isinstance(handler, Steps):
            result = await handler.run(work, command)
            if not work.stored:
                return _success(work.request.type, result, work.changed)
            if work.answer is None:
                async with work.transaction() as tx:
                    tx.reply(result)
        else:
            async with work.transaction() as tx:
                tx.reply(await handler(tx, command))
        return work.stored_answer()

    async def _refuse(self, work: Work, refused: Problem) -> Answer:
        """Store a refusal, so that a repeat gets the same one, unless it says to try again."""
        answer = _refusal(refused)
        passing = refused.status >= 500 or refused.status == 429
        if not work.stored or passing or isinstance(refused, CommandReused):
            return answer
        try:
            async with self.db.transaction(work.cause) as tx:
                await _claim(tx, work.request, work.digest)
                await _save(tx, work.request, answer)
        except _Answered as stored:
            return stored.answer
        return answer


def invalid_input(invalid: ValidationError) -> InvalidInput:
    """What pydantic found wrong, as a refusal that names each field; values are left out, they may be secrets."""
    errors = tuple(
        FieldError(field=".".join(str(part) for part in error["loc"]), message=error["msg"])
        for error in invalid.errors(include_url=False, include_context=False, include_input=False)
    )
    return InvalidInput(errors[0].message if len(errors) == 1 else "", errors=errors)
