"""Reconciliation: our books beside Stripe's, account by account.

What no webhook told is stored as an event, so that there is one way into the books; what cannot be booked, or is in ours
alone, is a difference that a person is shown until it is gone: the walk does not pass it by.
"""

import logging
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from chassis.service import Runtime
from contracts.billing import Difference, Reconciliation, ReconciliationFinished
from contracts.message import MerchantId, Money
from services.billing.domain.returns import moves_on
from services.billing.schedules import refunds as unsent
from services.billing.schedules.attempts import ask_about_attempts, tell
from services.billing.store import disputes, payments, reconciliations, refunds, stripe_events
from services.billing.store.accounts import account_of, every_account
from services.billing.store.payments import Attempt
from services.billing.store.stripe_events import Cursor
from services.billing.stripe_gateway import (
    DisputeSeen,
    Event,
    Intent,
    RefundSeen,
    StripeError,
    StripeGateway,
    StripeRefusedError,
    found_event,
    reference_of,
)

log = logging.getLogger("portal.billing.schedules")

_OVERLAP_SECONDS = 3600
_WINDOW = timedelta(days=30)
_LOOK_BACK_EVERY = timedelta(hours=6)
"""Refunds fail days after they succeeded, disputes are decided weeks later: a walk from the cursor alone would miss it."""
_TELL_AT_LEAST = timedelta(hours=1)

Kind = Literal["payment", "refund", "dispute"]


@dataclass
class Tally:
    """What comparing one merchant's books came to."""

    compared: int = 0
    found: int = 0
    differences: list[Difference] = field(default_factory=list)


@dataclass
class Walk:
    """One comparison of one account, under way. `since` (Unix seconds) is where it begins, `far` whether it looks back.

    `waiting` is the oldest moment to which the next walk has to come back.
    """

    runtime: Runtime
    stripe: StripeGateway
    account: str | None
    since: int
    far: int
    newest: int
    waiting: int | None = None
    tallies: defaultdict[MerchantId, Tally] = field(default_factory=lambda: defaultdict(Tally))

    async def found(self, merchant_id: MerchantId, event: Event, kind: Kind, money: Money, created: int) -> None:
        """Stripe has something that our books have not: tell them, or name the difference when that was in vain."""
        standing = await stripe_events.standing(self.runtime.db, event.id)
        if standing is None:
            self.tallies[merchant_id].found += 1
            await tell(self.runtime, event)
        elif standing[0] != "waiting" or standing[1]:
            self.differ(merchant_id, "not_in_our_books", kind, str(event.object["id"]), money, created, standing[1])

    def differ(
        self,
        merchant_id: MerchantId,
        code: Literal["not_in_our_books", "not_at_stripe", "not_as_booked"],
        kind: Kind,
        stripe_id: str,
        money: Money,
        created: int,
        note: str = "",
    ) -> None:
        """A difference for a person to look at."""
        log.error("Our books differ from Stripe's.", extra={"code": code, "kind": kind, "stripe_id": stripe_id})
        difference = Difference(
            code=code, what=kind, stripe_id=stripe_id, amount=money.amount, currency=money.currency, note=note[:500]
        )
        self.tallies[merchant_id].differences.append(difference)
        self.waiting = created if self.waiting is None else min(created, self.waiting)


async def reconcile(runtime: Runtime, *, stripe: StripeGateway) -> None:
    """Ask Stripe about whatever has no end yet, then compare each account's payments, refunds and disputes with ours."""
    for ask in (ask_about_attempts, unsent.ask_about_refunds):
        try:
            await ask(runtime, stripe)
        except StripeError as away:
            log.warning("Stripe cannot be asked now; the next reconciliation will.", extra={"reason": str(away)})
    for account in await every_account(runtime.db):
        try:
            await compare(runtime, stripe, account)
        except StripeError as away:
            # One account that is closed to us must not keep us from the others.
            extra = {"account": account, "reason": str(away)}
            log.warning("An account cannot be compared now; the next reconciliation will.", extra=extra)


