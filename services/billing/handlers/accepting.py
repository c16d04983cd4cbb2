"""Accepting a subscription that asks for no money yet, with a trial or a start in the future: a method is given for it."""

import hmac
from functools import partial

from chassis.requests import Commands, Work, steps
from contracts.billing import (
    AcceptSubscription,
    SetupStarted,
    SubscriptionNotChangeable,
)
from contracts.message import CustomerId, NotAllowed, NotFound, SubscriptionId
from services.billing.domain import subscriptions as domain
from services.billing.domain.periods import local_day
from services.billing.handlers.access import require_living_link
from services.billing.handlers.setups import Purpose, hosted_setup
from services.billing.handlers.subscriptions import require_changer, require_sight, zone_of
from services.billing.settings import Settings
from services.billing.store import agreements, subscriptions
from services.billing.store.links import token_in
from services.billing.store.subscriptions import Kept
from services.billing.stripe_gateway import StripeGateway


async def accept_subscription(
    work: Work, command: AcceptSubscription, *, stripe: StripeGateway, settings: Settings
) -> SetupStarted:
    """Answer with the URL of the page on which the customer gives a payment method; that accepts it."""
    if work.cause.merchant_id is None:
        raise NotFound
    found = await subscriptions.subscription(work.db, work.cause.merchant_id, command.subscription_id)
    kept = _require_customer(work, found, command.link_token_sha256)
    if kept.state.first_invoice_id is not None:
        raise SubscriptionNotChangeable("It is accepted by paying its first invoice.", why="pay-the-invoice")
    today = local_day(work.db.clock.now(), await zone_of(work.db, kept))
    if refused := domain.why_not(agreements.terms_of(kept.state), kept.standing, "accept", today, "customer"):
        raise SubscriptionNotChangeable(refused.sentence, why=refused.code)
    order = SubscriptionId(kept.state.id)
    link = kept.state.link
    purpose = Purpose(
        CustomerId(kept.state.customer_id),
        command.return_path,
        order,
        token_in(command.return_path, link),
        link.renewed_at if link else None,
    )
    return await hosted_setup(work, purpose, stripe=stripe, settings=settings)


def _require_customer(work: Work, found: Kept | None, token_sha256: str | None) -> Kept:
    actor = work.cause.actor
    if actor.kind != "public":
        kept = require_sight(found, actor)
        if actor.kind != "contact":
            raise NotAllowed("Only the customer can accept it. Send them the link.")
        require_changer(actor)
        return kept
    if found is None or found.state.link is None:
        raise NotFound
    if not hmac.compare_digest(found.state.link.token_sha256, token_sha256 or ""):
        raise NotFound
    require_living_link(found.state.link, work.db.clock.now())
    return found


def commands(stripe: StripeGateway, settings: Settings) -> Commands:
    """Which function answers which command."""
    return {AcceptSubscription: steps(partial(accept_subscription, stripe=stripe, settings=settings))}
