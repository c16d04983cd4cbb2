"""The doors of every request: the session it comes with, the side it may enter, and the proof that it meant to."""

from __future__ import annotations

import hmac
import secrets
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from starlette.responses import Response

from chassis.service import Runtime
from contracts.identity import Account, SignedIn
from contracts.message import NotAllowed, NotFound, Problem
from services.gateway.domain import Viewer
from services.gateway.security.sessions import (
    Session,
    choose_account,
    csrf_of,
    find_session,
    last_account,
    open_session,
    remember_account,
    revoke_session,
    touch_session,
)
from services.gateway.settings import Settings

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OF_THE_SESSION = frozenset({"/sign-out", "/account"})
"""Forms that mean the session and no account of it: they stay good in a tab whose account was left in another tab."""
_SIGNED_IN_ONLY = ("/portal", "/console", "/api/", *_OF_THE_SESSION)


class SignInRequired(Problem):
    """Nobody is signed in, or the session has ended. Pages lead to the sign-in page instead."""

    status = 401
    title = "Please sign in."


class WrongAccount(NotAllowed):
    """The current account is of the other kind. Member `needed`: *merchant* or *customer*."""

    title = "This is not for the account that you are using now."


class CsrfRefused(Problem):
    """A form was posted without the token that only our own pages know."""

    status = 403
    title = "This form has expired. Please load the page again and repeat what you did."


def runtime_of(request: Request) -> Runtime:
    """The service that this request reached."""
    runtime: Runtime = request.app.state.runtime
    return runtime


def settings_of(request: Request) -> Settings:
    """The gateway's settings."""
    settings: Settings = request.app.state.settings
    return settings


def cookie_name(settings: Settings, name: str) -> str:
    """`__Host-<name>`, which no other host and no plain http can set; a plain name on loopback http alone."""
    return f"__Host-{name}" if settings.secure else name


def bearer_token(request: Request) -> str | None:
    """The token of an `Authorization: Bearer` header."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def session_cookie(request: Request) -> str | None:
    """The token in the session cookie."""
    return request.cookies.get(cookie_name(settings_of(request), "portal"))


def set_session_cookie(request: Request, response: Response, token: str) -> None:
    """Give the browser its session. It ends with the browser, or at the server when its time is up."""
    settings = settings_of(request)
    response.set_cookie(
        cookie_name(settings, "portal"), token, path="/", secure=settings.secure, httponly=True, samesite="lax"
    )


def clear_session_cookie(request: Request, response: Response) -> None:
    """Take the session cookie away."""
    settings = settings_of(request)
    response.delete_cookie(
        cookie_name(settings, "portal"), path="/", secure=settings.secure, httponly=True, samesite="lax"
    )


# --- sessions -------------------------------------------------------------------------------------------------------


async def current_session(request: Request) -> Session | None:
    """The session of this request, by bearer token or cookie; None when there is none that is still good.

    Asked once per request, however often it is called. Keeps a contact's session from going idle.
    """
    if not hasattr(request.state, "session"):
        request.state.session = None
        token = bearer_token(request) or session_cookie(request)
        if token:
            runtime = runtime_of(request)
            now = runtime.clock.now()
            session = await find_session(runtime.db, token, now)
            if session is not None:
                await touch_session(runtime.db, session, now)
            request.state.session = session
    found: Session | None = request.state.session
    return found


async def require_session(request: Request) -> Session:
    """Somebody signed in, whatever account they use. Raises SignInRequired."""
    session = await current_session(request)
    if session is None:
        raise SignInRequired
    return session


async def require_account(request: Request) -> Session:
    """Somebody with a place to work in. Raises SignInRequired, NotAllowed."""
    session = await require_session(request)
    if session.account is None:
        raise NotAllowed("You have no access to any account any more.")
    return session


async def require_member(request: Request) -> Session:
    """A member of the merchant's team, working in the console. Raises SignInRequired, WrongAccount."""
    session = await require_account(request)
    must_be_member(session)
    return session


async def require_contact(request: Request) -> Session:
    """A customer's contact, working in the portal. Raises SignInRequired, WrongAccount."""
    session = await require_account(request)
    must_be_contact(session)
    return session


def viewer_of(session: Session) -> Viewer:
    """Whose eyes a session reads with. Raises NotAllowed when it has no account left."""
    if session.viewer is None:
        raise NotAllowed("You have no access to any account any more.")
    return session.viewer


def must_be_member(session: Session) -> None:
    """Refuse a contact: to be called once the thing was found to be theirs to see. Raises WrongAccount."""
    if not session.is_member:
        raise WrongAccount("Only members of the merchant's team may do this.", needed="merchant")


