"""Comparing one account's books with Stripe's, both ways.

What no webhook told is stored as an event, so that there is one way into the books; what cannot be booked, or is in ours
alone, is a difference. The walk goes on past it: from then on that one object is asked about, until it is explained.
"""

import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal, assert_never

from chassis.service import Runtime
from contracts.billing import Difference, Refund
from contracts.message import MerchantId, Money
from services.billing.domain.returns import moves_on
from services.billing.schedules.attempts import tell
from services.billing.schedules.one_of_many import one_of_many
from services.billing.store import differences, disputes, payments, refunds, stripe_events
from services.billing.store.accounts import account_of
from services.billing.store.differences import Disputed, Kind
from services.billing.store.payments import Attempt
from services.billing.store.stripe_events import Cursor
from services.billing.stripe_gateway import (
    DisputeSeen,
    Event,
    Intent,
    RefundSeen,
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
_ASK_AGAIN = 100
"""So many differences are asked about again in one walk, those first that have waited longest."""


@dataclass
class Tally:
    """What comparing one merchant's books at one account came to: Stripe's ids of what was compared, and how many were news."""

    compared: set[str] = field(default_factory=set)
    found: int = 0


@dataclass
class Walk:
    """One comparison of one account, under way. `since` (Unix seconds) is where it begins, `far` whether it looks back.

    `held` is the oldest moment to which the next walk has to come back.
    """

    runtime: Runtime
    stripe: StripeGateway
    account: str | None
    now: datetime
    since: int
    far: int
    newest: int
    held: int | None = None
    tallies: defaultdict[MerchantId, Tally] = field(default_factory=lambda: defaultdict(Tally))

    async def found(self, merchant_id: MerchantId, event: Event, kind: Kind, money: Money, created: int) -> None:
        """Stripe has something that our books have not: tell them, or name the difference when that was in vain."""
        standing = await stripe_events.standing(self.runtime.db, event.id)
        if standing is None:
            self.tallies[merchant_id].found += 1
            await tell(self.runtime, event)
        elif standing[0] != "waiting" or standing[1]:
            await self.differ(merchant_id, "not_in_our_books", kind, str(event.object["id"]), money, standing[1])
            return
        self.hold(created)

    def hold(self, created: int) -> None:
        """The next walk comes back to this moment: what became of it is not known yet."""
        self.held = created if self.held is None else min(created, self.held)

    async def differ(
        self,
        merchant_id: MerchantId,
        code: Literal["not_in_our_books", "not_at_stripe", "not_as_booked"],
        kind: Kind,
        stripe_id: str,
        money: Money,
        note: str = "",
    ) -> None:
        """A difference for a person to look at."""
        log.error("Our books differ from Stripe's.", extra={"code": code, "kind": kind, "stripe_id": stripe_id})
        difference = Difference(
            code=code, what=kind, stripe_id=stripe_id, amount=money.amount, currency=money.currency, note=note[:200]
        )
        await differences.note(self.runtime.db, self.account, merchant_id, difference, self.now)


async def compare(runtime: Runtime, stripe: StripeGateway, account: str | None) -> Mapping[MerchantId, Tally]:
    """Compare one account's books with ours, both ways. Returns what it came to for each merchant with money there."""
    now = runtime.clock.now()
    seen = await stripe_events.cursor(runtime.db, account)
    far = int((now - _WINDOW).timestamp())
    since = far if seen is None else max(seen.created - _OVERLAP_SECONDS, far)
    looks_back = seen is None or seen.looked_back_at is None or now - seen.looked_back_at >= _LOOK_BACK_EVERY
    walk = Walk(runtime, stripe, account, now, since, far if looks_back else since, newest=since)
    await _compare_payments(walk)
    await _compare_refunds(walk)
    await _compare_disputes(walk, looks_back=looks_back)
    for about in await differences.take(runtime.db, account, now, _ASK_AGAIN):
        with one_of_many("comparison", merchant=str(about.merchant_id), stripe_id=about.stripe_id):
            if await _agrees_by_now(walk, about):
                await differences.resolve(runtime.db, account, about, now)
    reached = walk.newest if walk.held is None else min(walk.newest, walk.held)
    # What is older than the cursor is in sight only while we look back: until its end is known, each walk does.
    gone_by = walk.held is not None and walk.held < walk.since
    looked = seen.looked_back_at if seen and (gone_by or not looks_back) else now
    await stripe_events.move_cursor(runtime.db, account, Cursor(reached, looked))
    return walk.tallies


async def _agrees_by_now(walk: Walk, about: Disputed) -> bool:
    """Ask Stripe about the one object of a difference, and compare that. What Stripe does not know explains nothing."""
    try:
        match about.what:
            case "payment":
                return await _payment_agrees(walk, about)
            case "refund":
                return await _compare_refund(walk, await walk.stripe.refund(about.stripe_id, walk.account))
            case "dispute":
                return await _compare_dispute(walk, await walk.stripe.dispute(about.stripe_id, walk.account))
            case _:
                assert_never(about.what)
    except StripeRefusedError as unknown:
        log.warning("Stripe does not know it.", extra={"stripe_id": about.stripe_id, "reason": str(unknown)})
        return about.what == "refund" and await _is_given_up(walk, about)


async def _payment_agrees(walk: Walk, about: Disputed) -> bool:
    intent = await walk.stripe.intent(about.stripe_id, walk.account)
    return intent.status == "succeeded" and await _compare_intent(walk, intent)


# --- payments ---------------------------------------------------------------------------------------------------------


async def _compare_payments(walk: Walk) -> None:
    booked: set[str] = set()
    async for intent in walk.stripe.intents_since(walk.since, walk.account):
        walk.newest = max(walk.newest, intent.created)
        with one_of_many("comparison", stripe_id=intent.id) as turn:
            if intent.status == "succeeded" and await _compare_intent(walk, intent):
                booked.add(intent.id)
        if turn.failed:
            walk.hold(intent.created)
    since = datetime.fromtimestamp(walk.since, UTC)
    async for attempt in payments.booked_since(walk.runtime.db, walk.account, since):
        if attempt.intent_id is None or attempt.intent_id in booked:
            continue
        with one_of_many("comparison", payment=str(attempt.payment.id), stripe_id=attempt.intent_id) as turn:
            await _look_for_intent(walk, attempt, attempt.intent_id)
        if turn.failed and attempt.payment.settled_at is not None:
            walk.hold(int(attempt.payment.settled_at.timestamp()))


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
    walk.tallies[reference.merchant_id].compared.add(intent.id)
    attempt = await payments.attempt_of_intent(db, intent.id)
    if attempt is None and claimed is not None and claimed.payment.status == "succeeded" and claimed.intent_id is None:
        attempt = claimed
    if attempt is None:
        event = found_event("payment_intent.succeeded", intent.raw, walk.account, walk.now)
        if await stripe_events.standing(db, event.id) and await _is_given_back(walk, intent):
            # It could not be booked, and somebody has given it back on Stripe's pages: neither has it any more.
            return True
        await walk.found(reference.merchant_id, event, "payment", intent.received, intent.created)
        return False
    if Money(attempt.payment.amount, attempt.payment.currency) != intent.received:
        await walk.differ(attempt.payment.merchant_id, "not_as_booked", "payment", intent.id, intent.received)
        return False
    return True


async def _is_given_back(walk: Walk, intent: Intent) -> bool:
    if not isinstance(intent.raw["latest_charge"], Mapping):
        # A list names the charge only.
        intent = await walk.stripe.intent(intent.id, walk.account)
    return intent.given_back


async def _look_for_intent(walk: Walk, attempt: Attempt, intent_id: str) -> None:
    """Our books have money that was not on the walk: it may only have been begun long before it arrived."""
    payment = attempt.payment
    walk.tallies[payment.merchant_id].compared.add(intent_id)
    try:
        if (await walk.stripe.intent(intent_id, walk.account)).status == "succeeded":
            return
    except StripeRefusedError as unknown:
        log.warning("Stripe does not know a payment of ours.", extra={"intent": intent_id, "reason": str(unknown)})
    money = Money(payment.amount, payment.currency)
    await walk.differ(payment.merchant_id, "not_at_stripe", "payment", intent_id, money)


# --- refunds and disputes ---------------------------------------------------------------------------------------------


async def _compare_refunds(walk: Walk) -> None:
    walked: set[str] = set()
    async for seen in walk.stripe.refunds_since(walk.far, walk.account):
        walked.add(seen.id)
        with one_of_many("comparison", stripe_id=seen.id) as turn:
            await _compare_refund(walk, seen)
        if turn.failed:
            walk.hold(seen.created)
    for stripe_id, refund in await refunds.refunds_booked(
        walk.runtime.db, walk.account, datetime.fromtimestamp(walk.far, UTC)
    ):
        if stripe_id in walked or refund.status == "failed":
            continue
        with one_of_many("comparison", refund=str(refund.id), stripe_id=stripe_id):
            await _look_for_refund(walk, refund, stripe_id)


async def _look_for_refund(walk: Walk, refund: Refund, stripe_id: str) -> None:
    """Our books have a refund that was not on the walk."""
    try:
        await _compare_refund(walk, await walk.stripe.refund(stripe_id, walk.account))
    except StripeRefusedError:
        money = Money(refund.amount, refund.currency)
        await walk.differ(refund.merchant_id, "not_at_stripe", "refund", stripe_id, money)


async def _compare_refund(walk: Walk, seen: RefundSeen) -> bool:
    """Whether our books have this refund as it is."""
    attempt = await _payment_of(walk, seen.intent_id)
    if attempt is None:
        return False
    merchant_id = attempt.payment.merchant_id
    walk.tallies[merchant_id].compared.add(seen.id)
    known = await refunds.refund_at_stripe(walk.runtime.db, seen.id)
    if known is None or moves_on(known.refund.status, seen.status):
        kind = "refund.failed" if seen.status == "failed" else "refund.updated"
        event = found_event(kind, seen.raw, walk.account, walk.now)
        await walk.found(merchant_id, event, "refund", seen.amount, seen.created)
        return False
    if known.refund.amount != seen.amount.amount:
        await walk.differ(merchant_id, "not_as_booked", "refund", seen.id, seen.amount)
        return False
    return True


async def _is_given_up(walk: Walk, about: Disputed) -> bool:
    """Whether our books, too, have no such refund any more."""
    known = await refunds.refund_at_stripe(walk.runtime.db, about.stripe_id)
    return known is not None and known.refund.status == "failed"


async def _compare_disputes(walk: Walk, *, looks_back: bool) -> None:
    walked: set[str] = set()
    async for seen in walk.stripe.disputes_since(walk.far, walk.account):
        walked.add(seen.id)
        with one_of_many("comparison", stripe_id=seen.id) as turn:
            await _compare_dispute(walk, seen)
        if turn.failed:
            walk.hold(seen.created)
    if looks_back:
        for stripe_id in await disputes.open_disputes(walk.runtime.db, walk.account):
            if stripe_id not in walked:
                with one_of_many("comparison", stripe_id=stripe_id):
                    await _compare_dispute(walk, await walk.stripe.dispute(stripe_id, walk.account))


async def _compare_dispute(walk: Walk, seen: DisputeSeen) -> bool:
    """Whether our books have this dispute as it is."""
    attempt = await _payment_of(walk, seen.intent_id)
    if attempt is None:
        return False
    merchant_id = attempt.payment.merchant_id
    walk.tallies[merchant_id].compared.add(seen.id)
    known = await disputes.dispute_at_stripe(walk.runtime.db, seen.id)
    if known is None or (known.status, known.inquiry) != (seen.status, seen.inquiry and known.inquiry):
        kind = "charge.dispute.updated" if seen.status == "open" else "charge.dispute.closed"
        event = found_event(kind, seen.raw, walk.account, walk.now)
        await walk.found(merchant_id, event, "dispute", seen.amount, seen.created)
        return False
    return True


async def _payment_of(walk: Walk, intent_id: str | None) -> Attempt | None:
    """The payment of this account's that it is about; None: foreign, or its payment has to be booked first."""
    attempt = None if intent_id is None else await payments.attempt_of_intent(walk.runtime.db, intent_id)
    return attempt if attempt is not None and attempt.account == walk.account else None
