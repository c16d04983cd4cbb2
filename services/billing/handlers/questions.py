"""What billing is asked: links, documents, and whether a mail is still true."""

from functools import partial

from pydantic import JsonValue

from chassis.requests import Questions, Work
from contracts.billing import (
    BillingMailFacts,
    CreditNotePdf,
    Invoice,
    InvoicePdf,
    NoReceiptYet,
    PayLinkUrl,
    Receipt,
    ReceiptPdf,
    SubscriptionLinkUrl,
)
from contracts.identity import Logo, Merchant
from contracts.message import Document, InvoiceId, MailFacts, NotAllowed, NotFound, PaymentMethodId
from services.billing import documents
from services.billing.documents.credit_note import credit_note_pdf
from services.billing.domain.methods import EXPIRING
from services.billing.handlers.access import require_open_page, shown
from services.billing.handlers.offers import subscription_link
from services.billing.handlers.subscription_mails import subscription_facts
from services.billing.store import archiving, copies, methods, refunds, subscriptions
from services.billing.store.links import current_token, why_dead, why_shut

_PDF = "application/pdf"
_CHARGE_FAILED = ("payment_failed", "confirm_payment")


async def pay_link_url(work: Work, question: PayLinkUrl, *, secret_key: str) -> MailFacts:
    """The secret path of an invoice's public page, for a member who copies it."""
    actor = work.cause.actor
    invoice = await shown(work.db, work.cause.merchant_id, actor, question.invoice_id, None)
    if actor.kind not in ("member", "api_key"):
        raise NotAllowed("Only the merchant can copy a payment link.")
    token = await current_token(work.db, secret_key, InvoiceId(invoice.id))
    require_open_page(invoice, work.db.clock.now(), token)
    return MailFacts(still_true=True, path=f"/pay/{token}")


async def mail_facts(work: Work, question: BillingMailFacts, *, secret_key: str) -> MailFacts:
    """Whether a mail is still to be sent, and the link for it. Asked by our own services only."""
    if work.cause.actor.kind not in ("system", "member"):
        raise NotFound
    if question.kind == "card_expiring":
        return await _card_facts(work, PaymentMethodId(question.id))
    if question.kind not in ("payment_link", "receipt", *_CHARGE_FAILED):
        return await subscription_facts(work, question, secret_key=secret_key)
    invoice = await shown(work.db, work.cause.merchant_id, work.cause.actor, InvoiceId(question.id), None)
    if question.kind == "receipt":
        return MailFacts(still_true=True, path=await _living_path(work, invoice, secret_key))
    facts = invoice.model_dump(mode="json")
    if invoice.status != "open":
        return MailFacts(still_true=False, why_not=invoice.status, facts=facts)
    if invoice.amount_due <= invoice.amount_processing:
        # A debit is going to pay all of it: whoever gave it must not be asked for the money a second time.
        return MailFacts(still_true=False, why_not="processing", facts=facts)
    if question.kind in _CHARGE_FAILED:
        if archiving.is_closed(await copies.customer(work.db, invoice.merchant_id, invoice.customer_id)):
            return MailFacts(still_true=False, why_not="archived", facts=facts)
        # A dead link does not pay the debt: who is told of it has the portal, or a link made anew when the charge failed.
        return MailFacts(still_true=True, path=await _living_path(work, invoice, secret_key), facts=facts)
    token = await current_token(work.db, secret_key, InvoiceId(invoice.id))
    dead = why_dead(invoice.link, work.db.clock.now(), token)
    if dead and dead != "expired":  # the page of an expired link offers a fresh one
        return MailFacts(still_true=False, why_not=dead, facts=facts)
    return MailFacts(still_true=True, path=f"/pay/{token}", facts=facts | await _accepts(work, invoice))


async def _accepts(work: Work, invoice: Invoice) -> dict[str, JsonValue]:
    """The subscription that paying the invoice accepts, as `accepts`: its mail must say that it is more than one payment."""
    if invoice.subscription_id is None:
        return {}
    kept = await subscriptions.subscription(work.db, invoice.merchant_id, invoice.subscription_id)
    return {"accepts": kept.state.model_dump(mode="json")} if kept and kept.state.status == "pending" else {}


