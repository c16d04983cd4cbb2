"""Attempts to pay without an end: ask Stripe about them, expire checkouts that nobody may pay any more."""

import logging
from datetime import timedelta
from uuid import UUID

from chassis.database import Tx
from chassis.service import Runtime
from contracts.billing import Invoice
from contracts.message import PaymentId
from services.billing.schedules import charging
from services.billing.schedules.one_of_many import one_of_many
from services.billing.store import books, invoices, payments, stripe_events
from services.billing.store.accounts import account_of
from services.billing.store.payments import Attempt
from services.billing.store.stripe_events import NewEvent
from services.billing.stripe_gateway import (
    Checkout,
    Event,
    StripeClosedError,
    StripeGateway,
    StripeUnavailableError,
    found_event,
    payload_of,
)

log = logging.getLogger("portal.billing.schedules")

_LET_BE = timedelta(seconds=30)
"""A younger attempt is still in the hands of its command."""
_GIVE_UP_LOOKING = timedelta(minutes=10)
"""A session that Stripe does not list so long after it was asked for was never made."""
_PAGE_LASTS = timedelta(hours=25)
"""Stripe closes a checkout's page a day after it was made."""
_PAGE = 100


async def ask_about_attempts(runtime: Runtime, stripe: StripeGateway) -> None:
    """Ask Stripe about each attempt without an end. What it says is stored as an event (see `webhooks`)."""
    after: UUID | None = None
    while True:
        page = await payments.not_ended(runtime.db, runtime.clock.now() - _LET_BE, after, _PAGE)
        for attempt in page.found:
            with one_of_many("attempt", **_whose(attempt)):
                await _ask_about(runtime, stripe, attempt)
        if page.after is None:
            return
        after = page.after


def _whose(attempt: Attempt) -> dict[str, str]:
    return {"merchant": str(attempt.payment.merchant_id), "payment": str(attempt.payment.id)}


async def _ask_about(runtime: Runtime, stripe: StripeGateway, attempt: Attempt) -> None:
    if attempt.payment.automatic:
        if attempt.payment.status != "created":
            await charging.ask_and_record(runtime, stripe, attempt)
        return
    age = runtime.clock.now() - attempt.payment.created_at
    try:
        if attempt.session_id is not None:
            checkout: Checkout | None = await stripe.checkout(attempt.session_id, attempt.account)
        else:
            checkout = await stripe.find_checkout(PaymentId(attempt.payment.id), age, attempt.account)
    except StripeClosedError:
        if age < _PAGE_LASTS or await account_of(runtime.db, attempt.payment.merchant_id) == attempt.account:
            raise
        await _end_untold(runtime, attempt)
        return
    if checkout is None:
        if age > _GIVE_UP_LOOKING:
            await _settle_quietly(runtime, attempt, None)
    elif checkout.status == "open":
        await _settle_quietly(runtime, attempt, checkout)
    elif checkout.status == "expired":
        await _tell(runtime, "expired", checkout, attempt.account)
    elif checkout.paid:
        await _tell(runtime, "completed", checkout, attempt.account)
    else:
        await _ask_about_debit(runtime, stripe, attempt, checkout)


async def _end_untold(runtime: Runtime, attempt: Attempt) -> None:
    """End an attempt at an account that is closed to us and was left: its page is over, and nobody will ever say so.

    Else it would keep everybody from paying, and the merchant from withdrawing the invoice. What was paid there after all is
    booked when it is told.
    """
    async with runtime.db.transaction(runtime.system_cause(attempt.payment.merchant_id)) as tx:
        invoice, now = await _locked(tx, attempt)
        if now.payment.status in ("created", "unknown", "requires_action"):
            await books.payment_ended(tx, invoice, now)


async def _ask_about_debit(runtime: Runtime, stripe: StripeGateway, attempt: Attempt, checkout: Checkout) -> None:
    """A completed checkout without its money: it is on its way, or was refused days later."""
    intent = await stripe.intent(checkout.intent_id, attempt.account) if checkout.intent_id else None
    if intent is not None and intent.status in ("requires_payment_method", "canceled"):
        await _tell(runtime, "async_payment_failed", checkout, attempt.account)
    elif attempt.payment.status != "processing":
        await _tell(runtime, "completed", checkout, attempt.account)


