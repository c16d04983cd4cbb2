"""Invoices, which are also payment links, the payments that settle them, and what customers pay with. Owner: billing."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal, TypeAlias

from pydantic import AwareDatetime, Field

from .message import (
    Address,
    Amount,
    Command,
    Currency,
    CustomerId,
    Document,
    EmailAddress,
    Event,
    InvoiceId,
    Line,
    MailFacts,
    MerchantId,
    NotAllowed,
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
    earlier_sha256: tuple[str, ...] = ()
    """The hashes of links that it had before: whoever holds one is told that there is a newer."""
    renewed_at: AwareDatetime | None = None
    """When it last got a new one."""
    asked_at: AwareDatetime | None = None
    """When it was last mailed because somebody who held a dead one asked for it."""


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
    first_failed_at: AwareDatetime | None = None
    """When the first one did; the days of the retries are counted from it."""
    next_try_at: AwareDatetime | None = None
    """When the next charge is due; null: none is planned."""
    last_failure: Decline | None = None
    """Why the last one failed."""
    confirm: bool = False
    """The customer's bank wants them to confirm the charge themselves, through the payment link."""
    exhausted: bool = False
    """The last retry has failed."""
    attempted: bool = True
    """False: the last charge was not even tried, since there was nothing to charge, or it would have been in vain."""


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


class Interval(Shape):
    """How often something comes: every `count` units."""

    unit: Literal["day", "week", "month", "year"]
    """Of what."""
    count: int = 1
    """How many of them lie between one and the next."""


class Instalment(Shape):
    """One part of a payment plan. Whether it is paid is its invoice's to say."""

    number: int
    """From 1."""
    due_on: date | None = None
    """Its day; null until the customer accepts, and while the plan is paused without an end."""
    was_due_on: date | None = None
    """The day that it had before a pause moved it."""
    amount: int
    """In minor units."""
    status: Literal["planned", "invoiced", "waived"] = "planned"
    """Whether it has its invoice by now, or never will."""


class ChangeWish(Shape):
    """What a customer asks the merchant for."""

    wish: Literal["pause", "resume", "cancel", "other"]
    """What they want."""
    note: str | None = None
    """In their words."""
    asked_by: str
    """Their name."""


class PlannedCharge(Shape):
    """A charge that has not been made yet."""

    on: date
    """Its day, in the merchant's time zone; it is charged from 09:00."""
    amount: int
    """In minor units."""
    period: Period | None = None
    """What a recurring one is for."""
    instalment: int | None = None
    """Which one of a payment plan."""


@noun("billing.subscription", public=True, followed_by=("notifications", "gateway"))
class Subscription(State):
    """A repeated charge, or a payment plan. *Past due* is computed by readers: it has an overdue invoice.

    All amounts are minor units of `currency`; those of the lines, the tax and the totals are of one period, or of the whole
    plan. All days are days in the merchant's time zone.
    """

    merchant_id: MerchantId
    customer_id: CustomerId
    """Who is charged."""
    kind: Literal["recurring", "payment_plan"]
    """Without an end of its own, or a total in parts."""
    status: Literal["pending", "active", "paused", "cancelled", "completed"]
    """Where it stands; a *pending* one waits for the customer to accept it."""
    title: str
    """What it is called: its first line's description."""
    currency: Currency
    """ISO 4217."""
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
    """Of one period, or of the whole plan, in minor units."""
    interval: Interval | None = None
    """How often it is charged; null for a plan with days of its own."""
    starts_on: date | None = None
    """The day it is to begin; null: when it is accepted."""
    trial_days: int = 0
    """For so many days nothing is charged."""
    trial_ends_on: date | None = None
    """The first day after the trial; null before it is accepted, and when there is none."""
    ends_after: int | None = None
    """After so many charges it is completed; null: not counted."""
    ends_on: date | None = None
    """No period begins after this day; null: no such day."""
    instalments: tuple[Instalment, ...] = ()
    """A plan's parts, in order."""
    anchor_on: date | None = None
    """The day that its periods are counted from; null until it is accepted."""
    current_period: Period | None = None
    """The period that was charged last."""
    charges_made: int = 0
    """How many invoices it has made."""
    charges_paid: int = 0
    """How many of them are paid."""
    next_charge: PlannedCharge | None = None
    """What comes next; null: nothing, or it is not known before somebody resumes it."""
    pause_on: date | None = None
    """The day on which it is going to be paused."""
    paused_on: date | None = None
    """Since when it is paused."""
    resumes_on: date | None = None
    """The day on which it goes on by itself; null: until somebody resumes it."""
    cancel_on: date | None = None
    """The day on which it is going to be cancelled."""
    cancel_reason: str | None = None
    """Why, as whoever cancelled it wrote."""
    cancelled_by: Literal["customer", "merchant", "collection", "archiving"] | None = None
    """Who cancelled it; *collection*: the last retry of a charge has failed; *archiving*: its customer was archived."""
    ended_on: date | None = None
    """When it was cancelled or completed."""
    allow_customer_cancel: bool = False
    """Whether the customer may cancel it."""
    allow_customer_pause: bool = False
    """Whether the customer may pause it."""
    minimum_payments: int = 0
    """So many payments must have been made before the customer may cancel or pause."""
    after_last_retry: Literal["cancel", "keep"] = "cancel"
    """What becomes of it when the last retry of a charge has failed."""
    plan_on_cancel: Literal["owe", "waive", "ask"] = "ask"
    """What becomes of a cancelled plan's remaining instalments; *ask*: whoever cancels says it."""
    payment_method_id: PaymentMethodId | None = None
    """What is charged; null: the customer's default method."""
    link: PayLink | None = None
    """The public URL on which it is accepted, where nothing is due yet: with a trial, or a start in the future."""
    first_invoice_id: InvoiceId | None = None
    """The invoice whose payment accepts it, where it begins at once."""
    memo: str | None = None
    """What the merchant writes to the customer, on each of its invoices."""
    created_at: AwareDatetime
    """When it was made."""
    accepted_at: AwareDatetime | None = None
    """When the customer accepted it."""
    ended_at: AwareDatetime | None = None
    """When it was cancelled or completed."""


