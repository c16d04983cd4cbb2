"""What money that arrived does to an invoice. Success beats every other state of a payment."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias

from contracts.message import Money
from services.billing.domain.invoices import Balance

PaymentStatus = Literal["created", "processing", "succeeded", "failed", "requires_action", "unknown"]

UNENDED: tuple[PaymentStatus, ...] = ("created", "processing", "requires_action", "unknown")
"""What an attempt may be before it has an end. The partial unique index of the migration names all but *processing*."""


@dataclass(frozen=True)
class Collected:
    """Money that the processor says it took, and the attempt it was taken for.

    `intent` is the processor's id of the movement, `recorded_intent` the one that this attempt already succeeded with.
    """

    asked: Money
    took: Money
    intent: str | None
    succeeded_before: bool = False
    recorded_intent: str | None = None


@dataclass(frozen=True)
class Settled:
    """Nothing is due any more. `applied` settled it; `surplus` is what came on top of it and is to be given back."""

    applied: int
    surplus: int
    paid_at: datetime


@dataclass(frozen=True)
class PartPaid:
    """Some is still due."""

    applied: int
    still_due: int


@dataclass(frozen=True)
class AlreadyPaid:
    """Nothing was due (paid or void): all of it is to be given back, the invoice stays as it is."""

    surplus: int


@dataclass(frozen=True)
class AlreadyRecorded:
    """The same movement is in our books: nothing changes."""


@dataclass(frozen=True)
class WrongAmount:
    """Not what this attempt asked for: nothing may be settled with it before a person has looked."""

    asked: Money
    took: Money


Settlement: TypeAlias = Settled | PartPaid | AlreadyPaid | AlreadyRecorded | WrongAmount


def settle(invoice: Balance, payment: Collected, now: datetime) -> Settlement:
    """Decide what `payment` does to `invoice` at `now`.

    A second movement of the same attempt (another `intent`) is decided like a payment of its own.
    """
    same = payment.intent is None or payment.recorded_intent is None or payment.intent == payment.recorded_intent
    if payment.succeeded_before and same:
        return AlreadyRecorded()
    if payment.took != payment.asked or invoice.currency != payment.took.currency:
        return WrongAmount(payment.asked, payment.took)
    amount = payment.took.amount
    # Money on an invoice that was given up pays it after all; on a withdrawn one nothing is owed.
    owed = invoice.due if invoice.status in ("open", "uncollectible") else 0
    if owed == 0:
        return AlreadyPaid(amount)
    if amount < owed:
        return PartPaid(amount, owed - amount)
    return Settled(owed, amount - owed, now)