def must_be_contact(session: Session) -> None:
    """Refuse a member: to be called once the thing was found to be theirs to see. Raises WrongAccount."""
    if session.is_member:
        raise WrongAccount("Only the customer's own contacts may do this.", needed="customer")


AnyAccount = Annotated[Session, Depends(require_account)]
AnySession = Annotated[Session, Depends(require_session)]
MemberSession = Annotated[Session, Depends(require_member)]
ContactSession = Annotated[Session, Depends(require_contact)]


async def sign_in(
    request: Request, signed_in: SignedIn, *, account_id: UUID | None = None
) -> tuple[str, Account | None]:
    """Make a session for somebody whose credentials identity has just found right.

    Returns the token (give it to the browser with `set_session_cookie`, or to an API client once) and the account it
    begins in: `account_id` if it is one of theirs, else the one used last, else the first. A session that the browser
    had before is ended: a fixed or stolen one must not live on beside the new.
    """
    runtime = runtime_of(request)
    now = runtime.clock.now()
    async with runtime.db.transaction(runtime.system_cause()) as tx:
        wanted = account_id or await last_account(tx, signed_in.person_id)
        account = next((each for each in signed_in.accounts if each.id == wanted), None)
        account = account or next(iter(signed_in.accounts), None)
        before = session_cookie(request)
        old = await find_session(tx, before, now) if before else None
        if old is not None:
            await revoke_session(tx, old, old.id)
        agent = request.headers.get("user-agent", "")[:200]
        token = await open_session(tx, signed_in, now=now, user_agent=agent, account=account)
        if account is not None:
            await remember_account(tx, signed_in.person_id, account.id)
    return token, account


async def sign_out(request: Request) -> None:
    """End this request's session, everywhere and at once. Take the cookie away with `clear_session_cookie`."""
    session = await current_session(request)
    if session is not None:
        await revoke_session(runtime_of(request).db, session, session.id)
        request.state.session = None


async def switch_account(request: Request, account_id: UUID) -> Account:
    """Work in another of one's accounts from now on. Raises NotFound for anybody else's."""
    session = await require_session(request)
    account = next((each for each in session.accounts if each.id == account_id), None)
    if account is None:
        raise NotFound
    runtime = runtime_of(request)
    async with runtime.db.transaction(runtime.system_cause()) as tx:
        await choose_account(tx, session, account)
    del request.state.session
    return account


# --- CSRF -----------------------------------------------------------------------------------------------------------


async def csrf_token(request: Request) -> str:
    """The token to put into a form's hidden field `csrf`, for visitors without a session too.

    Without a session it belongs to a cookie of its own, which `set_visitor_cookie` gives to the browser with the page.
    """
    session = await current_session(request)
    if session is not None:
        return session.csrf
    secret = request.cookies.get(_visitor_cookie(request)) or getattr(request.state, "new_visitor", None)
    if secret is None:
        secret = secrets.token_urlsafe(32)
        request.state.new_visitor = secret
    return csrf_of(secret)


def set_visitor_cookie(request: Request, response: Response) -> None:
    """Give the browser the cookie that a visitor's form token belongs to, if this request made one. Every page does."""
    secret = getattr(request.state, "new_visitor", None)
    if secret is not None:
        settings = settings_of(request)
        response.set_cookie(
            _visitor_cookie(request), secret, path="/", secure=settings.secure, httponly=True, samesite="lax"
        )


async def check_csrf(request: Request) -> None:
    """Refuse an unsafe request that a foreign page may have made the browser send. A dependency of the whole app.

    Bearer tokens are never sent by a browser on its own, so such requests need no proof; nor does the API without any
    cookie. Everything else carries the token in the form's field `csrf` or in the header `X-CSRF-Token`. Raises
    SignInRequired when the session that the form was made in has ended, else CsrfRefused.
    """
    if request.method in _SAFE or bearer_token(request):
        return
    token, path = session_cookie(request), request.url.path
    if not token and path.startswith("/api/"):
        return
    session, visitor = await current_session(request), request.cookies.get(_visitor_cookie(request))
    good = [csrf_of(visitor)] if visitor else []
    if session is not None and token:
        good.append(session.csrf)
        if path in _OF_THE_SESSION:
            good += [csrf_of(token, account.id) for account in session.accounts]
    sent = request.headers.get("x-csrf-token") or await _form_field(request)
    if not any(hmac.compare_digest(each.encode(), sent.encode()) for each in good):
        if session is None and path.startswith(_SIGNED_IN_ONLY):
            raise SignInRequired
        raise CsrfRefused


async def _form_field(request: Request) -> str:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in {"application/x-www-form-urlencoded", "multipart/form-data"}:
        return ""
    value = (await request.form()).get("csrf")
    return value if isinstance(value, str) else ""


def _visitor_cookie(request: Request) -> str:
    return cookie_name(settings_of(request), "portal-form")
