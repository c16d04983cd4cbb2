"""What several operations share: what is given and answered, lists, who asks, and the key that makes a request repeatable."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from fastapi import Depends, Header, Query, Request
from pydantic import BaseModel, ConfigDict
from starlette.types import ASGIApp, Receive, Scope, Send

from chassis.database import Database
from contracts.message import Command, InvalidInput
from services.gateway import commands
from services.gateway.domain import Viewer
from services.gateway.readmodel import Page
from services.gateway.security import AnyAccount, viewer_of

T = TypeVar("T")
AnswerT = TypeVar("AnswerT", bound="Answer")

EXAMPLE = "0198c5d2-7c3e-7d5a-9f5e-0d4c1c1a2b3c"


class Answer(BaseModel):
    """Something that the API answers with, built from a state of the same field names."""

    model_config = ConfigDict(from_attributes=True)


class Given(BaseModel):
    """Something that the API is given. An unknown field is refused: it would be silently left undone."""

    model_config = ConfigDict(extra="forbid")

    def fields(self) -> dict[str, Any]:
        """What was given, under the names that the owner's command has for it. What was left out is not there."""
        return self.model_dump(exclude_unset=True)


def given(body: Given | None) -> dict[str, Any]:
    """The fields of a body that may be left out altogether."""
    return body.fields() if body else {}


class Items(BaseModel, Generic[T]):
    """One page of a list. `next_cursor` leads to the next one; null is the end."""

    items: list[T]
    next_cursor: str | None = None


def items(page: Page[Any], of: type[T], **context: Any) -> Items[T]:
    """A page of the read model as an answer."""
    make: Any = of
    return Items[T](
        items=[make.model_validate(each, context=context) for each in page.items], next_cursor=page.next_cursor
    )


async def done(request: Request, order: Command[Any], key: str | None, of: type[AnswerT]) -> AnswerT:
    """Send a command, and answer with the state that it leaves. Raises the owner's refusals, NotAccepted, OutcomeUnknown."""
    return of.model_validate(await commands.send(request, order, id=key))


@contextmanager
def as_given(name: Callable[[str], str]) -> Iterator[None]:
    """Within it an owner's refusal names each field as the request did."""
    try:
        yield
    except InvalidInput as refused:
        errors = tuple(each.model_copy(update={"field": name(each.field)}) for each in refused.errors)
        raise InvalidInput(refused.detail, errors=errors) from refused


class EmptyIsAbsent:
    """ASGI middleware: in the API a query value that is empty (`?status=&cursor=`) is as good as not given.

    Forms and URL builders send such for a filter that nobody has chosen; no parameter of ours means anything by "".
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with those values alone that say something."""
        if scope["type"] == "http" and scope["path"].startswith("/api/"):
            pairs = scope["query_string"].split(b"&")
            scope = {**scope, "query_string": b"&".join(pair for pair in pairs if pair.partition(b"=")[2])}
        await self.app(scope, receive, send)


async def _db(request: Request) -> Database:
    db: Database = request.app.state.runtime.db
    return db


async def _viewer(session: AnyAccount) -> Viewer:
    return viewer_of(session)


async def _idempotency_key(
    idempotency_key: Annotated[
        str | None,
        Header(
            pattern=r"^[\x21-\x7e]+$",
            max_length=255,
            description="Chosen by you, visible ASCII. The same key and body get the first answer again.",
            examples=[EXAMPLE],
        ),
    ] = None,
) -> str | None:
    return idempotency_key


Db = Annotated[Database, Depends(_db)]
AnyViewer = Annotated[Viewer, Depends(_viewer)]
"""Whose eyes the read model is read with: a member's or a contact's. Who has no account is refused."""
IdempotencyKey = Annotated[str | None, Depends(_idempotency_key)]
Cursor = Annotated[str | None, Query(max_length=500, description="`next_cursor` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=100, description="How many items a page has at most.")]
OfCustomer = Annotated[UUID | None, Query(description="Only this customer's.")]
InState = Annotated[T | None, Query(description="Only those in this state.")]
