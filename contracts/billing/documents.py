"""Documents as PDF, and a customer's account over a period."""

from __future__ import annotations

from datetime import date
from typing import Literal, TypeAlias

from ..message import (
    Currency,
    CustomerId,
    Day,
    Document,
    InvoiceId,
    PaymentId,
    Problem,
    Question,
    RefundId,
    Shape,
    question,
)


@question("billing.invoice_pdf.v1")
class InvoicePdf(Question[Document]):
    """The invoice as PDF. Refusals: NotFound; drafts have none."""

    invoice_id: InvoiceId
    locale: str | None = None
    link_token_sha256: str | None = None


@question("billing.receipt_pdf.v1")
class ReceiptPdf(Question[Document]):
    """The receipt of an invoice's last (or the given) payment as PDF. Refusals: NotFound, NoReceiptYet."""

    invoice_id: InvoiceId
    payment_id: PaymentId | None = None
    locale: str | None = None
    link_token_sha256: str | None = None


@question("billing.credit_note_pdf.v1")
class CreditNotePdf(Question[Document]):
    """The credit note of a refund as PDF. Refusals: NotFound; there is none before Stripe has taken the refund."""

    invoice_id: InvoiceId
    refund_id: RefundId
    locale: str | None = None
    link_token_sha256: str | None = None


EntryKind: TypeAlias = Literal[
    "invoice",
    "withdrawn",
    "written_off",
    "recovered",
    "payment",
    "credit_note",
    "refund",
    "refund_failed",
    "credit_note_reversed",
    "dispute",
    "dispute_won",
]
"""What can change what a customer owes. *recovered*: money came for an invoice that had been written off. *refund_failed*
and *credit_note_reversed*: the bank returned a refund, which takes its credit note back."""


class StatementEntry(Shape):
    """One thing that changed what a customer owes."""

    on: date
    """The day, in the merchant's time zone."""
    kind: EntryKind
    """What happened."""
    reference: str | None = None
    """The number of the invoice, receipt or credit note."""
    amount: int
    """In minor units: positive, the customer owes more; negative, less."""
    balance: int
    """What is owed after it, in minor units; negative: the merchant owes the customer."""


class CurrencyStatement(Shape):
    """What happened in one currency. `opening` plus the entries' amounts is `closing`; minor units."""

    currency: Currency
    """ISO 4217."""
    opening: int
    """What was owed before the first day."""
    entries: tuple[StatementEntry, ...]
    """Oldest first."""
    closing: int
    """What is owed after the last day."""


class Statement(Shape):
    """A customer's account over a period. Days are the merchant's."""

    customer_id: CustomerId
    """Whose account."""
    from_on: date
    """The first day."""
    to_on: date
    """The last day."""
    currencies: tuple[CurrencyStatement, ...]
    """Each currency that has anything to say, by its code."""


class StatementTooLong(Problem):
    """More happened in the period than a statement holds. Member `most`: how many entries one has at most."""

    status = 422
    title = "There is too much in this period for one statement. Choose a shorter one."


@question("billing.statement.v1")
class AccountStatement(Question[Statement]):
    """A customer's account over a period of at most ten years, both days included.

    A contact sees their own customer's. Refusals: NotFound, InvalidInput (`to_on`), StatementTooLong.
    """

    customer_id: CustomerId
    from_on: Day
    to_on: Day


@question("billing.statement_pdf.v1")
class StatementPdf(Question[Document]):
    """The same as PDF. Refusals: those of AccountStatement."""

    customer_id: CustomerId
    from_on: Day
    to_on: Day
    locale: str | None = None
