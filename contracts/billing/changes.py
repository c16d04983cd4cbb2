"""Pausing, resuming and cancelling a subscription, with a preview of what that changes."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from ..message import (
    Command,
    Day,
    NotAllowed,
    PaymentMethodId,
    Problem,
    Question,
    Shape,
    SubscriptionId,
    Text,
    command,
    question,
)
from .subscriptions import PlannedCharge, Subscription


class SubscriptionNotChangeable(Problem):
    """It does not stand so that this could be done. Member `why`: the reason's code."""

    status = 409
    title = "This subscription cannot be changed in this way now."


class ChangeNotPermitted(NotAllowed):
    """The customer's own, but the merchant has not permitted it. Members `why`: the reason's code, `ask`: always true."""

    title = "You may not change this yourself. Ask the merchant."


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
    until: Day | None = None
    """The first day after the pause."""
    when: Literal["now", "period_end"] = "now"


@command("billing.resume_subscription.v1")
class ResumeSubscription(Command[Subscription]):
    """End its pause, or take a planned one back. Who may, and refusals: as for PauseSubscription."""

    subscription_id: SubscriptionId


@command("billing.cancel_subscription.v1")
class CancelSubscription(Command[Subscription]):
    """Cancel it now or at the end of what is charged. Invoices that are open stay open.

    `rest` says what becomes of a plan's remaining instalments, where its `plan_on_cancel` is *ask*, and is refused of others
    than members and plans: *owe* is one last charge
    of their sum, or several where no card can be charged that. A pending one is cancelled by members alone, its first
    invoice is voided; it has no `rest` yet, and is refused with one.
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
    """Ask the merchant for a change. The actor is a contact of its customer.

    Refusals: SubscriptionNotChangeable (it is over), NotAllowed, NotFound.
    """

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


@question("billing.preview_subscription.v1")
class PreviewSubscription(Question[SubscriptionPreview]):
    """What an action of the actor would change; exactly that happens when it is then done.

    `until` belongs to *pause*, `rest` to *cancel* and *period_end* to both, as in their commands; given with another
    action each is refused.
    Refusals: NotFound, InvalidInput.
    """

    subscription_id: SubscriptionId
    action: Literal["pause", "resume", "cancel", "undo_cancel"]
    until: Day | None = None
    when: Literal["now", "period_end"] = "now"
    rest: Literal["owe", "waive"] | None = None
