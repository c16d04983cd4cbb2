"""The public page of a subscription that is not accepted yet and asks for no money today: a trial, or a later start."""

from __future__ import annotations

from typing import TypeVar

from fastapi import Request
from starlette.responses import Response

from chassis.tokens import digest
from contracts import billing
from contracts.billing import Invoice, Subscription
from contracts.identity import Customer
from contracts.message import Command, NotFound, SubscriptionId
from services.gateway import commands, readmodel
from services.gateway.commands import bearer_of
from services.gateway.domain import Viewer

from .agreement import terms
from .brand import brand_of
from .forms import Form
from .page import Page, see
from .subscriptions import dead_link

R = TypeVar("R")
_FRESH = {"expired", "renewed"}
"""Whoever holds such a link may have a new one mailed to the customer."""
_DEAD = {"cancelled", "completed", "revoked", *_FRESH}


async def customer_of(request: Request, of: Invoice | Subscription) -> Customer | None:
    """Whose a link's invoice or offer is; None when they are not known here (any more)."""
    viewer = Viewer(of.merchant_id, of.customer_id)
    try:
        return await readmodel.customer(request.app.state.runtime.db, viewer, of.customer_id)
    except NotFound:
        return None


async def send_for_holder(request: Request, token: str, of: Invoice | Subscription, form: Form, order: Command[R]) -> R:
    """Send a command of whoever holds the link of an invoice or an offer. Raises what `commands.send` raises."""
    return await commands.send(
        request,
        order,
        id=form.command_id,
        public=bearer_of(token),
        merchant_id=of.merchant_id,
        known=[(Customer, of.customer_id)],
    )


async def offer(request: Request, token: str) -> Response | None:
    """The offer that this token is for, or what has become of it; None when it is for none."""
    agreed = await _offered(request, token)
    return None if agreed is None else await _show(request, token, agreed, Form())


async def accept(request: Request, token: str) -> Response | None:
    """Lead to the hosted page where a payment method is given, which accepts it. None when the token is for no offer."""
    agreed = await _offered(request, token)
    if agreed is None:
        return None
    if _why_not(request, agreed, token):
        return await _show(request, token, agreed, Form())
    form = await Form.posted(request)
    page = await Page.of(request, None, customer=await customer_of(request, agreed))
    with form.refusals(page.reader):
        order = billing.AcceptSubscription(
            subscription_id=SubscriptionId(agreed.id),
            link_token_sha256=digest(token),
            return_path=f"/pay/{token}?accepted=confirming",
        )
        started = await send_for_holder(request, token, agreed, form, order)
        return see(started.setup_url)
    return await _show(request, token, agreed, form)


async def fresh_offer(request: Request, token: str) -> Response | None:
    """Have a new link mailed to the customer's address, whoever holds the dead one. None when the token is for no offer."""
    agreed = await _offered(request, token)
    if agreed is None:
        return None
    if _why_not(request, agreed, token) not in _FRESH:
        return see(f"/pay/{token}")
    form = await Form.posted(request)
    page = await Page.of(request, None, customer=await customer_of(request, agreed))
    with form.refusals(page.reader):
        order = billing.RequestFreshOffer(subscription_id=SubscriptionId(agreed.id), token_sha256=digest(token))
        await send_for_holder(request, token, agreed, form, order)
        return see(f"/pay/{token}?done=fresh-link")
    return await _show(request, token, agreed, form)


async def _offered(request: Request, token: str) -> Subscription | None:
    agreed = await readmodel.subscription_by_link(request.app.state.runtime.db, digest(token))
    return None if agreed is None or agreed.link is None else agreed


def _why_not(request: Request, agreed: Subscription, token: str) -> str:
    """Why it cannot be accepted here: its state, or *revoked*, *renewed* (there is a newer link), *expired*; empty: it can."""
    if agreed.status != "pending" or agreed.link is None:
        return agreed.status
    dead = dead_link(agreed, request.app.state.runtime.clock.now())
    if dead != "revoked" and agreed.link.token_sha256 != digest(token):
        return "renewed"
    return dead


async def _show(request: Request, token: str, agreed: Subscription, form: Form) -> Response:
    merchant = await brand_of(request, agreed.merchant_id)
    page = await Page.of(request, None, merchant=merchant, customer=await customer_of(request, agreed))
    why = _why_not(request, agreed, token)
    return page.render(
        "offer.html",
        status=410 if why in _DEAD and not form.problem else form.status,
        token=token,
        form=form,
        subscription=agreed,
        why=why,
        terms=terms(agreed, merchant.name if merchant else "", page.reader, page.merchants_day),
        confirming=request.query_params.get("accepted") == "confirming",
        asked=request.query_params.get("done") == "fresh-link",
    )


async def offered_by(request: Request, invoice: Invoice) -> Subscription | None:
    """The subscription that paying this invoice accepts; None when it is accepted already, or there is none."""
    if invoice.subscription_id is None:
        return None
    viewer = Viewer(invoice.merchant_id, invoice.customer_id)
    try:
        agreed = await readmodel.subscription(request.app.state.runtime.db, viewer, invoice.subscription_id)
    except NotFound:
        return None
    return agreed if agreed.status == "pending" else None
