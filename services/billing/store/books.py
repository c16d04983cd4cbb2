"""The doors through which invoices and payments change: each saves the rows and announces them, in one transaction.

The caller holds the invoice's lock and has decided; nothing is decided here.
"""

from dataclasses import replace
from typing import Any

from chassis.database import Tx
from contracts.billing import (
    BeingPaid,
    Collection,
    Decline,
    EntryKind,
    Invoice,
    InvoiceChargeFailed,
    InvoiceGivenUp,
    InvoiceOpened,
    InvoicePaid,
    InvoicePartPaid,
    InvoicePaymentDeclined,
    InvoicePaymentEnded,
    InvoicePaymentProcessing,
    InvoicePaymentStarted,
    InvoiceReplaced,
    InvoiceVoided,
    Party,
    PayLink,
    PaymentChanged,
    PaymentFailed,
    PaymentStarted,
    PaymentSucceeded,
    Receipt,
)
from contracts.message import Event, InvoiceId, PaymentId
from services.billing.domain.settlement import AlreadyPaid, PartPaid, Settled
from services.billing.store import agreements, invoices, payments
from services.billing.store.agreements import Given
from services.billing.store.payments import Attempt
from services.billing.store.statements import Entry, book

CLOSE_CHANNEL = "close_checkout"
"""What is notified when a checkout is to be expired at Stripe."""


async def tell_invoice(tx: Tx, event: type[Event[Invoice]], invoice: Invoice, **changes: Any) -> Invoice:
    """Save an invoice with `changes` and announce it as `event`."""
    changed = invoice.model_copy(update=changes)
    tx.announce(event(state=changed), sequence=await invoices.save_invoice(tx, changed))
    return changed


async def _tell_payment(
    tx: Tx, event: type[PaymentChanged | PaymentFailed], attempt: Attempt, **changes: Any
) -> Attempt:
    changed = replace(attempt, payment=attempt.payment.model_copy(update=changes))
    tx.announce(event(state=changed.payment), sequence=await payments.save_attempt(tx, changed))
    return changed


async def invoice_opened(tx: Tx, invoice: Invoice, seller: Party, buyer: Party, link: PayLink) -> Invoice:
    """A draft gets its number, its parties and its link."""
    frozen = invoice.model_copy(update={"seller": seller, "buyer": buyer, "link": link, "opened_at": tx.now})
    number = await invoices.next_number(tx, invoice.merchant_id, "invoice")
    opened = await tell_invoice(tx, InvoiceOpened, frozen, status="open", number=f"INV-{number}")
    await book(tx, opened, Entry("invoice", opened.total, opened.number))
    return opened


async def invoice_closed(
    tx: Tx, invoice: Invoice, event: type[InvoiceVoided | InvoiceGivenUp], reason: str | None = None
) -> Invoice:
    """A member withdrew it, or gave it up. `reason` is for the subscription that it was to begin."""
    status = "void" if event is InvoiceVoided else "uncollectible"
    await agreements.invoice_withdrawn(tx, invoice, reason)
    kind: EntryKind = "withdrawn" if status == "void" else "written_off"
    if invoice.status != "uncollectible":
        # What was given up before is not owed any more: withdrawn, too, it would be taken off the account twice.
        await book(tx, invoice, Entry(kind, invoice.amount_paid - invoice.total, invoice.number))
    return await tell_invoice(tx, event, invoice, status=status, closed_at=tx.now)


async def invoice_replaced(tx: Tx, invoice: Invoice, by: InvoiceId) -> Invoice:
    """A member withdrew it in favour of another, to which its link leads from now on."""
    assert invoice.link is not None, "Only an open invoice is replaced."
    link = invoice.link.model_copy(update={"replaced_by": by})
    await book(tx, invoice, Entry("withdrawn", invoice.amount_paid - invoice.total, invoice.number))
    return await tell_invoice(tx, InvoiceReplaced, invoice, status="void", closed_at=tx.now, link=link)


async def payment_started(tx: Tx, attempt: Attempt) -> None:
    """An attempt is saved, before Stripe is asked."""
    await payments.insert_attempt(tx, attempt)
    tx.announce(PaymentStarted(state=attempt.payment), sequence=await payments.save_attempt(tx, attempt))


async def checkout_opened(
    tx: Tx, invoice: Invoice, attempt: Attempt, session_id: str, session_url: str | None
) -> Invoice:
    """Stripe has a checkout for the attempt: from now on others see that the invoice is being paid."""
    await payments.bind_checkout(tx, PaymentId(attempt.payment.id), session_id, session_url)
    if attempt.payment.status != "created":
        bound = replace(attempt, session_id=session_id, session_url=session_url)
        await _tell_payment(tx, PaymentChanged, bound, status="created")
    being_paid = BeingPaid(
        payment_id=PaymentId(attempt.payment.id), since=attempt.payment.created_at, by=attempt.payer_name
    )
    return await tell_invoice(tx, InvoicePaymentStarted, invoice, being_paid=being_paid)


async def outcome_unknown(tx: Tx, attempt: Attempt) -> None:
    """Stripe did not say whether it opened a checkout. Reconciliation, or the next press, asks."""
    if attempt.payment.status == "created":
        await _tell_payment(tx, PaymentChanged, attempt, status="unknown")


async def payment_ended(tx: Tx, invoice: Invoice, attempt: Attempt, decline: Decline | None = None) -> Invoice:
    """The attempt brought no money and will not."""
    decline = decline or attempt.payment.decline
    ended = replace(attempt, close_requested=False)
    await _tell_payment(tx, PaymentFailed, ended, status="failed", decline=decline)
    released = _released(invoice, attempt)
    return invoice if released is invoice else await tell_invoice(tx, InvoicePaymentEnded, released)


