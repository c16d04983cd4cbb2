"""Invoices, from the draft to the receipt, and what happens to them."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import AwareDatetime

from ..message import (
    Command,
    Currency,
    CustomerId,
    Event,
    Flag,
    InvoiceId,
    MerchantId,
    Moment,
    Problem,
    State,
    SubscriptionId,
    command,
    event,
    noun,
)
from .shapes import BeingPaid, Collection, CreditNote, Decline, LineItem, Party, PayLink, Period, Receipt, TaxLine


@noun("billing.invoice", public=True, followed_by=("notifications", "todos", "gateway"))
class Invoice(State):
    """A demand for money. All amounts are minor units of `currency`; *overdue* is computed from `due_on` by readers.

    `number` is given, per merchant without gaps, when the invoice opens. `amount_due` is the total less what is paid;
    what may be paid now is also less `amount_processing`. `seller` and `buyer` are frozen when it opens.
    """

    merchant_id: MerchantId
    customer_id: CustomerId
    """Who owes it."""
    kind: Literal["one_time", "recurring", "payment_plan"]
    """What its payment link asks for."""
    status: Literal["draft", "open", "paid", "void", "uncollectible"]
    """Where it stands; only an *open* one can be paid."""
    number: str | None = None
    """Per merchant, sequential without gaps; null until it opens."""
    currency: Currency
    """Of every amount on it, ISO 4217."""
    lines: tuple[LineItem, ...]
    """What is sold."""
    tax_inclusive: bool = False
    """Whether unit prices hold the tax already."""
    subtotal: int
    """The lines' sum, in minor units."""
    tax_lines: tuple[TaxLine, ...] = ()
    """The tax, rate by rate."""
    tax: int
    """The tax in all, in minor units."""
    total: int
    """What is asked for in all, in minor units."""
    amount_paid: int = 0
    """What has arrived, in minor units."""
    amount_processing: int = 0
    """What is on its way, in minor units."""
    amount_due: int
    """The total less what is paid, in minor units."""
    due_on: date
    """The day by which it should be paid; later it is overdue."""
    memo: str | None = None
    """What the merchant writes to the customer."""
    seller: Party | None = None
    """The merchant as it was when it opened."""
    buyer: Party | None = None
    """The customer as it was when it opened."""
    link: PayLink | None = None
    """Its public URL's state; null while a draft."""
    being_paid: BeingPaid | None = None
    """The checkout that is open for it."""
    last_decline: Decline | None = None
    """Why the last card was refused."""
    receipts: tuple[Receipt, ...] = ()
    """The payments that reached us, oldest first."""
    subscription_id: SubscriptionId | None = None
    """The subscription or payment plan that it belongs to."""
    period: Period | None = None
    """What a subscription's invoice is for; null until the first one is accepted."""
    instalment: int | None = None
    """Which instalment of its payment plan it is, from 1."""
    collection: Collection | None = None
    """How the automatic charges go; null: nobody is charged without being there."""
    allow_partial: bool = False
    """Whether a part of it may be paid."""
    amount_refunded: int = 0
    """What was given back, or is on its way back, in minor units."""
    amount_disputed: int = 0
    """What a cardholder's bank has taken back, or holds until a dispute is decided, in minor units."""
    credit_notes: tuple[CreditNote, ...] = ()
    """What was given back, oldest first."""
    replaces: InvoiceId | None = None
    """The invoice whose place it took."""
    created_at: AwareDatetime
    """When it was made."""
    opened_at: AwareDatetime | None = None
    """When it got its number."""
    paid_at: AwareDatetime | None = None
    """When nothing was due any more."""
    closed_at: AwareDatetime | None = None
    """When it was paid, voided or given up."""


@event("billing.invoice.drafted.v1")
class InvoiceDrafted(Event[Invoice]):
    """A draft was made or changed. It asks nobody for money yet."""


@event("billing.invoice.opened.v1")
class InvoiceOpened(Event[Invoice]):
    """An invoice got its number and may be paid."""


@event("billing.invoice.link_email_requested.v1", handled_by=("notifications",))
class LinkEmailRequested(Event[Invoice]):
    """A member asked that the customer be mailed the payment link."""


