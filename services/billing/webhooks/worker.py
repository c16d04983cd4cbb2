"""The worker: handles what is stored, each event in a transaction of its own, and puts off what does not work out."""

import asyncio
import logging
from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from chassis.database import Tx
from chassis.service import Runtime
from contracts.billing import Decline, Invoice
from services.billing.domain.settlement import (
    UNENDED,
    WrongAmount,
)
from services.billing.store import agreements, books, collecting, invoices, payments, settling, stripe_events
from services.billing.store.accounts import account_of
from services.billing.store.agreements import Given
from services.billing.store.payments import Attempt
from services.billing.store.stripe_events import StoredEvent
from services.billing.stripe_gateway import Refusal, StripeGateway, event_of
from services.billing.webhooks import wallets
from services.billing.webhooks.news import CardSeen, Declined, Ended, OnItsWay, Succeeded, Told, understand
from services.billing.webhooks.returns import Returned, handle_return
from services.billing.webhooks.wallets import WalletNews

log = logging.getLogger("portal.billing.webhooks")

_AT_ONCE = 4
"""Events under way per process: one that waits for Stripe holds nobody up."""
_LEASE = timedelta(seconds=20)
"""Longer than one handling takes (a call of at most 8 s); a dead worker's event is taken up again after it."""
_MOST_TRIES = 12
_LONGEST_REST = timedelta(hours=1)
_TRIES_FOR_CARD = 3
"""So often we wait for Stripe to name the card; then the money is booked without."""


class NotKnownYetError(Exception):
    """It names an attempt of ours that we do not have: try again, it may be before our commit."""


async def work(runtime: Runtime, *, stripe: StripeGateway) -> None:
    """Handle stored events until cancelled."""
    async with asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(_keep_handling(runtime, stripe))


async def _keep_handling(runtime: Runtime, stripe: StripeGateway) -> None:
    while True:
        if not await handle_next(runtime, stripe):
            await runtime.wait(stripe_events.CHANNEL, timeout=1)


async def handle_next(runtime: Runtime, stripe: StripeGateway) -> bool:
    """Handle the event that waits longest. False: none is due."""
    stored = await stripe_events.claim(runtime.db, runtime.clock.now(), _LEASE)
    if stored is None:
        return False
    try:
        await _handle(runtime, stripe, stored)
    except Exception as failed:  # noqa: BLE001 - whatever it is, this event waits and the others go on
        await _put_off(runtime, stored, failed)
    return True


async def _put_off(runtime: Runtime, stored: StoredEvent, failed: Exception) -> None:
    reason = f"{type(failed).__name__}: {failed}"[:1000]
    stuck = stored.tries >= _MOST_TRIES
    log.log(
        logging.ERROR if stuck else logging.WARNING,
        "A Stripe event could not be handled.",
        extra={"event": stored.id, "type": stored.type, "tries": stored.tries, "reason": reason, "stuck": stuck},
    )
    async with runtime.db.transaction(runtime.system_cause()) as tx:
        if stuck:
            await stripe_events.mark_stuck(tx, stored.id, reason)
        else:
            rest = min(timedelta(seconds=2 ** (stored.tries - 1)), _LONGEST_REST)
            await stripe_events.try_again(tx, stored.id, tx.now + rest, reason)


async def _handle(runtime: Runtime, stripe: StripeGateway, stored: StoredEvent) -> None:
    told = understand(event_of(stored.payload))
    if isinstance(told, Returned):
        await handle_return(runtime, stripe, stored, told)
        return
    if isinstance(told, WalletNews):
        await wallets.handle(runtime, stripe, stored, told)
        return
    cause = runtime.system_cause()
    if isinstance(told, Told):
        merchant_id = told.reference.merchant_id
        known = await payments.attempt(runtime.db, merchant_id, told.reference.payment_id)
        told = await _with_card(told, known, stripe, stored.tries)
        correlation_id = known.correlation_id if known else cause.correlation_id
        cause = replace(cause, merchant_id=merchant_id, message_id=stored.id, correlation_id=correlation_id)
    async with runtime.db.transaction(cause) as tx:
        if not await stripe_events.lock_waiting(tx, stored.id):
            return
        outcome = told if isinstance(told, str) else await _apply(tx, told, runtime.settings.secret_key)
        if isinstance(outcome, WrongAmount):
            reason = f"WrongAmount: asked {outcome.asked}, took {outcome.took}"
            log.error("Money with the wrong amount.", extra={"event": stored.id, "reason": reason})
            await stripe_events.mark_stuck(tx, stored.id, reason)
        else:
            await stripe_events.mark_done(tx, stored.id, outcome)


