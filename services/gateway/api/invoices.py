"""Invoices, which are payment links, as they stand."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends

from contracts.billing import (
    BeingPaid,
    CreditNote,
    Decline,
    LineItem,
    Party,
    Period,
    Receipt,
    TaxLine,
)
from contracts.message import InvoiceId
from services.gateway import readmodel
from services.gateway.api.document import refusals
from services.gateway.api.links import Link
from services.gateway.api.shapes import (
    Answer,
    AnyViewer,
    Cursor,
    Db,
    InState,
    Items,
    Limit,
    OfCustomer,
    items,
)
from services.gateway.readmodel.invoices import Status
from services.gateway.readmodel.lists import PAGE
from services.gateway.security import AnyAccount, must_be_member

router = APIRouter(tags=["invoices"])


class Invoice(Answer):
    """A demand for money, in minor units of `currency`. It is overdue when `due_on` has passed while it is open."""

    id: UUID
    customer_id: UUID
    kind: Literal["one_time", "recurring", "payment_plan"]
    status: Status
    number: str | None
    currency: str
    lines: list[LineItem]
    tax_inclusive: bool
    subtotal: int
    tax_lines: list[TaxLine]
    tax: int
    total: int
    amount_paid: int
    amount_processing: int
    amount_due: int
    amount_refunded: int
    amount_disputed: int
    due_on: date
    memo: str | None
    seller: Party | None
    buyer: Party | None
    link: Link | None
    being_paid: BeingPaid | None
    last_decline: Decline | None
    receipts: list[Receipt]
    subscription_id: UUID | None
    period: Period | None
    instalment: int | None
    allow_partial: bool
    replaces: UUID | None
    credit_notes: list[CreditNote]
    created_at: datetime
    opened_at: datetime | None
    paid_at: datetime | None
    closed_at: datetime | None


async def _seen(db: Db, viewer: AnyViewer, invoice_id: UUID) -> InvoiceId:
    """An invoice that this session may see. Raises NotFound."""
    await readmodel.invoice(db, viewer, invoice_id)
    return InvoiceId(invoice_id)


Seen = Annotated[InvoiceId, Depends(_seen)]


async def _seen_by_member(invoice_id: Seen, session: AnyAccount) -> InvoiceId:
    """A foreign one is not found, a contact's own is not permitted."""
    must_be_member(session)
    return invoice_id


SeenByMember = Annotated[InvoiceId, Depends(_seen_by_member)]


@router.get("/invoices", operation_id="listInvoices", summary="Invoices, newest first")
async def index(
    db: Db,
    viewer: AnyViewer,
    status: InState[Status] = None,
    customer_id: OfCustomer = None,
    cursor: Cursor = None,
    limit: Limit = PAGE,
) -> Items[Invoice]:
    """A contact sees their customer's, without drafts."""
    found = await readmodel.invoices(db, viewer, status=status, customer_id=customer_id, cursor=cursor, limit=limit)
    return items(found, Invoice)


@router.get("/invoices/{invoice_id}", operation_id="readInvoice", summary="One invoice", responses=refusals(404))
async def read(db: Db, viewer: AnyViewer, invoice_id: UUID) -> Invoice:
    """As it stands now."""
    return Invoice.model_validate(await readmodel.invoice(db, viewer, invoice_id))
