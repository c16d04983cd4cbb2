"""Invoices and receipts as PDF: billing makes them, we hand them on."""

from __future__ import annotations

from uuid import UUID

from fastapi import Request
from starlette.responses import Response

from contracts import billing
from contracts.billing import Invoice
from contracts.message import NotFound, RefundId
from services.gateway import commands
from services.gateway.commands import bearer_of


async def pdf(
    request: Request, invoice: Invoice, document: str, *, locale: str | None, link_token_sha256: str | None = None
) -> Response:
    """The invoice's PDF or its receipt's, as billing makes them. Raises NotFound for another document."""
    if document not in {"invoice", "receipt"}:
        raise NotFound
    kind = billing.InvoicePdf if document == "invoice" else billing.ReceiptPdf
    question = kind(invoice_id=invoice.id, locale=locale, link_token_sha256=link_token_sha256)
    holder = bearer_of(link_token_sha256) if link_token_sha256 else None
    merchant = invoice.merchant_id if link_token_sha256 else None
    made = await commands.ask(request, question, public=holder, merchant_id=merchant)
    return _file(made.body, f"{document}-{invoice.number or invoice.id}")


async def credit_note(
    request: Request,
    invoice: Invoice,
    refund_id: UUID,
    number: str,
    *,
    locale: str | None,
    link_token_sha256: str | None = None,
) -> Response:
    """A refund's credit note, as billing makes it."""
    question = billing.CreditNotePdf(
        invoice_id=invoice.id, refund_id=RefundId(refund_id), locale=locale, link_token_sha256=link_token_sha256
    )
    holder = bearer_of(link_token_sha256) if link_token_sha256 else None
    merchant = invoice.merchant_id if link_token_sha256 else None
    made = await commands.ask(request, question, public=holder, merchant_id=merchant)
    return _file(made.body, f"credit-note-{number}")


def _file(body: bytes, called: str) -> Response:
    # A filename of ours, in ASCII: what the merchant typed belongs in no header.
    name = "".join(sign for sign in called if sign.isascii() and sign.isprintable())
    name = name.replace('"', "").replace("\\", "").replace("/", "-")
    return Response(
        body, media_type="application/pdf", headers={"content-disposition": f'attachment; filename="{name}.pdf"'}
    )
