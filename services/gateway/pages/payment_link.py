"""Create new Payment Link: lines with prices as people write them, parsed exactly."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from contracts import billing
from contracts.billing import Invoice
from contracts.identity import Customer
from contracts.message import FieldError, InvalidInput
from services.gateway import commands, readmodel
from services.gateway.security import Session
from services.gateway.security.doors import MemberSession

from . import amounts
from .forms import Form
from .language import Reader
from .language import gettext_noop as _
from .lines import currencies, example, lines_of
from .page import Page, done
from .subscription_terms import KINDS, agreement_of, usual_terms

MOST_LINES = 200
MOST_INSTALMENTS = 36

router = APIRouter()
said = {
    "link-mailed": _("The payment link has been saved and is being mailed."),
    "link-saved": _("The payment link has been saved. It can now be paid in the portal."),
    "offer-saved": _("The payment link has been saved. It waits for the customer to accept it."),
}


def _show(
    page: Page, session: Session, customer: Customer, form: Form, *, more: str = "", replaced: Invoice | None = None
) -> Response:
    merchant = session.merchant
    if "link_expires_at" in form.errors:
        form.errors["link_expires_on"] = form.errors.pop("link_expires_at")
    filled = 1 + max((number for number, _ in form.numbered("lines")), default=-1)
    parts = 1 + max((number for number, _ in form.numbered("instalments")), default=-1)
    currency = form.get("currency") or (merchant.currency if merchant else "EUR")
    return page.render(
        "payment_link_new.html",
        status=form.status,
        form=form,
        customer=customer,
        line_count=min(max(filled, 1) + (more == "add_line"), MOST_LINES),
        instalment_count=min(max(parts, 3) + 3 * (more == "add_instalments"), MOST_INSTALMENTS),
        kinds=KINDS,
        currencies=currencies(currency),
        example=example(currency, page.reader),
        replaced=replaced,
    )


async def _usual(request: Request, session: Session, page: Page) -> Form:
    """One empty line in the merchant's currency, with what it usually wants."""
    assert session.viewer is not None
    usual = await readmodel.defaults(request.app.state.runtime.db, session.viewer.merchant_id)
    reader = page.reader
    link_ends = reader.today + timedelta(days=usual.link_days) if usual.link_days else None
    return Form(
        {
            "due_on": (page.merchants_day + timedelta(days=usual.due_days)).isoformat(),
            "currency": session.merchant.currency if session.merchant else "EUR",
            "lines.0.quantity": "1",
            "lines.0.tax_rate": reader.decimal(usual.tax_rate),
            "tax_inclusive": "yes" if usual.tax_inclusive else "",
            "allow_partial": "yes" if usual.allow_partial else "",
            "link_expires_on": link_ends.isoformat() if link_ends else "",
            "memo": usual.memo or "",
        }
        | usual_terms(usual)
    )


def _as_typed(invoice: Invoice, page: Page) -> Form:
    """The form that this invoice would have come from."""
    reader = page.reader
    values = {
        "due_on": max(invoice.due_on, page.merchants_day).isoformat(),
        "currency": invoice.currency,
        "tax_inclusive": "yes" if invoice.tax_inclusive else "",
        "allow_partial": "yes" if invoice.allow_partial else "",
        "memo": invoice.memo or "",
    }
    for place, line in enumerate(invoice.lines):
        values |= {
            f"lines.{place}.description": line.description,
            f"lines.{place}.quantity": reader.decimal(line.quantity),
            f"lines.{place}.unit_amount": amounts.typed(line.unit_amount, invoice.currency, reader.locale),
            f"lines.{place}.tax_rate": reader.decimal(line.tax_rate),
            f"lines.{place}.discount_percent": reader.decimal(line.discount_percent) if line.discount_percent else "",
            f"lines.{place}.reverse_charge": "yes" if line.reverse_charge else "",
        }
    return Form(values)


def _leave_empty_rows_out(form: Form) -> None:
    form.close_gaps("lines", "description", "unit_amount")
    form.close_gaps("instalments", "amount", "due_on")


