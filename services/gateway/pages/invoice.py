"""An invoice in the console: its state, its payments, its link, and how it can end without payment."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from contracts import billing
from contracts.billing import Invoice, Subscription
from contracts.message import Command, NotFound
from services.gateway import commands, readmodel
from services.gateway.security import Session
from services.gateway.security.doors import MemberSession

from .documents import pdf
from .forms import Form
from .language import gettext_noop as _
from .page import Page, done
from .refunds import left_of, may_refund

router = APIRouter()
said = {
    "mailed": _("The mail is on its way."),
    "opened": _("The invoice is open now."),
    "link-renewed": _("There is a new payment link; the one before no longer works."),
    "link-revoked": _("The payment link has been withdrawn. The invoice can be paid in the portal."),
    "withdrawn": _("The invoice has been withdrawn."),
    "given-up": _("The invoice has been marked as uncollectible."),
}


async def _invoice(request: Request, session: Session, invoice_id: UUID) -> Invoice:
    assert session.viewer is not None
    return await readmodel.invoice(request.app.state.runtime.db, session.viewer, invoice_id)


async def _show(request: Request, session: Session, invoice: Invoice, form: Form) -> Response:
    db, viewer = request.app.state.runtime.db, session.viewer
    assert viewer is not None
    page = await Page.of(request, session)
    mails = (await readmodel.mails_about(db, viewer, [invoice.id])).get(invoice.id, ())
    payments = await readmodel.payments(db, viewer, invoice_id=invoice.id)
    refunds = (await readmodel.refunds(db, viewer, invoice_id=invoice.id, limit=100)).items
    return page.render(
        "console_invoice.html",
        status=form.status,
        form=form,
        invoice=invoice,
        customer=await readmodel.customer(db, viewer, invoice.customer_id),
        mail=next((mail for mail in mails if mail.template == "payment_link"), None),
        payments=payments.items,
        link_state=_link_state(invoice, request.app.state.runtime.clock.now()),
        refunds=refunds,
        surplus_returned={
            each.payment_id for each in refunds if each.status != "failed" and each.amount > each.credited
        },
        subscription=await _subscription(request, session, invoice),
        disputes=(await readmodel.disputes(db, viewer, invoice_id=invoice.id, limit=100)).items,
        refundable=may_refund(session) and any(left_of(each) for each in payments.items),
    )


async def _subscription(request: Request, session: Session, invoice: Invoice) -> Subscription | None:
    """What the invoice belongs to; None for one of its own, and while its subscription is not known here yet."""
    assert session.viewer is not None
    if invoice.subscription_id is None:
        return None
    try:
        return await readmodel.subscription(request.app.state.runtime.db, session.viewer, invoice.subscription_id)
    except NotFound:
        return None


def _link_state(invoice: Invoice, now: datetime) -> str:
    """Why the payment link is dead; empty while it works."""
    if invoice.link is None or invoice.link.revoked:
        return "revoked" if invoice.link else ""
    ended = invoice.link.expires_at is not None and invoice.link.expires_at <= now
    return "expired" if ended else ""


@router.get("/console/invoices/{invoice_id:uuid}")
async def show(request: Request, session: MemberSession, invoice_id: UUID) -> Response:
    """One invoice."""
    return await _show(request, session, await _invoice(request, session, invoice_id), Form())


@router.get("/console/invoices/{invoice_id:uuid}/link")
async def link(request: Request, session: MemberSession, invoice_id: UUID) -> Response:
    """The invoice's secret address, asked of billing at this moment: nobody else has it."""
    invoice = await _invoice(request, session, invoice_id)
    url = await commands.public_url(request, billing.PayLinkUrl(invoice_id=invoice.id))
    page = await Page.of(request, session)
    return page.render("invoice_link.html", invoice=invoice, url=url)


@router.get("/console/invoices/{invoice_id:uuid}/{document}.pdf")
async def document(request: Request, session: MemberSession, invoice_id: UUID, document: str) -> Response:
    """The invoice, or its receipt, in the language of the customer."""
    return await pdf(request, await _invoice(request, session, invoice_id), document, locale=None)


def _order(verb: str, invoice: Invoice, form: Form) -> tuple[Command[Invoice], str]:
    match verb:
        case "send":
            return billing.SendPaymentLink(invoice_id=invoice.id), "mailed"
        case "void":
            return billing.VoidInvoice(invoice_id=invoice.id), "withdrawn"
        case "renew-link":
            return billing.RenewPaymentLink(invoice_id=invoice.id), "link-renewed"
        case "revoke-link":
            return billing.RevokePaymentLink(invoice_id=invoice.id), "link-revoked"
        case "give-up":
            return billing.GiveUpInvoice(invoice_id=invoice.id), "given-up"
        case "open":
            return billing.OpenInvoice(invoice_id=invoice.id, send_email=form.get("press") == "email"), "opened"
        case _:
            raise NotFound


@router.post("/console/invoices/{invoice_id:uuid}/{verb}")
async def act(request: Request, session: MemberSession, invoice_id: UUID, verb: str) -> Response:
    """Mail the link, open a draft, withdraw the invoice or give it up."""
    invoice = await _invoice(request, session, invoice_id)
    form = await Form.posted(request)
    order, said = _order(verb, invoice, form)
    page = await Page.of(request, session)
    with form.refusals(page.reader):
        await commands.send(request, order, id=form.command_id)
        return done(f"/console/invoices/{invoice.id}", said)
    return await _show(request, session, await _invoice(request, session, invoice_id), form)
