"""The link of an offer in the console: mailed, copied, made anew, withdrawn."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from contracts import billing
from services.gateway import commands
from services.gateway.security import Session
from services.gateway.security.doors import MemberSession

from .forms import Form
from .language import gettext_noop as _
from .page import Page, done
from .subscriptions import show_one, subscription_of

router = APIRouter()
said = {
    "offer-mailed": _("The mail is on its way."),
    "offer-link-renewed": _("There is a new payment link; the one before no longer works."),
    "offer-link-revoked": _(
        "The payment link has been withdrawn. Nobody can accept the offer until there is a new one."
    ),
}


@router.get("/console/subscriptions/{subscription_id:uuid}/link")
async def link(request: Request, session: MemberSession, subscription_id: UUID) -> Response:
    """The offer's secret address, asked of billing at this moment: nobody else has it."""
    agreed = await subscription_of(request, session, subscription_id)
    url = await commands.public_url(request, billing.SubscriptionLinkUrl(subscription_id=agreed.id))
    page = await Page.of(request, session)
    return page.render("offer_link.html", subscription=agreed, url=url)


@router.post("/console/subscriptions/{subscription_id:uuid}/send")
async def send(request: Request, session: MemberSession, subscription_id: UUID) -> Response:
    """Mail the link on which it is accepted."""
    return await _act(request, session, billing.SendSubscriptionLink(subscription_id=subscription_id), "offer-mailed")


@router.post("/console/subscriptions/{subscription_id:uuid}/renew-link")
async def renew(request: Request, session: MemberSession, subscription_id: UUID) -> Response:
    """Make a new link; the one before leads to a page that says so."""
    order = billing.RenewSubscriptionLink(subscription_id=subscription_id)
    return await _act(request, session, order, "offer-link-renewed")


@router.post("/console/subscriptions/{subscription_id:uuid}/revoke-link")
async def revoke(request: Request, session: MemberSession, subscription_id: UUID) -> Response:
    """Withdraw the link."""
    order = billing.RevokeSubscriptionLink(subscription_id=subscription_id)
    return await _act(request, session, order, "offer-link-revoked")


LinkOrder = billing.SendSubscriptionLink | billing.RenewSubscriptionLink | billing.RevokeSubscriptionLink


async def _act(request: Request, session: Session, order: LinkOrder, said: str) -> Response:
    agreed = await subscription_of(request, session, order.subscription_id)
    form = await Form.posted(request)
    page = await Page.of(request, session)
    with form.refusals(page.reader):
        await commands.send(request, order, id=form.command_id)
        return done(f"/console/subscriptions/{agreed.id}", said)
    return await show_one(request, session, agreed.id, form=form)
