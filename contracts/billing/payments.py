"""Payments: attempts to collect an invoice, and what they come to."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime

from ..message import Currency, CustomerId, Event, InvoiceId, MerchantId, PaymentMethodId, Problem, State, event, noun
from .invoices import Invoice
from .shapes import Decline


@noun("billing.payment", public=True, followed_by=("gateway",))
class Payment(State):
    """One attempt to collect an invoice. `attempt` counts from 1 per invoice.

    `surplus` money arrived for an invoice that was already settled: it is ours to give back, never swallowed.
    """

    merchant_id: MerchantId
    customer_id: CustomerId
    """Who pays."""
    invoice_id: InvoiceId
    """What is paid."""
    attempt: int
    """The how-manieth of its invoice, from 1."""
    status: Literal["created", "processing", "succeeded", "failed", "requires_action", "unknown"]
    """Where it stands; only *succeeded* is final."""
    amount: int
    """In minor units."""
    currency: Currency
    """ISO 4217."""
    surplus: bool = False
    """It arrived for an invoice that was settled already, and is to be given back."""
    automatic: bool = False
    """We charged the customer's method; nobody was there."""
    payment_method_id: PaymentMethodId | None = None
    """Which of the customer's methods an automatic charge uses."""
    amount_refunded: int = 0
    """What was given back, or is on its way back, in minor units."""
    amount_disputed: int = 0
    """What the cardholder's bank has taken back, or holds, in minor units."""
    method: str | None = None
    """The kind or brand, such as `visa`."""
    last4: str | None = None
    """The card's last four digits."""
    decline: Decline | None = None
    """Why it was refused."""
    receipt_number: str | None = None
    """The number of its receipt, once money has arrived."""
    created_at: AwareDatetime
    """When it was begun."""
    settled_at: AwareDatetime | None = None
    """When it succeeded or failed."""


@event("billing.payment.started.v1")
class PaymentStarted(Event[Payment]):
    """An attempt to collect was saved, before Stripe was asked."""


@event("billing.payment.succeeded.v1", handled_by=("notifications",))
class PaymentSucceeded(Event[Payment]):
    """Money reached the merchant. `invoice` is the invoice as it stands after this payment."""

    invoice: Invoice


@event("billing.payment.failed.v1")
class PaymentFailed(Event[Payment]):
    """The attempt ended without money."""


@event("billing.payment.changed.v1")
class PaymentChanged(Event[Payment]):
    """An attempt moved on without ending (processing, needs action, unknown, declined once), or some of its money went back."""


class NoReceiptYet(Problem):
    """A receipt exists once money has arrived."""

    status = 404
    title = "There is no receipt for this invoice yet."


class PaymentsUnavailable(Problem):
    """Stripe did not answer or refused us. Nothing was charged."""

    status = 503
    title = "Payments cannot be taken right now. Nothing has been charged."
