"""Public URLs: whether one is dead, and making an invoice's anew."""

import re
from datetime import datetime, timedelta
from typing import Literal

from chassis.database import Tx
from chassis.tokens import derive, digest
from contracts.billing import Invoice, InvoiceLinkChanged, PayLink
from contracts.message import InvoiceId, MerchantId
from services.billing.store import books, defaults, invoices
from services.billing.store.copies import Reader

_EARLIER_KEPT = 20
Dead = Literal["unknown", "replaced", "revoked", "outdated", "expired"]


def why_dead(link: PayLink | None, now: datetime, token: str | None = None) -> Dead | None:
    """Why this URL shows nothing; None: it does.

    Whoever hands it out gives the `token` as it is derived now. Under another secret key than the link was made with it is
    another one, which opens nothing: *outdated*. The URL that is in the customer's hands goes on working.
    """
    if link is None:
        return "unknown"
    if link.replaced_by is not None:
        return "replaced"
    if link.revoked:
        return "revoked"
    if token is not None and digest(token) != link.token_sha256:
        return "outdated"
    return "expired" if link.expires_at is not None and link.expires_at <= now else None


def why_shut(invoice: Invoice, now: datetime, token: str | None = None) -> Dead | None:
    """The same of an invoice's page. What is not to be paid any more has nothing to expire: its page shows the receipt."""
    dead = why_dead(invoice.link, now, token)
    return None if dead == "expired" and invoice.status != "open" else dead


def pay_link_token(secret_key: str, invoice_id: InvoiceId, generation: int) -> str:
    """The secret in an invoice's public URL."""
    return derive(secret_key, "pay_link", invoice_id, generation)


async def current_token(db: Reader, secret_key: str, invoice_id: InvoiceId) -> str:
    """The secret in an invoice's public URL of its present generation."""
    return pay_link_token(secret_key, invoice_id, await invoices.link_generation(db, invoice_id))


def token_in(path: str, link: PayLink | None) -> str:
    """The secret of this link where it stands in a path; "" when it does not.

    It is found by its hash: a link that was made under an earlier secret key works, and nobody can derive its secret.
    """
    parts = re.split("[/?=&]", path)
    return next((each for each in parts if link is not None and digest(each) == link.token_sha256), "")


async def usual_end(tx: Tx, merchant_id: MerchantId) -> datetime | None:
    """Until when a link that is made now works, as the merchant usually wants it; None: no end."""
    days = (await defaults.defaults(tx, merchant_id)).link_days
    return None if days is None else tx.now + timedelta(days=days)


def successor(link: PayLink, token: str, ends: datetime | None, now: datetime) -> PayLink:
    """The link that takes the place of another; whoever holds an earlier one is told that there is a newer."""
    earlier = (*link.earlier_sha256, link.token_sha256)[-_EARLIER_KEPT:]
    return PayLink(token_sha256=digest(token), expires_at=ends, earlier_sha256=earlier, renewed_at=now)


async def renew(tx: Tx, invoice: Invoice, secret_key: str, ends: datetime | None) -> Invoice:
    """Make an invoice's link anew: the token of the one before is dead. The caller holds the invoice's lock."""
    assert invoice.link is not None, "An invoice has a link from the moment it opens."
    invoice_id = InvoiceId(invoice.id)
    token = pay_link_token(secret_key, invoice_id, await invoices.next_link(tx, invoice_id))
    link = successor(invoice.link, token, ends, tx.now)
    return await books.tell_invoice(tx, InvoiceLinkChanged, invoice, link=link)
