"""The public page of a subscription that is not accepted yet and asks for no money today: a trial, or a later start."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response

from chassis.tokens import digest
from contracts.billing import Invoice, Subscription
from contracts.message import NotFound
from services.gateway import readmodel
from services.gateway.domain import Viewer

from .agreement import terms
from .brand import brand_of
from .page import Page


async def offer(request: Request, token: str) -> Response | None:
    """The offer that this token is for, or what has become of it; None when it is for none."""
    db = request.app.state.runtime.db
    agreed = await readmodel.subscription_by_link(db, digest(token))
    if agreed is None or agreed.link is None:
        return None
    merchant = await brand_of(request, agreed.merchant_id)
    try:
        customer = await readmodel.customer(db, Viewer(agreed.merchant_id, agreed.customer_id), agreed.customer_id)
    except NotFound:
        customer = None
    page = await Page.of(request, None, merchant=merchant, customer=customer)
    ends = agreed.link.expires_at
    dead = agreed.link.revoked or (ends is not None and ends <= request.app.state.runtime.clock.now())
    why = agreed.status if agreed.status != "pending" else "expired" if dead else ""
    return page.render(
        "offer.html",
        status=410 if why in {"cancelled", "completed", "expired"} else 200,
        subscription=agreed,
        why=why,
        terms=terms(agreed, merchant.name if merchant else "", page.reader),
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
