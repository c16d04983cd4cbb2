"""Subscriptions and payment plans: what was agreed, and what becomes of it."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import AwareDatetime

from ..message import Currency, CustomerId, Event, InvoiceId, MerchantId, PaymentMethodId, Shape, State, event, noun
from .shapes import Interval, LineItem, PayLink, Period, TaxLine


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
    """So many payments must have been made before the customer may cancel."""
    after_last_retry: Literal["cancel", "keep"] = "cancel"
    """What becomes of it when the last retry of a charge has failed."""
    plan_on_cancel: Literal["owe", "waive", "ask"] = "ask"
    """What becomes of a cancelled plan's remaining instalments; *ask*: whoever cancels says it."""
    payment_method_id: PaymentMethodId | None = None
    """What is charged: the method that it was accepted with, or another one chosen since; null: the customer's default."""
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
    """Somebody chose what its charges go to: one of the customer's methods, or their default one again.

    Also when the method that it was accepted with is mirrored only after that.
    """


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


@event("billing.subscription.cancel_planned.v1", handled_by=("notifications",))
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