async def compare(runtime: Runtime, stripe: StripeGateway, account: str | None) -> None:
    """Compare one account's books with ours, both ways, and announce what it came to."""
    now = runtime.clock.now()
    seen = await stripe_events.cursor(runtime.db, account)
    far = int((now - _WINDOW).timestamp())
    since = far if seen is None else max(seen.created - _OVERLAP_SECONDS, far)
    looks_back = seen is None or seen.looked_back_at is None or now - seen.looked_back_at >= _LOOK_BACK_EVERY
    walk = Walk(runtime, stripe, account, since, far if looks_back else since, newest=since)
    await _compare_payments(walk)
    await _compare_refunds(walk)
    await _compare_disputes(walk, looks_back=looks_back)
    await _finish(walk, now)
    reached = walk.newest if walk.waiting is None else min(walk.newest, walk.waiting)
    # A difference from before the cursor is in sight only while we look back: until it is gone, each walk does.
    gone_by = walk.waiting is not None and walk.waiting < walk.since
    looked = seen.looked_back_at if seen and (gone_by or not looks_back) else now
    await stripe_events.move_cursor(runtime.db, account, Cursor(reached, looked))


# --- payments ---------------------------------------------------------------------------------------------------------


async def _compare_payments(walk: Walk) -> None:
    booked: set[str] = set()
    async for intent in walk.stripe.intents_since(walk.since, walk.account):
        walk.newest = max(walk.newest, intent.created)
        if intent.status == "succeeded" and await _compare_intent(walk, intent):
            booked.add(intent.id)
    for attempt in await payments.booked_since(walk.runtime.db, walk.account, datetime.fromtimestamp(walk.since, UTC)):
        if attempt.intent_id is not None and attempt.intent_id not in booked:
            await _look_for_intent(walk, attempt, attempt.intent_id)


async def _compare_intent(walk: Walk, intent: Intent) -> bool:
    """Whether our books have this money."""
    reference = reference_of(intent.metadata)
    if reference is None:
        return False
    db = walk.runtime.db
    claimed = await payments.attempt(db, reference.merchant_id, reference.payment_id)
    theirs = claimed.account if claimed else await account_of(db, reference.merchant_id)
    if theirs != walk.account:
        return False  # a connected merchant can type anybody's invoice id into their metadata
    walk.tallies[reference.merchant_id].compared += 1
    attempt = await payments.attempt_of_intent(db, intent.id)
    if attempt is None and claimed is not None and claimed.payment.status == "succeeded" and claimed.intent_id is None:
        attempt = claimed
    if attempt is None:
        event = found_event("payment_intent.succeeded", intent.raw, walk.account, walk.runtime.clock.now())
        await walk.found(reference.merchant_id, event, "payment", intent.received, intent.created)
        return False
    if Money(attempt.payment.amount, attempt.payment.currency) != intent.received:
        walk.differ(attempt.payment.merchant_id, "not_as_booked", "payment", intent.id, intent.received, intent.created)
    return True


async def _look_for_intent(walk: Walk, attempt: Attempt, intent_id: str) -> None:
    """Our books have money that was not on the walk: it may only have been begun long before it arrived."""
    payment = attempt.payment
    walk.tallies[payment.merchant_id].compared += 1
    try:
        if (await walk.stripe.intent(intent_id, walk.account)).status == "succeeded":
            return
    except StripeRefusedError as unknown:
        log.warning("Stripe does not know a payment of ours.", extra={"intent": intent_id, "reason": str(unknown)})
    settled = int((payment.settled_at or payment.created_at).timestamp())
    money = Money(payment.amount, payment.currency)
    walk.differ(payment.merchant_id, "not_at_stripe", "payment", intent_id, money, settled)


# --- refunds and disputes ---------------------------------------------------------------------------------------------


