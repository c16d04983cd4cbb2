"""Signing in and out, switching accounts, accepting an invitation."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import Field

from contracts import identity
from contracts.identity import ContactJoined, Password, SignedIn, SignIn, TimeZone
from contracts.message import EmailAddress, Line, Locale
from services.gateway import commands, security
from services.gateway.api.document import COMMAND, refusals
from services.gateway.api.shapes import EXAMPLE, Answer, Given, IdempotencyKey
from services.gateway.domain import expires_at
from services.gateway.security import AnySession

router = APIRouter(tags=["session"])


class Account(Answer):
    """A place that one can work in: a merchant's console or a customer's portal."""

    id: UUID
    kind: Literal["merchant", "customer"]
    name: str
    role: str
    merchant_id: UUID
    merchant_name: str


class Credentials(Given):
    """Who signs in."""

    email: Annotated[EmailAddress, Field(examples=["ada@example.com"])]
    password: Annotated[str, Field(max_length=200, examples=["correct horse battery"])]


class NewSession(Answer):
    """A fresh session. The token is shown this once; `account` is where it begins (the last one used, else the first)."""

    token: str
    expires_at: datetime
    accounts: list[Account]
    account: Account | None


class CurrentSession(Answer):
    """The session of this request. `csrf` goes into `X-CSRF-Token` when the cookie is what speaks for it."""

    person_id: UUID
    name: str
    email: str
    locale: str
    time_zone: str
    expires_at: datetime
    accounts: list[Account]
    account: Account | None
    csrf: str


class AccountChoice(Given):
    """The account to work in from now on."""

    id: Annotated[UUID, Field(examples=[EXAMPLE])]


class Acceptance(Given):
    """An invitation's token with what makes an account; somebody who has one already gives its password."""

    token: Annotated[str, Field(min_length=1, max_length=200)]
    name: Annotated[Line | None, Field(examples=["Ada Lovelace"])] = None
    password: Annotated[Password, Field(examples=["correct horse battery"])]
    locale: Locale | None = None
    time_zone: TimeZone | None = None


async def _begin(request: Request, signed_in: SignedIn, account_id: UUID | None = None) -> NewSession:
    token, account = await security.sign_in(request, signed_in, account_id=account_id)
    return NewSession(
        token=token,
        expires_at=expires_at(request.app.state.runtime.clock.now()),
        accounts=[Account.model_validate(each) for each in signed_in.accounts],
        account=Account.model_validate(account) if account else None,
    )


@router.post(
    "/session",
    operation_id="signIn",
    summary="Sign in with e-mail and password",
    status_code=201,
    responses=refusals(*COMMAND),
    openapi_extra={"security": []},
)
async def sign_in(request: Request, body: Credentials, _key: IdempotencyKey) -> NewSession:
    """Make a session. It is never replayed: a token is stored nowhere, so a repeated request makes another one."""
    address = request.client.host if request.client else ""
    question = SignIn(email=body.email, password=body.password, address=address)
    return await _begin(request, await commands.ask(request, question, public=commands.bearer_of("")))


@router.get("/session", operation_id="readSession", summary="Who am I, and where")
async def read(session: AnySession) -> CurrentSession:
    """The session that this request comes with."""
    return CurrentSession.model_validate(session)


@router.put(
    "/session/account",
    operation_id="switchAccount",
    summary="Work in another of one's accounts",
    responses=refusals(*COMMAND, 404),
)
async def switch(request: Request, body: AccountChoice, _session: AnySession) -> Account:
    """From the next request on. Open event streams end and are to be opened again; with a cookie, read the new `csrf`."""
    return Account.model_validate(await security.switch_account(request, body.id))


@router.delete(
    "/session", operation_id="signOut", summary="Sign out", status_code=204, responses=refusals(401, 403, 503)
)
async def sign_out(request: Request, _session: AnySession) -> Response:
    """End this session everywhere, at once."""
    await security.sign_out(request)
    response = Response(status_code=204)
    if security.session_cookie(request):
        security.clear_session_cookie(request, response)
    return response


@router.post(
    "/invitations/accept",
    operation_id="acceptInvitation",
    summary="Accept an invitation and sign in",
    status_code=201,
    responses=refusals(*COMMAND, 410),
    openapi_extra={"security": []},
)
async def accept(request: Request, body: Acceptance, key: IdempotencyKey) -> NewSession:
    """Make the account unless there is one, let its person into the customer's portal, and sign them in there."""
    command = identity.AcceptInvitation(**body.model_dump(exclude_unset=True))
    reply = await commands.dispatch(request, command, id=key, public=commands.bearer_of(body.token))
    joined = [event for event in reply.changed if event.type == ContactJoined.wire_type]
    state = joined[-1].data["state"] if joined else {}
    customer = state.get("customer_id") if isinstance(state, dict) else None
    return await _begin(request, reply.result, UUID(str(customer)) if customer else None)
