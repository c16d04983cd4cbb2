"""Subscriptions and payment plans: the customer's list, the console's tab, and the page of one with all its invoices."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from contracts import billing
from contracts.billing import PaymentMethod, Subscription
from contracts.message import SubscriptionId
from services.gateway import commands, readmodel
from services.gateway.readmodel.subscriptions import SubscriptionStatus
from services.gateway.security import Session
from services.gateway.security.doors import ContactSession, MemberSession

from . import cards
from .agreement import choices, terms
from .forms import Form
from .language import Reader
from .language import gettext_noop as _
from .page import NavEntry, Page, done, see

router = APIRouter()
said = {"method-chosen": _("It is charged to this payment method from now on.")}
navigation = NavEntry("portal", 25, "/portal/subscriptions", _("Subscriptions"), "repeat")

_MOST = 100
_WORTH_CHOOSING = 2

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
    return {"lists": lists, "past_due": await readmodel.past_due(db, viewer, shown, page.merchants_day)}


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


async def show_one(
    request: Request, session: Session, subscription_id: UUID, after: str = "", form: Form | None = None
) -> Response:
    """The page of one; `form`: what somebody could not do on it."""
    db, viewer = request.app.state.runtime.db, session.viewer
    assert viewer is not None
    page = await Page.of(request, session)
    agreed = await subscription_of(request, session, subscription_id)
    invoices = await readmodel.invoices_of(db, viewer, agreed.id, cursor=after or None)
    late = await readmodel.past_due(db, viewer, [agreed.id], page.merchants_day)
    mails = await readmodel.mails_about(db, viewer, [agreed.id])
    found = await readmodel.payment_methods(db, viewer, customer_id=agreed.customer_id, limit=_MOST)
    method = _charged(agreed, found.items)
    form = form or Form()
    if method is not None and not form.values:
        form.values = {"payment_method_id": str(agreed.payment_method_id or "")}
    return page.render(
        "subscription.html",
        status=form.status,
        form=form,
        subscription=agreed,
        base=_base(session),
        invoices=invoices,
        bills={invoice.instalment: invoice for invoice in invoices.items},
        late=bool(late),
        method=method,
        methods=_choices(agreed, found.items, page) if _may_choose(session) else [],
        may_choose=_may_choose(session),
        accepting=request.query_params.get("accepted") == "confirming",
        link_dead=dead_link(agreed, request.app.state.runtime.clock.now()),
        mail=next(iter(mails.get(agreed.id, ())), None),
        customer=await readmodel.customer(db, viewer, agreed.customer_id),
        choices=choices(agreed, member=viewer.is_member),
        terms=terms(
            agreed,
            page.merchant.name if page.merchant else "",
            page.reader,
            page.merchants_day,
            member=viewer.is_member,
        ),
    )


def _charged(agreed: Subscription, methods: Sequence[PaymentMethod]) -> PaymentMethod | None:
    """What its charges go to: its own method, else the customer's default one; None once it is over."""
    if agreed.status not in {"active", "paused"}:
        return None
    own = (each for each in methods if each.id == agreed.payment_method_id)
    return next(own, None) or next((each for each in methods if each.is_default), None)


def _choices(agreed: Subscription, methods: Sequence[PaymentMethod], page: Page) -> list[tuple[str, str]]:
    """What it may be charged to, as a form offers it; nothing once it is over, or where there is nothing to choose."""
    if agreed.status not in {"active", "paused"}:
        return []
    reader = page.reader
    usual = next((each for each in methods if each.is_default), None)
    default = _name(usual, reader) if usual else reader.gettext("none yet")
    offered = [
        (str(each.id), _name(each, reader)) for each in methods if each.working or each.id == agreed.payment_method_id
    ]
    if len(offered) < _WORTH_CHOOSING and agreed.payment_method_id is None:
        return []
    return [("", reader.gettext("the default (%(method)s)") % {"method": default}), *offered]


def _name(method: PaymentMethod, reader: Reader) -> str:
    return f"{cards.named(method, reader)} {cards.digits(method)}"


def _may_choose(session: Session) -> bool:
    """Whether they look after this money. Billing checks it; here the form is only left out."""
    role = session.account.role if session.account else None
    return role in ({"admin", "manager"} if session.is_member else {"owner", "billing"})


def dead_link(agreed: Subscription, now: datetime) -> str:
    """Why nothing can be accepted through its own link: *revoked*, *expired*; empty while it works, or there is none."""
    link = agreed.link
    if link is None or link.revoked:
        return "revoked" if link else ""
    return "expired" if link.expires_at is not None and link.expires_at <= now else ""


def _base(session: Session) -> str:
    return "/console/subscriptions" if session.is_member else "/portal/subscriptions"


@router.get("/portal/subscriptions/{subscription_id:uuid}")
async def show(request: Request, session: ContactSession, subscription_id: UUID, after: str = "") -> Response:
    """One subscription: what comes next, its instalments and invoices, and what can be done with it."""
    return await show_one(request, session, subscription_id, after)


@router.post("/portal/subscriptions/{subscription_id:uuid}/accept")
async def accept(request: Request, session: ContactSession, subscription_id: UUID) -> Response:
    """Accept one that asks for no money yet: the hosted page for a payment method opens."""
    agreed = await subscription_of(request, session, subscription_id)
    form = await Form.posted(request)
    page = await Page.of(request, session)
    with form.refusals(page.reader):
        started = await commands.send(
            request,
            billing.AcceptSubscription(
                subscription_id=SubscriptionId(agreed.id),
                return_path=f"/portal/subscriptions/{agreed.id}?accepted=confirming",
            ),
            id=form.command_id,
        )
        return see(started.setup_url)
    return await show_one(request, session, agreed.id, form=form)


@router.get("/console/subscriptions/{subscription_id:uuid}")
async def show_member(request: Request, session: MemberSession, subscription_id: UUID, after: str = "") -> Response:
    """The same for members."""
    return await show_one(request, session, subscription_id, after)


async def _choose(request: Request, session: Session, subscription_id: UUID) -> Response:
    agreed = await subscription_of(request, session, subscription_id)
    form = await Form.posted(request)
    page = await Page.of(request, session)
    with form.refusals(page.reader):
        chosen = {"subscription_id": agreed.id, "payment_method_id": form.given("payment_method_id")}
        await commands.send(request, billing.ChooseSubscriptionMethod.model_validate(chosen), id=form.command_id)
        return done(f"{_base(session)}/{agreed.id}", "method-chosen")
    return await show_one(request, session, agreed.id, form=form)


@router.post("/portal/subscriptions/{subscription_id:uuid}/payment-method")
async def choose(request: Request, session: ContactSession, subscription_id: UUID) -> Response:
    """Choose what its charges go to; empty: the default payment method."""
    return await _choose(request, session, subscription_id)


@router.post("/console/subscriptions/{subscription_id:uuid}/payment-method")
async def choose_member(request: Request, session: MemberSession, subscription_id: UUID) -> Response:
    """The same for members."""
    return await _choose(request, session, subscription_id)
