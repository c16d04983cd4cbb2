"""What invoices and subscriptions are made of: lines, tax, parties, periods, receipts, credit notes."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from ..message import Address, Amount, Count, Flag, InvoiceId, Line, PaymentId, Percent, RefundId, Shape, Strict


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
    """When the next charge, or the next reminder, is due; null: none is planned."""
    last_failure: Decline | None = None
    """Why the last one failed."""
    confirm: bool = False
    """The customer's bank wants them to confirm the charge themselves, through the payment link."""
    exhausted: bool = False
    """The last retry has failed."""
    attempted: bool = True
    """False: the last charge was not even tried, since there was nothing to charge, or it would have been in vain."""
    declined_for_good: bool = False
    """The bank says that this payment method will never work. It is not charged again: `next_try_at` brings a reminder."""


class Interval(Shape):
    """How often something comes: every `count` units."""

    unit: Literal["day", "week", "month", "year"]
    """Of what."""
    count: int = 1
    """How many of them lie between one and the next."""


class NewLine(Strict):
    """A line as a member types it. `quantity` is a decimal string, `unit_amount` minor units; rates in percent."""

    description: Annotated[Line, Field(max_length=500)]
    quantity: Annotated[Decimal, Field(gt=0, le=1_000_000, decimal_places=4)] = Decimal(1)
    unit_amount: Amount
    tax_rate: Percent = Decimal(0)
    discount_percent: Percent = Decimal(0)
    reverse_charge: Flag = False
    """The customer owes the tax; the rate must be 0 then."""


class NewInterval(Strict):
    """How often; at most three years apart."""

    unit: Literal["day", "week", "month", "year"]
    count: Count = 1
