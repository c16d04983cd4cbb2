"""Coming and going: sign in, sign out, switch account, and where `/` leads."""

from __future__ import annotations

import re
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi import Form as Field
from starlette.responses import RedirectResponse, Response

from contracts import identity
from services.gateway import commands, security
from services.gateway.security.doors import AnySession

from .forms import Form
from .language import gettext_noop as _
from .page import Page, done, home_of, see

router = APIRouter()
said = {
    "signed-out": _("You are signed out."),
    "form-expired": _("This form has expired. Please load the page again and repeat what you did."),
    "welcome": _("Welcome! Your account is ready."),
}

_OUR_PAGES = re.compile(r"/(portal|console)(/[A-Za-z0-9\-/]*)?")


@router.get("/")
async def start(request: Request) -> RedirectResponse:
    """To the person's own home, or to the sign-in page."""
    session = await security.current_session(request)
    return see(home_of(session) if session else "/sign-in")


@router.get("/sign-in")
async def show(request: Request, next: str = "") -> Response:  # noqa: A002 - the usual name of this parameter
    """The sign-in page; whoever is signed in already is led home."""
    session = await security.current_session(request)
    if session is not None:
        return see(home_of(session))
    page = await Page.of(request, None)
    return page.render("sign_in.html", form=Form({"next": next}))


@router.post("/sign-in")
async def sign_in(request: Request) -> Response:
    """Check the password, make the session, and lead to where the person wanted to go."""
    page = await Page.of(request, None)
    form = await Form.posted(request)
    with form.refusals(page.reader):
        signed_in = await commands.ask(
            request,
            identity.SignIn(
                email=form.get("email"),
                password=form.get("password"),
                address=request.client.host if request.client else "",
            ),
        )
        return await enter(request, signed_in, wanted=form.get("next"))
    return page.render("sign_in.html", status=form.status, form=form)


async def enter(
    request: Request, signed_in: identity.SignedIn, *, account_id: UUID | None = None, wanted: str = "", said: str = ""
) -> Response:
    """A session for somebody who has just proved who they are, and the way to their page."""
    token, account = await security.sign_in(request, signed_in, account_id=account_id)
    home = "/console" if account is not None and account.kind == "merchant" else "/portal"
    # Only our own pages, and only of the side that the session begins on: never an address from outside.
    path = wanted if _OUR_PAGES.fullmatch(wanted) and wanted.startswith(home) else home
    response = done(path, said) if said else see(path)
    security.set_session_cookie(request, response, token)
    return response


@router.post("/sign-out")
async def sign_out(request: Request) -> Response:
    """End the session, here and in every open tab."""
    await security.sign_out(request)
    response = done("/sign-in", "signed-out")
    security.clear_session_cookie(request, response)
    return response


@router.post("/account")
async def switch(request: Request, _: AnySession, account: Annotated[UUID, Field()]) -> Response:
    """Work in another of one's accounts."""
    chosen = await security.switch_account(request, account)
    return see("/console" if chosen.kind == "merchant" else "/portal")