async def _settle_quietly(runtime: Runtime, attempt: Attempt, checkout: Checkout | None) -> None:
    """Store the open session whose answer was lost, or end an attempt that never had one."""
    async with runtime.db.transaction(runtime.system_cause(attempt.payment.merchant_id)) as tx:
        invoice, now = await _locked(tx, attempt)
        if now.session_id is not None or now.payment.status not in ("created", "unknown"):
            return
        if checkout is None:
            await books.payment_ended(tx, invoice, now)
        else:
            await books.checkout_opened(tx, invoice, now, checkout.id, checkout.url)


async def tell(runtime: Runtime, event: Event) -> None:
    """Store what was found at Stripe as the event that should have told us: there is one way into the books."""
    now = runtime.clock.now()
    log.info("Found at Stripe what no webhook has told.", extra={"event": event.id})
    await stripe_events.store(runtime.db, [NewEvent(event.id, event.type, event.account, payload_of(event), now)])


async def _tell(runtime: Runtime, kind: str, checkout: Checkout, account: str | None) -> None:
    await tell(runtime, found_event(f"checkout.session.{kind}", checkout.raw, account, runtime.clock.now()))


async def close_checkouts(runtime: Runtime, *, stripe: StripeGateway) -> None:
    """A worker: expire, at Stripe, open checkouts of invoices that are settled by other money."""
    while True:
        await runtime.wait(books.CLOSE_CHANNEL, timeout=30)
        try:
            await close_requested(runtime, stripe)
        except StripeUnavailableError as away:
            log.warning("Checkouts cannot be closed now.", extra={"reason": str(away)})


async def close_requested(runtime: Runtime, stripe: StripeGateway) -> None:
    """Try once to close each checkout that is to be closed."""
    after: UUID | None = None
    while True:
        page = await payments.to_close(runtime.db, after, _PAGE)
        for attempt in page.found:
            with one_of_many("checkout", **_whose(attempt)):
                await close_one(runtime, stripe, attempt)
        if page.after is None:
            return
        after = page.after


async def close_one(runtime: Runtime, stripe: StripeGateway, attempt: Attempt) -> None:
    """Expire one attempt's checkout and end it. A checkout that is complete by now is left to its webhook."""
    age = runtime.clock.now() - attempt.payment.created_at
    if attempt.session_id is None:
        checkout = await stripe.find_checkout(PaymentId(attempt.payment.id), age, attempt.account)
        if checkout is None and age < _GIVE_UP_LOOKING:
            return
    else:
        checkout = await stripe.checkout(attempt.session_id, attempt.account)
    if checkout is not None and checkout.status == "open":
        checkout = await stripe.expire_checkout(checkout.id, attempt.account)
    if checkout is not None and checkout.status == "complete":
        await _tell(runtime, "completed", checkout, attempt.account)
    async with runtime.db.transaction(runtime.system_cause(attempt.payment.merchant_id)) as tx:
        invoice, now = await _locked(tx, attempt)
        complete = checkout is not None and checkout.status == "complete"
        if complete or now.payment.status not in ("created", "unknown", "requires_action"):
            await payments.request_close(tx, PaymentId(now.payment.id), wanted=False)
        else:
            await books.payment_ended(tx, invoice, now)


async def _locked(tx: Tx, attempt: Attempt) -> tuple[Invoice, Attempt]:
    merchant_id, payment_id = attempt.payment.merchant_id, PaymentId(attempt.payment.id)
    invoice = await invoices.lock_invoice(tx, merchant_id, attempt.payment.invoice_id)
    now = await payments.attempt(tx, merchant_id, payment_id)
    assert invoice is not None, "Invoices are never deleted."
    assert now is not None, "Attempts are never deleted."
    return invoice, now