async def _with_card(told: Told, known: Attempt | None, stripe: StripeGateway, tries: int) -> Told:
    """The event that brings the money seldom names the card: ask, unless the charge's own event already has."""
    if not isinstance(told.news, Succeeded) or told.card or told.intent_id is None or known is None:
        return told
    if known.account != told.account:
        return told  # foreign, see `_apply`: another account's object is none of our business
    if known.payment.last4 or known.payment.status == "succeeded" or tries > _TRIES_FOR_CARD:
        return told
    return replace(told, card=(await stripe.intent(told.intent_id, told.account)).card)


async def _apply(tx: Tx, told: Told, secret_key: str) -> str | WrongAmount:
    """One event's effect, under the invoice's lock. Returns what it was, for the record."""
    reference = told.reference
    invoice = await invoices.lock_invoice(tx, reference.merchant_id, reference.invoice_id)
    attempt = await payments.attempt(tx, reference.merchant_id, reference.payment_id)
    if invoice is None or attempt is None:
        if told.account != await account_of(tx, reference.merchant_id):
            # A connected merchant can type anybody's id into their metadata: what nobody made will never be known.
            return "foreign: not this merchant's account"
        raise NotKnownYetError(f"payment {reference.payment_id}")
    if attempt.payment.invoice_id != invoice.id or attempt.account != told.account:
        # A connected merchant can type anybody's invoice id into their metadata.
        return "foreign: not this attempt's account or invoice"
    attempt = _with_ids(attempt, told)
    match told.news:
        case Succeeded(took):
            return await settling.collect(tx, invoice, attempt, took, told.intent_id)
        case CardSeen():
            return await _note_card(tx, invoice, attempt, told)
        case OnItsWay() | Ended() | Declined() if attempt.payment.status not in UNENDED:
            return f"ignored: the attempt has already {attempt.payment.status}"
        case OnItsWay():
            return await _put_under_way(tx, invoice, attempt)
        case Ended(refusal):
            return await _end(tx, invoice, attempt, told, refusal)
        case Declined(refusal) if attempt.payment.automatic:
            await collecting.charge_failed(tx, invoice, attempt, _decline(refusal, told.at), secret_key)
            return "charge failed"
        case Declined(refusal):
            return await _note_decline(tx, invoice, attempt, _decline(refusal, told.at))
        case _:
            assert_never(told.news)


def _with_ids(attempt: Attempt, told: Told) -> Attempt:
    """The attempt with what this event adds to it: Stripe's ids, and the card unless one is known."""
    payment, stripe_method = attempt.payment, attempt.stripe_method
    if told.card is not None and (payment.status != "succeeded"):
        payment = payment.model_copy(update={"method": told.card.method, "last4": told.card.last4})
        stripe_method = told.card.stripe_id
    session_id = attempt.session_id or told.session_id
    return replace(attempt, payment=payment, stripe_method=stripe_method, session_id=session_id)


async def _note_card(tx: Tx, invoice: Invoice, attempt: Attempt, told: Told) -> str:
    if attempt.payment.status != "succeeded":
        await payments.note_card(tx, attempt)
        return "card noted"
    if attempt.stripe_method is not None or told.card is None or told.card.stripe_id is None:
        return "ignored: the attempt has already succeeded"
    # Booked while Stripe could not be asked for the card. What is charged for the subscription from then on is still open.
    await payments.note_card(tx, replace(attempt, stripe_method=told.card.stripe_id))
    await agreements.paid_with(tx, invoice, Given(told.card.stripe_id, attempt.account))
    return "card noted after the money"


async def _put_under_way(tx: Tx, invoice: Invoice, attempt: Attempt) -> str:
    if attempt.payment.status == "processing":
        return "ignored: already processing"
    await books.payment_processing(tx, invoice, attempt)
    return "processing"


async def _end(tx: Tx, invoice: Invoice, attempt: Attempt, told: Told, refusal: Refusal | None) -> str:
    if attempt.session_id != told.session_id:
        return "ignored: not the attempt's session"
    await books.payment_ended(tx, invoice, attempt, _decline(refusal, told.at) if refusal else None)
    return "ended"


async def _note_decline(tx: Tx, invoice: Invoice, attempt: Attempt, decline: Decline) -> str:
    noted = attempt.payment.decline
    if noted is not None and noted.at >= decline.at and noted != decline:
        return "ignored: a later decline is noted"
    await books.payment_declined(tx, invoice, attempt, decline)
    return "decline noted"


def _decline(refusal: Refusal, at: datetime) -> Decline:
    return Decline(code=refusal.code, message=refusal.message, at=at)
