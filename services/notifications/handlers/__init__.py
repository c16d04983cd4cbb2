"""One function per fact that a mail follows from, and what each mail needs. Here mails are queued; `schedules` sends."""

from __future__ import annotations

from datetime import date
from functools import partial
from typing import Any

from chassis.database import Database, Tx
from chassis.listeners import Facts
from contracts.billing import (
    BillingMailFacts,
    DisputeOpened,
    Invoice,
    LinkEmailRequested,
    PaymentMethod,
    PaymentMethodExpiring,
    PaymentSucceeded,
    RefundFailed,
    RefundSucceeded,
    Subscription,
)
from contracts.identity import IdentityMailFacts, Invitation, InvitationSent
from contracts.message import Event, InvoiceId, MailFacts, Question
from services.notifications import emails, store
from services.notifications.domain import receipt_recipients
from services.notifications.handlers import subscriptions
from services.notifications.handlers.queueing import queue
from services.notifications.handlers.subscriptions import on_renewal_ahead

__all__ = ["KINDS", "facts", "on_renewal_ahead"]


async def on_invitation_sent(tx: Tx, event: InvitationSent, *, mail_host: str) -> None:
    """Queue the invitation for the address that was invited."""
    invitation = event.state
    if invitation.email is not None:
        await _queue(
            tx,
            event,
            "invitation",
            [invitation.email],
            subject_id=invitation.id,
            customer_id=invitation.customer_id,
            mail_host=mail_host,
        )


async def on_link_email_requested(tx: Tx, event: LinkEmailRequested, *, mail_host: str) -> None:
    """Queue the payment link for the customer."""
    invoice = event.state
    email = await _customer_email(tx, invoice)
    if email is not None:
        await _queue(
            tx,
            event,
            "payment_link",
            [email],
            subject_id=invoice.id,
            customer_id=invoice.customer_id,
            invoice_id=invoice.id,
            mail_host=mail_host,
        )


async def on_payment_succeeded(tx: Tx, event: PaymentSucceeded, *, mail_host: str) -> None:
    """Queue the receipt for those who look after the customer's money."""
    payment = event.state
    contacts = await store.active_contacts(tx, payment.merchant_id, payment.customer_id)
    recipients = receipt_recipients(
        [(each.role, each.email) for each in contacts], await _customer_email(tx, event.invoice)
    )
    await _queue(
        tx,
        event,
        "receipt",
        recipients,
        subject_id=payment.id,
        customer_id=payment.customer_id,
        invoice_id=payment.invoice_id,
        mail_host=mail_host,
    )


async def on_refund_succeeded(tx: Tx, event: RefundSucceeded, *, mail_host: str) -> None:
    """Tell those who look after the customer's money that some of it comes back."""
    refund = event.state
    contacts = await store.active_contacts(tx, refund.merchant_id, refund.customer_id)
    recipients = receipt_recipients(
        [(each.role, each.email) for each in contacts], await _customer_email(tx, event.invoice)
    )
    await _queue(
        tx,
        event,
        "refund",
        recipients,
        subject_id=refund.id,
        customer_id=refund.customer_id,
        invoice_id=refund.invoice_id,
        mail_host=mail_host,
    )


async def on_refund_failed(tx: Tx, event: RefundFailed, *, mail_host: str) -> None:
    """Tell the merchant that money it gave back is its own again."""
    await _tell_merchant(tx, event, "refund_failed", mail_host)


async def on_dispute_opened(tx: Tx, event: DisputeOpened, *, mail_host: str) -> None:
    """Tell the merchant that a bank wants an answer."""
    await _tell_merchant(tx, event, "dispute_opened", mail_host)


async def _tell_merchant(tx: Tx, event: RefundFailed | DisputeOpened, template: str, mail_host: str) -> None:
    about = event.state
    await _queue(
        tx,
        event,
        template,
        await store.money_members(tx, about.merchant_id),
        subject_id=about.id,
        customer_id=about.customer_id,
        invoice_id=about.invoice_id,
        mail_host=mail_host,
    )


async def on_payment_method_expiring(tx: Tx, event: PaymentMethodExpiring, *, mail_host: str) -> None:
    """Queue the notice for those who look after the customer's money.

    Raises:
        LookupError: the customer is not known yet. The event comes again.
    """
    method = event.state
    customer = await store.known_customer(tx, method.merchant_id, method.customer_id)
    if customer is None:
        raise LookupError(f"Customer {method.customer_id} is not known yet.")
    contacts = await store.active_contacts(tx, method.merchant_id, method.customer_id)
    await _queue(
        tx,
        event,
        "card_expiring",
        receipt_recipients([(each.role, each.email) for each in contacts], customer.email),
        subject_id=method.id,
        customer_id=method.customer_id,
        mail_host=mail_host,
    )


async def _customer_email(tx: Tx, invoice: Invoice) -> str | None:
    """The customer's address of today; the one frozen in the invoice while we have not heard of the customer yet.

    Raises:
        LookupError: neither is known. The event comes again, and by then the customer's own event has been handled.
    """
    customer = await store.known_customer(tx, invoice.merchant_id, invoice.customer_id)
    if customer is not None:
        return customer.email
    if invoice.buyer is None or invoice.buyer.email is None:
        raise LookupError(f"Customer {invoice.customer_id} is not known yet.")
    return invoice.buyer.email


