"""Money given back or taken back: refunds with their credit notes, and disputes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from ..message import (
    Amount,
    Command,
    Currency,
    CustomerId,
    Event,
    InvoiceId,
    MerchantId,
    PaymentId,
    Problem,
    State,
    Text,
    command,
    event,
    noun,
)
from .invoices import Invoice
from .shapes import TaxLine


@noun("billing.refund", public=True, followed_by=("gateway",))
class Refund(State):
    """Money of one payment that is given back. What it takes off the invoice has a credit note; surplus money has none.

    It may fail days after it succeeded, when the customer's bank sends the money back: then it is ours again, and may be
    given back once more.
    """

    merchant_id: MerchantId
    customer_id: CustomerId
    """Who gets it."""
    invoice_id: InvoiceId
    """What was paid."""
    payment_id: PaymentId
    """The payment whose money it is."""
    status: Literal["created", "processing", "succeeded", "failed", "unknown"]
    """Where it stands; *unknown* until Stripe has said whether it took it."""
    amount: int
    """In minor units."""
    credited: int = 0
    """How much of it is taken off the invoice; the rest is money that came on top of what was due."""
    currency: Currency
    """ISO 4217."""
    reason: str | None = None
    """Why, in the merchant's words."""
    credit_note_number: str | None = None
    """The number of its credit note, once Stripe has taken it; null: it is of surplus money alone."""
    tax_lines: tuple[TaxLine, ...] = ()
    """The net and the tax that the credit note takes back, rate by rate; together exactly `credited`."""
    failure: str | None = None
    """Why it failed."""
    by: str | None = None
    """The member who gave it back; null: begun at Stripe."""
    begun_at_stripe: bool = False
    """Nobody asked us: somebody pressed Refund on Stripe's own pages."""
    created_at: AwareDatetime
    """When it was begun."""
    issued_at: AwareDatetime | None = None
    """When Stripe took it, which is the date of its credit note."""
    settled_at: AwareDatetime | None = None
    """When it succeeded or failed."""


@noun("billing.dispute", public=True, followed_by=("gateway",))
class Dispute(State):
    """A cardholder's bank wants a payment's money back. It holds the money until the dispute is decided.

    While the bank only asks (`inquiry`) it holds nothing.
    """

    merchant_id: MerchantId
    customer_id: CustomerId
    """Who paid."""
    invoice_id: InvoiceId
    """What was paid."""
    payment_id: PaymentId
    """The payment that is disputed."""
    status: Literal["open", "won", "lost"]
    """Where it stands. *won*: the money came back to the merchant."""
    amount: int
    """What the bank wants, in minor units of `currency`: it may be more than was paid, or in another currency."""
    currency: Currency
    """ISO 4217."""
    reason: str
    """Stripe's word for it, such as `fraudulent` or `product_not_received`."""
    inquiry: bool = False
    """The bank only asks so far."""
    evidence_due_at: AwareDatetime | None = None
    """Until when the merchant can answer, at Stripe."""
    opened_at: AwareDatetime
    """When the bank began it."""
    closed_at: AwareDatetime | None = None
    """When it was decided."""


@event("billing.refund.started.v1")
class RefundStarted(Event[Refund]):
    """A refund was saved, before Stripe was asked; or one was found that was begun at Stripe."""


@event("billing.refund.changed.v1")
class RefundChanged(Event[Refund]):
    """A refund moved on without an end."""


@event("billing.refund.succeeded.v1", handled_by=("notifications",))
class RefundSucceeded(Event[Refund]):
    """The money is on its way to the customer. `invoice` is the invoice as it stands after it."""

    invoice: Invoice


@event("billing.refund.failed.v1", handled_by=("notifications",))
class RefundFailed(Event[Refund]):
    """Stripe refused it, or the customer's bank sent the money back. `invoice` is the invoice as it stands after it."""

    invoice: Invoice


@event("billing.dispute.opened.v1", handled_by=("notifications",))
class DisputeOpened(Event[Dispute]):
    """A bank began a dispute, or turned its inquiry into one. `invoice` is the invoice as it stands after it."""

    invoice: Invoice


@event("billing.dispute.changed.v1")
class DisputeChanged(Event[Dispute]):
    """Something about an open dispute changed: its amount, or until when it can be answered."""


@event("billing.dispute.won.v1")
class DisputeWon(Event[Dispute]):
    """The money came back to the merchant."""


@event("billing.dispute.lost.v1")
class DisputeLost(Event[Dispute]):
    """The money stays with the cardholder."""


class NothingToRefund(Problem):
    """None of the invoice's (or the payment's) money is left to give back: refunded, disputed, or never arrived."""

    status = 409
    title = "There is no money left to give back."


class RefundRefused(Problem):
    """Stripe does not make this refund; the detail says why. No money has moved."""

    status = 409
    title = "Stripe does not make this refund."


@command("billing.refund_invoice.v1")
class RefundInvoice(Command[Refund]):
    """Give money of an invoice back; roles *admin* and *manager*.

    Without `payment_id` it is the latest payment that has money left, without `amount` all that is left of it. The result
    may be *created* or *unknown*: it is saved, and Stripe is asked until it has said what became of it.
    Refusals: NotAllowed, NotFound, NothingToRefund, InvalidInput (`amount`), RefundRefused.
    """

    invoice_id: InvoiceId
    payment_id: PaymentId | None = None
    amount: Amount | None = None
    reason: Annotated[Text, Field(max_length=500)] | None = None
