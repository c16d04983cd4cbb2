"""What a customer pays with: the list, adding one on the provider's page, changing, choosing the default, removing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from contracts import billing
from contracts.billing import PaymentMethod
from contracts.message import PaymentMethodId
from services.gateway import commands, readmodel
from services.gateway.security import Session
from services.gateway.security.doors import ContactSession

from .customers import countries
from .forms import Form
from .language import gettext_noop as _
from .page import NavEntry, Page, done, see

router = APIRouter()
navigation = NavEntry("portal", 28, "/portal/payment-methods", _("Payment methods"), "card")
said = {
    "method-default": _("This payment method is charged from now on."),
    "method-saved": _("The payment method has been updated."),
    "method-removed": _("The payment method has been removed."),
}
_HERE = "/portal/payment-methods"
_MOST = 100
_CLOCKS = timedelta(minutes=2)
"""So much Stripe's clock, which dates a card, may differ from ours."""


async def _all(request: Request, session: Session) -> tuple[PaymentMethod, ...]:
    assert session.viewer is not None
    found = await readmodel.payment_methods(request.app.state.runtime.db, session.viewer, limit=_MOST)
    return tuple(sorted(found.items, key=lambda each: not each.is_default))


async def _one(request: Request, session: Session, method_id: UUID, *, removed: bool = False) -> PaymentMethod:
    assert session.viewer is not None
    return await readmodel.payment_method(request.app.state.runtime.db, session.viewer, method_id, removed=removed)


def _may(session: Session) -> bool:
    """Whether they look after the customer's money. Billing checks it; here the buttons are only left out."""
    return session.account is not None and session.account.role in ("owner", "billing")


async def _index(request: Request, session: Session, form: Form) -> Response:
    page = await Page.of(request, session)
    return page.render(
        "payment_methods.html",
        status=form.status,
        form=form,
        methods=await _all(request, session),
        may=_may(session),
    )


@router.get("/portal/payment-methods")
async def index(request: Request, session: ContactSession) -> Response:
    """The default first, then the newest."""
    return await _index(request, session, Form())


@router.post("/portal/payment-methods")
async def add(request: Request, session: ContactSession) -> Response:
    """To the provider's page, the one that is open already if there is one."""
    form = await Form.posted(request)
    page = await Page.of(request, session)
    with form.refusals(page.reader):
        # When the form was made, not now: sent again, it must be the same order.
        order = billing.AddPaymentMethod(return_path=f"{_HERE}/saving?since={form.get('since')}")
        started = await commands.send(request, order, id=form.command_id)
        return see(started.setup_url)
    return await _index(request, session, form)


@router.get("/portal/payment-methods/saving")
async def saving(request: Request, session: ContactSession, since: str = "", added: str = "") -> Response:
    """Back from the provider's page, which proves nothing: the card is here when its own news has come."""
    if not added:
        return see(_HERE)
    page = await Page.of(request, session)
    begun = datetime.fromtimestamp(int(since), UTC) if since.isdecimal() and len(since) < 11 else page.reader.now
    methods = await _all(request, session)
    saved = [each for each in methods if each.added_at >= begun - _CLOCKS]
    newest = max(saved, key=lambda each: each.added_at, default=None)
    return page.render("payment_method_saving.html", saved=newest)


# --- one of them ------------------------------------------------------------------------------------------------------


def _typed(form: Form, method: PaymentMethod) -> dict[str, Any]:
    """The fields as they were typed; pydantic says what is wrong with them."""
    order: dict[str, Any] = {
        "payment_method_id": method.id,
        "billing_name": form.given("billing_name"),
        "billing_email": form.given("billing_email"),
        "billing_country": form.given("billing_country"),
    }
    if method.kind == "card":
        order |= {name: form.count(name, "") for name in ("exp_month", "exp_year")}
    return order


async def _edit(request: Request, session: Session, method: PaymentMethod, form: Form) -> Response:
    page = await Page.of(request, session)
    this_year = page.reader.today.year
    years = sorted({*range(this_year, this_year + 21), method.exp_year or this_year})
    return page.render(
        "payment_method.html",
        status=form.status,
        form=form,
        method=method,
        months=[(str(month), f"{month:02}") for month in range(1, 13)],
        years=[(str(year), str(year)) for year in years],
        countries=countries(page.reader),
    )


@router.get("/portal/payment-methods/{method_id:uuid}")
async def edit(request: Request, session: ContactSession, method_id: UUID) -> Response:
    """The form to change its expiry and billing details."""
    method = await _one(request, session, method_id)
    names = ("exp_month", "exp_year", "billing_name", "billing_email", "billing_country")
    return await _edit(request, session, method, Form({name: str(getattr(method, name) or "") for name in names}))


@router.post("/portal/payment-methods/{method_id:uuid}")
async def save(request: Request, session: ContactSession, method_id: UUID) -> Response:
    """Save what was changed."""
    method = await _one(request, session, method_id)
    form = await Form.posted(request)
    page = await Page.of(request, session)
    with form.refusals(page.reader):
        await commands.send(
            request, billing.UpdatePaymentMethod.model_validate(_typed(form, method)), id=form.command_id
        )
        return done(_HERE, "method-saved")
    return await _edit(request, session, method, form)


@router.post("/portal/payment-methods/{method_id:uuid}/default")
async def make_default(request: Request, session: ContactSession, method_id: UUID) -> Response:
    """Charge this one from now on."""
    method = await _one(request, session, method_id)
    form = await Form.posted(request)
    page = await Page.of(request, session)
    with form.refusals(page.reader):
        order = billing.SetDefaultPaymentMethod(payment_method_id=PaymentMethodId(method.id))
        await commands.send(request, order, id=form.command_id)
        return done(_HERE, "method-default")
    return await _index(request, session, form)


async def _leaving(request: Request, session: Session, method: PaymentMethod, form: Form) -> Response:
    page = await Page.of(request, session)
    others = [each for each in await _all(request, session) if each.id != method.id and each.working]
    return page.render("payment_method_remove.html", status=form.status, form=form, method=method, others=others)


@router.get("/portal/payment-methods/{method_id:uuid}/remove")
async def leaving(request: Request, session: ContactSession, method_id: UUID) -> Response:
    """What removing it means, and which one takes its place where it is charged."""
    return await _leaving(request, session, await _one(request, session, method_id), Form())


@router.post("/portal/payment-methods/{method_id:uuid}/remove")
async def remove(request: Request, session: ContactSession, method_id: UUID) -> Response:
    """Remove it. The form sent again, after an answer that was lost, is told the same."""
    method = await _one(request, session, method_id, removed=True)
    form = await Form.posted(request)
    page = await Page.of(request, session)
    with form.refusals(page.reader):
        order = {"payment_method_id": method.id, "replacement_id": form.given("replacement_id")}
        await commands.send(request, billing.RemovePaymentMethod.model_validate(order), id=form.command_id)
        return done(_HERE, "method-removed")
    return await _leaving(request, session, method, form)
