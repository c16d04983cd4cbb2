"""One customer, as the merchant sees them: Overview, Payments, To-dos, Activity."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from contracts import billing, identity, todos
from contracts.message import CustomerId, MerchantId, NotFound, TodoId
from services.gateway import commands, readmodel
from services.gateway.security import Session
from services.gateway.security.doors import MemberSession

from .activity import happenings, news
from .brand import brand_of
from .forms import Form
from .language import gettext_noop as _
from .page import Page, done
from .todos import typed

router = APIRouter()
said = {
    "invited": _("The invitation is on its way."),
    "taken-back": _("The invitation has been taken back."),
    "todo-assigned": _("The to-do has been assigned."),
    "todo-completed": _("The to-do is done."),
    "todo-cancelled": _("The to-do has been cancelled."),
}


async def _tab(
    request: Request, session: Session, customer_id: UUID, tab: str, *, form: Form | None = None, **context: Any
) -> Response:
    assert session.viewer is not None
    page = await Page.of(request, session)
    customer = await readmodel.customer(request.app.state.runtime.db, session.viewer, customer_id)
    form = form or Form({"priority": "normal"})
    return page.render(f"customer_{tab}.html", status=form.status, tab=tab, customer=customer, form=form, **context)


# --- Overview -------------------------------------------------------------------------------------------------------


async def _overview(request: Request, session: Session, customer_id: UUID, form: Form | None = None) -> Response:
    db, viewer = request.app.state.runtime.db, session.viewer
    assert viewer is not None
    invitations = await readmodel.invitations(db, viewer, customer_id)
    latest = invitations[0] if invitations else None
    mails = await readmodel.mails_about(db, viewer, [latest.id]) if latest else {}
    return await _tab(
        request,
        session,
        customer_id,
        "overview",
        form=form,
        invitation=latest,
        mail=next(iter(mails.get(latest.id, ())), None) if latest else None,
        contacts=await readmodel.contacts(db, viewer, customer_id),
    )


@router.get("/console/customers/{customer_id:uuid}")
async def overview(request: Request, session: MemberSession, customer_id: UUID) -> Response:
    """Details, access to the portal, contacts."""
    return await _overview(request, session, customer_id)


@router.post("/console/customers/{customer_id:uuid}/invitations")
async def invite(request: Request, session: MemberSession, customer_id: UUID) -> Response:
    """Send Invite; a pending invitation of the same address is superseded."""
    form = await Form.posted(request)
    page = await Page.of(request, session)
    with form.refusals(page.reader):
        await commands.send(request, identity.SendInvitation(customer_id=customer_id), id=form.command_id)
        return done(f"/console/customers/{customer_id}", "invited")
    return await _overview(request, session, customer_id, form)


@router.post("/console/customers/{customer_id:uuid}/invitations/{invitation_id:uuid}/revoke")
async def revoke(request: Request, session: MemberSession, customer_id: UUID, invitation_id: UUID) -> Response:
    """Take an invitation back."""
    form = await Form.posted(request)
    page = await Page.of(request, session)
    with form.refusals(page.reader):
        await commands.send(request, identity.RevokeInvitation(invitation_id=invitation_id), id=form.command_id)
        return done(f"/console/customers/{customer_id}", "taken-back")
    return await _overview(request, session, customer_id, form)


# --- Payments -------------------------------------------------------------------------------------------------------


async def _payments(
    request: Request, session: Session, customer_id: UUID, form: Form | None = None, after: str = ""
) -> Response:
    db, viewer = request.app.state.runtime.db, session.viewer
    assert viewer is not None
    found = await readmodel.invoices(db, viewer, customer_id=customer_id, cursor=after or None)
    mails = await readmodel.mails_about(db, viewer, [invoice.id for invoice in found.items])
    links = {
        about: next((mail for mail in each if mail.template == "payment_link"), None) for about, each in mails.items()
    }
    methods = await readmodel.payment_methods(db, viewer, customer_id=customer_id)
    return await _tab(
        request, session, customer_id, "payments", form=form, invoices=found, mails=links, methods=methods.items
    )


@router.get("/console/customers/{customer_id:uuid}/payments")
async def payments(request: Request, session: MemberSession, customer_id: UUID, after: str = "") -> Response:
    """Invoices and payment links, the newest first, each with what became of its mail; and what is charged."""
    return await _payments(request, session, customer_id, after=after)


@router.post("/console/customers/{customer_id:uuid}/payment-methods")
async def method_link(request: Request, session: MemberSession, customer_id: UUID) -> Response:
    """The address of the provider's page on which this customer gives a payment method, to hand on."""
    assert session.viewer is not None
    customer = await readmodel.customer(request.app.state.runtime.db, session.viewer, customer_id)
    form = await Form.posted(request)
    page = await Page.of(request, session)
    with form.refusals(page.reader):
        path = f"/payment-method-given/{customer.merchant_id}"
        order = billing.AddPaymentMethod(customer_id=CustomerId(customer_id), return_path=path)
        started = await commands.send(request, order, id=form.command_id)
        return page.render("payment_method_link.html", customer=customer, url=started.setup_url)
    return await _payments(request, session, customer_id, form)


