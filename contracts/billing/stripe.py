"""The account at Stripe that gets the money, and our books compared with it."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime

from ..message import Currency, Event, MerchantId, Question, Shape, State, event, noun, question


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


class NotCompared(Shape):
    """An account at Stripe, with money of the merchant's, that could not be compared."""

    account: str
    """*platform*, or the id of a connected one."""
    why: Literal["account_closed", "key_refused", "rate_limited", "no_answer", "failed"]
    """*account_closed*: our key may not look at it any more. *key_refused*: Stripe takes our key nowhere. *rate_limited*: we are
    to ask less often. *failed*: what was there could not be compared, our log says why."""


@noun("billing.reconciliation", followed_by=("gateway",))
class Reconciliation(State):
    """The last comparison of a merchant's books with Stripe's, at all accounts where it has money. Its id is the merchant's."""

    merchant_id: MerchantId
    finished_at: AwareDatetime
    """When it ended. Said again at least every other hour: where it is older, no comparison has succeeded since.

    From the third hour on `why_not_compared` says why, beside what the last one found.
    """
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
    """Accounts at Stripe, with money of the merchant's, that could not be compared: *platform*, or the id of a connected one."""
    why_not_compared: tuple[NotCompared, ...] = ()
    """The same accounts, each with the reason; none of results from before reasons were kept."""


@event("billing.reconciliation.finished.v1")
class ReconciliationFinished(Event[Reconciliation]):
    """The books were compared with Stripe's. At most once an hour per merchant while nothing new was found."""


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
