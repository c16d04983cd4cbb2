"""RefundInvoice: give money of an invoice back.

Transaction 1 locks the invoice, decides and saves the refund with its own idempotency key; Stripe is asked outside any
transaction; transaction 2 stores what it said, with the reply. What Stripe did not say is asked about by reconciliation,
with the same key and never after the day for which Stripe knows it.
"""

from dataclasses import dataclass
from functools import partial

from chassis.database import Tx
from chassis.ids import new_id
from chassis.requests import Commands, Work, steps
from contracts.billing import NothingToRefund, Refund, RefundInvoice, RefundRefused
from contracts.message import InvalidInput, InvoiceId, Money, NotFound, PaymentId, RefundId
from services.billing.domain.refunds import refund_problems, refundable
from services.billing.domain.returns import credited_part
from services.billing.handlers.access import lock_of_member, require_role
from services.billing.store import payments, refunds, returning
from services.billing.store.payments import Attempt
from services.billing.store.refunds import Giving
from services.billing.store.returning import Case
from services.billing.stripe_gateway import (
    Reference,
    RefundSeen,
    StripeGateway,
    StripeRefusedError,
    StripeUnavailableError,
    StripeUnknownError,
    refund_request,
)

_REFUNDERS = ("admin", "manager")


@dataclass(frozen=True)
class _Unsaid:
    """Stripe did not say what became of it (`doubtful`), or was not there to be asked."""

    doubtful: bool


async def refund_invoice(work: Work, command: RefundInvoice, *, stripe: StripeGateway) -> Refund:
    """Give money back, at most what is left of the payment."""
    async with work.transaction() as tx:
        giving, attempt = await _begin(tx, command)
        asked_before = giving.refund.status not in ("created", "unknown")
        if asked_before:
            _reply(tx, giving)
    if not asked_before:
        said = await _ask(stripe, giving, attempt)
        async with work.transaction() as tx:
            giving = await _store(tx, giving, said)
            _reply(tx, giving)
    if _was_refused(giving):
        raise RefundRefused(giving.refund.failure or "")
    return giving.refund


def _was_refused(giving: Giving) -> bool:
    """Stripe never took it: no money has moved."""
    return giving.refund.status == "failed" and giving.stripe_id is None


def _reply(tx: Tx, giving: Giving) -> None:
    if not _was_refused(giving):
        tx.reply(giving.refund)


async def _begin(tx: Tx, command: RefundInvoice) -> tuple[Giving, Attempt]:
    """The refund that this command began when it ran before, or a new one."""
    require_role(tx.cause.actor, *_REFUNDERS)
    invoice = await lock_of_member(tx, command.invoice_id)
    begun = await refunds.refund_of_command(tx, command.invoice_id, tx.cause.message_id)
    attempt = await _chosen(tx, command, begun.refund.payment_id if begun else command.payment_id)
    if begun is not None:
        return begun, attempt
    payment = attempt.payment
    left = refundable(payment.amount, payment.amount_refunded, payment.amount_disputed)
    if left == 0 or attempt.intent_id is None:
        raise NothingToRefund("All of this payment's money is already given back, or disputed.")
    amount = left if command.amount is None else command.amount
    errors = refund_problems(
        amount,
        payment.currency,
        paid=payment.amount,
        refunded=payment.amount_refunded,
        disputed=payment.amount_disputed,
    )
    if errors:
        raise InvalidInput(errors[0].message, errors=tuple(errors))
    case = Case(invoice, attempt)
    giving = Giving(
        Refund(
            id=new_id(),
            **payment.model_dump(include={"merchant_id", "customer_id", "invoice_id", "currency"}),
            payment_id=payment.id,
            status="created",
            amount=amount,
            credited=credited_part(amount, await returning.surplus_left(tx, case)),
            reason=command.reason,
            by=tx.cause.actor.name,
            created_at=tx.now,
        ),
        account=attempt.account,
        correlation_id=tx.cause.correlation_id,
        command_id=tx.cause.message_id,
    )
    await returning.refund_started(tx, case, giving)
    return giving, attempt


async def _chosen(tx: Tx, command: RefundInvoice, payment_id: PaymentId | None) -> Attempt:
    """The payment that is meant, else the latest one of which something is left."""
    if payment_id is not None:
        attempt = await payments.attempt(tx, tx.merchant, payment_id)
        if attempt is None or attempt.payment.invoice_id != command.invoice_id:
            raise NotFound
        if attempt.payment.status != "succeeded":
            raise NothingToRefund("This payment has brought no money.")
        return attempt
    for attempt in await payments.succeeded(tx, tx.merchant, command.invoice_id):
        payment = attempt.payment
        if refundable(payment.amount, payment.amount_refunded, payment.amount_disputed):
            return attempt
    raise NothingToRefund("No money of this invoice is left to give back.")


async def _ask(stripe: StripeGateway, giving: Giving, attempt: Attempt) -> RefundSeen | StripeRefusedError | _Unsaid:
    refund = giving.refund
    reference = Reference(refund.merchant_id, refund.invoice_id, refund.payment_id)
    refund_id, intent_id = RefundId(refund.id), str(attempt.intent_id)
    request = refund_request(reference, refund_id, intent_id, Money(refund.amount, refund.currency))
    try:
        return await stripe.create_refund(request, giving.key, giving.account)
    except StripeRefusedError as refused:
        return refused
    except StripeUnavailableError:
        return _Unsaid(doubtful=False)
    except StripeUnknownError:
        return _Unsaid(doubtful=True)


async def _store(tx: Tx, giving: Giving, said: RefundSeen | StripeRefusedError | _Unsaid) -> Giving:
    """Transaction 2. A webhook may have been faster: then it has said all there is."""
    invoice = await lock_of_member(tx, InvoiceId(giving.refund.invoice_id))
    now = await refunds.refund(tx, tx.merchant, RefundId(giving.refund.id))
    attempt = await payments.attempt(tx, tx.merchant, giving.refund.payment_id)
    assert now is not None, "Refunds are never deleted."
    assert attempt is not None, "Attempts are never deleted."
    if now.refund.status not in ("created", "unknown"):
        return now
    case = Case(invoice, attempt)
    match said:
        case RefundSeen(id=stripe_id, status=status, failure=failure):
            return await returning.refund_moved(tx, case, now, status, stripe_id, failure)
        case StripeRefusedError(code=code, message=message):
            return await returning.refund_moved(tx, case, now, "failed", None, f"{message} ({code})"[:500])
        case _Unsaid(doubtful=True):
            return await returning.refund_unknown(tx, now)
        case _:
            return now


def commands(stripe: StripeGateway) -> Commands:
    """Which function answers which command."""
    return {RefundInvoice: steps(partial(refund_invoice, stripe=stripe))}
