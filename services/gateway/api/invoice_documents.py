"""An invoice and its receipts as PDF."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response

from contracts.billing import InvoicePdf, ReceiptPdf
from contracts.message import Document, PaymentId, Question
from services.gateway import commands
from services.gateway.api.document import file, refusals
from services.gateway.api.invoices import Seen
from services.gateway.security import AnyAccount

router = APIRouter(tags=["invoices"])

PDF = file("application/pdf", "The document.")


async def document(request: Request, question: Question[Document]) -> Response:
    """What billing makes, for the browser to keep."""
    made = await commands.ask(request, question)
    # RFC 6266 with RFC 8187: nothing that anybody typed can end the header's value.
    name = quote(made.filename, safe="")
    return Response(
        made.body,
        media_type=made.content_type,
        headers={"content-disposition": f"attachment; filename*=UTF-8''{name}"},
    )


@router.get(
    "/invoices/{invoice_id}/invoice.pdf",
    operation_id="downloadInvoice",
    summary="The invoice as PDF",
    response_class=Response,
    responses=PDF | refusals(404, 504),
)
async def invoice_pdf(request: Request, invoice_id: Seen, session: AnyAccount) -> Response:
    """Drafts have none."""
    return await document(request, InvoicePdf(invoice_id=invoice_id, locale=session.locale))


@router.get(
    "/invoices/{invoice_id}/receipt.pdf",
    operation_id="downloadReceipt",
    summary="The receipt of the invoice's last payment as PDF",
    response_class=Response,
    responses=PDF | refusals(404, 504),
)
async def receipt_pdf(
    request: Request,
    invoice_id: Seen,
    session: AnyAccount,
    payment_id: Annotated[UUID | None, Query(description="Another payment of this invoice.")] = None,
) -> Response:
    """There is one as soon as money has arrived."""
    return await document(
        request,
        ReceiptPdf(invoice_id=invoice_id, payment_id=payment_id and PaymentId(payment_id), locale=session.locale),
    )
