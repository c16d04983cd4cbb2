"""Refunds, disputes, and how the books compare with Stripe's."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from contracts.billing import CreditNotePdf, Difference, RefundInvoice, TaxLine
from contracts.message import Amount, InvoiceId, NotFound, RefundId, Text
from services.gateway import readmodel
from services.gateway.api.document import COMMAND, refusals
from services.gateway.api.invoice_documents import PDF, document
from services.gateway.api.invoices import SeenByMember
from services.gateway.api.shapes import (
    Answer,
    AnyViewer,
    Cursor,
    Db,
    Given,
    IdempotencyKey,
    InState,
    Items,
    Limit,
    done,
    given,
    items,
)
from services.gateway.readmodel.lists import PAGE
from services.gateway.security import AnyAccount, must_be_member, viewer_of

router = APIRouter(tags=["refunds"])

OfInvoice = Annotated[UUID | None, Query(description="Only this invoice's.")]


class Refund(Answer):
    """Money that goes back, in minor units of `currency`. It may fail days after it succeeded."""

    id: UUID
    customer_id: UUID
    invoice_id: UUID
    payment_id: UUID
    status: Literal["created", "processing", "succeeded", "failed", "unknown"]
    amount: int
    credited: int
    currency: str
    reason: str | None
    credit_note_number: str | None
    tax_lines: list[TaxLine]
    failure: str | None
    begun_at_stripe: bool
    created_at: datetime
    issued_at: datetime | None
    settled_at: datetime | None


class Dispute(Answer):
    """A cardholder's bank wants a payment's money back."""

    id: UUID
    customer_id: UUID
    invoice_id: UUID
    payment_id: UUID
    status: Literal["open", "won", "lost"]
    amount: int
    currency: str
    reason: str
    inquiry: bool
    evidence_due_at: datetime | None
    opened_at: datetime
    closed_at: datetime | None


class NotCompared(Answer):
    """An account at the payment provider that could not be compared, and why.

    `account_closed`: it does not let the portal see it any more. `key_refused`: the portal's key is not taken. `rate_limited`
    and `no_answer`: it is tried again by itself. `failed`: the portal's log has the reason.
    """

    account: str
    why: str


class Reconciliation(Answer):
    """The last comparison with Stripe's books, at all accounts where the merchant has money.

    `differences` are for a person to look at: each stands from `since` until it is explained, then it is among `resolved`
    for thirty days. `more_differences` stand and are not listed. `not_compared` names accounts that could not be
    compared, `why_not_compared` each with the reason. A `finished_at` of hours ago says that no comparison has succeeded since.
    """

    finished_at: datetime
    compared: int
    found: int
    differences: list[Difference]
    more_differences: int
    resolved: list[Difference]
    not_compared: list[str]
    why_not_compared: list[NotCompared]


class NewRefund(Given):
    """What to give back: all that is left of the latest payment, unless told otherwise."""

    payment_id: UUID | None = None
    amount: Annotated[Amount | None, Field(description="In minor units.", examples=[1250])] = None
    reason: Annotated[Annotated[Text, Field(max_length=500)] | None, Field(description="Shown to the customer.")] = None


@router.post(
    "/invoices/{invoice_id}/refunds",
    operation_id="refundInvoice",
    summary="Give money back",
    status_code=201,
    responses=refusals(*COMMAND, 404, 409),
)
async def refund(
    request: Request, invoice_id: SeenByMember, key: IdempotencyKey, body: NewRefund | None = None
) -> Refund:
    """Members who are admin or manager. *created* and *unknown* are saved, and become something else by themselves."""
    return await done(request, RefundInvoice(invoice_id=invoice_id, **given(body)), key, Refund)


@router.get("/refunds", operation_id="listRefunds", summary="Refunds, newest first")
async def refunds(
    db: Db, viewer: AnyViewer, invoice_id: OfInvoice = None, cursor: Cursor = None, limit: Limit = PAGE
) -> Items[Refund]:
    """A contact sees their customer's."""
    return items(await readmodel.refunds(db, viewer, invoice_id=invoice_id, cursor=cursor, limit=limit), Refund)


@router.get(
    "/invoices/{invoice_id}/credit-notes/{refund_id}.pdf",
    operation_id="downloadCreditNote",
    summary="The credit note of a refund as PDF",
    response_class=Response,
    responses=PDF | refusals(404, 504),
)
async def credit_note(request: Request, db: Db, session: AnyAccount, invoice_id: UUID, refund_id: UUID) -> Response:
    """There is one once the payment provider has taken the refund; surplus money is given back without."""
    await readmodel.refund(db, viewer_of(session), invoice_id, refund_id)
    question = CreditNotePdf(invoice_id=InvoiceId(invoice_id), refund_id=RefundId(refund_id), locale=session.locale)
    return await document(request, question)


@router.get("/disputes", operation_id="listDisputes", summary="Disputes, newest first", responses=refusals(403))
async def disputes(
    db: Db,
    session: AnyAccount,
    invoice_id: OfInvoice = None,
    status: InState[Literal["open", "won", "lost"]] = None,
    cursor: Cursor = None,
    limit: Limit = PAGE,
) -> Items[Dispute]:
    """Members only. They are answered on the pages of the payment provider."""
    must_be_member(session)
    viewer = viewer_of(session)
    found = await readmodel.disputes(db, viewer, invoice_id=invoice_id, status=status, cursor=cursor, limit=limit)
    return items(found, Dispute)


@router.get(
    "/reconciliation",
    operation_id="readReconciliation",
    summary="How the books compare with the payment provider's",
    responses=refusals(403, 404),
)
async def reconciliation(db: Db, session: AnyAccount) -> Reconciliation:
    """Members only; not found before the first comparison."""
    must_be_member(session)
    found = await readmodel.reconciliation(db, viewer_of(session))
    if found is None:
        raise NotFound("The books have not been compared yet.")
    return Reconciliation.model_validate(found)
