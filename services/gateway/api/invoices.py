"""Invoices, which are payment links, and paying them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from contracts.billing import (
    BeingPaid,
    CreditNote,
    Decline,
    GiveUpInvoice,
    InvoicePdf,
    LineItem,
    NewLine,
    OpenInvoice,
    Party,
    PayLinkNotUsable,
    PayLinkUrl,
    Period,
    Receipt,
    ReceiptPdf,
    RenewPaymentLink,
    ReplaceInvoice,
    RevokePaymentLink,
    SendPaymentLink,
    StartInvoicePayment,
    TaxLine,
    VoidInvoice,
)
from contracts.message import Count, Currency, Day, Document, InvoiceId, MailFacts, Moment, PaymentId, Question, Text
from services.gateway import commands, readmodel
from services.gateway.api.document import COMMAND, refusals
from services.gateway.api.shapes import (
    Answer,
    Cursor,
    Given,
    IdempotencyKey,
    Items,
    Limit,
    OfCustomer,
    as_given,
    items,
)
from services.gateway.readmodel.lists import PAGE
from services.gateway.security import AnyAccount, must_be_contact, must_be_member, viewer_of

router = APIRouter(tags=["invoices"])

Status = Literal["draft", "open", "paid", "void", "uncollectible"]


class Link(Answer):
    """The state of the public URL; the URL itself is handed out by `POST .../{id}/link`."""

    revoked: bool
    expires_at: datetime | None
    replaced_by: UUID | None


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


class NewPaymentLink(Given):
    """An invoice to make. It opens at once, unless it is a draft; `send_email` mails the customer its link."""

    kind: Literal["one_time"] = "one_time"
    currency: Annotated[Currency, Field(examples=["EUR"])]
    lines: Annotated[
        list[NewLine],
        Field(
            min_length=1,
            max_length=200,
            examples=[[{"description": "Consulting", "quantity": "2.5", "unit_amount": 12000, "tax_rate": "19"}]],
        ),
    ]
    tax_inclusive: Annotated[bool | None, Field(description="Null: as the billing defaults say.")] = None
    due_on: Annotated[
        Day | None, Field(examples=["2026-04-30"], description="Null: after as many days as the billing defaults say.")
    ] = None
    memo: Annotated[Text | None, Field(description="Left out: as the billing defaults say.")] = None
    partial: Annotated[
        bool | None, Field(description="Whether a part may be paid. Null: as the billing defaults say.")
    ] = None
    expires_at: Annotated[
        Moment | None,
        Field(description="Until when its payment link works; null: no end. Left out: as the billing defaults say."),
    ] = None
    send_email: bool = False
    draft: bool = False

    @field_validator("kind", mode="before")
    @classmethod
    def _say_all_kinds(cls, kind: object) -> object:
        if kind != "one_time":
            raise PydanticCustomError("kind", "Input should be 'one_time', 'recurring' or 'payment_plan'")
        return kind

    def fields(self) -> dict[str, Any]:
        """What was given, under the names that billing's command has for it."""
        return named_for_billing(self)


_NAMES = {"partial": "allow_partial", "expires_at": "link_expires_at"}


def named_for_billing(given: Given) -> dict[str, Any]:
    """What was given, under the names that billing's commands have for it."""
    return {_NAMES.get(name, name): value for name, value in given.model_dump(exclude_unset=True).items()}


def given_name(field: str) -> str:
    """The other way round: what the API calls a field of billing's commands."""
    return next((ours for ours, theirs in _NAMES.items() if theirs == field), field)


class LinkEnd(Given):
    """Until when a payment link works."""

    expires_at: Annotated[Moment | None, Field(description="Null: no end. Left out: as the billing defaults say.")] = (
        None
    )
    send_email: bool = False

    def fields(self) -> dict[str, Any]:
        """What was given, under the names that billing's command has for it."""
        return named_for_billing(self)


class Payable(Given):
    """How much of an invoice to pay."""

    amount: Annotated[
        Count | None,
        Field(
            gt=0,
            le=99_999_999_999,
            description="In minor units, where the invoice may be paid in parts; null: all.",
        ),
    ] = None


class PublicUrl(Answer):
    """A public page. Whoever has this address can see and pay the invoice, or accept the subscription."""

    url: str


class Checkout(Answer):
    """Where the browser goes to pay."""

    checkout_url: str