@noun("billing.defaults", followed_by=("notifications", "gateway"))
class BillingDefaults(State):
    """What a merchant wants of invoices and subscriptions unless it says otherwise. Its id is the merchant's."""

    merchant_id: MerchantId
    due_days: int = 14
    """After how many days an invoice is due."""
    tax_rate: Decimal = Decimal(0)
    """The rate of a new line, in percent."""
    tax_inclusive: bool = False
    """Whether prices hold the tax already."""
    memo: str | None = None
    """What is written to every customer."""
    allow_partial: bool = False
    """Whether a part of an invoice may be paid."""
    link_days: int | None = None
    """After how many days a payment link expires; null: never."""
    allow_customer_cancel: bool = False
    """Whether customers may cancel their subscriptions."""
    allow_customer_pause: bool = False
    """Whether customers may pause their subscriptions."""
    minimum_payments: int = 0
    """How many payments a customer makes before they may cancel or pause."""
    retry_days: tuple[int, ...] = (2, 7, 14, 21)
    """On which days after the first failure an automatic charge is tried again."""
    after_last_retry: Literal["cancel", "keep"] = "cancel"
    """What becomes of a subscription when the last retry has failed."""
    plan_on_cancel: Literal["owe", "waive", "ask"] = "ask"
    """What a customer who cancels a payment plan does about the rest: owes it, need not pay it, or asks the merchant."""
    renewal_notice_days: int = 3
    """How many days before a renewal its customer is told."""


class Difference(Shape):
    """Something that Stripe's books and ours do not agree on."""

    code: Literal["not_in_our_books", "not_at_stripe", "not_as_booked"]
    """Which of the two has it; *not_as_booked*: both, but not the same."""
    what: Literal["payment", "refund", "dispute"]
    """Which kind of thing."""
    stripe_id: str
    """Stripe's id of it."""
    amount: int
    """In minor units."""
    currency: Currency
    """ISO 4217."""
    note: str = ""
    """What kept it out of the books, in English."""
    since: AwareDatetime | None = None
    """When it was first seen."""
    asked_at: AwareDatetime | None = None
    """When Stripe was last asked about it."""
    resolved_at: AwareDatetime | None = None
    """When both books agreed on it again; null: it stands."""


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


@noun("billing.reconciliation", followed_by=("gateway",))
class Reconciliation(State):
    """The last comparison of a merchant's books with Stripe's, at all accounts where it has money. Its id is the merchant's."""

    merchant_id: MerchantId
    finished_at: AwareDatetime
    """When it ended."""
    compared: int
    """How many payments, refunds and disputes of Stripe's it looked at."""
    found: int
    """How many of them no webhook had told us; they are in the books now, or about to be."""
    differences: tuple[Difference, ...] = ()
    """What the two do not agree on, for a person to look at: the oldest first, thirty at most. It stands until it is explained."""
    more_differences: int = 0
    """How many further ones stand that are not listed."""
    resolved: tuple[Difference, ...] = ()
    """What was explained in the last thirty days: the latest first, ten at most."""
    not_compared: tuple[str, ...] = ()
    """Accounts at Stripe, with money of the merchant's, that did not answer: *platform*, or the id of a connected one."""


