"""What people decide: pause, resume, cancel, undo. Whether they may is `permission.why_not`'s, asked before.

Each first lets take place what the calendar has brought until today, so it does not matter how late that is noticed.
"""

from dataclasses import replace
from datetime import date

from services.billing.domain.periods import nth
from services.billing.domain.plans import Rest
from services.billing.domain.subscriptions.schedule import (
    calendar,
    charged,
    due,
    end_cancelled,
    end_pause,
    projected,
    turned,
)
from services.billing.domain.subscriptions.terms import By, Standing, Terms, When


def pause(terms: Terms, standing: Standing, today: date, until: date | None, *, when: When = "now", by: By) -> Standing:
    """Skip every charge from today, or from the period's end, on; before `until`, or until it is resumed."""
    now = turned(terms, standing, today)
    _require(now.status == "active", now)
    start = period_end(terms, now, today) if when == "period_end" else today
    if until is not None and until <= start:
        raise ValueError(f"A pause from {start} cannot end on {until}.")
    if start <= today:
        return replace(now, status="paused", pause_on=None, paused_on=today, resumes_on=until, paused_by=by)
    return replace(now, pause_on=start, resumes_on=until, paused_by=by)


def resume(terms: Terms, standing: Standing, today: date) -> Standing:
    """End the pause today, or take back a scheduled one."""
    now = turned(terms, standing, today)
    if now.pause_on is not None:
        return replace(now, pause_on=None, resumes_on=None, paused_by=None)
    _require(now.status == "paused", now)
    return end_pause(terms, now, today)


def cancel(terms: Terms, standing: Standing, today: date, when: When, rest: Rest | None = None, *, by: By) -> Standing:
    """Cancel today or at the period's end. `rest` is for plans; None: as the terms say (ValueError when they say *ask*)."""
    now = turned(terms, standing, today)
    if now.status == "pending":
        return replace(now, status="cancelled", ended_on=today, cancelled_by=by)
    _require(now.status in ("active", "paused"), now)
    chosen = _chosen(terms, rest)
    day = period_end(terms, now, today) if when == "period_end" else today
    scheduled = replace(now, cancel_on=day, cancel_rest=chosen, cancelled_by=by)
    return scheduled if day > today else end_cancelled(terms, scheduled, day)


def _chosen(terms: Terms, rest: Rest | None) -> Rest | None:
    if terms.kind == "recurring":
        return None
    if rest is None and terms.plan_on_cancel == "ask":
        raise ValueError("What becomes of the plan's rest has not been decided.")
    return rest or ("waive" if terms.plan_on_cancel == "waive" else "owe")


def undo_cancel(terms: Terms, standing: Standing, today: date) -> Standing:
    """Take a scheduled cancellation back: as if it had never been."""
    now = turned(terms, standing, today)
    _require(now.cancel_on is not None, now)
    return replace(now, cancel_on=None, cancel_rest=None, cancelled_by=None)


def after_last_retry(terms: Terms, standing: Standing, today: date) -> Standing:
    """The last retry of one of its invoices failed: cancelled now, or kept, as agreed; an ended one stays as it is.

    Nobody is there to ask about a plan's rest: then it is owed, since the merchant can still waive an invoice.
    """
    now = turned(terms, standing, today)
    if terms.after_last_retry == "keep" or now.status not in ("active", "paused"):
        return now
    rest: Rest = "waive" if terms.plan_on_cancel == "waive" else "owe"
    return cancel(terms, now, today, "now", rest, by="merchant")


def period_end(terms: Terms, standing: Standing, today: date) -> date:
    """The end of what is charged until today; today when nothing is paid for any more. See the package's description."""
    undisturbed = replace(standing, cancel_on=None, cancel_rest=None, pause_on=None)
    while charge := due(terms, undisturbed, today):
        undisturbed = charged(terms, undisturbed, charge)
    if terms.kind == "recurring":
        return max(nth(*calendar(terms, undisturbed), undisturbed.slot), today)
    open_ones = projected(terms, undisturbed)[undisturbed.made :]
    return (open_ones[0].due_on if open_ones else None) or today


def _require(fits: bool, standing: Standing) -> None:
    if not fits:
        raise ValueError(f"This cannot be done: the subscription is {standing.status}.")