def _link_end(form: Form, reader: Reader) -> datetime | None:
    """The end of the last day on which the link is to work, where the reader is. Raises InvalidInput."""
    typed = form.given("link_expires_on")
    if typed is None:
        return None
    try:
        day = date.fromisoformat(typed)
        ends = datetime.combine(day + timedelta(days=1), time(), reader.zone)
    except (ValueError, OverflowError) as wrong:  # 9999-12-31 has no next day
        message = reader.gettext("Please enter a date.")
        raise InvalidInput(errors=(FieldError(field="link_expires_on", message=message),)) from wrong
    if day < reader.today:
        message = reader.gettext("The payment link must end in the future.")
        raise InvalidInput(errors=(FieldError(field="link_expires_on", message=message),))
    return ends


def _fields(form: Form, customer_id: UUID, reader: Reader) -> dict[str, Any]:
    """The form as the command's fields. Raises InvalidInput."""
    currency = form.get("currency")
    return {
        "customer_id": customer_id,
        "currency": currency,
        "lines": lines_of(form, currency, reader),
        "tax_inclusive": form.get("tax_inclusive") == "yes",
        "allow_partial": form.get("allow_partial") == "yes",
        "link_expires_at": _link_end(form, reader),
        "due_on": form.given("due_on"),
        "memo": form.given("memo"),
        "send_email": form.get("press") == "email",
    }


@router.get("/console/customers/{customer_id:uuid}/payment-links/new")
async def new(request: Request, session: MemberSession, customer_id: UUID) -> Response:
    """One empty line, with the merchant's defaults."""
    assert session.viewer is not None
    page = await Page.of(request, session)
    customer = await readmodel.customer(request.app.state.runtime.db, session.viewer, customer_id)
    return _show(page, session, customer, await _usual(request, session, page))


@router.post("/console/customers/{customer_id:uuid}/payment-links/new")
async def create(request: Request, session: MemberSession, customer_id: UUID) -> Response:
    """Add a line to the form, or save the link, mailed or not."""
    assert session.viewer is not None
    page = await Page.of(request, session)
    customer = await readmodel.customer(request.app.state.runtime.db, session.viewer, customer_id)
    form = await Form.posted(request)
    if (press := form.get("press")).startswith("add_"):
        return _show(page, session, customer, form, more=press)
    _leave_empty_rows_out(form)
    with form.refusals(page.reader):
        if form.get("kind") in {"recurring", "payment_plan"}:
            fields = agreement_of(form, _fields(form, customer_id, page.reader), page.reader)
            agreed = await commands.send(request, fields, id=form.command_id)
            return done(f"/console/subscriptions/{agreed.id}", "offer-mailed" if fields.send_email else "offer-saved")
        order = billing.CreatePaymentLink.model_validate(_fields(form, customer_id, page.reader))
        invoice = await commands.send(request, order, id=form.command_id)
        said = "link-mailed" if order.send_email else "link-saved"
        return done(f"/console/invoices/{invoice.id}", said)
    return _show(page, session, customer, form)


@router.get("/console/invoices/{invoice_id:uuid}/replacements/new")
async def corrected(request: Request, session: MemberSession, invoice_id: UUID) -> Response:
    """The form, filled in as the invoice was."""
    assert session.viewer is not None
    db, page = request.app.state.runtime.db, await Page.of(request, session)
    invoice = await readmodel.invoice(db, session.viewer, invoice_id)
    customer = await readmodel.customer(db, session.viewer, invoice.customer_id)
    return _show(page, session, customer, _as_typed(invoice, page), replaced=invoice)


@router.post("/console/invoices/{invoice_id:uuid}/replacements/new")
async def replace(request: Request, session: MemberSession, invoice_id: UUID) -> Response:
    """Withdraw the invoice and open the corrected one."""
    assert session.viewer is not None
    db, page = request.app.state.runtime.db, await Page.of(request, session)
    invoice = await readmodel.invoice(db, session.viewer, invoice_id)
    customer = await readmodel.customer(db, session.viewer, invoice.customer_id)
    form = await Form.posted(request)
    if form.get("press") == "add_line":
        return _show(page, session, customer, form, more="add_line", replaced=invoice)
    _leave_empty_rows_out(form)
    with form.refusals(page.reader):
        fields = _fields(form, invoice.customer_id, page.reader)
        order = billing.ReplaceInvoice.model_validate({**fields, "invoice_id": invoice_id})
        fresh = await commands.send(request, order, id=form.command_id)
        return done(f"/console/invoices/{fresh.id}", "link-mailed" if order.send_email else "link-saved")
    return _show(page, session, customer, form, replaced=invoice)