@noun("billing.payment_method", followed_by=("notifications", "todos", "gateway"))
class PaymentMethod(State):
    """What a customer pays with, kept at Stripe: a card or a bank account. Nobody here ever sees a card number.

    The same card given twice is one method. Removed: `deleted`, and what tells whose it was is null.
    """

    merchant_id: MerchantId
    customer_id: CustomerId
    """Whose it is."""
    kind: str
    """Stripe's word for its kind, such as `card` or `sepa_debit`."""
    brand: str | None = None
    """The card's brand, such as `visa`; of a bank account its bank's code."""
    last4: str | None = None
    """The last four digits; null once removed."""
    exp_month: int | None = None
    """The last month in which a card is valid, 1 to 12."""
    exp_year: int | None = None
    """Its year, four digits."""
    is_default: bool
    """What is charged unless a subscription names another one. A customer with methods has exactly one."""
    in_use: bool = False
    """A subscription that is running or paused charges it, by name or because it is the default."""
    working: bool = True
    """False after it expired, or after a decline that trying again does not heal."""
    failure: str | None = None
    """Why it does not work: *expired*; *account_changed*, its merchant takes payments through another account now, where it
    has to be given again; or Stripe's word for the decline, such as `stolen_card`."""
    billing_name: str | None = None
    """The name on the bill at the bank; null once removed."""
    billing_email: str | None = None
    """Likewise."""
    billing_country: str | None = None
    """ISO 3166-1 alpha-2; likewise."""
    added_at: AwareDatetime
    """When the customer gave it."""


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
    """The open checkout ended without money: it expired or failed. Or an automatic charge never reached the bank."""


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


@event("billing.defaults.changed.v1")
class BillingDefaultsChanged(Event[BillingDefaults]):
    """The merchant wants something else from now on. What exists stays as it is."""


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


@event("billing.subscription.created.v1")
class SubscriptionCreated(Event[Subscription]):
    """A member made it. It waits for the customer to accept it."""


@event("billing.subscription.link_email_requested.v1", handled_by=("notifications",))
class SubscriptionLinkEmailRequested(Event[Subscription]):
    """A member asked that the customer be mailed the link on which it is accepted."""


@event("billing.subscription.link_changed.v1")
class SubscriptionLinkChanged(Event[Subscription]):
    """The link on which it is accepted was withdrawn or made anew."""


@event("billing.subscription.payment_method_chosen.v1")
class SubscriptionPaymentMethodChosen(Event[Subscription]):
    """Somebody chose what its charges go to: one of the customer's methods, or their default one again."""


@event("billing.subscription.accepted.v1")
class SubscriptionAccepted(Event[Subscription]):
    """The customer accepted it: its first invoice is paid, or a payment method was given. It is active."""


@event("billing.subscription.renewed.v1")
class SubscriptionRenewed(Event[Subscription]):
    """An invoice was made for its next period or instalment."""


@event("billing.subscription.changed.v1")
class SubscriptionChanged(Event[Subscription]):
    """It changed without getting another state: a charge of it was paid, say."""


@event("billing.subscription.pause_planned.v1")
class SubscriptionPausePlanned(Event[Subscription]):
    """It is going to be paused on `pause_on`."""


@event("billing.subscription.paused.v1", handled_by=("notifications",))
class SubscriptionPaused(Event[Subscription]):
    """It is paused: nothing new is charged, what is open stays open."""


@event("billing.subscription.resumed.v1", handled_by=("notifications",))
class SubscriptionResumed(Event[Subscription]):
    """It goes on, or is not going to be paused after all."""


@event("billing.subscription.cancel_planned.v1")
class SubscriptionCancelPlanned(Event[Subscription]):
    """It is going to be cancelled on `cancel_on`; until then that can be undone."""


@event("billing.subscription.cancel_undone.v1")
class SubscriptionCancelUndone(Event[Subscription]):
    """It is not going to be cancelled after all."""


@event("billing.subscription.cancelled.v1", handled_by=("notifications",))
class SubscriptionCancelled(Event[Subscription]):
    """It has ended before its time. What is open stays open."""


