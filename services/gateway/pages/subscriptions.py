"""Subscriptions and payment plans: the customer's list, the console's tab, and the page of one with all its invoices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from contracts import billing
from contracts.billing import PaymentMethod, Subscription
from services.gateway import commands, readmodel
from services.gateway.readmodel.subscriptions import SubscriptionStatus
from services.gateway.security import Session
from services.gateway.security.doors import ContactSession, MemberSession

from .agreement import choices, terms
from .forms import Form
from .language import gettext_noop as _
from .page import NavEntry, Page, done

router = APIRouter()
said = {"offer-mailed": _("The mail is on its way.")}
navigation = NavEntry("portal", 25, "/portal/subscriptions", _("Subscriptions"))

Part = Literal["active", "paused", "ended"]
PARTS: dict[Part, tuple[SubscriptionStatus, ...]] = {
    "active": ("pending", "active"),
    "paused": ("paused",),
    "ended": ("cancelled", "completed"),
}


async def _lists(
    request: Request, session: Session, page: Page, cursors: dict[Part, str], customer_id: UUID | None = None
) -> dict[str, Any]:
    """The three lists, each from its own cursor, and which of the subscriptions are past due."""
    db, viewer = request.app.state.runtime.db, session.viewer
    assert viewer is not None
    lists = {
        part: await readmodel.subscriptions(
            db, viewer, statuses=statuses, customer_id=customer_id, cursor=cursors[part] or None
        )
        for part, statuses in PARTS.items()
    }
    shown = [each.id for found in lists.values() for each in found.items]
    return {"lists": lists, "past_due": await readmodel.past_due(db, viewer, shown, page.reader.today)}


@router.get("/portal/subscriptions")
async def index(
    request: Request, session: ContactSession, active: str = "", paused: str = "", ended: str = ""
) -> Response:
    """Active, paused and ended ones, the newest first."""
    page = await Page.of(request, session)
    cursors: dict[Part, str] = {"active": active, "paused": paused, "ended": ended}
    found = await _lists(request, session, page, cursors)
    return page.render("subscriptions.html", base="/portal/subscriptions", path="/portal/subscriptions", **found)


@router.get("/console/customers/{customer_id:uuid}/subscriptions")
async def tab(
    request: Request, session: MemberSession, customer_id: UUID, active: str = "", paused: str = "", ended: str = ""
) -> Response:
    """The same of one customer, for members."""
    assert session.viewer is not None
    page = await Page.of(request, session)
    customer = await readmodel.customer(request.app.state.runtime.db, session.viewer, customer_id)
    cursors: dict[Part, str] = {"active": active, "paused": paused, "ended": ended}
    found = await _lists(request, session, page, cursors, customer_id)
    path = f"/console/customers/{customer_id}/subscriptions"
    return page.render(
        "customer_subscriptions.html",
        tab="subscriptions",
        customer=customer,
        base="/console/subscriptions",
        path=path,
        **found,
    )


async def subscription_of(request: Request, session: Session, subscription_id: UUID) -> Subscription:
    """One that this session may see. Raises NotFound."""
    assert session.viewer is not None
    return await readmodel.subscription(request.app.state.runtime.db, session.viewer, subscription_id)


async def _show(
    request: Request, session: Session, subscription_id: UUID, base: str, after: str, form: Form | None = None
) -> Response:
    db, viewer = request.app.state.runtime.db, session.viewer
    assert viewer is not None
    page = await Page.of(request, session)
    agreed = await subscription_of(request, session, subscription_id)
    invoices = await readmodel.invoices_of(db, viewer, agreed.id, cursor=after or None)
    late = await readmodel.past_due(db, viewer, [agreed.id], page.reader.today)
    mails = await readmodel.mails_about(db, viewer, [agreed.id])
    methods = await readmodel.payment_methods(db, viewer, customer_id=agreed.customer_id)
    return page.render(
        "subscription.html",
        status=form.status if form else 200,
        form=form or Form(),
        subscription=agreed,
        base=base,
        invoices=invoices,
        bills={invoice.instalment: invoice for invoice in invoices.items},
        late=bool(late),
        method=_charged(agreed, methods.items),
        mail=next(iter(mails.get(agreed.id, ())), None),
        customer=await readmodel.customer(db, viewer, agreed.customer_id),
        choices=choices(agreed, member=viewer.is_member),
        terms=terms(agreed, page.merchant.name if page.merchant else "", page.reader),
    )


def _charged(agreed: Subscription, methods: Sequence[PaymentMethod]) -> PaymentMethod | None:
    """What its charges go to: its own method, else the customer's default one; None once it is over."""
    if agreed.status not in {"active", "paused"}:
        return None
    own = (each for each in methods if each.id == agreed.payment_method_id)
    return next(own, None) or next((each for each in methods if each.is_default), None)


@router.get("/portal/subscriptions/{subscription_id:uuid}")
async def show(request: Request, session: ContactSession, subscription_id: UUID, after: str = "") -> Response:
    """One subscription: what comes next, its instalments and invoices, and what can be done with it."""
    return await _show(request, session, subscription_id, "/portal/subscriptions", after)


@router.get("/console/subscriptions/{subscription_id:uuid}")
async def show_member(request: Request, session: MemberSession, subscription_id: UUID, after: str = "") -> Response:
    """The same for members."""
    return await _show(request, session, subscription_id, "/console/subscriptions", after)


@router.post("/console/subscriptions/{subscription_id:uuid}/send")
async def send(request: Request, session: MemberSession, subscription_id: UUID) -> Response:
    """Mail the link on which it is accepted."""
    agreed = await subscription_of(request, session, subscription_id)
    form = await Form.posted(request)
    page = await Page.of(request, session)
    with form.refusals(page.reader):
        await commands.send(request, billing.SendSubscriptionLink(subscription_id=agreed.id), id=form.command_id)
        return done(f"/console/subscriptions/{agreed.id}", "offer-mailed")
    return await _show(request, session, agreed.id, "/console/subscriptions", "", form)
