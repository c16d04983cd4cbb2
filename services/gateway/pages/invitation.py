"""An invitation's link. Opening it shows a page and nothing more, since mail scanners open links; the button uses it."""

from __future__ import annotations

import re
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from contracts import identity
from contracts.identity import InvitationNotUsable, InvitationView
from contracts.message import Actor, NotFound
from services.gateway import commands, readmodel
from services.gateway.commands import bearer_of
from services.gateway.domain import Viewer

from .brand import brand_of
from .forms import Form
from .page import Page
from .sign_in import enter

router = APIRouter()

_TOKEN = re.compile(r"[A-Za-z0-9_-]{20,100}")


def _holder(token: str) -> Actor:
    """Whoever holds the link. Raises InvitationNotUsable for what cannot be a token of ours."""
    if not _TOKEN.fullmatch(token):
        raise InvitationNotUsable(why="unknown")
    return bearer_of(token)


async def _page(request: Request, view: InvitationView) -> Page:
    viewer = Viewer(view.merchant_id, view.customer_id)
    try:
        customer = await readmodel.customer(request.app.state.runtime.db, viewer, view.customer_id)
    except NotFound:  # the mail was quicker than our copy: the page is in the browser's language then
        customer = None
    return await Page.of(request, None, merchant=await brand_of(request, view.merchant_id), customer=customer)


async def _dead(request: Request, token: str, refusal: InvitationNotUsable, form: Form | None = None) -> Response:
    page = await Page.of(request, None)
    why = refusal.members.get("why", "unknown")
    return page.render(
        "invitation_dead.html", status=refusal.status, token=token, why=why, renewed=False, form=form or Form()
    )


@router.get("/invitations/{token}")
async def show(request: Request, token: str) -> Response:
    """What the invitation is about, and the form to accept it. Uses nothing up."""
    try:
        view = await commands.ask(request, identity.ViewInvitation(token=token), public=_holder(token))
    except InvitationNotUsable as refusal:
        return await _dead(request, token, refusal)
    page = await _page(request, view)
    return page.render("invitation.html", token=token, invitation=view, form=Form({"name": view.name}))


@router.post("/invitations/{token}")
async def accept(request: Request, token: str) -> Response:
    """Make the account (or check the password of an existing one), let the person in and sign them in."""
    form = await Form.posted(request)
    visitor = await Page.of(request, None)
    try:
        with form.refusals(visitor.reader):
            signed_in = await _accept(request, token, form, visitor)
            return await enter(request, signed_in, account_id=_uuid(form.get("customer_id")), said="welcome")
        view = await commands.ask(request, identity.ViewInvitation(token=token), public=_holder(token))
    except InvitationNotUsable as refusal:
        return await _dead(request, token, refusal)
    page = await _page(request, view)
    return page.render("invitation.html", status=form.status, token=token, invitation=view, form=form)


async def _accept(request: Request, token: str, form: Form, visitor: Page) -> identity.SignedIn:
    given: dict[str, str] = {"token": token, "password": form.get("password")}
    if "name" in form.values:  # the form of somebody who has no account yet
        given |= {"name": form.get("name"), "locale": form.get("locale") or visitor.reader.language}
    return await commands.send(
        request, identity.AcceptInvitation.model_validate(given), id=form.command_id, public=_holder(token)
    )


@router.post("/invitations/{token}/renew")
async def renew(request: Request, token: str) -> Response:
    """Ask for a fresh mail. The answer is the same whether there was anything to renew."""
    form = await Form.posted(request)
    page = await Page.of(request, None)
    with form.refusals(page.reader):
        await commands.send(request, identity.RenewInvitation(token=token), id=form.command_id, public=_holder(token))
        return page.render("invitation_dead.html", token=token, why="", renewed=True, form=form)
    return page.render("invitation_dead.html", status=form.status, token=token, why="expired", renewed=False, form=form)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