@event("billing.subscription.completed.v1", handled_by=("notifications",))
class SubscriptionCompleted(Event[Subscription]):
    """It has ended as it was to: its last charge was made."""


@event("billing.subscription.change_requested.v1", handled_by=("notifications", "todos"))
class SubscriptionChangeRequested(Event[Subscription]):
    """A customer asks the merchant for a change that they may not make themselves."""

    wish: ChangeWish


@event("billing.invoice.refunded.v1")
class InvoiceRefunded(Event[Invoice]):
    """`amount_refunded` or `credit_notes` changed: money goes back, has gone back, or came back to us after all."""


@event("billing.invoice.disputed.v1")
class InvoiceDisputed(Event[Invoice]):
    """`amount_disputed` changed."""


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


@event("billing.reconciliation.finished.v1")
class ReconciliationFinished(Event[Reconciliation]):
    """The books were compared with Stripe's. At most once an hour per merchant while nothing new was found."""


@event("billing.payment_method.added.v1")
class PaymentMethodAdded(Event[PaymentMethod]):
    """A customer gave a method to pay with, here or at Stripe."""


@event("billing.payment_method.changed.v1")
class PaymentMethodChanged(Event[PaymentMethod]):
    """Its expiry, billing details or use changed, it works again, or another one has become the default."""


@event("billing.payment_method.made_default.v1")
class PaymentMethodMadeDefault(Event[PaymentMethod]):
    """It is what is charged from now on."""


@event("billing.payment_method.stopped_working.v1")
class PaymentMethodStoppedWorking(Event[PaymentMethod]):
    """It expired, or was declined for good: `failure` says why."""


@event("billing.payment_method.expiring.v1", handled_by=("notifications",))
class PaymentMethodExpiring(Event[PaymentMethod]):
    """It is valid for thirty days at most. Told once per method and expiry."""


@event("billing.payment_method.removed.v1")
class PaymentMethodRemoved(Event[PaymentMethod]):
    """It was taken away, here or at Stripe."""


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


class SubscriptionNotChangeable(Problem):
    """It does not stand so that this could be done. Member `why`: the reason's code."""

    status = 409
    title = "This subscription cannot be changed in this way now."


class ChangeNotPermitted(NotAllowed):
    """The customer's own, but the merchant has not permitted it. Members `why`: the reason's code, `ask`: always true."""

    title = "You may not change this yourself. Ask the merchant."


class NothingToRefund(Problem):
    """None of the invoice's (or the payment's) money is left to give back: refunded, disputed, or never arrived."""

    status = 409
    title = "There is no money left to give back."


class RefundRefused(Problem):
    """Stripe does not make this refund; the detail says why. No money has moved."""

    status = 409
    title = "Stripe does not make this refund."


class PaymentMethodInUse(Problem):
    """Subscriptions charge it: pick the one that takes its place. Member `subscriptions`: their ids."""

    status = 409
    title = "This payment method is in use. Choose which one takes its place."


# --- commands and questions -----------------------------------------------------------------------------------------


class NewLine(Strict):
    """A line as a member types it. `quantity` is a decimal string, `unit_amount` minor units; rates in percent."""

    description: Annotated[Line, Field(max_length=500)]
    quantity: Annotated[Decimal, Field(gt=0, le=1_000_000, decimal_places=4)] = Decimal(1)
    unit_amount: Amount
    tax_rate: Percent = Decimal(0)
    discount_percent: Percent = Decimal(0)
    reverse_charge: bool = False
    """The customer owes the tax; the rate must be 0 then."""


@command("billing.create_payment_link.v1")
class CreatePaymentLink(Command[Invoice]):
    """Make an invoice and, unless `draft`, open it: it gets a number and a public URL, by mail if `send_email`.

    `return_url` of a later checkout is the gateway's business. Refusals: InvalidInput, NotFound (customer), NotAllowed.
    """

    customer_id: CustomerId
    kind: Literal["one_time"] = "one_time"
    currency: Currency
    lines: Annotated[tuple[NewLine, ...], Field(min_length=1, max_length=200)]
    tax_inclusive: bool | None = None
    """Whether prices hold the tax already; null: as the merchant's defaults say."""
    due_on: date | None = None
    """Null: after as many days as the merchant's defaults say."""
    memo: Text | None = None
    """Not given: as the merchant's defaults say."""
    allow_partial: bool | None = None
    """Whether a part may be paid; null: as the merchant's defaults say."""
    link_expires_at: AwareDatetime | None = None
    """Until when the payment link shows it; not given: as the merchant's defaults say; null: no end."""
    send_email: bool = False
    draft: bool = False


