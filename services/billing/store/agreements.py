"""The doors through which subscriptions change: what the domain decided is shown, saved and announced together.

The caller holds the subscription's lock. Nothing is decided here.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from chassis.database import Tx
from contracts.billing import (
    Instalment,
    Invoice,
    PayLink,
    Period,
    PlannedCharge,
    Subscription,
    SubscriptionAccepted,
    SubscriptionCancelled,
    SubscriptionChanged,
    SubscriptionCompleted,
    SubscriptionPaused,
    SubscriptionResumed,
)
from contracts.message import CustomerId, Event, SubscriptionId
from services.billing.domain import periods, plans
from services.billing.domain.subscriptions import (
    Charge,
    Standing,
    Terms,
    accept,
    cancel,
    charged,
    due,
    next_charge,
    projected,
    turn,
    turns_on,
    why_not,
)
from services.billing.store import copies, debts, methods, setups, stripe_customers, subscriptions, wallets
from services.billing.store.setups import PUBLIC, Setup
from services.billing.store.subscriptions import Kept

CHANNEL = debts.CHANNEL
"""What is notified when the calendar may have something to do at once."""

_NOBODYS_WORD = ("collection", "archiving")
"""Why one was cancelled that nobody cancelled; it stays so when what it still owes is charged."""
_BY_STATUS: dict[str, type[Event[Subscription]]] = {
    "active": SubscriptionResumed,
    "paused": SubscriptionPaused,
    "cancelled": SubscriptionCancelled,
    "completed": SubscriptionCompleted,
}


@dataclass(frozen=True)
class Given:
    """What a subscription is accepted with: Stripe's id of the method, None when it was not told, and the account it is at."""

    stripe_id: str | None
    account: str | None


def terms_of(state: Subscription) -> Terms:
    """What was agreed, for the domain."""
    every = state.interval
    return Terms(
        kind=state.kind,
        currency=state.currency,
        amount=state.total,
        interval=periods.Interval(every.unit, every.count) if every else None,
        starts_on=state.starts_on,
        trial_days=state.trial_days,
        ends_after=state.ends_after,
        ends_on=state.ends_on,
        instalments=tuple(plans.Instalment(each.number, each.due_on, each.amount) for each in state.instalments),
        minimum_payments=state.minimum_payments,
        allow_customer_cancel=state.allow_customer_cancel,
        allow_customer_pause=state.allow_customer_pause,
        plan_on_cancel=state.plan_on_cancel,
        after_last_retry=state.after_last_retry,
    )


def planned(charge: Charge) -> PlannedCharge:
    """A charge to come, as others see it."""
    return PlannedCharge(
        on=charge.on, amount=charge.amount, period=period_of(charge.period), instalment=charge.instalment
    )


def period_of(period: periods.Period | None) -> Period | None:
    """Whole days, the last one included."""
    return None if period is None else Period(starts_on=period.starts_on, ends_on=period.ends_on)


def shown(kept: Kept, standing: Standing, **changes: Any) -> Kept:
    """The subscription as it stands now."""
    before, terms = kept.state, terms_of(kept.state)
    charge = next_charge(terms, standing)
    state = before.model_copy(
        update={
            "status": standing.status,
            "anchor_on": standing.anchor_on,
            "trial_ends_on": standing.trial_until,
            "instalments": _instalments(before, terms, standing),
            "charges_made": standing.made,
            "charges_paid": standing.paid,
            "next_charge": planned(charge) if charge else None,
            "pause_on": standing.pause_on,
            "paused_on": standing.paused_on,
            "resumes_on": standing.resumes_on,
            "cancel_on": standing.cancel_on,
            "cancelled_by": before.cancelled_by if before.cancelled_by in _NOBODYS_WORD else standing.cancelled_by,
            "ended_on": standing.ended_on,
            **changes,
        }
    )
    return replace(kept, state=state, standing=standing)