async def _seen(request: Request, invoice_id: UUID, session: AnyAccount) -> InvoiceId:
    """An invoice that this session may see. Raises NotFound."""
    await readmodel.invoice(request.app.state.runtime.db, viewer_of(session), invoice_id)
    return InvoiceId(invoice_id)


Seen = Annotated[InvoiceId, Depends(_seen)]


async def _seen_by_member(invoice_id: Seen, session: AnyAccount) -> InvoiceId:
    """A foreign one is not found, a contact's own is not permitted."""
    must_be_member(session)
    return invoice_id


SeenByMember = Annotated[InvoiceId, Depends(_seen_by_member)]


MemberCommand = (
    OpenInvoice | SendPaymentLink | RevokePaymentLink | RenewPaymentLink | VoidInvoice | GiveUpInvoice | ReplaceInvoice
)


async def _done(request: Request, command: MemberCommand, key: str | None) -> Invoice:
    with as_given(given_name):
        return Invoice.model_validate(await commands.send(request, command, id=key))


@router.get("/invoices", operation_id="listInvoices", summary="Invoices, newest first")
async def index(
    request: Request,
    session: AnyAccount,
    status: Annotated[Status | None, Query(description="Only those in this state.")] = None,
    customer_id: OfCustomer = None,
    cursor: Cursor = None,
    limit: Limit = PAGE,
) -> Items[Invoice]:
    """A contact sees their customer's, without drafts."""
    found = await readmodel.invoices(
        request.app.state.runtime.db,
        viewer_of(session),
        status=status,
        customer_id=customer_id,
        cursor=cursor,
        limit=limit,
    )
    return items(found, Invoice)


@router.get("/invoices/{invoice_id}", operation_id="readInvoice", summary="One invoice", responses=refusals(404))
async def read(request: Request, invoice_id: UUID, session: AnyAccount) -> Invoice:
    """As it stands now."""
    return Invoice.model_validate(await readmodel.invoice(request.app.state.runtime.db, viewer_of(session), invoice_id))


@router.post(
    "/invoices/{invoice_id}/open",
    operation_id="openInvoice",
    summary="Open a draft",
    responses=refusals(*COMMAND, 404, 409),
)
async def open_draft(
    request: Request, invoice_id: SeenByMember, key: IdempotencyKey, body: LinkEnd | None = None
) -> Invoice:
    """It gets its number and may be paid. Members only."""
    given = body.fields() if body else {}
    return await _done(request, OpenInvoice(invoice_id=invoice_id, **given), key)


@router.post(
    "/invoices/{invoice_id}/send",
    operation_id="sendPaymentLink",
    summary="Mail the payment link (again)",
    responses=refusals(*COMMAND, 404, 409),
)
async def send(request: Request, invoice_id: SeenByMember, key: IdempotencyKey) -> Invoice:
    """Members only."""
    return await _done(request, SendPaymentLink(invoice_id=invoice_id), key)


@router.post(
    "/invoices/{invoice_id}/replace",
    operation_id="replaceInvoice",
    summary="Withdraw an open invoice in favour of a new one",
    status_code=201,
    responses=refusals(*COMMAND, 404, 409),
)
async def replace(
    request: Request, invoice_id: SeenByMember, body: NewPaymentLink, session: AnyAccount, key: IdempotencyKey
) -> Invoice:
    """Answers with the new one, for the same customer; the old payment link leads on to it. Admins and managers only."""
    old = await readmodel.invoice(request.app.state.runtime.db, viewer_of(session), invoice_id)
    command = ReplaceInvoice(invoice_id=invoice_id, customer_id=old.customer_id, **body.fields())
    return await _done(request, command, key)


@router.post(
    "/invoices/{invoice_id}/link/renew",
    operation_id="renewPaymentLink",
    summary="Make a new payment link",
    responses=refusals(*COMMAND, 404, 409),
)
async def renew(
    request: Request, invoice_id: SeenByMember, key: IdempotencyKey, body: LinkEnd | None = None
) -> Invoice:
    """The one before leads nowhere from now on but to a page that says so. Members only."""
    given = body.fields() if body else {}
    return await _done(request, RenewPaymentLink(invoice_id=invoice_id, **given), key)