@command("billing.replace_invoice.v1")
class ReplaceInvoice(CreatePaymentLink):
    """Withdraw an open invoice in favour of a new one for the same customer; the old payment link leads on to it.

    Refusals: those of CreatePaymentLink, and Conflict when money is on the old one or under way.
    """

    invoice_id: InvoiceId
    """The one to withdraw."""


@command("billing.open_invoice.v1")
class OpenInvoice(Command[Invoice]):
    """Open a draft; `link_expires_at` as in CreatePaymentLink. Refusals: NotFound, Conflict, InvalidInput."""

    invoice_id: InvoiceId
    link_expires_at: AwareDatetime | None = None
    send_email: bool = False


@command("billing.send_payment_link.v1")
class SendPaymentLink(Command[Invoice]):
    """Mail the payment link (again). Refusals: NotFound, InvoiceNotPayable, InvoiceAlreadyPaid."""

    invoice_id: InvoiceId


@command("billing.revoke_payment_link.v1")
class RevokePaymentLink(Command[Invoice]):
    """Withdraw the payment link alone: the invoice stays open in the portal. Refusals: NotFound, Conflict."""

    invoice_id: InvoiceId


@command("billing.renew_payment_link.v1")
class RenewPaymentLink(Command[Invoice]):
    """Make a new payment link for an open invoice; the old one is dead from now on.

    `link_expires_at` as in CreatePaymentLink. Refusals: NotFound, InvoiceNotPayable, InvoiceAlreadyPaid, InvalidInput.
    """

    invoice_id: InvoiceId
    link_expires_at: AwareDatetime | None = None
    send_email: bool = False


class FreshLink(Shape):
    """The answer to whoever asked for a fresh link: the same whether or not one was sent."""

    invoice_id: InvoiceId


@command("billing.request_fresh_link.v1")
class RequestFreshLink(Command[FreshLink]):
    """Mail a fresh payment link to the customer's address on record. The actor is *public*: whoever holds an expired one.

    Asked more than once an hour it sends nothing more. Refusals: NotFound, PayLinkNotUsable (it was revoked or replaced).
    """

    invoice_id: InvoiceId
    token_sha256: str
    """Of the link in their hands."""


