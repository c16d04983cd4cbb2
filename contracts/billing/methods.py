"""Payment methods: kept at Stripe, mirrored here."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, Field

from ..message import (
    Command,
    Count,
    CustomerId,
    EmailAddress,
    Event,
    Line,
    MerchantId,
    PaymentMethodId,
    Problem,
    Shape,
    State,
    command,
    event,
    noun,
)


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


class PaymentMethodInUse(Problem):
    """Subscriptions charge it: pick the one that takes its place. Member `subscriptions`: their ids."""

    status = 409
    title = "This payment method is in use. Choose which one takes its place."


class SetupStarted(Shape):
    """Where the browser goes to give a payment method: Stripe's page, good for a day at most."""

    setup_url: str


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
    exp_month: Annotated[Count, Field(ge=1, le=12)] | None = None
    exp_year: Annotated[Count, Field(ge=2000, le=2100)] | None = None
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
