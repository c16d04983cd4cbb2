"""Putting money that Stripe took into the books, whoever noticed it."""

from dataclasses import replace
from typing import assert_never

from chassis.database import Tx
from chassis.ids import new_id
from contracts.billing import Invoice, Payment
from contracts.message import Money
from services.billing.domain.invoices import Balance
from services.billing.domain.settlement import (
    AlreadyPaid,
    AlreadyRecorded,
    Collected,
    PartPaid,
    Settled,
    WrongAmount,
    settle,
)
from services.billing.store import books, invoices, payments
from services.billing.store.payments import Attempt


async def collect(tx: Tx, invoice: Invoice, attempt: Attempt, took: Money, intent_id: str | None) -> str | WrongAmount:
    """Book what was taken for an attempt, once. Its caller holds the invoice's lock. Returns what it was, for the record."""
    payment = attempt.payment
    succeeded = payment.status == "succeeded"
    asked = Money(payment.amount, payment.currency)
    collected = Collected(asked, took, intent_id, succeeded, attempt.intent_id)
    balance = Balance(invoice.status, invoice.currency, invoice.total, invoice.amount_paid, invoice.amount_processing)
    outcome = settle(balance, collected, tx.now)
    match outcome:
        case AlreadyRecorded():
            return "already recorded"
        case WrongAmount():
            return outcome
        case Settled() | PartPaid() | AlreadyPaid():
            if succeeded:
                assert intent_id is not None, "Only another intent's success is not recorded already."
                if await payments.intent_is_recorded(tx, intent_id):
                    return "already recorded"
                attempt = await _second_movement(tx, attempt, intent_id)
            paid = replace(attempt, intent_id=intent_id or attempt.intent_id)
            await books.payment_succeeded(tx, invoice, paid, outcome)
            return type(outcome).__name__
        case _:
            assert_never(outcome)


async def _second_movement(tx: Tx, attempt: Attempt, intent_id: str) -> Attempt:
    """Money came twice for one attempt. The second has a row of its own, so that it can be given back."""
    number = await invoices.next_attempt(tx, attempt.payment.invoice_id)
    payment = Payment(
        **attempt.payment.model_dump(include={"merchant_id", "customer_id", "invoice_id", "amount", "currency"}),
        id=new_id(),
        attempt=number,
        status="processing",
        created_at=tx.now,
    )
    second = Attempt(payment, intent_id, "stripe", "", attempt.correlation_id, {}, attempt.account)
    await payments.insert_attempt(tx, second)
    # Saved as *processing*, since its checkout is not open; but none of the invoice's processing amount is its own.
    return replace(second, payment=payment.model_copy(update={"status": "created"}))
