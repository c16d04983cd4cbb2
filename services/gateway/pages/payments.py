"""A customer's payments: open invoices and paid ones, each with its documents, and the way to pay."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from contracts import billing
from contracts.billing import Invoice
from services.gateway import commands, readmodel
from services.gateway.security import Session
from services.gateway.security.doors import ContactSession

from .agreement import terms
from .documents import pdf
from .forms import Form
from .language import gettext_noop as _
from .offer import offered_by
from .page import NavEntry, Page, see
from .parts import amount_of, came_back, way_back

router = APIRouter()
navigation = NavEntry("portal", 20, "/portal/payments", _("Payments"), "bill")


@router.get("/portal/payments")
async def index(request: Request, session: ContactSession, open: str = "", paid: str = "") -> Response:  # noqa: A002 - as in the address
    """Open invoices, the earliest due first, and paid ones, the newest first. Each list goes on from its own cursor."""
    db, viewer = request.app.state.runtime.db, session.viewer
    assert viewer is not None
    page = await Page.of(request, session)
    return page.render(
        "payments.html",
        open=await readmodel.open_invoices(db, viewer, cursor=open or None),
        paid=await readmodel.invoices(db, viewer, status="paid", cursor=paid or None),
    )


async def _show(request: Request, session: Session, invoice: Invoice, form: Form) -> Response:
    page = await Page.of(request, session)
    assert session.viewer is not None
    offered = await offered_by(request, invoice)
    refunds = await readmodel.refunds(request.app.state.runtime.db, session.viewer, invoice_id=invoice.id, limit=100)
    return page.render(
        "payment.html",
        status=form.status,
        invoice=invoice,
        form=form,
        refunds=refunds.items,
        came_back=came_back(request, invoice),
        subscription=offered,
        terms=terms(offered, page.merchant.name if page.merchant else "", page.reader, page.merchants_day)
        if offered
        else [],
    )


async def _invoice(request: Request, session: Session, invoice_id: UUID) -> Invoice:
    assert session.viewer is not None
    return await readmodel.invoice(request.app.state.runtime.db, session.viewer, invoice_id)


@router.get("/portal/payments/{invoice_id:uuid}")
async def show(request: Request, session: ContactSession, invoice_id: UUID) -> Response:
    """One invoice."""
    return await _show(request, session, await _invoice(request, session, invoice_id), Form())


@router.post("/portal/payments/{invoice_id:uuid}/pay")
async def pay(request: Request, session: ContactSession, invoice_id: UUID) -> Response:
    """Open (or go on with) its checkout; why not is said on the invoice's own page."""
    invoice = await _invoice(request, session, invoice_id)
    form = await Form.posted(request)
    if not form.get("agreed") and await offered_by(request, invoice) is not None:
        # Pressed in a list, where nothing says that paying this one begins a subscription.
        return see(f"/portal/payments/{invoice.id}")
    page = await Page.of(request, session)
    with form.refusals(page.reader):
        part = amount_of(form, invoice, page.reader)
        started = await commands.send(
            request,
            billing.StartInvoicePayment(
                invoice_id=invoice.id, return_path=way_back(f"/portal/payments/{invoice.id}", invoice), **part
            ),
            id=form.command_id,
            known=[(Invoice, invoice.id)],
        )
        return see(started.checkout_url)
    # The refusal may have brought news of the invoice, such as that it is paid already.
    return await _show(request, session, await _invoice(request, session, invoice_id), form)


@router.get("/portal/payments/{invoice_id:uuid}/{document}.pdf")
async def document(request: Request, session: ContactSession, invoice_id: UUID, document: str) -> Response:
    """The invoice, or the receipt once it is paid."""
    return await pdf(request, await _invoice(request, session, invoice_id), document, locale=session.locale)