@event("billing.invoice.link_changed.v1")
class InvoiceLinkChanged(Event[Invoice]):
    """Its payment link was withdrawn, made anew, or given another end."""


@event("billing.invoice.replaced.v1")
class InvoiceReplaced(Event[Invoice]):
    """A member withdrew it in favour of another invoice, which its payment link names."""


@event("billing.invoice.payment_started.v1")
class InvoicePaymentStarted(Event[Invoice]):
    """Somebody opened a checkout for it."""


@event("billing.invoice.payment_ended.v1")
class InvoicePaymentEnded(Event[Invoice]):
    """The open checkout ended without money: it expired or failed. Or an automatic charge of which the customer is told nothing.

    That never reached the bank, or it was declined after its customer had been archived.
    """


@event("billing.invoice.payment_declined.v1")
class InvoicePaymentDeclined(Event[Invoice]):
    """A card was declined inside the open checkout, which stays open."""


@event("billing.invoice.payment_processing.v1")
class InvoicePaymentProcessing(Event[Invoice]):
    """The customer has paid in a way that takes days (a bank debit): `amount_processing` is on its way."""


@event("billing.invoice.part_paid.v1")
class InvoicePartPaid(Event[Invoice]):
    """Money arrived that does not settle it."""


@event("billing.invoice.paid.v1")
class InvoicePaid(Event[Invoice]):
    """The invoice is settled: nothing is due on it any more."""


@event("billing.invoice.voided.v1")
class InvoiceVoided(Event[Invoice]):
    """A member withdrew it. It keeps its number."""


@event("billing.invoice.given_up.v1")
class InvoiceGivenUp(Event[Invoice]):
    """A member marked it uncollectible."""


@event("billing.invoice.charge_started.v1")
class InvoiceChargeStarted(Event[Invoice]):
    """It is charged again, without anybody being there, after an automatic charge failed."""


@event("billing.invoice.charge_failed.v1", handled_by=("notifications",))
class InvoiceChargeFailed(Event[Invoice]):
    """An automatic charge failed, or was due where it would be in vain: the same card was declined for good, say.

    `collection` says why, when it is tried again, and whether the customer must confirm it.
    """


@event("billing.invoice.collection_stopped.v1")
class InvoiceCollectionStopped(Event[Invoice]):
    """It is not charged automatically any more, since its customer was archived or erased. It is still owed."""


@event("billing.invoice.refunded.v1")
class InvoiceRefunded(Event[Invoice]):
    """`amount_refunded` or `credit_notes` changed: money goes back, has gone back, or came back to us after all."""


@event("billing.invoice.disputed.v1")
class InvoiceDisputed(Event[Invoice]):
    """`amount_disputed` changed."""


class InvoiceAlreadyPaid(Problem):
    """Nothing is due any more. Member `paid_at`."""

    status = 409
    title = "This invoice is already paid."


class InvoiceNotPayable(Problem):
    """Draft, void or uncollectible, or its amount is being processed. Member `why`: the state."""

    status = 409
    title = "This invoice cannot be paid now."


class AmountNotChargeable(InvoiceNotPayable):
    """No card can be charged this amount: Stripe has a minimum and a maximum per currency. Trying again is in vain."""

    title = "This amount cannot be paid by card."


@command("billing.open_invoice.v1")
class OpenInvoice(Command[Invoice]):
    """Open a draft; `link_expires_at` as in CreatePaymentLink. Refusals: NotFound, Conflict, InvalidInput."""

    invoice_id: InvoiceId
    link_expires_at: Moment | None = None
    send_email: Flag = False


@command("billing.void_invoice.v1")
class VoidInvoice(Command[Invoice]):
    """Withdraw an open invoice; a checkout that is open for it is expired at Stripe first. Refusals: Conflict, NotFound."""

    invoice_id: InvoiceId


@command("billing.give_up_invoice.v1")
class GiveUpInvoice(Command[Invoice]):
    """Mark an open invoice uncollectible. Refusals: Conflict, NotFound."""

    invoice_id: InvoiceId
