"""A subscription's beginning: offered, sent, accepted."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ..message import (
    Amount,
    Command,
    Count,
    Currency,
    CustomerId,
    Day,
    Flag,
    MailFacts,
    Moment,
    Question,
    Shape,
    Strict,
    SubscriptionId,
    Text,
    command,
    question,
)
from .methods import SetupStarted
from .shapes import NewInterval, NewLine
from .subscriptions import Subscription


class NewEnd(Strict):
    """When it ends: one of the two."""

    after: Count | None = None
    """After so many payments."""
    on: Day | None = None
    """No period begins after this day."""


class NewInstalment(Strict):
    """One custom instalment. Only the first may go without a day, which means the day of acceptance."""

    due_on: Day | None = None
    amount: Amount


@command("billing.create_subscription.v1")
class CreateSubscription(Command[Subscription]):
    """Make a subscription or a payment plan; it waits for the customer to accept it.

    Where it begins at once, its first invoice is opened (`first_invoice_id`) and paying that accepts it, with what it is then
    charged to; with a trial or a start in the future nothing is due, and it has a link of its own. *recurring* needs an `interval`; *payment_plan* either
    `instalments`, or an `instalment_count` with an `interval`. `lines` are of one period, or of the whole plan. What is null
    is as the merchant's defaults say.
    Refusals: InvalidInput, NotFound (customer), NotAllowed.
    """

    customer_id: CustomerId
    kind: Literal["recurring", "payment_plan"]
    currency: Currency
    lines: Annotated[tuple[NewLine, ...], Field(min_length=1, max_length=200)]
    tax_inclusive: Flag | None = None
    memo: Text | None = None
    interval: NewInterval | None = None
    starts_on: Day | None = None
    trial_days: Count = 0
    ends: NewEnd | None = None
    instalment_count: Count | None = None
    instalments: Annotated[tuple[NewInstalment, ...], Field(max_length=200)] | None = None
    allow_customer_cancel: Flag | None = None
    allow_customer_pause: Flag | None = None
    minimum_payments: Count | None = None
    after_last_retry: Literal["cancel", "keep"] | None = None
    plan_on_cancel: Literal["owe", "waive", "ask"] | None = None
    link_expires_at: Moment | None = None
    send_email: Flag = False


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
    link_expires_at: Moment | None = None
    send_email: Flag = False


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


@question("billing.subscription_link.v1")
class SubscriptionLinkUrl(Question[MailFacts]):
    """The secret path of the page on which a subscription is accepted, for a member who copies it.

    Refusals: NotFound, PayLinkNotUsable, SubscriptionNotChangeable (it is accepted, or its first invoice has the link).
    """

    subscription_id: SubscriptionId


@command("billing.accept_subscription.v1")
class AcceptSubscription(Command[SetupStarted]):
    """Open (or resume) the hosted page on which a customer accepts a subscription that asks for no money yet.

    The actor is an owner or billing contact of its customer, or *public*: whoever holds its link, then `link_token_sha256`
    must be the subscription's. The method that they give is charged from then on, whatever the customer's default is: it is
    the subscription's `payment_method_id` as soon as it is mirrored, or the default itself, which is not named.
    Refusals: SubscriptionNotChangeable, PayLinkNotUsable, PaymentsUnavailable, NotAllowed, NotFound.
    """

    subscription_id: SubscriptionId
    link_token_sha256: str | None = None
    return_path: Annotated[str, Field(pattern=r"^/[A-Za-z0-9_\-/.?=&]*$", max_length=500)]
