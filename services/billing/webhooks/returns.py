"""Refunds and disputes, as Stripe's events tell of them: ours, and those that began at Stripe."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from chassis.database import Tx
from chassis.ids import new_id
from chassis.service import Runtime
from contracts.billing import Dispute, Payment, Refund
from contracts.message import Money, PaymentId
from services.billing.domain.returns import credited_part, held, moves_on
from services.billing.store import disputes, invoices, payments, refunds, returning, stripe_events
from services.billing.store.accounts import account_of
from services.billing.store.payments import Attempt
from services.billing.store.refunds import Giving
from services.billing.store.returning import Case
from services.billing.store.stripe_events import StoredEvent
from services.billing.stripe_gateway import (
    DisputeSeen,
    Event,
    RefundSeen,
    StripeGateway,
    dispute_of,
    reference_of,
    refund_of,
)


class NotBookedYetError(Exception):
    """Money goes back whose arrival is not in our books: try again, its own event or reconciliation brings it."""


@dataclass(frozen=True)
class Returned:
    """What one event says about money that goes back, or is held."""

    seen: RefundSeen | DisputeSeen
    account: str | None
    at: datetime


def understand_return(event: Event) -> Returned | str:
    """What an event about a refund or a dispute says. Raises KeyError or TypeError for a broken object."""
    seen = dispute_of(event.object) if event.type.startswith("charge.dispute.") else refund_of(event.object)
    if seen.intent_id is None:
        return "foreign: not of a payment intent"
    return Returned(seen, event.account, datetime.fromtimestamp(event.created, UTC))


async def handle_return(runtime: Runtime, stripe: StripeGateway, stored: StoredEvent, told: Returned) -> None:
    """One event's effect, in a transaction that locks the invoice."""
    attempt = await _payment_of(runtime, stripe, told)
    cause = runtime.system_cause()
    if isinstance(attempt, Attempt):
        merchant_id = attempt.payment.merchant_id
        cause = replace(cause, merchant_id=merchant_id, message_id=stored.id, correlation_id=attempt.correlation_id)
    async with runtime.db.transaction(cause) as tx:
        if not await stripe_events.lock_waiting(tx, stored.id):
            return
        outcome = attempt if isinstance(attempt, str) else await _apply(tx, attempt, told)
        await stripe_events.mark_done(tx, stored.id, outcome)


async def _payment_of(runtime: Runtime, stripe: StripeGateway, told: Returned) -> Attempt | str:
    """The payment of ours whose money it is, or why there is none.

    Raises:
        NotBookedYetError: it is one of ours that we have not heard of.
    """
    intent_id = str(told.seen.intent_id)
    attempt = await payments.attempt_of_intent(runtime.db, intent_id)
    if attempt is None:
        # The payment's own event may still be on its way. Only its intent says whether it is ours.
        intent = await stripe.intent(intent_id, told.account)
        reference = reference_of(intent.metadata)
        if reference is None:
            return "foreign: without our metadata"
        claimed = await payments.attempt(runtime.db, reference.merchant_id, reference.payment_id)
        if claimed is None and told.account != await account_of(runtime.db, reference.merchant_id):
            return "foreign: not this merchant's account"
        if claimed is None or claimed.account == told.account:
            raise NotBookedYetError(f"payment {reference.payment_id}")
        attempt = claimed
    if attempt.account != told.account:
        # A connected merchant can type anybody's invoice id into their metadata.
        return "foreign: not this attempt's account"
    return attempt


async def _apply(tx: Tx, seen_attempt: Attempt, told: Returned) -> str:
    merchant_id, payment_id = seen_attempt.payment.merchant_id, PaymentId(seen_attempt.payment.id)
    invoice = await invoices.lock_invoice(tx, merchant_id, seen_attempt.payment.invoice_id)
    attempt = await payments.attempt(tx, merchant_id, payment_id)
    assert invoice is not None, "Invoices are never deleted."
    assert attempt is not None, "Attempts are never deleted."
    case = Case(invoice, attempt)
    if isinstance(told.seen, DisputeSeen):
        return await _apply_dispute(tx, case, told, told.seen)
    return await _apply_refund(tx, case, told, told.seen)


