"""The public URL on which a subscription is accepted: mailed, copied, made anew, withdrawn, asked for when it has expired.

It has one where it asks for no money yet, with a trial or a start in the future; else its first invoice's link does all that.
"""

from dataclasses import replace
from datetime import datetime
from functools import partial

from chassis.database import Tx
from chassis.requests import Commands, Work
from contracts.billing import (
    FreshOffer,
    PayLink,
    PayLinkNotUsable,
    RenewSubscriptionLink,
    RequestFreshOffer,
    RevokeSubscriptionLink,
    SendSubscriptionLink,
    Subscription,
    SubscriptionLinkChanged,
    SubscriptionLinkEmailRequested,
    SubscriptionLinkUrl,
    SubscriptionNotChangeable,
)
from contracts.message import CustomerId, MailFacts, NotAllowed, NotFound, SubscriptionId
from services.billing.handlers.access import require_living_link, require_role
from services.billing.handlers.invoices import SELLERS, billable_customer, require_address, require_link_end
from services.billing.handlers.links import holds, mails_fresh
from services.billing.handlers.subscribing import current_token, subscription_token
from services.billing.handlers.subscriptions import require_sight
from services.billing.store import agreements, archiving, copies, subscriptions
from services.billing.store.links import successor, usual_end, why_dead
from services.billing.store.subscriptions import Kept


async def send_subscription_link(tx: Tx, command: SendSubscriptionLink, *, secret_key: str) -> Subscription:
    """Mail the link (again); a dead one is made anew first, since nobody wants to mail a dead end."""
    kept, link = await _offer(tx, command.subscription_id)
    require_address(await billable_customer(tx, kept.state.customer_id), draft=False)
    if why_dead(link, tx.now, current_token(kept, secret_key)):
        kept = await _renewed(tx, kept, link, secret_key, await usual_end(tx, tx.merchant))
    return (await agreements.tell(tx, kept, SubscriptionLinkEmailRequested, "UTC")).state


async def renew_subscription_link(tx: Tx, command: RenewSubscriptionLink, *, secret_key: str) -> Subscription:
    """Make a new link; the one before leads to a page that says so."""
    kept, link = await _offer(tx, command.subscription_id)
    if command.send_email:
        require_address(await billable_customer(tx, kept.state.customer_id), draft=False)
    given = "link_expires_at" in command.model_fields_set
    ends = require_link_end(command.link_expires_at, tx.now) if given else await usual_end(tx, tx.merchant)
    kept = await _renewed(tx, kept, link, secret_key, ends)
    if command.send_email:
        kept = await agreements.tell(tx, kept, SubscriptionLinkEmailRequested, "UTC")
    return kept.state


async def revoke_subscription_link(tx: Tx, command: RevokeSubscriptionLink) -> Subscription:
    """Withdraw the link. It goes on waiting: a new link, or a mail, opens it again."""
    kept, link = await _offer(tx, command.subscription_id)
    if link.revoked:
        return kept.state
    kept = agreements.shown(kept, kept.standing, link=link.model_copy(update={"revoked": True}))
    return (await agreements.tell(tx, kept, SubscriptionLinkChanged, "UTC")).state


async def request_fresh_offer(tx: Tx, command: RequestFreshOffer, *, secret_key: str) -> FreshOffer:
    """Mail a new link to the customer, never to whoever holds the old one; at most once an hour."""
    kept = await subscriptions.lock_subscription(tx, tx.merchant, command.subscription_id)
    link = kept.state.link if kept else None
    if kept is None or link is None or not holds(link, command.token_sha256):
        raise NotFound
    if link.revoked:
        raise PayLinkNotUsable("This link was withdrawn. Please ask for a new one.", why="revoked")
    _require_pending(kept)
    answer = FreshOffer(subscription_id=command.subscription_id)
    customer = await copies.customer(tx, tx.merchant, CustomerId(kept.state.customer_id))
    if customer is None or archiving.is_closed(customer) or customer.email is None:
        # Whoever holds the link is not told how the merchant stands with its customer.
        return answer
    if mails_fresh(link, command.token_sha256, tx.now):
        if why_dead(link, tx.now, current_token(kept, secret_key)):
            kept = await _renewed(tx, kept, link, secret_key, await usual_end(tx, tx.merchant))
        assert kept.state.link is not None, "It had one, and has one after it was renewed."
        asked = kept.state.link.model_copy(update={"asked_at": tx.now})
        kept = agreements.shown(kept, kept.standing, link=asked)
        await agreements.tell(tx, kept, SubscriptionLinkEmailRequested, "UTC")
    return answer


async def subscription_link(work: Work, question: SubscriptionLinkUrl, *, secret_key: str) -> MailFacts:
    """The secret path of the page on which it is accepted."""
    actor = work.cause.actor
    if work.cause.merchant_id is None:
        raise NotFound
    found = await subscriptions.subscription(work.db, work.cause.merchant_id, question.subscription_id)
    kept = require_sight(found, actor)
    if actor.kind not in ("member", "api_key"):
        raise NotAllowed("Only the merchant can copy the link.")
    token = current_token(kept, secret_key)
    require_living_link(_own_link(kept), work.db.clock.now(), token)
    return MailFacts(still_true=True, path=f"/pay/{token}")


async def _offer(tx: Tx, subscription_id: SubscriptionId) -> tuple[Kept, PayLink]:
    """A member's subscription that waits to be accepted through its own link, locked, with the link."""
    require_role(tx.cause.actor, *SELLERS)
    kept = await subscriptions.lock_subscription(tx, tx.merchant, subscription_id)
    if kept is None:
        raise NotFound
    return kept, _own_link(kept)


def _own_link(kept: Kept) -> PayLink:
    _require_pending(kept)
    if kept.state.link is None:
        raise SubscriptionNotChangeable("Its first invoice has the payment link.", why="invoice-has-the-link")
    return kept.state.link


def _require_pending(kept: Kept) -> None:
    if kept.standing.status != "pending":
        raise SubscriptionNotChangeable("It is accepted already, or over.", why="not-pending")


async def _renewed(tx: Tx, kept: Kept, before: PayLink, secret_key: str, ends: datetime | None) -> Kept:
    order = SubscriptionId(kept.state.id)
    generation = await subscriptions.next_link(tx, order)
    link = successor(before, subscription_token(secret_key, order, generation), ends, tx.now)
    renewed = agreements.shown(replace(kept, link_generation=generation), kept.standing, link=link)
    return await agreements.tell(tx, renewed, SubscriptionLinkChanged, "UTC")


def commands(secret_key: str) -> Commands:
    """Which function answers which command. Links are derived from `secret_key`."""
    return {
        SendSubscriptionLink: partial(send_subscription_link, secret_key=secret_key),
        RenewSubscriptionLink: partial(renew_subscription_link, secret_key=secret_key),
        RevokeSubscriptionLink: revoke_subscription_link,
        RequestFreshOffer: partial(request_fresh_offer, secret_key=secret_key),
    }
