"""Refunds of which Stripe has not said what became of them: asked with their own key for a day, then only looked for."""

from datetime import timedelta
from uuid import UUID

from chassis.service import Runtime
from contracts.message import Money, PaymentId, RefundId
from services.billing.schedules.attempts import tell
from services.billing.schedules.one_of_many import one_of_many
from services.billing.store import invoices, payments, refunds, returning
from services.billing.store.refunds import Giving
from services.billing.store.returning import Case
from services.billing.stripe_gateway import (
    Reference,
    StripeGateway,
    StripeRefusedError,
    found_event,
    refund_request,
)

_LET_BE = timedelta(seconds=30)
"""A younger refund is still in the hands of its command."""
_PAGE = 100


async def ask_about_refunds(runtime: Runtime, stripe: StripeGateway) -> None:
    """Ask about every refund that is saved and not known to have reached Stripe."""
    after: UUID | None = None
    while True:
        page = await refunds.unsent_refunds(runtime.db, runtime.clock.now() - _LET_BE, after, _PAGE)
        for giving in page.found:
            with one_of_many("refund", merchant=str(giving.refund.merchant_id), refund=str(giving.refund.id)):
                await _ask_about(runtime, stripe, giving)
        if page.after is None:
            return
        after = page.after


async def _ask_about(runtime: Runtime, stripe: StripeGateway, giving: Giving) -> None:
    refund = giving.refund
    attempt = await payments.attempt(runtime.db, refund.merchant_id, refund.payment_id)
    assert attempt is not None, "Attempts are never deleted."
    reference = Reference(refund.merchant_id, refund.invoice_id, refund.payment_id)
    refund_id, money = RefundId(refund.id), Money(refund.amount, refund.currency)
    request = refund_request(reference, refund_id, str(attempt.intent_id), money)
    age = runtime.clock.now() - refund.created_at
    try:
        seen = await stripe.give_back(request, giving.key, refund_id, age, giving.account)
    except StripeRefusedError as refused:
        await _give_up(runtime, giving, f"{refused.message} ({refused.code})")
        return
    if seen is None:
        await _give_up(runtime, giving, "Stripe did not make it.")
    else:
        kind = "refund.failed" if seen.status == "failed" else "refund.updated"
        await tell(runtime, found_event(kind, seen.raw, giving.account, runtime.clock.now()))


async def _give_up(runtime: Runtime, giving: Giving, why: str) -> None:
    """No money has moved, and none will."""
    refund = giving.refund
    async with runtime.db.transaction(runtime.system_cause(refund.merchant_id)) as tx:
        invoice = await invoices.lock_invoice(tx, refund.merchant_id, refund.invoice_id)
        attempt = await payments.attempt(tx, refund.merchant_id, PaymentId(refund.payment_id))
        now = await refunds.refund(tx, refund.merchant_id, RefundId(refund.id))
        assert invoice is not None, "Invoices are never deleted."
        assert attempt is not None, "Attempts are never deleted."
        if now is not None and now.refund.status in ("created", "unknown"):
            await returning.refund_moved(tx, Case(invoice, attempt), now, "failed", None, why[:500])