@command("billing.change_defaults.v1")
class ChangeDefaults(Command[BillingDefaults]):
    """Change a merchant's defaults; only the fields that are given. Admins only. Refusals: NotAllowed, InvalidInput."""

    due_days: Annotated[int, Field(ge=0, le=365)] = 14
    tax_rate: Percent = Decimal(0)
    tax_inclusive: bool = False
    memo: Text | None = None
    allow_partial: bool = False
    link_days: Annotated[int, Field(ge=1, le=3650)] | None = None
    allow_customer_cancel: bool = False
    allow_customer_pause: bool = False
    minimum_payments: Annotated[int, Field(ge=0, le=120)] = 0
    retry_days: Annotated[tuple[Annotated[int, Field(ge=1, le=60)], ...], Field(max_length=10)] = (2, 7, 14, 21)
    after_last_retry: Literal["cancel", "keep"] = "cancel"
    plan_on_cancel: Literal["owe", "waive", "ask"] = "ask"
    renewal_notice_days: Annotated[int, Field(ge=0, le=30)] = 3


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
    `amount` is a part of what is payable, where the invoice allows that; null is all of it. Another amount than the open
    checkout's begins a new one.
    Refusals: InvoiceAlreadyPaid, InvoiceNotPayable, AmountNotChargeable, PayLinkNotUsable, PaymentsUnavailable, NotFound,
    InvalidInput (`amount`).
    """

    invoice_id: InvoiceId
    link_token_sha256: str | None = None
    amount: Annotated[int, Field(gt=0, le=99_999_999_999, strict=True)] | None = None
    return_path: Annotated[str, Field(pattern=r"^/[A-Za-z0-9_\-/.?=&]*$", max_length=500)]


class NewInterval(Strict):
    """How often; at most three years apart."""

    unit: Literal["day", "week", "month", "year"]
    count: int = 1


class NewEnd(Strict):
    """When it ends: one of the two."""

    after: int | None = None
    """After so many payments."""
    on: date | None = None
    """No period begins after this day."""


class NewInstalment(Strict):
    """One custom instalment. Only the first may go without a day, which means the day of acceptance."""

    due_on: date | None = None
    amount: Amount


@command("billing.create_subscription.v1")
class CreateSubscription(Command[Subscription]):
    """Make a subscription or a payment plan; it waits for the customer to accept it.

    Where it begins at once, its first invoice is opened (`first_invoice_id`) and paying that accepts it; with a trial or a
    start in the future nothing is due, and it has a link of its own. *recurring* needs an `interval`; *payment_plan* either
    `instalments`, or an `instalment_count` with an `interval`. `lines` are of one period, or of the whole plan. What is null
    is as the merchant's defaults say.
    Refusals: InvalidInput, NotFound (customer), NotAllowed.
    """

    customer_id: CustomerId
    kind: Literal["recurring", "payment_plan"]
    currency: Currency
    lines: Annotated[tuple[NewLine, ...], Field(min_length=1, max_length=200)]
    tax_inclusive: bool | None = None
    memo: Text | None = None
    interval: NewInterval | None = None
    starts_on: date | None = None
    trial_days: int = 0
    ends: NewEnd | None = None
    instalment_count: int | None = None
    instalments: Annotated[tuple[NewInstalment, ...], Field(max_length=200)] | None = None
    allow_customer_cancel: bool | None = None
    allow_customer_pause: bool | None = None
    minimum_payments: int | None = None
    after_last_retry: Literal["cancel", "keep"] | None = None
    plan_on_cancel: Literal["owe", "waive", "ask"] | None = None
    link_expires_at: AwareDatetime | None = None
    send_email: bool = False


@command("billing.send_subscription_link.v1")
class SendSubscriptionLink(Command[Subscription]):
    """Mail the link on which a pending subscription is accepted (again), a new one where the old one is dead.

    Refusals: NotFound, SubscriptionNotChangeable, InvalidInput (no e-mail address), NotAllowed.
    """

    subscription_id: SubscriptionId


@command("billing.renew_subscription_link.v1")
class RenewSubscriptionLink(Command[Subscription]):
    """Make a new link on which a pending subscription is accepted; the old one is dead from now on.

    `link_expires_at` as in CreatePaymentLink. Refusals: NotFound, SubscriptionNotChangeable, InvalidInput, NotAllowed.
    """

    subscription_id: SubscriptionId
    link_expires_at: AwareDatetime | None = None
    send_email: bool = False


@command("billing.revoke_subscription_link.v1")
class RevokeSubscriptionLink(Command[Subscription]):
    """Withdraw the link; the subscription goes on waiting for a new one. Refusals: NotFound, SubscriptionNotChangeable."""

    subscription_id: SubscriptionId


class FreshOffer(Shape):
    """The answer to whoever asked for a fresh link to an offer: the same whether or not one was sent."""

    subscription_id: SubscriptionId


@command("billing.request_fresh_offer.v1")
class RequestFreshOffer(Command[FreshOffer]):
    """Mail a fresh link to the customer's address on record. The actor is *public*: whoever holds an expired or old one.

    Asked more than once an hour it sends nothing more. Refusals: NotFound, PayLinkNotUsable (it was
    withdrawn), SubscriptionNotChangeable.
    """

    subscription_id: SubscriptionId
    token_sha256: str
    """Of the link in their hands."""


@command("billing.choose_subscription_method.v1")
class ChooseSubscriptionMethod(Command[Subscription]):
    """Choose what its charges go to from now on; null: the customer's default method.

    Members (admin, manager) may, and the customer's owner and billing contacts. Debt of it that could not be charged is
    charged to another method at once.
    Refusals: SubscriptionNotChangeable, InvalidInput (`payment_method_id`), NotAllowed, NotFound.
    """

    subscription_id: SubscriptionId
    payment_method_id: PaymentMethodId | None


@command("billing.pause_subscription.v1")
class PauseSubscription(Command[Subscription]):
    """Pause it now or from the end of what is charged, until a day or until it is resumed.

    A pause skips a subscription's charges and moves a plan's instalments. Members (admin, manager) may, and the customer's
    owner and billing contacts where it allows that.
    Refusals: SubscriptionNotChangeable, ChangeNotPermitted, InvalidInput (`until`), NotAllowed, NotFound.
    """

    subscription_id: SubscriptionId
    until: date | None = None
    """The first day after the pause."""
    when: Literal["now", "period_end"] = "now"


@command("billing.resume_subscription.v1")
class ResumeSubscription(Command[Subscription]):
    """End its pause, or take a planned one back. Who may, and refusals: as for PauseSubscription."""

    subscription_id: SubscriptionId


@command("billing.cancel_subscription.v1")
class CancelSubscription(Command[Subscription]):
    """Cancel it now or at the end of what is charged. Invoices that are open stay open.

    `rest` says what becomes of a plan's remaining instalments, where its `plan_on_cancel` is *ask*: *owe* is one last charge
    of their sum, or several where no card can be charged that. A pending one is cancelled by members alone, its first
    invoice is voided.
    Refusals: SubscriptionNotChangeable, ChangeNotPermitted, InvalidInput (`rest`), Conflict, NotAllowed, NotFound.
    """

    subscription_id: SubscriptionId
    when: Literal["now", "period_end"] = "now"
    rest: Literal["owe", "waive"] | None = None
    reason: Annotated[Text, Field(max_length=500)] | None = None


@command("billing.undo_cancel_subscription.v1")
class UndoCancelSubscription(Command[Subscription]):
    """Take a planned cancellation back. Who may, and refusals: as for PauseSubscription."""

    subscription_id: SubscriptionId


@command("billing.ask_about_subscription.v1")
class AskAboutSubscription(Command[Subscription]):
    """Ask the merchant for a change. The actor is a contact of its customer. Refusals: NotAllowed, NotFound."""

    subscription_id: SubscriptionId
    wish: Literal["pause", "resume", "cancel", "other"]
    note: Annotated[Text, Field(max_length=1000)] | None = None


class MovedCharge(Shape):
    """An instalment on another day."""

    old: PlannedCharge
    new: PlannedCharge | None = None
    """Null: not before somebody resumes the plan."""


class SubscriptionPreview(Shape):
    """What an action would change. The lists are empty when it may not be done."""

    allowed: bool
    why_not: str | None = None
    """The reason's code, such as *minimum-term*."""
    reason: str | None = None
    """The same as an English sentence."""
    ask: bool = False
    """The merchant may be asked for it."""
    disappear: tuple[PlannedCharge, ...] = ()
    """Charges that would not come."""
    move: tuple[MovedCharge, ...] = ()
    """Instalments that would come on another day."""
    come: tuple[PlannedCharge, ...] = ()
    """Charges that would come in addition."""
    effective_on: date | None = None
    """The day on which it would take place."""
    status: Literal["pending", "active", "paused", "cancelled", "completed"]
    """How it would stand afterwards."""
    next_charge: PlannedCharge | None = None
    """What would come next."""
    rest_amount: int = 0
    """What is left of a payment plan on that day, in minor units."""
    rest_needed: bool = False
    """Whoever cancels this plan has to say what becomes of the rest; the lists show *owe*."""


