"""Invoices, which are also payment links, and the payments that settle them. Owner: billing."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from .message import (
    Address,
    Amount,
    Command,
    Currency,
    CustomerId,
    Document,
    Event,
    InvoiceId,
    Line,
    MailFacts,
    MerchantId,
    PaymentId,
    PaymentMethodId,
    Percent,
    Problem,
    Question,
    RefundId,
    Republished,
    Service,
    Shape,
    State,
    Strict,
    SubscriptionId,
    Text,
    command,
    event,
    noun,
    question,
)

# --- nouns ----------------------------------------------------------------------------------------------------------


class LineItem(Shape):
    """One line of an invoice. `amount` is what it adds to the subtotal, in minor units, before tax that is added."""

    description: str
    """What is sold."""
    quantity: Decimal
    """How many, a decimal."""
    unit_amount: int
    """The price of one, in minor units."""
    discount_percent: Decimal = Decimal(0)
    """What is taken off, in percent."""
    tax_rate: Decimal = Decimal(0)
    """The rate in percent."""
    reverse_charge: bool = False
    """The customer owes the tax (Directive 2006/112/EC, article 196); the rate is 0 then."""
    amount: int
    """What the line adds to the subtotal, in minor units."""


class TaxLine(Shape):
    """The tax of one rate: `base` is the net amount it was taken from."""

    rate: Decimal
    """In percent."""
    base: int
    """The net amount that it is taken from, in minor units."""
    amount: int
    """The tax, in minor units."""


class Party(Shape):
    """A party as it stood when the invoice opened: what an invoice names may not change afterwards."""

    name: str
    """A person or business."""
    company: str | None = None
    """The business, where the name is a person's."""
    email: str | None = None
    """Where it can be reached."""
    address: Address = Address()
    """Its postal address."""
    tax_ids: tuple[str, ...] = ()
    """Its tax or VAT numbers."""


class PayLink(Shape):
    """The state of an invoice's public URL. The token itself is derived by billing; this is the SHA-256 of it, in hex."""

    token_sha256: str
    """The SHA-256, in hex, of the token in the URL."""
    revoked: bool = False
    """A member has shut it."""
    expires_at: AwareDatetime | None = None
    """Until when it shows the invoice; null: no end."""
    replaced_by: InvoiceId | None = None
    """The invoice that took this one's place."""


class Decline(Shape):
    """Why the last attempt inside an open checkout was refused: Stripe's code and a sentence. A note, not an end."""

    code: str
    """Stripe's word for it, such as `insufficient_funds`."""
    message: str
    """A sentence for whoever pays."""
    at: AwareDatetime
    """When it was refused."""


class BeingPaid(Shape):
    """Somebody has a checkout open."""

    payment_id: PaymentId
    """The attempt."""
    since: AwareDatetime
    """When the checkout was opened."""
    by: str
    """The name of whoever opened it."""


class Receipt(Shape):
    """A payment that reached us, as the invoice lists it."""

    payment_id: PaymentId
    """The payment that it is for."""
    number: str
    """The receipt's own number."""
    amount: int
    """What arrived, in minor units."""
    paid_at: AwareDatetime
    """When it arrived."""
    method: str | None = None
    """The kind or brand, such as `visa`."""
    last4: str | None = None
    """The card's last four digits."""


class Period(Shape):
    """What an invoice of a subscription is for: whole days in the merchant's time zone."""

    starts_on: date
    """Its first day."""
    ends_on: date
    """Its last day."""


class CreditNote(Shape):
    """A refund as the invoice lists it."""

    refund_id: RefundId
    """The refund that it is for."""
    number: str
    """The credit note's own number."""
    amount: int
    """What is given back, in minor units."""
    issued_at: AwareDatetime
    """When it was issued."""
    failed: bool = False
    """The bank returned the money to us: nothing was given back after all."""


class Collection(Shape):
    """How far the automatic charges of an invoice have come."""

    failures: int = 0
    """Charges that failed so far."""
    next_try_at: AwareDatetime | None = None
    """When the next charge is due; null: none is planned."""
    last_failure: Decline | None = None
    """Why the last one failed."""
    confirm: bool = False
    """The customer's bank wants them to confirm the charge themselves, through the payment link."""
    exhausted: bool = False
    """The last retry has failed."""


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


# --- events ---------------------------------------------------------------------------------------------------------


@event("billing.invoice.drafted.v1")
class InvoiceDrafted(Event[Invoice]):
    """A draft was made or changed. It asks nobody for money yet."""


@event("billing.invoice.opened.v1")
class InvoiceOpened(Event[Invoice]):
    """An invoice got its number and may be paid."""


@event("billing.invoice.link_email_requested.v1", handled_by=("notifications",))
class LinkEmailRequested(Event[Invoice]):
    """A member asked that the customer be mailed the payment link."""