def _instalments(before: Subscription, terms: Terms, standing: Standing) -> tuple[Instalment, ...]:
    """A plan's parts with the days that they will have, and had; those that a cancellation waived are still named."""
    if standing.anchor_on is None or not standing.instalments:
        return before.instalments
    said = {each.number: each for each in before.instalments}
    now = {each.number: each.due_on for each in standing.instalments}
    parts = []
    for place, each in enumerate(projected(terms, replace(standing, cancel_on=None))):
        old = said.get(each.number)
        was = now[each.number] if now[each.number] != each.due_on else None
        if was is None and old is not None and before.anchor_on is not None:
            was = old.was_due_on or (old.due_on if old.due_on != each.due_on else None)
        parts.append(
            Instalment(
                number=each.number,
                due_on=each.due_on,
                was_due_on=was if was != each.due_on else None,
                amount=each.amount,
                status="invoiced" if place < standing.made else "planned",
            )
        )
    if standing.status == "cancelled" and standing.cancel_rest == "waive":
        left = [each for number, each in said.items() if number not in now]
        parts += [each.model_copy(update={"status": "waived"}) for each in left]
    return tuple(parts)


async def tell(
    tx: Tx, kept: Kept, event: type[Event[Subscription]], zone: str, not_before: datetime | None = None, **more: Any
) -> Kept:
    """Save it and announce it as `event`, which may need `more`. The calendar looks at it again when it has to.

    `not_before` puts that off: what an outage has kept back comes one by one.
    """
    day = turns_on(terms_of(kept.state), kept.standing)
    at = periods.charge_moment(day, zone) if day else None
    if at is not None and not_before is not None:
        at = max(at, not_before)
    sequence = await subscriptions.save_subscription(tx, kept, at)
    tx.announce(event(state=kept.state, **more), sequence=sequence)
    if event in (SubscriptionAccepted, SubscriptionCancelled, SubscriptionCompleted):
        await wallets.note_use(tx, kept.state.merchant_id, kept.state.customer_id)
    return kept


async def look_again(tx: Tx, kept: Kept, zone: str, not_before: datetime) -> None:
    """The calendar looks at it when it has to. Not announced: nothing has changed."""
    day = turns_on(terms_of(kept.state), kept.standing)
    at = max(periods.charge_moment(day, zone), not_before) if day else None
    await subscriptions.put_off(tx, kept.state.id, at)


async def let_turn(tx: Tx, kept: Kept, zone: str) -> Kept:
    """Let take place what was scheduled and whose day has come, each change announced."""
    today = periods.local_day(tx.now, zone)
    while (later := turn(terms_of(kept.state), kept.standing, today)) is not None:
        kept = await stood(tx, kept, later, zone)
    return kept


async def stood(tx: Tx, kept: Kept, standing: Standing, zone: str, **changes: Any) -> Kept:
    """It has got another state, which is announced by that state's event."""
    if standing.status in ("cancelled", "completed"):
        changes |= {"ended_at": tx.now}
    return await tell(tx, shown(kept, standing, **changes), _BY_STATUS[standing.status], zone)


async def invoice_paid(tx: Tx, invoice: Invoice, given: Given) -> Period | None:
    """One of its invoices is paid; that of its beginning accepts it. Returns the period which that invoice is for."""
    kept = await _of_invoice(tx, invoice)
    if kept is None:
        return None
    standing = replace(kept.standing, paid=kept.standing.paid + 1)
    if standing.status == "pending" and kept.state.first_invoice_id == invoice.id:
        merchant = await copies.merchant(tx, invoice.merchant_id)
        return await _accepted_by_payment(tx, kept, standing, merchant.time_zone if merchant else "UTC", given)
    kept = shown(kept, standing)
    # Its calendar stays as it is: what an outage has kept back goes on coming one by one.
    sequence = await subscriptions.save_subscription(tx, kept, None, keep_turn=True)
    tx.announce(SubscriptionChanged(state=kept.state), sequence=sequence)
    return None


async def _accepted_by_payment(tx: Tx, kept: Kept, standing: Standing, zone: str, given: Given) -> Period | None:
    terms, today = terms_of(kept.state), periods.local_day(tx.now, zone)
    standing = accept(terms, standing, today)
    first = due(terms, standing, today)
    # None: it is paid after the offer's own end. The money is taken, so it is accepted, and over.
    after = charged(terms, standing, first) if first else replace(standing, made=1)
    period = period_of(first.period) if first else None
    kept = await _charging(tx, shown(kept, after, accepted_at=tx.now, current_period=period), given)
    kept = await tell(tx, kept, SubscriptionAccepted, zone)
    if after.status == "completed":
        await stood(tx, kept, after, zone)
    return period