async def payment_processing(tx: Tx, invoice: Invoice, attempt: Attempt) -> Invoice:
    """The customer is done, the money is on its way (a bank debit, say): for that long nobody may pay it again."""
    released = _released(invoice, attempt)
    await _tell_payment(tx, PaymentChanged, attempt, status="processing")
    processing = released.amount_processing + attempt.payment.amount
    return await tell_invoice(tx, InvoicePaymentProcessing, released, amount_processing=processing)


async def payment_declined(tx: Tx, invoice: Invoice, attempt: Attempt, decline: Decline) -> Invoice:
    """A note: the same checkout may still succeed."""
    await _tell_payment(tx, PaymentChanged, attempt, decline=decline)
    return await tell_invoice(tx, InvoicePaymentDeclined, invoice, last_decline=decline)


async def charge_failed(
    tx: Tx, invoice: Invoice, attempt: Attempt | None, decline: Decline, collection: Collection
) -> Invoice:
    """An automatic charge brought no money; without an `attempt` it was not even tried."""
    if attempt is not None:
        invoice = _released(invoice, attempt)
        await _tell_payment(tx, PaymentFailed, attempt, status="failed", decline=decline)
    return await tell_invoice(tx, InvoiceChargeFailed, invoice, collection=collection, last_decline=decline)


async def charge_ended(
    tx: Tx, invoice: Invoice, attempt: Attempt, decline: Decline, collection: Collection | None
) -> Invoice:
    """An automatic charge has ended of which the customer is told nothing: it never reached the bank, or they are archived."""
    await _tell_payment(tx, PaymentFailed, attempt, status="failed", decline=decline)
    return await tell_invoice(tx, InvoicePaymentEnded, _released(invoice, attempt), collection=collection)


async def payment_succeeded(
    tx: Tx, invoice: Invoice, attempt: Attempt, outcome: Settled | PartPaid | AlreadyPaid
) -> Invoice:
    """Money is here. What did not fit on the invoice is announced as surplus; other ways to pay it are closed."""
    after = _released(invoice, attempt)
    payment = attempt.payment.model_copy(update={"status": "succeeded", "settled_at": tx.now, "decline": None})
    if isinstance(outcome, AlreadyPaid):
        payment = payment.model_copy(update={"surplus": True})
        if after is not invoice:
            after = await tell_invoice(tx, InvoicePaymentEnded, after)
    else:
        await _close_others(tx, invoice, attempt)
        given = Given(attempt.stripe_method, attempt.account)
        period = await agreements.invoice_paid(tx, invoice, given) if isinstance(outcome, Settled) else None
        # The last lock: everybody else's next receipt waits until this has committed.
        number = f"REC-{await invoices.next_number(tx, invoice.merchant_id, 'receipt')}"
        surplus = isinstance(outcome, Settled) and outcome.surplus > 0
        payment = payment.model_copy(update={"receipt_number": number, "surplus": surplus})
        receipt = Receipt(
            payment_id=payment.id,
            number=number,
            amount=payment.amount,
            paid_at=tx.now,
            method=payment.method,
            last4=payment.last4,
        )
        paid = after.amount_paid + outcome.applied
        changes: dict[str, Any] = {
            "amount_paid": paid,
            "amount_due": after.total - paid,
            "being_paid": None,
            "last_decline": None,
            "collection": Collection() if after.collection else None,
            "receipts": (*after.receipts, receipt),
        }
        if isinstance(outcome, Settled):
            changes |= {"status": "paid", "paid_at": outcome.paid_at, "closed_at": None}
            changes["period"] = period or invoice.period
        event = InvoicePaid if isinstance(outcome, Settled) else InvoicePartPaid
        after = await tell_invoice(tx, event, after, **changes)
    entries = [Entry("payment", -payment.amount, payment.receipt_number)]
    if invoice.status == "uncollectible" and not isinstance(outcome, AlreadyPaid):
        # As far as it is paid after all, it was not given up.
        entries.insert(0, Entry("recovered", outcome.applied, invoice.number))
    await book(tx, invoice, *entries)
    saved = replace(attempt, payment=payment, close_requested=False)
    sequence = await payments.save_attempt(tx, saved)
    tx.announce(PaymentSucceeded(state=payment, invoice=after), sequence=sequence)
    return after


async def _close_others(tx: Tx, invoice: Invoice, attempt: Attempt) -> None:
    other = await payments.open_attempt(tx, invoice.merchant_id, InvoiceId(invoice.id))
    if other is not None and other.payment.id != attempt.payment.id:
        await close_checkout(tx, other)


async def close_checkout(tx: Tx, attempt: Attempt) -> None:
    """Have the closing worker expire an attempt's checkout at Stripe once this has committed."""
    await payments.request_close(tx, PaymentId(attempt.payment.id))
    tx.notify(CLOSE_CHANNEL)


def _released(invoice: Invoice, attempt: Attempt) -> Invoice:
    """The invoice without what this attempt held: the open checkout, or the amount under way."""
    changes: dict[str, Any] = {}
    if invoice.being_paid is not None and invoice.being_paid.payment_id == attempt.payment.id:
        changes["being_paid"] = None
    if attempt.payment.status == "processing":
        changes["amount_processing"] = invoice.amount_processing - attempt.payment.amount
    return invoice.model_copy(update=changes) if changes else invoice
