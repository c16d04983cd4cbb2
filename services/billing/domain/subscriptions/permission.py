"""Who may do what to a subscription, and the sentence that says why not."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import assert_never

from contracts.message import FieldError
from services.billing.domain.subscriptions.changes import period_end
from services.billing.domain.subscriptions.schedule import next_charge, turned
from services.billing.domain.subscriptions.terms import Action, By, Standing, Terms, When

MOST_PAUSED_DAYS = 730
"""A longer pause is one until it is resumed."""


@dataclass(frozen=True)
class Refused:
    """Why not: `code` for whoever words it in another language, `sentence` in English."""

    code: str
    sentence: str


def why_not(terms: Terms, standing: Standing, action: Action, today: date, by: By) -> Refused | None:
    """The reason why this may not be done today; None: it may. The state is named before the permission."""
    now = turned(terms, standing, today)
    match action:
        case "accept":
            return _why_not_accepted(terms, now, today)
        case "pause":
            return _why_not_paused(terms, now, by)
        case "resume":
            return _why_not_resumed(terms, now, by)
        case "cancel":
            return _why_not_cancelled(terms, now, by)
        case "undo_cancel":
            return _why_not_undone(terms, now, by)
        case _:
            assert_never(action)


def _why_not_accepted(terms: Terms, now: Standing, today: date) -> Refused | None:
    if now.status != "pending":
        return Refused("not-pending", f"It is {now.status} already.")
    first = max(terms.starts_on or today, today) + timedelta(days=terms.trial_days)
    if terms.ends_on is not None and first > terms.ends_on:
        return Refused("over", f"This offer ended on {terms.ends_on}.")
    return None


def _why_not_paused(terms: Terms, now: Standing, by: By) -> Refused | None:
    if refused := why_not_changed(now):
        return refused
    if now.status == "paused":
        return Refused("already-paused", "It is paused already.")
    if now.cancel_on is not None:
        return Refused("ends-anyway", f"It is cancelled on {now.cancel_on}. Undo that first.")
    if next_charge(terms, now) is None and now.pause_on is None:
        return Refused("nothing-left", "There is no charge left that a pause could move.")
    if by == "customer" and not terms.allow_customer_pause:
        return Refused("pause-not-allowed", "Only the merchant can pause this.")
    return None


def _why_not_resumed(terms: Terms, now: Standing, by: By) -> Refused | None:
    if refused := why_not_changed(now):
        return refused
    if now.status != "paused" and now.pause_on is None:
        return Refused("not-paused", "It is not paused.")
    if by == "customer" and (now.paused_by == "merchant" or not terms.allow_customer_pause):
        return Refused("resume-not-allowed", "Only the merchant can resume this.")
    return None


def _why_not_cancelled(terms: Terms, now: Standing, by: By) -> Refused | None:
    # What was not accepted is an offer, and those the merchant alone takes back.
    if (now.status != "pending" or by == "customer") and (refused := why_not_changed(now)):
        return refused
    if by == "merchant":
        return None
    if not terms.allow_customer_cancel:
        return Refused("cancel-not-allowed", "Only the merchant can cancel this.")
    if now.paid < terms.minimum_payments:
        left = terms.minimum_payments - now.paid
        sentence = f"It can be cancelled after {terms.minimum_payments} payments; {left} are still to come."
        return Refused("minimum-term", sentence)
    if terms.kind == "payment_plan" and terms.plan_on_cancel == "ask":
        return Refused("rest-undecided", "The merchant decides what becomes of the remaining instalments. Ask them.")
    return None


def _why_not_undone(terms: Terms, now: Standing, by: By) -> Refused | None:
    if refused := why_not_changed(now):
        return refused
    if now.cancel_on is None:
        return Refused("not-cancelled", "No cancellation is scheduled.")
    if by == "customer" and (now.cancelled_by == "merchant" or not terms.allow_customer_cancel):
        return Refused("undo-not-allowed", "Only the merchant can undo this cancellation.")
    return None


def why_not_changed(now: Standing) -> Refused | None:
    """The reason why nothing can be changed about it at all; None: it runs, or is paused."""
    if now.status == "pending":
        return Refused("not-accepted", "The customer has not accepted it yet.")
    if now.status in ("cancelled", "completed"):
        return Refused(f"already-{now.status}", f"It is {now.status} already.")
    return None


def pause_problems(
    terms: Terms, standing: Standing, today: date, until: date | None, when: When = "now"
) -> list[FieldError]:
    """What is wrong with the end of a pause that is otherwise allowed."""
    if until is None:
        return []
    now = turned(terms, standing, today)
    start = period_end(terms, now, today) if when == "period_end" else today
    first, last = start + timedelta(days=1), start + timedelta(days=MOST_PAUSED_DAYS)
    if first <= until <= last:
        return []
    message = f"The pause must end between {first} and {last}."
    values = {"first": {"date": first.isoformat()}, "last": {"date": last.isoformat()}}
    return [FieldError(field="until", code="pause-end-out-of-range", message=message, values={**values})]