async def _compare_refunds(walk: Walk) -> None:
    walked: set[str] = set()
    async for seen in walk.stripe.refunds_since(walk.far, walk.account):
        walked.add(seen.id)
        await _compare_refund(walk, seen)
    for stripe_id, refund in await refunds.refunds_booked(
        walk.runtime.db, walk.account, datetime.fromtimestamp(walk.far, UTC)
    ):
        if stripe_id in walked or refund.status == "failed":
            continue
        try:
            await _compare_refund(walk, await walk.stripe.refund(stripe_id, walk.account))
        except StripeRefusedError:
            begun = int(refund.created_at.timestamp())
            money = Money(refund.amount, refund.currency)
            walk.differ(refund.merchant_id, "not_at_stripe", "refund", stripe_id, money, begun)


async def _compare_refund(walk: Walk, seen: RefundSeen) -> None:
    attempt = await _payment_of(walk, seen.intent_id)
    if attempt is None:
        return
    merchant_id = attempt.payment.merchant_id
    walk.tallies[merchant_id].compared += 1
    known = await refunds.refund_at_stripe(walk.runtime.db, seen.id)
    if known is None or moves_on(known.refund.status, seen.status):
        kind = "refund.failed" if seen.status == "failed" else "refund.updated"
        event = found_event(kind, seen.raw, walk.account, walk.runtime.clock.now())
        await walk.found(merchant_id, event, "refund", seen.amount, seen.created)
    elif known.refund.amount != seen.amount.amount:
        walk.differ(merchant_id, "not_as_booked", "refund", seen.id, seen.amount, seen.created)


async def _compare_disputes(walk: Walk, *, looks_back: bool) -> None:
    walked: set[str] = set()
    async for seen in walk.stripe.disputes_since(walk.far, walk.account):
        walked.add(seen.id)
        await _compare_dispute(walk, seen)
    if looks_back:
        for stripe_id in await disputes.open_disputes(walk.runtime.db, walk.account):
            if stripe_id not in walked:
                await _compare_dispute(walk, await walk.stripe.dispute(stripe_id, walk.account))


async def _compare_dispute(walk: Walk, seen: DisputeSeen) -> None:
    attempt = await _payment_of(walk, seen.intent_id)
    if attempt is None:
        return
    merchant_id = attempt.payment.merchant_id
    walk.tallies[merchant_id].compared += 1
    known = await disputes.dispute_at_stripe(walk.runtime.db, seen.id)
    if known is None or (known.status, known.inquiry) != (seen.status, seen.inquiry and known.inquiry):
        kind = "charge.dispute.updated" if seen.status == "open" else "charge.dispute.closed"
        event = found_event(kind, seen.raw, walk.account, walk.runtime.clock.now())
        await walk.found(merchant_id, event, "dispute", seen.amount, seen.created)


async def _payment_of(walk: Walk, intent_id: str | None) -> Attempt | None:
    """The payment of this account's that it is about; None: foreign, or its payment has to be booked first."""
    attempt = None if intent_id is None else await payments.attempt_of_intent(walk.runtime.db, intent_id)
    return attempt if attempt is not None and attempt.account == walk.account else None


# --- what it came to --------------------------------------------------------------------------------------------------


async def _finish(walk: Walk, now: datetime) -> None:
    """Announce each merchant's result: at once when something was found, otherwise once an hour."""
    before = await reconciliations.results_of(walk.runtime.db, walk.account)
    for merchant_id in sorted({*before, *walk.tallies}):
        tally, last = walk.tallies[merchant_id], before.get(merchant_id)
        differences = tuple(tally.differences)
        quiet = last is not None and not tally.found and differences == last.differences
        if last is not None and quiet and now - last.finished_at < _TELL_AT_LEAST:
            continue
        result = Reconciliation(
            id=merchant_id,
            merchant_id=merchant_id,
            finished_at=now,
            compared=tally.compared,
            found=tally.found,
            differences=differences,
        )
        async with walk.runtime.db.transaction(walk.runtime.system_cause(merchant_id)) as tx:
            sequence = await reconciliations.save_reconciliation(tx, result)
            tx.announce(ReconciliationFinished(state=result), sequence=sequence)
