"""The payment link apart from its invoice: withdrawn, made anew, asked for when it has expired."""

import hmac
from datetime import datetime, timedelta
from functools import partial

from chassis.database import Tx
from chassis.requests import Commands
from contracts.billing import (
    FreshLink,
    Invoice,
    InvoiceLinkChanged,
    LinkEmailRequested,
    PayLink,
    PayLinkNotUsable,
    RenewPaymentLink,
    RequestFreshLink,
    RevokePaymentLink,
    SendPaymentLink,
)
from contracts.message import Conflict, InvoiceId, NotFound
from services.billing.handlers.access import lock_of_member, require_role
from services.billing.handlers.invoices import (
    SELLERS,
    billable_customer,
    require_address,
    require_link_end,
    require_open,
)
from services.billing.store import archiving, books, copies, invoices, links, payments

NOT_AGAIN_WITHIN = timedelta(hours=1)
"""Whoever holds a dead link has a fresh one mailed so seldom."""


async def send_payment_link(tx: Tx, command: SendPaymentLink, *, secret_key: str) -> Invoice:
    """Mail the payment link (again); a dead one is made anew first, since nobody wants to mail a dead end."""
    require_role(tx.cause.actor, *SELLERS)
    invoice = await lock_of_member(tx, command.invoice_id)
    require_open(invoice)
    require_address(await billable_customer(tx, invoice.customer_id), draft=False)
    if links.why_dead(invoice.link, tx.now, await links.current_token(tx, secret_key, command.invoice_id)):
        invoice = await links.renew(tx, invoice, secret_key, await links.usual_end(tx, tx.merchant))
    return await books.tell_invoice(tx, LinkEmailRequested, invoice)


async def revoke_payment_link(tx: Tx, command: RevokePaymentLink) -> Invoice:
    """Withdraw the link; a checkout that was opened through it is closed."""
    require_role(tx.cause.actor, *SELLERS)
    invoice = await lock_of_member(tx, command.invoice_id)
    if invoice.status != "open" or invoice.link is None:
        raise Conflict("Only an open invoice has a payment link to withdraw.")
    if invoice.link.revoked:
        return invoice
    await _close_public_checkout(tx, invoice)
    link = invoice.link.model_copy(update={"revoked": True})
    return await books.tell_invoice(tx, InvoiceLinkChanged, invoice, link=link)


async def renew_payment_link(tx: Tx, command: RenewPaymentLink, *, secret_key: str) -> Invoice:
    """Make a new link; the one before leads to a page that says so."""
    require_role(tx.cause.actor, *SELLERS)
    invoice = await lock_of_member(tx, command.invoice_id)
    require_open(invoice)
    if command.send_email:
        require_address(await billable_customer(tx, invoice.customer_id), draft=False)
    given = "link_expires_at" in command.model_fields_set
    ends = require_link_end(command.link_expires_at, tx.now) if given else await links.usual_end(tx, tx.merchant)
    await _close_public_checkout(tx, invoice)
    renewed = await links.renew(tx, invoice, secret_key, ends)
    return await books.tell_invoice(tx, LinkEmailRequested, renewed) if command.send_email else renewed


async def request_fresh_link(tx: Tx, command: RequestFreshLink, *, secret_key: str) -> FreshLink:
    """Mail a new link to the customer, never to whoever holds the old one; at most once an hour."""
    invoice = await invoices.lock_invoice(tx, tx.merchant, command.invoice_id)
    if invoice is None or invoice.link is None or not holds(invoice.link, command.token_sha256):
        raise NotFound
    answer = FreshLink(invoice_id=command.invoice_id)
    if invoice.link.revoked or invoice.link.replaced_by is not None:
        why = "revoked" if invoice.link.revoked else "replaced"
        raise PayLinkNotUsable("This payment link was withdrawn. Please ask for a new one.", why=why)
    require_open(invoice)
    customer = await copies.customer(tx, tx.merchant, invoice.customer_id)
    if customer is None or archiving.is_closed(customer):
        # Whoever holds the link is not told how the merchant stands with its customer.
        return answer
    if customer.email is None or not mails_fresh(invoice.link, command.token_sha256, tx.now):
        return answer
    if links.why_dead(invoice.link, tx.now, await links.current_token(tx, secret_key, command.invoice_id)):
        invoice = await links.renew(tx, invoice, secret_key, await links.usual_end(tx, tx.merchant))
    assert invoice.link is not None, "It had one, and has one after it was renewed."
    asked = invoice.link.model_copy(update={"asked_at": tx.now})
    await books.tell_invoice(tx, LinkEmailRequested, invoice, link=asked)
    return answer


def mails_fresh(link: PayLink, token_sha256: str, now: datetime) -> bool:
    """Whether whoever holds this token, and asks, has the link mailed: a new one, or the living one that they do not hold."""
    dead = links.why_dead(link, now) is not None
    if not dead and hmac.compare_digest(link.token_sha256, token_sha256):
        return False
    last = link.asked_at or (link.renewed_at if dead else None)
    return last is None or now - last >= NOT_AGAIN_WITHIN


def holds(link: PayLink, token_sha256: str) -> bool:
    """Whether this is the hash of the link's token, or of one before it."""
    return any(hmac.compare_digest(each, token_sha256) for each in (link.token_sha256, *link.earlier_sha256))


async def _close_public_checkout(tx: Tx, invoice: Invoice) -> None:
    """Nobody may go on paying through a link that is dead. What a contact opened in the portal stays."""
    standing = await payments.open_attempt(tx, tx.merchant, InvoiceId(invoice.id))
    if standing is not None and standing.payer == "public":
        await books.close_checkout(tx, standing)


def commands(secret_key: str) -> Commands:
    """Which function answers which command. Pay links are derived from `secret_key`."""
    return {
        SendPaymentLink: partial(send_payment_link, secret_key=secret_key),
        RevokePaymentLink: revoke_payment_link,
        RenewPaymentLink: partial(renew_payment_link, secret_key=secret_key),
        RequestFreshLink: partial(request_fresh_link, secret_key=secret_key),
    }