@router.post(
    "/invoices/{invoice_id}/link/revoke",
    operation_id="revokePaymentLink",
    summary="Withdraw the payment link",
    responses=refusals(*COMMAND, 404, 409),
)
async def revoke(request: Request, invoice_id: SeenByMember, key: IdempotencyKey) -> Invoice:
    """The invoice stays open in the portal. Members only."""
    return await _done(request, RevokePaymentLink(invoice_id=invoice_id), key)


@router.post(
    "/invoices/{invoice_id}/void",
    operation_id="voidInvoice",
    summary="Withdraw an open invoice",
    responses=refusals(*COMMAND, 404, 409),
)
async def void(request: Request, invoice_id: SeenByMember, key: IdempotencyKey) -> Invoice:
    """It keeps its number and cannot be paid any more. Admins and managers only."""
    return await _done(request, VoidInvoice(invoice_id=invoice_id), key)


@router.post(
    "/invoices/{invoice_id}/give-up",
    operation_id="giveUpInvoice",
    summary="Mark an open invoice uncollectible",
    responses=refusals(*COMMAND, 404, 409),
)
async def give_up(request: Request, invoice_id: SeenByMember, key: IdempotencyKey) -> Invoice:
    """Admins and managers only."""
    return await _done(request, GiveUpInvoice(invoice_id=invoice_id), key)


@router.post(
    "/invoices/{invoice_id}/link",
    operation_id="copyPaymentLink",
    summary="The public URL of an invoice",
    responses=refusals(*COMMAND, 404, 409, 410),
)
async def link(request: Request, invoice_id: SeenByMember, _key: IdempotencyKey) -> PublicUrl:
    """Whoever has it pays an open invoice, and finds a paid one's receipt. Drafts have none.

    The URL is a secret and stored nowhere; asking again gives the same one. Members only.
    """
    return await public_url(request, PayLinkUrl(invoice_id=invoice_id))


async def public_url(request: Request, question: Question[MailFacts]) -> PublicUrl:
    """The address that a member copies. Raises PayLinkNotUsable."""
    facts = await commands.ask(request, question)
    if not facts.still_true or facts.path is None:
        raise PayLinkNotUsable(facts.why_not or "")
    return PublicUrl(url=request.app.state.settings.public_url + facts.path)


@router.post(
    "/invoices/{invoice_id}/pay",
    operation_id="payInvoice",
    summary="Open (or resume) the invoice's checkout",
    responses=refusals(*COMMAND, 404, 409, 410),
)
async def pay(
    request: Request, invoice_id: Seen, session: AnyAccount, key: IdempotencyKey, body: Payable | None = None
) -> Checkout:
    """Send the browser to `checkout_url`. The customer's own contacts only; others pay through the public URL."""
    must_be_contact(session)
    given = body.model_dump(exclude_unset=True) if body else {}
    command = StartInvoicePayment(
        invoice_id=invoice_id, return_path=f"/portal/payments/{invoice_id}?paid=confirming", **given
    )
    return Checkout.model_validate(await commands.send(request, command, id=key))


_PDF: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The document.",
        "content": {"application/pdf": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.get(
    "/invoices/{invoice_id}/invoice.pdf",
    operation_id="downloadInvoice",
    summary="The invoice as PDF",
    response_class=Response,
    responses=_PDF | refusals(404, 504),
)
async def invoice_pdf(request: Request, invoice_id: Seen, session: AnyAccount) -> Response:
    """Drafts have none."""
    return await _document(request, InvoicePdf(invoice_id=invoice_id, locale=session.locale))


@router.get(
    "/invoices/{invoice_id}/receipt.pdf",
    operation_id="downloadReceipt",
    summary="The receipt of the invoice's last payment as PDF",
    response_class=Response,
    responses=_PDF | refusals(404, 504),
)
async def receipt_pdf(
    request: Request,
    invoice_id: Seen,
    session: AnyAccount,
    payment_id: Annotated[UUID | None, Query(description="Another payment of this invoice.")] = None,
) -> Response:
    """There is one as soon as money has arrived."""
    return await _document(
        request,
        ReceiptPdf(invoice_id=invoice_id, payment_id=payment_id and PaymentId(payment_id), locale=session.locale),
    )


async def _document(request: Request, question: Question[Document]) -> Response:
    made = await commands.ask(request, question)
    # RFC 6266 with RFC 8187: nothing that anybody typed can end the header's value.
    name = quote(made.filename, safe="")
    return Response(
        made.body,
        media_type=made.content_type,
        headers={"content-disposition": f"attachment; filename*=UTF-8''{name}"},
    )