@question("billing.subscription_link.v1")
class SubscriptionLinkUrl(Question[MailFacts]):
    """The secret path of the page on which a subscription is accepted, for a member who copies it.

    Refusals: NotFound, PayLinkNotUsable.
    """

    subscription_id: SubscriptionId


@question("billing.preview_subscription.v1")
class PreviewSubscription(Question[SubscriptionPreview]):
    """What an action of the actor would change; exactly that happens when it is then done. Refusals: NotFound, InvalidInput."""

    subscription_id: SubscriptionId
    action: Literal["pause", "resume", "cancel", "undo_cancel"]
    until: date | None = None
    when: Literal["now", "period_end"] = "now"
    rest: Literal["owe", "waive"] | None = None


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


class SetupStarted(Shape):
    """Where the browser goes to give a payment method: Stripe's page, good for a day at most."""

    setup_url: str


@command("billing.accept_subscription.v1")
class AcceptSubscription(Command[SetupStarted]):
    """Open (or resume) the hosted page on which a customer accepts a subscription that asks for no money yet.

    The actor is an owner or billing contact of its customer, or *public*: whoever holds its link, then `link_token_sha256`
    must be the subscription's. The method that they give is charged from then on.
    Refusals: SubscriptionNotChangeable, PayLinkNotUsable, PaymentsUnavailable, NotAllowed, NotFound.
    """

    subscription_id: SubscriptionId
    link_token_sha256: str | None = None
    return_path: Annotated[str, Field(pattern=r"^/[A-Za-z0-9_\-/.?=&]*$", max_length=500)]


