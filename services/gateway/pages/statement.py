"""A customer's account over a period, for the customer and for the merchant."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from contracts.billing import AccountStatement, Statement
from contracts.identity import Customer
from contracts.message import CustomerId, FieldError, InvalidInput, NotFound
from services.gateway import commands, readmodel
from services.gateway.security import Session
from services.gateway.security.doors import ContactSession, MemberSession

from .forms import Form
from .language import gettext_noop as _
from .page import Page

router = APIRouter()

KINDS = {
    "invoice": _("Invoice"),
    "withdrawn": _("Invoice withdrawn"),
    "written_off": _("Invoice written off"),
    "recovered": _("Write-off taken back"),
    "payment": _("Payment"),
    "credit_note": _("Credit note"),
    "refund": _("Refund"),
    "refund_failed": _("Refund returned by the bank"),
    "credit_note_reversed": _("Credit note taken back"),
    "dispute": _("Payment disputed"),
    "dispute_won": _("Dispute won"),
}


async def _show(request: Request, session: Session, customer: Customer) -> Response:
    """This year so far, or the period in the address."""
    page = await Page.of(request, session)
    today = page.merchants_day
    asked = request.query_params
    form = Form({"from": asked.get("from") or f"{today.year}-01-01", "to": asked.get("to") or today.isoformat()})
    statement: Statement | None = None
    with form.refusals(page.reader):
        first, last = (_day(form, name, page) for name in ("from", "to"))
        question = AccountStatement(customer_id=CustomerId(customer.id), from_on=first, to_on=last)
        statement = await commands.ask(request, question)
    errors = {"from_on": "from", "to_on": "to"}
    form.errors = {errors.get(name, name): message for name, message in form.errors.items()}
    return page.render(
        "statement.html", status=form.status, form=form, statement=statement, customer=customer, kinds=KINDS
    )


def _day(form: Form, name: str, page: Page) -> date:
    try:
        return date.fromisoformat(form.get(name))
    except ValueError as wrong:
        message = page.reader.gettext("Please enter a date.")
        raise InvalidInput(errors=(FieldError(field=name, message=message),)) from wrong


@router.get("/portal/payments/statement")
async def own(request: Request, session: ContactSession) -> Response:
    """The customer's own account."""
    viewer = session.viewer
    if viewer is None or viewer.customer_id is None:
        raise NotFound
    return await _show(
        request, session, await readmodel.customer(request.app.state.runtime.db, viewer, viewer.customer_id)
    )


@router.get("/console/customers/{customer_id:uuid}/statement")
async def customers(request: Request, session: MemberSession, customer_id: UUID) -> Response:
    """One customer's account, as they would see it."""
    assert session.viewer is not None
    customer = await readmodel.customer(request.app.state.runtime.db, session.viewer, customer_id)
    return await _show(request, session, customer)
