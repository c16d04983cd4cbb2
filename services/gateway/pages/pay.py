"""The payment link: one invoice and nothing else of its customer, open to whoever holds the address."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from chassis.tokens import digest
from contracts import billing, identity
from contracts.billing import Invoice
from contracts.message import NotFound
from services.gateway import readmodel

from .agreement import terms
from .brand import brand_of
from .documents import credit_note, pdf
from .forms import Form
from .offer import accept, customer_of, fresh_offer, offer, offered_by, send_for_holder
from .page import Page, see
from .parts import amount_of, came_back, way_back

router = APIRouter()


async def _found(request: Request, token: str) -> tuple[Invoice | None, str]:
    """The token's invoice, and why it cannot be shown, or an empty text.

    *revoked*, *expired*, *replaced* (by another invoice), *renewed* (there is a newer link to the same one), *unknown*.
    """
    invoice = await readmodel.invoice_by_link(request.app.state.runtime.db, digest(token))
    if invoice is None or invoice.link is None or invoice.status == "draft":
        return None, "unknown"
    if invoice.link.replaced_by is not None:
        return invoice, "replaced"
    if invoice.link.revoked and invoice.status not in {"void", "uncollectible"}:
        return invoice, "revoked"
    if invoice.link.token_sha256 != digest(token):
        return invoice, "renewed"
    expires = invoice.link.expires_at
    if expires is not None and expires <= request.app.state.runtime.clock.now() and invoice.status == "open":
        return invoice, "expired"
    return invoice, ""


async def _dead(
    request: Request, token: str, invoice: Invoice | None, why: str, *, form: Form | None = None
) -> Response:
    merchant = await brand_of(request, invoice.merchant_id) if invoice else None
    customer = await customer_of(request, invoice) if invoice else None
    page = await Page.of(request, None, merchant=merchant, customer=customer)
    form = form or Form()
    status = form.status if form.problem else 410 if invoice else 404
    asked = request.query_params.get("done") == "fresh-link"
    return page.render("pay_dead.html", status=status, why=why, token=token, form=form, asked=asked)


async def _alive(
    request: Request, token: str, invoice: Invoice, *, form: Form | None = None, signed_up: bool = False
) -> Response:
    customer = await customer_of(request, invoice)
    page = await Page.of(request, None, merchant=await brand_of(request, invoice.merchant_id), customer=customer)
    form = form or Form()
    offered = await offered_by(request, invoice)
    return page.render(
        "pay.html",
        status=form.status,
        token=token,
        subscription=offered,
        terms=terms(offered, page.merchant.name if page.merchant else "", page.reader, page.merchants_day)
        if offered
        else [],
        invoice=invoice,
        form=form,
        signed_up=signed_up,
        came_back=came_back(request, invoice),
    )


@router.get("/pay/{token}")
async def show(request: Request, token: str) -> Response:
    """The invoice with the button to pay it, or why there is nothing to pay here and what to do next."""
    invoice, why = await _found(request, token)
    if invoice is None and (found := await offer(request, token)) is not None:
        return found
    if invoice is None or why:
        return await _dead(request, token, invoice, why)
    return await _alive(request, token, invoice, signed_up=request.query_params.get("done") == "signed-up")


@router.post("/pay/{token}")
async def pay(request: Request, token: str) -> Response:
    """Open (or go on with) the invoice's checkout, or accept a subscription that asks for no money yet."""
    invoice, why = await _found(request, token)
    if invoice is None and (answer := await accept(request, token)) is not None:
        return answer
    if invoice is None or why:
        return await _dead(request, token, invoice, why)
    form = await Form.posted(request)
    page = await Page.of(request, None, customer=await customer_of(request, invoice))
    with form.refusals(page.reader):
        part = amount_of(form, invoice, page.reader)
        order = billing.StartInvoicePayment(
            invoice_id=invoice.id,
            link_token_sha256=digest(token),
            return_path=way_back(f"/pay/{token}", invoice),
            **part,
        )
        started = await send_for_holder(request, token, invoice, form, order)
        return see(started.checkout_url)
    return await _alive(request, token, invoice, form=form)


@router.post("/pay/{token}/fresh-link")
async def fresh_link(request: Request, token: str) -> Response:
    """Have a new link mailed to the address that the invoice belongs to, whoever holds the dead one."""
    invoice, why = await _found(request, token)
    if invoice is None and (answer := await fresh_offer(request, token)) is not None:
        return answer
    form = await Form.posted(request)
    if invoice is None or why not in {"expired", "renewed"}:
        return await _dead(request, token, invoice, why) if why else see(f"/pay/{token}")
    page = await Page.of(request, None, customer=await customer_of(request, invoice))
    with form.refusals(page.reader):
        order = billing.RequestFreshLink(invoice_id=invoice.id, token_sha256=digest(token))
        await send_for_holder(request, token, invoice, form, order)
        return see(f"/pay/{token}?done=fresh-link")
    return await _dead(request, token, invoice, why, form=form)


@router.post("/pay/{token}/sign-up")
async def sign_up(request: Request, token: str) -> Response:
    """Have the invitation mailed to the address that the invoice belongs to, whoever holds the link."""
    invoice, why = await _found(request, token)
    if invoice is None or why:
        return await _dead(request, token, invoice, why)
    form = await Form.posted(request)
    page = await Page.of(request, None, customer=await customer_of(request, invoice))
    with form.refusals(page.reader):
        invitation = identity.SendInvitation(customer_id=invoice.customer_id, origin="pay_link")
        await send_for_holder(request, token, invoice, form, invitation)
        return see(f"/pay/{token}?done=signed-up")
    return await _alive(request, token, invoice, form=form)


@router.get("/pay/{token}/{document}.pdf")
async def document(request: Request, token: str, document: str) -> Response:
    """The invoice, or the receipt once it is paid."""
    invoice, why = await _found(request, token)
    if invoice is None or why:
        return await _dead(request, token, invoice, why)
    customer = await customer_of(request, invoice)
    return await pdf(
        request, invoice, document, locale=customer.locale if customer else None, link_token_sha256=digest(token)
    )


@router.get("/pay/{token}/credit-notes/{refund_id:uuid}.pdf")
async def credit_note_of_link(request: Request, token: str, refund_id: UUID) -> Response:
    """A credit note of the link's invoice."""
    invoice, why = await _found(request, token)
    if invoice is None or why:
        return await _dead(request, token, invoice, why)
    note = next((each for each in invoice.credit_notes if each.refund_id == refund_id), None)
    if note is None:
        raise NotFound
    customer = await customer_of(request, invoice)
    locale = customer.locale if customer else None
    return await credit_note(request, invoice, refund_id, note.number, locale=locale, link_token_sha256=digest(token))
