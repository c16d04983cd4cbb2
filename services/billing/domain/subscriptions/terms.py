"""The values of a subscription: what was agreed, how far it has come, what it charges next."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from pydantic import JsonValue

from contracts.message import FieldError
from services.billing.domain.periods import Interval, Period, interval_problems, nth
from services.billing.domain.plans import Instalment, Rest, instalment_problems

Kind = Literal["recurring", "payment_plan"]
Status = Literal["pending", "active", "paused", "cancelled", "completed"]
Action = Literal["accept", "pause", "resume", "cancel", "undo_cancel"]
By = Literal["customer", "merchant"]
When = Literal["now", "period_end"]

MOST_TRIAL_DAYS = 730
MOST_PAYMENTS = 1000
_YEARS_AHEAD = 10


@dataclass(frozen=True)
class Terms:
    """What was agreed. `amount` in minor units: of one period, or of a whole plan."""

    kind: Kind
    currency: str
    amount: int
    interval: Interval | None
    """None: a plan whose instalments have days of their own."""
    starts_on: date | None = None
    """None: on acceptance."""
    trial_days: int = 0
    ends_after: int | None = None
    ends_on: date | None = None
    instalments: tuple[Instalment, ...] = ()
    minimum_payments: int = 0
    allow_customer_cancel: bool = False
    allow_customer_pause: bool = False
    plan_on_cancel: Literal["owe", "waive", "ask"] = "ask"
    after_last_retry: Literal["cancel", "keep"] = "cancel"


@dataclass(frozen=True)
class Gap:
    """A pause `[from_on, until)`; `until` None: until it is resumed."""

    from_on: date
    until: date | None


@dataclass(frozen=True)
class Standing:
    """How far a subscription has come."""

    status: Status = "pending"
    anchor_on: date | None = None
    """The first day of the first period; set when it is accepted."""
    made: int = 0
    """Charges whose invoice was made; the next one has the number after it."""
    slot: int = 0
    """Recurring: the index of the period after the last one charged. Pauses are skipped when it is read, not here."""
    paid: int = 0
    """Payments that succeeded."""
    trial_until: date | None = None
    """The first day after the trial."""
    pause_on: date | None = None
    """The day of a scheduled pause."""
    paused_on: date | None = None
    """The first day of the pause it is in."""
    resumes_on: date | None = None
    """The first day after the pause, scheduled or present; None: until it is resumed."""
    paused_by: By | None = None
    pauses: tuple[Gap, ...] = ()
    """Recurring: pauses that are over, kept until a charge after them is made: an outage may have kept earlier ones back."""
    cancel_on: date | None = None
    """The day of a scheduled cancellation: nothing of that day or later is charged."""
    cancel_rest: Rest | None = None
    cancelled_by: By | None = None
    ended_on: date | None = None
    """The first day on which it was cancelled or completed."""
    instalments: tuple[Instalment, ...] = ()
    """A plan's, as they now stand; the first `made` have invoices. Present pauses move them only when they end."""

    @property
    def gap(self) -> Gap | None:
        """The present pause, or else the scheduled one."""
        start = self.paused_on or self.pause_on
        return Gap(start, self.resumes_on) if start else None


@dataclass(frozen=True)
class Charge:
    """One invoice to be made on a day: of a period, of an instalment, or of a cancelled plan's rest.

    `instalment` is the instalment's number; a rest has that of the first one in it.
    """

    number: int
    on: date
    amount: int
    period: Period | None = None
    instalment: int | None = None


def terms_problems(terms: Terms, today: date) -> list[FieldError]:
    """What is wrong with the terms, each named by its field. The amount of a period is the invoice's to judge."""
    found = interval_problems(terms.interval) if terms.interval else []
    if terms.kind == "recurring":
        found += _recurring_problems(terms, today)
    else:
        found += instalment_problems(terms.currency, terms.amount, terms.instalments, today)
        if terms.interval is None and any(each.due_on is None for each in terms.instalments[1:]):
            found.append(
                _error("instalments", "instalments-without-days", "The instalments need an interval or dates.")
            )
    latest = nth(today, Interval("year"), _YEARS_AHEAD)
    if terms.starts_on is not None and not today <= terms.starts_on <= latest:
        message = f"The start must be between {today} and {latest}."
        found.append(_error("starts_on", "start-out-of-range", message, first=_day(today), last=_day(latest)))
    found += _range_problem("minimum_payments", terms.minimum_payments, 0, _most_payments(terms))
    return found


def _recurring_problems(terms: Terms, today: date) -> list[FieldError]:
    found = [] if terms.interval else [_error("interval", "interval-missing", "A recurring invoice needs an interval.")]
    found += _range_problem("trial_days", terms.trial_days, 0, MOST_TRIAL_DAYS)
    if terms.ends_after is not None:
        found += _range_problem("ends.after", terms.ends_after, 1, MOST_PAYMENTS)
    # A charge that the trial puts off beyond the end never comes, and nobody could accept that.
    free = timedelta(days=min(max(terms.trial_days, 0), MOST_TRIAL_DAYS))
    first = min(max(terms.starts_on or today, today), date.max - free) + free
    if terms.ends_on is not None and terms.ends_on < first:
        message = f"The end must be on {first} or later."
        found.append(_error("ends.on", "end-before-start", message, first=_day(first)))
    return found


def _most_payments(terms: Terms) -> int:
    if terms.kind == "payment_plan":
        return len(terms.instalments)
    # Fewer than none is wrong by itself, and nothing else is wrong with the minimum then.
    return max(terms.ends_after or MOST_PAYMENTS, 0)


def _range_problem(field: str, value: int, least: int, most: int) -> list[FieldError]:
    if least <= value <= most:
        return []
    message = f"This must be between {least} and {most}."
    return [_error(field, "number-out-of-range", message, least=str(least), most=str(most))]


def _error(field: str, code: str, message: str, **values: JsonValue) -> FieldError:
    return FieldError(field=field, message=message, code=code, values=values)


def _day(day: date) -> JsonValue:
    return {"date": day.isoformat()}
