"""Who may do what to an invoice. The gateway says who somebody is; whose invoice it is stands in our own rows."""

import hmac
from datetime import datetime

from chassis.database import Database, Tx
from contracts.billing import Invoice, PayLink, PayLinkNotUsable
from contracts.message import Actor, InvoiceId, NotAllowed, NotFound
from services.billing.store import invoices
from services.billing.store.links import Dead, why_dead, why_shut

_MERCHANT_SIDE = ("member", "api_key")


def require_role(actor: Actor, *roles: str) -> None:
    """Let only these roles of the merchant's side pass. Raises NotAllowed, which says why."""
    if actor.kind not in _MERCHANT_SIDE:
        raise NotAllowed("Only the merchant can do this.")
    if actor.read_only:
        raise NotAllowed("You are looking on behalf of somebody else and cannot change anything.")
    if actor.role not in roles:
        raise NotAllowed(f"This needs the role {' or '.join(roles)}. Your role is {actor.role or 'none'}.")


async def lock_of_member(tx: Tx, invoice_id: InvoiceId) -> Invoice:
    """The merchant's invoice, locked. Raises NotFound."""
    found = await invoices.lock_invoice(tx, tx.merchant, invoice_id)
    if found is None:
        raise NotFound
    return found


async def shown(
    db: Database, cause_merchant: object, actor: Actor, invoice_id: InvoiceId, token: str | None
) -> Invoice:
    """An invoice that this actor may look at. Raises NotFound, or PayLinkNotUsable for a dead link."""
    if cause_merchant is None:
        raise NotFound
    found = await invoices.invoice(db, cause_merchant, invoice_id)  # type: ignore[arg-type]  # None is ruled out above
    if found is None:
        raise NotFound
    require_sight(found, actor, token, db.clock.now())
    return found


def require_sight(invoice: Invoice, actor: Actor, token_sha256: str | None, now: datetime) -> None:
    """Members see their merchant's invoices, contacts their customer's opened ones, the public the one of its link.

    Raises:
        NotFound: not theirs; never told apart from what does not exist.
        PayLinkNotUsable: the right link, but a dead one.
    """
    match actor.kind:
        case "system":
            return
        case "member" | "api_key":
            visible = actor.merchant_id in (None, invoice.merchant_id)
        case "contact":
            visible = actor.customer_id == invoice.customer_id and invoice.status != "draft"
        case "public":
            link = invoice.link
            visible = link is not None and hmac.compare_digest(link.token_sha256, token_sha256 or "")
            if visible and (why := why_shut(invoice, now)):
                raise _unusable(why)
        case _:
            visible = False
    if not visible:
        raise NotFound


_DEAD: dict[Dead, str] = {
    "unknown": "It has a link once it is open.",
    "replaced": "This payment link was replaced by another one.",
    "revoked": "This payment link was withdrawn.",
    "outdated": "The secret key was changed after this link was made. Make a new link.",
    "expired": "This payment link has expired.",
}


def require_living_link(link: PayLink | None, now: datetime, token: str | None = None) -> None:
    """Raises PayLinkNotUsable, saying why, unless this public URL (of `token`, when it is handed out) shows what it is for."""
    if why := why_dead(link, now, token):
        raise _unusable(why)


def require_open_page(invoice: Invoice, now: datetime, token: str) -> None:
    """Raises PayLinkNotUsable, saying why, unless the invoice's public page, handed out by this token, shows it."""
    if why := why_shut(invoice, now, token):
        raise _unusable(why)


def _unusable(why: Dead) -> PayLinkNotUsable:
    return PayLinkNotUsable(_DEAD[why], why=why)