@command("billing.add_payment_method.v1")
class AddPaymentMethod(Command[SetupStarted]):
    """Open (or resume) the hosted page on which a customer gives a payment method; the method comes by its own event.

    The actor is a contact who looks after the customer's money (*owner*, *billing*), or a member (*admin*, *manager*) who
    hands the address on. `customer_id` is a member's to say. `return_path` is where the browser comes back to, relative to
    the portal's public address. Refusals: NotFound, NotAllowed, Conflict (a repeat whose page has ended),
    PaymentsUnavailable.
    """

    customer_id: CustomerId | None = None
    return_path: Annotated[str, Field(pattern=r"^/[A-Za-z0-9_\-/.?=&]*$", max_length=500)]


@command("billing.set_default_payment_method.v1")
class SetDefaultPaymentMethod(Command[PaymentMethod]):
    """Charge this one from now on; debt that could not be charged is charged to it at once.

    Refusals: NotFound, NotAllowed, Conflict (it does not work), PaymentsUnavailable.
    """

    payment_method_id: PaymentMethodId


@command("billing.update_payment_method.v1")
class UpdatePaymentMethod(Command[PaymentMethod]):
    """Change a card's expiry or the billing details; only fields that are in the request change, `null` clears.

    Refusals: NotFound, NotAllowed, InvalidInput (also what Stripe does not take), PaymentsUnavailable.
    """

    payment_method_id: PaymentMethodId
    exp_month: Annotated[int, Field(ge=1, le=12)] | None = None
    exp_year: Annotated[int, Field(ge=2000, le=2100)] | None = None
    billing_name: Line | None = None
    billing_email: EmailAddress | None = None
    billing_country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = None


@command("billing.remove_payment_method.v1")
class RemovePaymentMethod(Command[PaymentMethod]):
    """Take a method away. What charges it goes over to `replacement_id`, which becomes the default if this one was.

    Refusals: NotFound, NotAllowed, PaymentMethodInUse when a replacement is needed, InvalidInput for one that cannot be
    it, PaymentsUnavailable.
    """

    payment_method_id: PaymentMethodId
    replacement_id: PaymentMethodId | None = None


@question("billing.pay_link.v1")
class PayLinkUrl(Question[MailFacts]):
    """The secret path of an open invoice's public page, for a member who copies it. Refusals: NotFound, PayLinkNotUsable."""

    invoice_id: InvoiceId


class StripeAccount(Shape):
    """Where a merchant's money goes at Stripe."""

    account: str | None
    """Stripe's id of the merchant's connected account; null: the platform's own."""
    mode: Literal["live", "test"]
    """Whether our key moves real money."""
    since: AwareDatetime | None = None
    """Since when money goes there; null: from the beginning."""


@question("billing.stripe_account.v1")
class ReadStripeAccount(Question[StripeAccount]):
    """Where the asking member's merchant gets its money. Refusals: NotAllowed."""


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
    from_on: date
    to_on: date


@question("billing.statement_pdf.v1")
class StatementPdf(Question[Document]):
    """The same as PDF. Refusals: those of AccountStatement."""

    customer_id: CustomerId
    from_on: date
    to_on: date
    locale: str | None = None


@question("billing.mail_facts.v1", askers=("notifications", "gateway"))
class BillingMailFacts(Question[MailFacts]):
    """Is a mail about an invoice or a subscription still true?

    *payment_link*, while it is open: the path of its public page; `facts` is the invoice. *receipt*, which stays true:
    the same path, where the receipt can be got without an account; null when the link is dead. *card_expiring*, while the
    payment method of this id is there and about to expire: `facts` is the method. *payment_failed* and *confirm_payment*,
    while the invoice is open: the path of its public page, null when the link is dead; `facts` is the invoice.
    *subscription_link*, while the subscription waits to be accepted: the path of its public page. The other kinds, while it
    stands as they say; `facts` is the subscription, and for *renewal_ahead* `has_method`, whether there is a payment
    method that can be charged.
    """

    kind: Literal[
        "payment_link",
        "receipt",
        "payment_failed",
        "confirm_payment",
        "card_expiring",
        "subscription_link",
        "subscription_paused",
        "subscription_resumed",
        "subscription_cancelled",
        "subscription_completed",
        "renewal_ahead",
    ]
    id: InvoiceId | PaymentMethodId | SubscriptionId


@question("billing.republish.v1", askers=("notifications", "todos", "gateway"))
class RepublishBilling(Question[Republished]):
    """Send every current row of a noun to the asker's own queue."""

    noun: Literal[
        "invoice", "payment", "payment_method", "subscription", "defaults", "refund", "dispute", "reconciliation"
    ]
    to: Service