async def _charging(tx: Tx, kept: Kept, given: Given) -> Kept:
    """Name the method that it is accepted with; one that is not known here yet is named by the look that finds it.

    The customer's default one is not named: who gives another card in its place means all that is charged to it.
    """
    if given.stripe_id is None:
        return kept
    merchant_id, customer_id = kept.state.merchant_id, CustomerId(kept.state.customer_id)
    # Before the method is looked for: whoever is mirroring it is done by then.
    await methods.lock_owner(tx, merchant_id, customer_id)
    found = await methods.method_at_stripe(tx, merchant_id, customer_id, given.account, given.stripe_id)
    if found is None:
        await subscriptions.note_given(tx, SubscriptionId(kept.state.id), given.stripe_id)
        await stripe_customers.ask_for_look(tx, merchant_id, customer_id, given.account)
        return kept
    return shown(kept, kept.standing, payment_method_id=None if found.method.is_default else found.id)


async def paid_with(tx: Tx, invoice: Invoice, given: Given) -> None:
    """What the invoice of its beginning was paid with has become known after it was accepted. The next look names it."""
    kept = await _of_invoice(tx, invoice)
    if kept is None or kept.state.first_invoice_id != invoice.id or kept.state.payment_method_id is not None:
        return
    await subscriptions.note_given(tx, SubscriptionId(kept.state.id), given.stripe_id)
    await stripe_customers.ask_for_look(tx, invoice.merchant_id, invoice.customer_id, given.account)


async def setup_ended(tx: Tx, setup: Setup, status: Literal["done", "ended"], method: str | None) -> bool:
    """A hosted page has ended. Where its method was given to accept a subscription, that is accepted now.

    `method` is Stripe's id of what was given. False: it had ended before.
    """
    fresh = await setups.end_setup(tx, setup.id, status)
    if fresh and status == "done" and setup.subscription_id is not None:
        await _accepted_by_method(tx, setup, Given(method, setup.account))
    return fresh


async def _accepted_by_method(tx: Tx, setup: Setup, given: Given) -> None:
    assert setup.subscription_id is not None, "The caller has seen it."
    kept = await subscriptions.lock_subscription(tx, setup.merchant_id, setup.subscription_id)
    merchant = await copies.merchant(tx, setup.merchant_id)
    zone = merchant.time_zone if merchant else "UTC"
    today = periods.local_day(tx.now, zone)
    if kept is None or why_not(terms_of(kept.state), kept.standing, "accept", today, "customer"):
        # Accepted before, or withdrawn meanwhile: the method is kept, nothing is charged for this.
        return
    if setup.payer == PUBLIC and _is_shut(kept.state.link, setup.created_at):
        return
    after = accept(terms_of(kept.state), kept.standing, today)
    kept = await _charging(tx, shown(kept, after, accepted_at=tx.now), given)
    await tell(tx, kept, SubscriptionAccepted, zone)
    tx.notify(CHANNEL)


def _is_shut(link: PayLink | None, opened_at: datetime) -> bool:
    """Whether the link through which a page was opened has been withdrawn or made anew since: nothing is agreed by it."""
    return link is None or link.revoked or (link.renewed_at is not None and opened_at < link.renewed_at)


async def invoice_withdrawn(tx: Tx, invoice: Invoice, reason: str | None) -> None:
    """One of its invoices is voided or given up: where that was to accept it, nothing is offered any more."""
    kept = await _of_invoice(tx, invoice)
    if kept is not None and kept.standing.status == "pending" and kept.state.first_invoice_id == invoice.id:
        merchant = await copies.merchant(tx, invoice.merchant_id)
        zone = merchant.time_zone if merchant else "UTC"
        after = cancel(terms_of(kept.state), kept.standing, periods.local_day(tx.now, zone), "now", by="merchant")
        await stood(tx, kept, after, zone, cancel_reason=reason)


async def _of_invoice(tx: Tx, invoice: Invoice) -> Kept | None:
    if invoice.subscription_id is None:
        return None
    return await subscriptions.lock_subscription(tx, invoice.merchant_id, invoice.subscription_id)