@event("billing.invoice.payment_started.v1")
class InvoicePaymentStarted(Event[Invoice]):
    """Somebody opened a checkout for it."""


@event("billing.invoice.payment_ended.v1")
class InvoicePaymentEnded(Event[Invoice]):
    """The open checkout ended without money: it expired or failed."""


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
    """An attempt moved on without ending: processing, needs action, unknown, declined once."""


# --- refusals -------------------------------------------------------------------------------------------------------


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


class PayLinkNotUsable(Problem):
    """A payment link is dead: member `why` is *revoked*, *expired*, *replaced* or *unknown*."""

    status = 410
    title = "This payment link can no longer be used."


class NoReceiptYet(Problem):
    """A receipt exists once money has arrived."""

    status = 404
    title = "There is no receipt for this invoice yet."


class PaymentsUnavailable(Problem):
    """Stripe did not answer or refused us. Nothing was charged."""

    status = 503
    title = "Payments cannot be taken right now. Nothing has been charged."


# --- commands and questions -----------------------------------------------------------------------------------------


class NewLine(Strict):
    """A line as a member types it. `quantity` is a decimal string, `unit_amount` minor units; rates in percent."""

    description: Annotated[Line, Field(max_length=500)]
    quantity: Annotated[Decimal, Field(gt=0, le=1_000_000, decimal_places=4)] = Decimal(1)
    unit_amount: Amount
    tax_rate: Percent = Decimal(0)
    discount_percent: Percent = Decimal(0)


@command("billing.create_payment_link.v1")
class CreatePaymentLink(Command[Invoice]):
    """Make an invoice and, unless `draft`, open it: it gets a number and a public URL, by mail if `send_email`.

    `return_url` of a later checkout is the gateway's business. Refusals: InvalidInput, NotFound (customer), NotAllowed.
    """

    customer_id: CustomerId
    kind: Literal["one_time"] = "one_time"
    currency: Currency
    lines: Annotated[tuple[NewLine, ...], Field(min_length=1, max_length=200)]
    tax_inclusive: bool = False
    due_on: date
    memo: Text | None = None
    send_email: bool = False
    draft: bool = False


@command("billing.open_invoice.v1")
class OpenInvoice(Command[Invoice]):
    """Open a draft. Refusals: NotFound, Conflict."""

    invoice_id: InvoiceId
    send_email: bool = False


@command("billing.send_payment_link.v1")
class SendPaymentLink(Command[Invoice]):
    """Mail the payment link (again). Refusals: NotFound, InvoiceNotPayable, InvoiceAlreadyPaid."""

    invoice_id: InvoiceId


@command("billing.void_invoice.v1")
class VoidInvoice(Command[Invoice]):
    """Withdraw an open invoice; a checkout that is open for it is expired at Stripe first. Refusals: Conflict, NotFound."""

    invoice_id: InvoiceId


@command("billing.give_up_invoice.v1")
class GiveUpInvoice(Command[Invoice]):
    """Mark an open invoice uncollectible. Refusals: Conflict, NotFound."""

    invoice_id: InvoiceId


class CheckoutStarted(Shape):
    """Where the browser goes to pay."""

    payment_id: PaymentId
    checkout_url: str
    invoice_id: InvoiceId


@command("billing.start_invoice_payment.v1")
class StartInvoicePayment(Command[CheckoutStarted]):
    """Open (or resume) the one checkout of an invoice.

    The actor is a contact of the invoice's customer, or *public*: whoever holds the pay link, then `link_token_sha256`
    must be the invoice's. `return_path` is where the browser comes back to, relative to the portal's public address.
    Refusals: InvoiceAlreadyPaid, InvoiceNotPayable, AmountNotChargeable, PayLinkNotUsable, PaymentsUnavailable, NotFound.
    """

    invoice_id: InvoiceId
    link_token_sha256: str | None = None
    return_path: Annotated[str, Field(pattern=r"^/[A-Za-z0-9_\-/.?=&]*$", max_length=500)]


@question("billing.pay_link.v1")
class PayLinkUrl(Question[MailFacts]):
    """The secret path of an open invoice's public page, for a member who copies it. Refusals: NotFound, PayLinkNotUsable."""

    invoice_id: InvoiceId


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


@question("billing.mail_facts.v1", askers=("notifications", "gateway"))
class BillingMailFacts(Question[MailFacts]):
    """Is a mail about an invoice still true?

    *payment_link*, while it is open: the path of its public page; `facts` is the invoice. *receipt*, which stays true:
    the same path, where the receipt can be got without an account; null when the link is dead.
    """

    kind: Literal["payment_link", "receipt"]
    id: InvoiceId


@question("billing.republish.v1", askers=("notifications", "todos", "gateway"))
class RepublishBilling(Question[Republished]):
    """Send every current row of a noun to the asker's own queue."""

    noun: Literal["invoice", "payment"]
    to: Service
