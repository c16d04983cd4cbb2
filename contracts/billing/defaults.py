"""What a merchant presets for new payment links and for collecting."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field

from ..message import Command, Count, Event, Flag, MerchantId, Percent, State, Text, command, event, noun


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
    """How many payments a customer makes before they may cancel."""
    retry_days: tuple[int, ...] = (2, 7, 14, 21)
    """On which days after the first failure an automatic charge is tried again."""
    after_last_retry: Literal["cancel", "keep"] = "cancel"
    """What becomes of a subscription when the last retry has failed."""
    plan_on_cancel: Literal["owe", "waive", "ask"] = "ask"
    """What a customer who cancels a payment plan does about the rest: owes it, need not pay it, or asks the merchant."""
    renewal_notice_days: int = 3
    """How many days before a renewal its customer is told."""


@event("billing.defaults.changed.v1")
class BillingDefaultsChanged(Event[BillingDefaults]):
    """The merchant wants something else from now on. What exists stays as it is."""


@command("billing.change_defaults.v1")
class ChangeDefaults(Command[BillingDefaults]):
    """Change a merchant's defaults; only the fields that are given. Admins only. Refusals: NotAllowed, InvalidInput."""

    due_days: Annotated[Count, Field(ge=0, le=365)] = 14
    tax_rate: Percent = Decimal(0)
    tax_inclusive: Flag = False
    memo: Text | None = None
    allow_partial: Flag = False
    link_days: Annotated[Count, Field(ge=1, le=3650)] | None = None
    allow_customer_cancel: Flag = False
    allow_customer_pause: Flag = False
    minimum_payments: Annotated[Count, Field(ge=0, le=120)] = 0
    retry_days: Annotated[tuple[Annotated[Count, Field(ge=1, le=60)], ...], Field(max_length=10)] = (2, 7, 14, 21)
    after_last_retry: Literal["cancel", "keep"] = "cancel"
    plan_on_cancel: Literal["owe", "waive", "ask"] = "ask"
    renewal_notice_days: Annotated[Count, Field(ge=0, le=30)] = 3
