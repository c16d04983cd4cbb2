"""What is done with an invoice: by the merchant, and paying it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import Field

from contracts import billing
from contracts.billing import (
    GiveUpInvoice,
    OpenInvoice,
    PayLinkUrl,
    RenewPaymentLink,
    ReplaceInvoice,
    RevokePaymentLink,
    SendPaymentLink,
    StartInvoicePayment,
    VoidInvoice,
)
from contracts.message import Command, Count
from services.gateway import commands, readmodel
from services.gateway.api.document import COMMAND, refusals
from services.gateway.api.invoices import Invoice, Seen, SeenByMember
from services.gateway.api.links import LinkEnd, PublicUrl, given_name
from services.gateway.api.payment_links import NewPaymentLink
from services.gateway.api.shapes import Answer, AnyViewer, Db, Given, IdempotencyKey, as_given, done, given
from services.gateway.security import AnyAccount, must_be_contact

router = APIRouter(tags=["invoices"])


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


class Checkout(Answer):
    """Where the browser goes to pay."""

    checkout_url: str


async def _done(request: Request, order: Command[billing.Invoice], key: str | None) -> Invoice:
    with as_given(given_name):
        return await done(request, order, key, Invoice)


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
    return await _done(request, OpenInvoice(invoice_id=invoice_id, **given(body)), key)


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
    request: Request, db: Db, viewer: AnyViewer, invoice_id: SeenByMember, body: NewPaymentLink, key: IdempotencyKey
) -> Invoice:
    """Answers with the new one, for the same customer; the old payment link says so. Admins and managers only."""
    old = await readmodel.invoice(db, viewer, invoice_id)
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
    return await _done(request, RenewPaymentLink(invoice_id=invoice_id, **given(body)), key)


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
    return PublicUrl(url=await commands.public_url(request, PayLinkUrl(invoice_id=invoice_id)))


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
    command = StartInvoicePayment(
        invoice_id=invoice_id, return_path=f"/portal/payments/{invoice_id}?paid=confirming", **given(body)
    )
    return await done(request, command, key, Checkout)