# --- refunds ----------------------------------------------------------------------------------------------------------


async def _apply_refund(tx: Tx, case: Case, told: Returned, seen: RefundSeen) -> str:
    payment = case.attempt.payment
    if seen.amount.currency != payment.currency or seen.amount.amount > payment.amount:
        raise ValueError(f"{seen.id} is over {seen.amount}, its payment over {payment.amount}.")
    giving = await _known(tx, case, seen)
    if giving is None:
        giving, case = await _mirror(tx, case, told, seen)
    if not moves_on(giving.refund.status, seen.status):
        return f"ignored: the refund has already {giving.refund.status}"
    await returning.refund_moved(tx, case, giving, seen.status, seen.id, seen.failure)
    return f"refund {seen.status}"


async def _known(tx: Tx, case: Case, seen: RefundSeen) -> Giving | None:
    """The refund of ours that this is: by Stripe's id, else by the metadata of one that has no such id yet."""
    found = await refunds.refund_at_stripe(tx, seen.id)
    if found is not None or seen.refund_id is None:
        return found
    claimed = await refunds.refund(tx, case.invoice.merchant_id, seen.refund_id)
    if claimed is None or claimed.stripe_id is not None or claimed.refund.status not in ("created", "unknown"):
        # Somebody copied our metadata, or it appeared after we had given it up: the money moved, so it is booked.
        return None
    same = (claimed.refund.payment_id, claimed.refund.amount) == (case.attempt.payment.id, seen.amount.amount)
    return claimed if same else None


async def _mirror(tx: Tx, case: Case, told: Returned, seen: RefundSeen) -> tuple[Giving, Case]:
    """Somebody pressed Refund on Stripe's own pages: the same refund, in our books."""
    payment = case.attempt.payment
    refund = Refund(
        id=new_id(),
        **payment.model_dump(include={"merchant_id", "customer_id", "invoice_id", "currency"}),
        payment_id=payment.id,
        status="created",
        amount=seen.amount.amount,
        credited=credited_part(seen.amount.amount, await returning.surplus_left(tx, case)),
        begun_at_stripe=True,
        created_at=datetime.fromtimestamp(seen.created, UTC),
    )
    giving = Giving(refund, told.account, tx.cause.correlation_id, stripe_id=seen.id)
    return giving, await returning.refund_started(tx, case, giving)


# --- disputes ---------------------------------------------------------------------------------------------------------


async def _apply_dispute(tx: Tx, case: Case, told: Returned, seen: DisputeSeen) -> str:
    before = await disputes.dispute_at_stripe(tx, seen.id)
    payment = case.attempt.payment
    if before is not None and _is_old_news(before, told, seen):
        return f"ignored: the dispute is already {before.status}"
    now = Dispute(
        id=before.id if before else new_id(),
        **payment.model_dump(include={"merchant_id", "customer_id", "invoice_id"}),
        payment_id=payment.id,
        status=seen.status,
        amount=seen.amount.amount,
        currency=seen.amount.currency,
        reason=seen.reason,
        inquiry=seen.inquiry,
        evidence_due_at=seen.evidence_due_at,
        opened_at=datetime.fromtimestamp(seen.created, UTC),
        closed_at=None if seen.status == "open" else told.at,
    )
    if now == before:
        return "ignored: nothing new"
    if before is None:
        await disputes.insert_dispute(tx, now, seen.id, told.account)
    await returning.dispute_moved(
        tx, case, now, before, _held(now, payment) - (_held(before, payment) if before else 0)
    )
    return f"dispute {now.status}"


def _held(dispute: Dispute, payment: Payment) -> int:
    disputed, paid = (Money(each.amount, each.currency) for each in (dispute, payment))
    return held(disputed, paid, dispute.status, inquiry=dispute.inquiry)


def _is_old_news(before: Dispute, told: Returned, seen: DisputeSeen) -> bool:
    """Whether an event is older than what we know: a decision stands until a later one, an inquiry only grows."""
    if before.closed_at is not None:
        return seen.status in ("open", before.status) or told.at <= before.closed_at
    return seen.status == "open" and seen.inquiry and not before.inquiry
