"""Giving money back: how much of which payment, and why; and the credit notes that say so."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from contracts import billing
from contracts.billing import Invoice, Payment
from contracts.message import FieldError, InvalidInput, InvoiceId, NotAllowed, NotFound
from services.gateway import commands, readmodel
from services.gateway.security import Session
from services.gateway.security.doors import ContactSession, MemberSession

from . import amounts
from .documents import credit_note
from .forms import Form
from .language import Reader
from .language import gettext_noop as _
from .page import Page, done

router = APIRouter()
said = {
    "refunded": _("The money is on its way back."),
    "refund-saved": _("The refund is saved. We are still waiting for the payment provider."),
}

_REFUNDERS = {"admin", "manager"}


def may_refund(session: Session) -> bool:
    """Whether this person's role has the right. Billing checks it again when the command runs."""
    return session.account is not None and session.account.role in _REFUNDERS


def left_of(payment: Payment) -> int:
    """What can still be given back of a payment, in minor units."""
    if payment.status != "succeeded":
        return 0
    return max(payment.amount - payment.amount_refunded - payment.amount_disputed, 0)


async def _payments(request: Request, session: Session, invoice: Invoice) -> list[Payment]:
    """The invoice's payments of which something is left, those with surplus money first, then the latest."""
    assert session.viewer is not None
    db = request.app.state.runtime.db
    found = (await readmodel.payments(db, session.viewer, invoice_id=invoice.id, limit=100)).items
    return sorted((each for each in found if left_of(each)), key=lambda each: not each.surplus)


async def _show(page: Page, invoice: Invoice, payments: list[Payment], form: Form) -> Response:
    choices = [(str(each.id), _named(each, page.reader)) for each in payments]
    return page.render("refund_new.html", status=form.status, form=form, invoice=invoice, payments=choices)


def _named(payment: Payment, reader: Reader) -> str:
    """`€12.50 of 2 March 2026, 10:00 · card ending in 4242`."""
    left = reader.money(left_of(payment), payment.currency)
    parts = [
        reader.gettext("%(amount)s left of the payment of %(time)s")
        % {"amount": left, "time": reader.moment(payment.settled_at or payment.created_at)}
    ]
    if payment.last4:
        parts.append(reader.gettext("card ending in %(last4)s") % {"last4": payment.last4})
    if payment.surplus:
        parts.append(reader.gettext("came on top of what was due"))
    return " · ".join(parts)


async def _entered(request: Request, session: Session, invoice_id: UUID) -> tuple[Invoice, list[Payment]]:
    assert session.viewer is not None
    invoice = await readmodel.invoice(request.app.state.runtime.db, session.viewer, invoice_id)
    if not may_refund(session):
        raise NotAllowed("Only admins and managers may give money back. Ask one of them.")
    return invoice, await _payments(request, session, invoice)


@router.get("/console/invoices/{invoice_id:uuid}/refunds/new")
async def new(request: Request, session: MemberSession, invoice_id: UUID, payment: str = "") -> Response:
    """The amount is what is left of the payment."""
    invoice, payments = await _entered(request, session, invoice_id)
    page = await Page.of(request, session)
    chosen = next((each for each in payments if str(each.id) == payment), payments[0] if payments else None)
    values = {}
    if chosen is not None:
        amount = amounts.typed(left_of(chosen), chosen.currency, page.reader.locale)
        values = {"payment_id": str(chosen.id), "amount": amount}
    return await _show(page, invoice, payments, Form(values))


def _amount(form: Form, currency: str, reader: Reader) -> int:
    """What was typed, in minor units. Raises InvalidInput."""
    try:
        return amounts.minor_units(form.get("amount"), currency, reader.locale)
    except amounts.NotANumberError:
        example = amounts.typed(1250, currency, reader.locale)
        message = reader.gettext("Please enter a number such as %(example)s.") % {"example": example}
    except amounts.TooManyDecimalsError:
        message = reader.gettext("%(currency)s has no fractions this small.") % {"currency": currency}
    raise InvalidInput(errors=(FieldError(field="amount", message=message),))


@router.post("/console/invoices/{invoice_id:uuid}/refunds/new")
async def create(request: Request, session: MemberSession, invoice_id: UUID) -> Response:
    """Give it back; only what was confirmed."""
    invoice, payments = await _entered(request, session, invoice_id)
    form = await Form.posted(request)
    page = await Page.of(request, session)
    with form.refusals(page.reader):
        amount = _amount(form, invoice.currency, page.reader)
        if form.get("confirm") != "yes":
            message = page.reader.gettext("Please confirm that the money is to be given back.")
            raise InvalidInput(errors=(FieldError(field="confirm", message=message),))
        order = billing.RefundInvoice.model_validate(
            {
                "invoice_id": InvoiceId(invoice.id),
                "payment_id": form.given("payment_id"),
                "amount": amount,
                "reason": form.given("reason"),
            }
        )
        made = await commands.send(request, order, id=form.command_id)
        said = "refund-saved" if made.status in ("created", "unknown") else "refunded"
        return done(f"/console/invoices/{invoice.id}", said)
    return await _show(page, invoice, payments, form)


# --- credit notes -----------------------------------------------------------------------------------------------------


async def _credit_note(
    request: Request, session: Session, invoice_id: UUID, refund_id: UUID, locale: str | None
) -> Response:
    assert session.viewer is not None
    db = request.app.state.runtime.db
    invoice = await readmodel.invoice(db, session.viewer, invoice_id)
    refund = await readmodel.refund(db, session.viewer, invoice_id, refund_id)
    if refund.credit_note_number is None:
        raise NotFound
    return await credit_note(request, invoice, refund.id, refund.credit_note_number, locale=locale)


@router.get("/console/invoices/{invoice_id:uuid}/credit-notes/{refund_id:uuid}.pdf")
async def for_member(request: Request, session: MemberSession, invoice_id: UUID, refund_id: UUID) -> Response:
    """A credit note, in the language of the customer."""
    return await _credit_note(request, session, invoice_id, refund_id, None)


@router.get("/portal/payments/{invoice_id:uuid}/credit-notes/{refund_id:uuid}.pdf")
async def for_contact(request: Request, session: ContactSession, invoice_id: UUID, refund_id: UUID) -> Response:
    """A credit note of one's own invoice."""
    return await _credit_note(request, session, invoice_id, refund_id, session.locale)