async def _queue(tx: Tx, event: Event[Any], template: str, recipients: list[str], **about: Any) -> None:
    await queue(tx, event, template, recipients, subject_kind=KINDS[template].about, **about)


async def _ask_about_invitation(_: Database, event: emails.Content) -> Question[MailFacts]:
    return IdentityMailFacts(kind="invitation", id=event["state"]["id"])


def _invitation_values(event: emails.Content, facts: MailFacts, portal: str) -> dict[str, object]:
    invitation = Invitation.model_validate(event["state"] | facts.facts)
    return {"invitation": invitation, "asked_for": invitation.origin == "pay_link", "url": f"{portal}{facts.path}"}


async def _ask_about_payment_link(_: Database, event: emails.Content) -> Question[MailFacts]:
    return BillingMailFacts(kind="payment_link", id=event["state"]["id"])


def _payment_link_values(event: emails.Content, facts: MailFacts, portal: str) -> dict[str, object]:
    invoice, offered = Invoice.model_validate(event["state"] | facts.facts), facts.facts.get("accepts")
    accepts = Subscription.model_validate(offered) if offered else None
    return {"invoice": invoice, "subscription": accepts, "url": f"{portal}{facts.path}"}


async def _ask_about_receipt(db: Database, event: emails.Content) -> Question[MailFacts] | None:
    """Asked about a refund as well: both are reports that need no more than a link."""
    invoice = Invoice.model_validate(event["invoice"])
    customer = await store.known_customer(db, invoice.merchant_id, invoice.customer_id)
    if emails.has_portal(customer):
        return None
    # Without an account the portal would be a dead end: the public page has the documents as well.
    return BillingMailFacts(kind="receipt", id=InvoiceId(invoice.id))


def _receipt_values(event: emails.Content, facts: MailFacts, portal: str) -> dict[str, object]:
    paid = PaymentSucceeded.model_validate(event)
    url = portal + (facts.path or f"/portal/payments/{paid.invoice.id}")
    return {"invoice": paid.invoice, "payment": paid.state, "url": url}


def _refund_values(event: emails.Content, facts: MailFacts, portal: str) -> dict[str, object]:
    back = RefundSucceeded.model_validate(event)
    url = portal + (facts.path or f"/portal/payments/{back.invoice.id}")
    return {"invoice": back.invoice, "refund": back.state, "url": url}


async def _ask_nobody(_: Database, _event: emails.Content) -> Question[MailFacts] | None:
    return None


def _refund_failed_values(event: emails.Content, _: MailFacts, portal: str) -> dict[str, object]:
    failed = RefundFailed.model_validate(event)
    url = f"{portal}/console/invoices/{failed.invoice.id}"
    return {"invoice": failed.invoice, "refund": failed.state, "url": url}


def _dispute_opened_values(event: emails.Content, _: MailFacts, portal: str) -> dict[str, object]:
    opened = DisputeOpened.model_validate(event)
    url = f"{portal}/console/invoices/{opened.invoice.id}"
    return {"invoice": opened.invoice, "dispute": opened.state, "url": url}


async def _ask_about_card(_: Database, event: emails.Content) -> Question[MailFacts]:
    return BillingMailFacts(kind="card_expiring", id=event["state"]["id"])


def _card_expiring_values(event: emails.Content, facts: MailFacts, portal: str) -> dict[str, object]:
    method = PaymentMethod.model_validate(event["state"] | facts.facts)
    last_month = date(method.exp_year or date.max.year, method.exp_month or 12, 1)
    return {"payment_method": method, "last_month": last_month, "url": f"{portal}/portal/payment-methods"}


KINDS: dict[str, emails.Kind] = {
    "card_expiring": emails.Kind("payment_method", _ask_about_card, _card_expiring_values),
    "invitation": emails.Kind("invitation", _ask_about_invitation, _invitation_values),
    "payment_link": emails.Kind("invoice", _ask_about_payment_link, _payment_link_values),
    "receipt": emails.Kind("payment", _ask_about_receipt, _receipt_values),
    "refund": emails.Kind("refund", _ask_about_receipt, _refund_values),
    "refund_failed": emails.Kind("refund", _ask_nobody, _refund_failed_values, to="merchant"),
    "dispute_opened": emails.Kind("dispute", _ask_nobody, _dispute_opened_values, to="merchant"),
    **subscriptions.KINDS,
}
"""Every mail, by the name of its template."""


def facts(mail_host: str) -> Facts:
    """Which function handles which event. `mail_host` stands behind the @ of every Message-ID."""
    return {
        InvitationSent: partial(on_invitation_sent, mail_host=mail_host),
        PaymentMethodExpiring: partial(on_payment_method_expiring, mail_host=mail_host),
        LinkEmailRequested: partial(on_link_email_requested, mail_host=mail_host),
        PaymentSucceeded: partial(on_payment_succeeded, mail_host=mail_host),
        RefundSucceeded: partial(on_refund_succeeded, mail_host=mail_host),
        RefundFailed: partial(on_refund_failed, mail_host=mail_host),
        DisputeOpened: partial(on_dispute_opened, mail_host=mail_host),
        **subscriptions.facts(mail_host),
    }
