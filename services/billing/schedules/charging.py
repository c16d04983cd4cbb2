"""Charging *created* automatic attempts, outside any transaction, and booking what Stripe says.

A crash in between leaves the attempt as it was: whoever takes it up again comes with the same idempotency key. An outcome
that nobody knows is asked about by the reconciliation.
"""

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta

from chassis.database import Tx
from chassis.service import Runtime
from contracts.billing import Decline, Invoice, Payment
from contracts.message import PaymentId
from services.billing.domain.settlement import UNENDED, WrongAmount
from services.billing.schedules.one_of_many import one_of_many
from services.billing.store import archiving, books, collecting, copies, invoices, payments, settling
from services.billing.store.accounts import account_of
from services.billing.store.payments import Attempt
from services.billing.stripe_gateway import (
    Intent,
    Refusal,
    StripeClosedError,
    StripeDeclinedError,
    StripeGateway,
    StripeRefusedError,
    StripeUnavailableError,
    StripeUnknownError,
)

log = logging.getLogger("portal.billing.charging")

_LEASE = timedelta(seconds=30)
"""Longer than one call of at most 8 s; a dead worker's attempt is taken up again after it."""
_SURELY_OVER = timedelta(minutes=10)
"""A charge that Stripe does not list so long after it was last asked for was never made."""


async def charge_due(runtime: Runtime, stripe: StripeGateway, *, at_once: int = 8) -> int:
    """Charge all that waits, `at_once` at a time. Returns how many were charged or refused."""
    done = 0

    async def keep_charging() -> None:
        nonlocal done
        while await charge_next(runtime, stripe):
            done += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(keep_charging())
    return done


async def charge_next(runtime: Runtime, stripe: StripeGateway) -> bool:
    """Charge the attempt that waits longest. False: none does."""
    row = await payments.claim_charge(runtime.db, runtime.clock.now(), _LEASE)
    if row is None:
        return False
    try:
        with one_of_many("charge", merchant=str(row["merchant_id"]), payment=str(row["id"])):
            await _charge(runtime, stripe, payments.attempt_in(row))
    except StripeUnavailableError as away:
        # Nothing was done: it stays *created*, and is charged when its lease is over.
        log.warning("Stripe takes no charges now.", extra={"reason": str(away)})
        return False
    return True


async def _charge(runtime: Runtime, stripe: StripeGateway, attempt: Attempt) -> None:
    try:
        await ask_and_record(runtime, stripe, attempt)
    except StripeUnknownError as unknown:
        log.warning("The outcome of a charge is not known yet.", extra={"reason": str(unknown)})
        await _remember_doubt(runtime, attempt)


async def ask_and_record(runtime: Runtime, stripe: StripeGateway, attempt: Attempt) -> None:
    """Charge a *created* attempt with its own key, or learn what became of another; and book it.

    Raises StripeUnavailableError, StripeUnknownError, or StripeRefusedError when Stripe does not know what it is asked
    about: the attempt is unchanged.
    """
    payment = attempt.payment
    age = runtime.clock.now() - payment.created_at
    outcome: Intent | Refusal
    intent_id: str | None = None
    try:
        if payment.status == "processing" and attempt.intent_id is not None:
            found: Intent | None = await stripe.intent(attempt.intent_id, attempt.account)
        else:
            found = await _join(runtime, stripe, attempt, age)
        if found is None:
            await _never_charged(runtime, attempt)
            return
        outcome = found
    except StripeClosedError:
        if payment.status != "created" or not await _is_left(runtime, attempt):
            raise
        # Closed to us for good, and not what the merchant bills with: waiting for it would keep everybody from paying.
        await _never_charged(runtime, attempt)
        return
    except StripeDeclinedError as declined:
        outcome, intent_id = declined.refusal, declined.intent_id
    except StripeRefusedError as refused:
        if payment.status != "created":
            # It was only asked about: "no such payment" may mean another key or account, and the money be on its way.
            raise
        outcome = Refusal(refused.code, refused.message[:500])
    await _record(runtime, attempt, outcome, intent_id)


