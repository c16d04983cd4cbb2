"""The doors through which refunds and disputes change the books: refund, payment and invoice, in one transaction.

The caller holds the invoice's lock and has decided; nothing is decided here.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

from chassis.database import Database, Tx
from chassis.republish import CurrentRow
from contracts.billing import (
    CreditNote,
    Dispute,
    DisputeChanged,
    DisputeLost,
    DisputeOpened,
    DisputeWon,
    EntryKind,
    Invoice,
    InvoiceDisputed,
    InvoiceRefunded,
    PaymentChanged,
    Reconciliation,
    Refund,
    RefundChanged,
    RefundFailed,
    RefundStarted,
    RefundSucceeded,
    TaxLine,
)
from contracts.message import InvoiceId, PaymentId
from services.billing.domain.lines import RateTotal, Totals
from services.billing.domain.refunds import credit_note
from services.billing.domain.returns import RefundStatus, surplus_of
from services.billing.store import disputes, invoices, payments, reconciliations, refunds
from services.billing.store.books import tell_invoice
from services.billing.store.payments import Attempt
from services.billing.store.refunds import Giving
from services.billing.store.statements import Entry, book

NOUNS: dict[type[Any], Callable[[Database], AsyncIterator[CurrentRow]]] = {
    Refund: refunds.every_refund,
    Dispute: disputes.every_dispute,
    Reconciliation: reconciliations.every_reconciliation,
}
"""Where each of these nouns' present rows come from, for Republish."""


@dataclass(frozen=True)
class Case:
    """What a refund or a dispute is about: the invoice, locked, and the payment."""

    invoice: Invoice
    attempt: Attempt


async def surplus_left(tx: Tx, case: Case) -> int:
    """How much of a payment came on top of what was due, and is not given back yet, in minor units."""
    payment, receipts = case.attempt.payment, case.invoice.receipts
    surplus = surplus_of(
        payment.amount,
        applied=payment.receipt_number is not None,
        last=bool(receipts) and receipts[-1].payment_id == payment.id,
        received=sum(each.amount for each in receipts),
        counted=case.invoice.amount_paid,
    )
    earlier = await refunds.refunds_of_payment(tx, PaymentId(payment.id))
    return surplus - sum(each.amount - each.credited for each in earlier)


async def refund_started(tx: Tx, case: Case, giving: Giving) -> Case:
    """A refund is saved, before Stripe is asked: from now on nobody else can give this money back."""
    await refunds.insert_refund(tx, giving)
    tx.announce(RefundStarted(state=giving.refund), sequence=await refunds.save_refund(tx, giving))
    return await _move(tx, case, giving, sign=1)


async def refund_unknown(tx: Tx, giving: Giving) -> Giving:
    """Stripe did not say whether it took it. Reconciliation asks."""
    if giving.refund.status == "unknown":
        return giving
    doubtful = replace(giving, refund=giving.refund.model_copy(update={"status": "unknown"}))
    tx.announce(RefundChanged(state=doubtful.refund), sequence=await refunds.save_refund(tx, doubtful))
    return doubtful


async def refund_moved(
    tx: Tx, case: Case, giving: Giving, status: RefundStatus, stripe_id: str | None, failure: str | None = None
) -> Giving:
    """Stripe has said what became of a refund. Its credit note is issued when Stripe takes it, and taken back when it fails.

    What was issued stays in the customer's account on its day; the failure is booked on its own.
    """
    changes: dict[str, Any] = {"status": status}
    if status in ("succeeded", "failed"):
        changes["settled_at"] = tx.now
    if status == "failed":
        changes["failure"] = failure or "It failed."
    elif giving.refund.issued_at is None:
        changes["issued_at"] = tx.now
        if giving.refund.credited:
            changes |= await _issue(tx, case.invoice, giving)
    moved = replace(giving, refund=giving.refund.model_copy(update=changes), stripe_id=stripe_id or giving.stripe_id)
    if status == "failed":
        case = await _move(tx, case, moved, sign=-1)
        if giving.refund.issued_at is not None:
            await _book(tx, case.invoice, moved.refund, "refund_failed", "credit_note_reversed", sign=-1)
    elif "credit_note_number" in changes:
        case = replace(case, invoice=await _list_note(tx, case.invoice, moved))
    if "issued_at" in changes:
        await _book(tx, case.invoice, moved.refund, "refund", "credit_note", sign=1)
    sequence = await refunds.save_refund(tx, moved)
    match status:
        case "succeeded":
            tx.announce(RefundSucceeded(state=moved.refund, invoice=case.invoice), sequence=sequence)
        case "failed":
            tx.announce(RefundFailed(state=moved.refund, invoice=case.invoice), sequence=sequence)
        case _:
            tx.announce(RefundChanged(state=moved.refund), sequence=sequence)
    return moved