async def _card_facts(work: Work, method_id: PaymentMethodId) -> MailFacts:
    merchant_id = work.cause.merchant_id
    kept = await methods.find_method(work.db, merchant_id, method_id) if merchant_id else None
    if kept is None:
        raise NotFound
    if kept.method.deleted:
        return MailFacts(still_true=False, why_not="removed")
    if kept.expires_on is None or kept.expires_on > work.db.clock.now().date() + EXPIRING:
        return MailFacts(still_true=False, why_not="renewed")
    return MailFacts(still_true=True, facts=kept.method.model_dump(mode="json"))


async def _living_path(work: Work, invoice: Invoice, secret_key: str) -> str | None:
    token = await current_token(work.db, secret_key, InvoiceId(invoice.id))
    return None if why_shut(invoice, work.db.clock.now(), token) else f"/pay/{token}"


async def invoice_pdf(work: Work, question: InvoicePdf) -> Document:
    """The invoice as PDF. A draft has none."""
    invoice = await shown(
        work.db, work.cause.merchant_id, work.cause.actor, question.invoice_id, question.link_token_sha256
    )
    if invoice.status == "draft":
        raise NotFound("A draft has no document. Open it first.")
    merchant, logo, locale = await _letterhead(work, invoice, question.locale)
    body = await documents.typeset(documents.invoice_pdf, invoice, merchant, logo, locale)
    return Document(_PDF, f"{invoice.number}.pdf", body)


async def receipt_pdf(work: Work, question: ReceiptPdf) -> Document:
    """The receipt of an invoice's last (or the given) payment as PDF."""
    invoice = await shown(
        work.db, work.cause.merchant_id, work.cause.actor, question.invoice_id, question.link_token_sha256
    )
    receipt = _receipt(invoice, question)
    merchant, logo, locale = await _letterhead(work, invoice, question.locale)
    given_back = await refunds.refunds_of_payment(work.db, receipt.payment_id)
    issued = [each for each in given_back if each.issued_at]
    body = await documents.typeset(documents.receipt_pdf, invoice, receipt, merchant, logo, locale, issued)
    return Document(_PDF, f"{receipt.number}.pdf", body)


async def credit_note(work: Work, question: CreditNotePdf) -> Document:
    """The credit note of a refund as PDF."""
    invoice = await shown(
        work.db, work.cause.merchant_id, work.cause.actor, question.invoice_id, question.link_token_sha256
    )
    found = await refunds.refund(work.db, invoice.merchant_id, question.refund_id)
    if found is None or found.refund.invoice_id != invoice.id or found.refund.credit_note_number is None:
        raise NotFound
    merchant, logo, locale = await _letterhead(work, invoice, question.locale)
    body = await documents.typeset(credit_note_pdf, invoice, found.refund, merchant, logo, locale)
    return Document(_PDF, f"{found.refund.credit_note_number}.pdf", body)


def _receipt(invoice: Invoice, question: ReceiptPdf) -> Receipt:
    found = [each for each in invoice.receipts if question.payment_id in (None, each.payment_id)]
    if not found:
        raise NoReceiptYet
    return found[-1]


async def _letterhead(work: Work, invoice: Invoice, locale: str | None) -> tuple[Merchant, Logo | None, str]:
    merchant = await copies.merchant(work.db, invoice.merchant_id)
    assert merchant is not None, "An invoice could not be opened before its merchant was known, and none is deleted."
    logo = await copies.logo(work.db, invoice.merchant_id)
    if locale is None:
        customer = await copies.customer(work.db, invoice.merchant_id, invoice.customer_id)
        locale = customer.locale if customer else merchant.locale
    return merchant, logo, locale


def answers(secret_key: str) -> Questions:
    """Which function answers which question. Pay links are derived from `secret_key`."""
    return {
        PayLinkUrl: partial(pay_link_url, secret_key=secret_key),
        SubscriptionLinkUrl: partial(subscription_link, secret_key=secret_key),
        InvoicePdf: invoice_pdf,
        ReceiptPdf: receipt_pdf,
        CreditNotePdf: credit_note,
        BillingMailFacts: partial(mail_facts, secret_key=secret_key),
    }