@router.get("/payment-method-given/{merchant_id:uuid}")
async def method_given(request: Request, merchant_id: UUID, added: str = "") -> Response:
    """Where somebody without an account comes back to from the provider's page."""
    brand = await brand_of(request, MerchantId(merchant_id))
    if brand is None:
        raise NotFound
    page = await Page.of(request, None, merchant=brand)
    return page.render("payment_method_given.html", added=bool(added))


# --- To-dos ---------------------------------------------------------------------------------------------------------


async def _todos(
    request: Request, session: Session, customer_id: UUID, form: Form | None = None, after: str = ""
) -> Response:
    assert session.viewer is not None
    db = request.app.state.runtime.db
    found = await readmodel.todos(db, session.viewer, customer_id=customer_id, cursor=after or None)
    return await _tab(request, session, customer_id, "todos", form=form, todos=found)


@router.get("/console/customers/{customer_id:uuid}/todos")
async def todo_list(request: Request, session: MemberSession, customer_id: UUID, after: str = "") -> Response:
    """What was assigned, shared or follows from a bill, and the form to assign one."""
    return await _todos(request, session, customer_id, after=after)


@router.post("/console/customers/{customer_id:uuid}/todos")
async def assign(request: Request, session: MemberSession, customer_id: UUID) -> Response:
    """Assign a to-do."""
    form = await Form.posted(request)
    page = await Page.of(request, session)
    with form.refusals(page.reader):
        order = todos.CreateTodo.model_validate(typed(form) | {"customer_id": customer_id})
        await commands.send(request, order, id=form.command_id)
        return done(f"/console/customers/{customer_id}/todos", "todo-assigned")
    return await _todos(request, session, customer_id, form)


@router.post("/console/customers/{customer_id:uuid}/todos/{todo_id:uuid}/complete")
async def complete(request: Request, session: MemberSession, customer_id: UUID, todo_id: UUID) -> Response:
    """Say that what a customer asked of the merchant has been done."""
    form = await Form.posted(request)
    page = await Page.of(request, session)
    with form.refusals(page.reader):
        await commands.send(request, todos.UpdateTodo(todo_id=TodoId(todo_id), status="done"), id=form.command_id)
        return done(f"/console/customers/{customer_id}/todos", "todo-completed")
    return await _todos(request, session, customer_id, form)


@router.post("/console/customers/{customer_id:uuid}/todos/{todo_id:uuid}/cancel")
async def cancel(request: Request, session: MemberSession, customer_id: UUID, todo_id: UUID) -> Response:
    """Say that an assigned to-do is not needed any more."""
    form = await Form.posted(request)
    page = await Page.of(request, session)
    with form.refusals(page.reader):
        await commands.send(request, todos.UpdateTodo(todo_id=todo_id, status="cancelled"), id=form.command_id)
        return done(f"/console/customers/{customer_id}/todos", "todo-cancelled")
    return await _todos(request, session, customer_id, form)


# --- Activity -------------------------------------------------------------------------------------------------------


@router.get("/console/customers/{customer_id:uuid}/activity")
async def activity(request: Request, session: MemberSession, customer_id: UUID, after: str = "") -> Response:
    """One timeline of payments, mails and to-dos, each with its because."""
    viewer = session.viewer
    assert viewer is not None
    page = await Page.of(request, session)
    found = await readmodel.timeline(
        request.app.state.runtime.db, viewer, customer_id=customer_id, types=news(viewer), cursor=after or None
    )
    lines = happenings(found.items, viewer, page.reader)
    return await _tab(request, session, customer_id, "activity", lines=lines, next_cursor=found.next_cursor)
