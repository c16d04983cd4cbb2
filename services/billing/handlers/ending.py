"""Cancelling. What nobody has accepted yet is withdrawn with its first invoice, whose checkout is closed at Stripe first."""

from functools import partial

from chassis.database import Tx
from chassis.requests import Commands, Work, steps
from contracts.billing import (
    CancelSubscription,
    InvoiceNotPayable,
    InvoiceVoided,
    Subscription,
    SubscriptionCancelled,
    SubscriptionNotChangeable,
)
from contracts.message import Conflict, SubscriptionId
from services.billing.domain import subscriptions as domain
from services.billing.domain.invoices import why_not_withdrawn
from services.billing.domain.periods import local_day
from services.billing.handlers.access import lock_of_member
from services.billing.handlers.paying import balance_of, close_checkout
from services.billing.handlers.subscriptions import (
    cancel_accepted,
    require_changer,
    require_own_rest,
    require_sight,
    zone_of,
)
from services.billing.settings import Settings
from services.billing.store import agreements, books, payments, subscriptions
from services.billing.store.payments import Attempt
from services.billing.store.subscriptions import Kept
from services.billing.stripe_gateway import StripeError, StripeGateway, within_budget


async def cancel_subscription(
    work: Work, command: CancelSubscription, *, stripe: StripeGateway, settings: Settings
) -> Subscription:
    """Cancel it now or at the period's end."""
    for _ in range(2):
        async with work.transaction() as tx:
            done = await _cancelled(tx, command)
            if isinstance(done, Subscription):
                tx.reply(done)
                return done
        try:
            async with within_budget():
                await close_checkout(work, done, stripe, settings)
        except InvoiceNotPayable as paying:
            raise Conflict(paying.detail) from paying
        except StripeError as doubt:
            raise Conflict(
                "Its first invoice is being paid, and the checkout could not be closed. Try again."
            ) from doubt
    raise Conflict("Its first invoice is being paid right now.")


async def _cancelled(tx: Tx, command: CancelSubscription) -> Subscription | Attempt:
    """The cancelled subscription, or the checkout that has to be closed before."""
    kept = require_sight(await subscriptions.subscription(tx, tx.merchant, command.subscription_id), tx.cause.actor)
    if kept.standing.status != "pending":
        return await cancel_accepted(tx, command)
    if require_changer(tx.cause.actor) == "customer":
        raise SubscriptionNotChangeable("You have not accepted it: there is nothing to cancel.", why="not-accepted")
    require_own_rest(kept.state, command.rest, "merchant")
    if kept.state.first_invoice_id is None:
        return await _withdrawn(tx, kept, command.reason)
    # The invoice's lock comes before the subscription's, as when it is paid.
    invoice = await lock_of_member(tx, kept.state.first_invoice_id)
    if reason := why_not_withdrawn(balance_of(invoice)):
        raise Conflict(reason)
    standing = await payments.open_attempt(tx, tx.merchant, kept.state.first_invoice_id)
    if standing is not None:
        return standing
    await books.invoice_closed(tx, invoice, InvoiceVoided, reason=command.reason)
    closed = await subscriptions.subscription(tx, tx.merchant, command.subscription_id)
    assert closed is not None, "Subscriptions are never deleted."
    return closed.state


async def _withdrawn(tx: Tx, seen: Kept, reason: str | None) -> Subscription:
    kept = await subscriptions.lock_subscription(tx, tx.merchant, SubscriptionId(seen.state.id))
    assert kept is not None, "Subscriptions are never deleted."
    if kept.standing.status != "pending":
        raise Conflict("The customer has just accepted it.")
    today = local_day(tx.now, await zone_of(tx, kept))
    after = domain.cancel(agreements.terms_of(kept.state), kept.standing, today, "now", by="merchant")
    kept = agreements.shown(kept, after, cancel_reason=reason, ended_at=tx.now)
    return (await agreements.tell(tx, kept, SubscriptionCancelled, "UTC")).state


def commands(stripe: StripeGateway, settings: Settings) -> Commands:
    """Which function answers which command."""
    return {CancelSubscription: steps(partial(cancel_subscription, stripe=stripe, settings=settings))}