async def _book(tx: Tx, invoice: Invoice, refund: Refund, money: EntryKind, note: EntryKind, *, sign: int) -> None:
    """Enter the money, and what its credit note takes off the charges: both together change nothing, surplus aside."""
    entries = [Entry(money, sign * refund.amount, refund.credit_note_number)]
    if refund.credited:
        entries.insert(0 if sign > 0 else 1, Entry(note, -sign * refund.credited, refund.credit_note_number))
    await book(tx, invoice, *entries)


async def _issue(tx: Tx, invoice: Invoice, giving: Giving) -> dict[str, Any]:
    """The credit note's number and its taxes: what is left of the invoice's after the notes that stand."""
    earlier = [
        tuple(RateTotal(each.rate, each.base, each.amount) for each in note.tax_lines)
        for note in await refunds.standing_notes(tx, InvoiceId(invoice.id))
    ]
    rates = tuple(RateTotal(each.rate, each.base, each.amount) for each in invoice.tax_lines)
    parts = credit_note(
        Totals((), invoice.subtotal, rates, invoice.tax, invoice.total), giving.refund.credited, earlier
    )
    return {
        "credit_note_number": f"CN-{await invoices.next_number(tx, invoice.merchant_id, 'credit_note')}",
        "tax_lines": tuple(TaxLine(rate=each.rate, base=each.base, amount=each.amount) for each in parts),
    }


async def _list_note(tx: Tx, invoice: Invoice, giving: Giving) -> Invoice:
    refund = giving.refund
    note = CreditNote(
        refund_id=refund.id, number=refund.credit_note_number, amount=refund.credited, issued_at=refund.issued_at
    )
    return await tell_invoice(tx, InvoiceRefunded, invoice, credit_notes=(*invoice.credit_notes, note))


async def _move(tx: Tx, case: Case, giving: Giving, *, sign: int) -> Case:
    """Count a refund on its payment and its invoice, or (`sign` -1) take it off them again."""
    refund = giving.refund
    given = case.attempt.payment.amount_refunded + sign * refund.amount
    changes: dict[str, Any] = {"amount_refunded": given}
    if refund.amount > refund.credited:
        # Of surplus money: it is to be given back no longer, or once more.
        changes["surplus"] = sign < 0 or await surplus_left(tx, case) > 0
    attempt = await _tell_payment(tx, case.attempt, **changes)
    invoice = case.invoice
    if refund.credited:
        notes = tuple(
            each.model_copy(update={"failed": True}) if sign < 0 and each.refund_id == refund.id else each
            for each in invoice.credit_notes
        )
        counted = invoice.amount_refunded + sign * refund.credited
        invoice = await tell_invoice(tx, InvoiceRefunded, invoice, amount_refunded=counted, credit_notes=notes)
    return Case(invoice, attempt)


async def _tell_payment(tx: Tx, attempt: Attempt, **changes: Any) -> Attempt:
    changed = replace(attempt, payment=attempt.payment.model_copy(update=changes))
    tx.announce(PaymentChanged(state=changed.payment), sequence=await payments.save_attempt(tx, changed))
    return changed


async def dispute_moved(tx: Tx, case: Case, dispute: Dispute, before: Dispute | None, difference: int) -> None:
    """A dispute is new, or stands otherwise than `before`; `difference` is what it holds more (or less) than it did."""
    invoice = case.invoice
    if difference:
        await _tell_payment(tx, case.attempt, amount_disputed=case.attempt.payment.amount_disputed + difference)
        disputed = invoice.amount_disputed + difference
        invoice = await tell_invoice(tx, InvoiceDisputed, invoice, amount_disputed=disputed)
        await book(tx, invoice, Entry("dispute_won" if dispute.status == "won" else "dispute", difference, None))
    sequence = await disputes.save_dispute(tx, dispute)
    match dispute.status:
        case "won":
            tx.announce(DisputeWon(state=dispute), sequence=sequence)
        case "lost":
            tx.announce(DisputeLost(state=dispute), sequence=sequence)
        case _ if before is None or (before.inquiry and not dispute.inquiry):
            tx.announce(DisputeOpened(state=dispute, invoice=invoice), sequence=sequence)
        case _:
            tx.announce(DisputeChanged(state=dispute), sequence=sequence)