async def _join(runtime: Runtime, stripe: StripeGateway, attempt: Attempt, age: timedelta) -> Intent | None:
    payment = attempt.payment
    if payment.status == "created" and not attempt.close_requested and not await _is_closed(runtime, payment):
        return await stripe.join_charge(attempt.request, attempt.key, PaymentId(payment.id), age, attempt.account)
    # Asked for once without an answer, settled by other money meanwhile, or its customer archived a moment ago: it is
    # looked for and not asked for again.
    found = await stripe.find_intent(PaymentId(payment.id), age, attempt.account)
    asked = attempt.claimed_until or payment.created_at
    if found is None and runtime.clock.now() < asked + _SURELY_OVER:
        raise StripeUnknownError("It may have been charged a moment ago.")
    return found


async def _is_closed(runtime: Runtime, payment: Payment) -> bool:
    return archiving.is_closed(await copies.customer(runtime.db, payment.merchant_id, payment.customer_id))


async def _is_left(runtime: Runtime, attempt: Attempt) -> bool:
    return await account_of(runtime.db, attempt.payment.merchant_id) != attempt.account


async def _never_charged(runtime: Runtime, attempt: Attempt) -> None:
    """It did not reach Stripe and never will: that is nobody's failure, and another attempt may begin."""
    async with runtime.db.transaction(runtime.system_cause(attempt.payment.merchant_id)) as tx:
        invoice, now = await locked(tx, attempt)
        if now.payment.status in UNENDED:
            await collecting.never_charged(tx, invoice, now)


async def _record(runtime: Runtime, attempt: Attempt, outcome: Intent | Refusal, intent_id: str | None) -> None:
    cause = replace(runtime.system_cause(attempt.payment.merchant_id), correlation_id=attempt.correlation_id)
    async with runtime.db.transaction(cause) as tx:
        invoice, now = await locked(tx, attempt)
        if isinstance(outcome, Refusal):
            await _fail(tx, invoice, now, runtime.settings.secret_key, outcome, intent_id)
            return
        now = replace(now, intent_id=now.intent_id or outcome.id, payment=_with_card(now, outcome))
        match outcome.status:
            case "succeeded":
                booked = await settling.collect(tx, invoice, now, outcome.received, outcome.id)
                if isinstance(booked, WrongAmount):
                    log.error("Money with the wrong amount.", extra={"payment": str(now.payment.id)})
            case "processing":
                if now.payment.status in ("created", "unknown"):
                    await books.payment_processing(tx, invoice, now)
            case "requires_action" | "requires_confirmation":
                refusal = Refusal(collecting.AUTHENTICATE, "The bank wants the customer to confirm this payment.")
                await _fail(tx, invoice, now, runtime.settings.secret_key, refusal, outcome.id)
            case _:
                refusal = outcome.refusal or Refusal("declined", "The payment was declined.")
                await _fail(tx, invoice, now, runtime.settings.secret_key, refusal, outcome.id)


def _with_card(attempt: Attempt, intent: Intent) -> Payment:
    payment = attempt.payment
    if intent.card is None or payment.status == "succeeded":
        return payment
    return payment.model_copy(update={"method": intent.card.method, "last4": intent.card.last4})


async def _fail(
    tx: Tx, invoice: Invoice, attempt: Attempt, secret_key: str, refusal: Refusal, intent_id: str | None
) -> None:
    if attempt.payment.status not in UNENDED:
        # A webhook was faster than we.
        return
    decline = Decline(code=refusal.code, message=refusal.message, at=tx.now)
    await collecting.charge_failed(
        tx, invoice, replace(attempt, intent_id=attempt.intent_id or intent_id), decline, secret_key
    )


async def _remember_doubt(runtime: Runtime, attempt: Attempt) -> None:
    async with runtime.db.transaction(runtime.system_cause(attempt.payment.merchant_id)) as tx:
        _, now = await locked(tx, attempt)
        await books.outcome_unknown(tx, now)


async def locked(tx: Tx, attempt: Attempt) -> tuple[Invoice, Attempt]:
    """The attempt as it is now, its invoice locked."""
    merchant_id, payment_id = attempt.payment.merchant_id, PaymentId(attempt.payment.id)
    invoice = await invoices.lock_invoice(tx, merchant_id, attempt.payment.invoice_id)
    now = await payments.attempt(tx, merchant_id, payment_id)
    assert invoice is not None, "Invoices are never deleted."
    assert now is not None, "Attempts are never deleted."
    return invoice, now
