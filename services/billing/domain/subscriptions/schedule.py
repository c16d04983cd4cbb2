"""What the calendar brings: the next charge, and the pauses, ends and cancellations whose day has come."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

from services.billing.domain import plans
from services.billing.domain.currencies import largest_charge
from services.billing.domain.periods import Interval, first_from, nth, period
from services.billing.domain.plans import Instalment
from services.billing.domain.subscriptions.terms import Charge, Gap, Standing, Terms

_NEXT_DAY = timedelta(days=1)


def accept(terms: Terms, standing: Standing, today: date) -> Standing:
    """Pending -> active: the customer agreed today. The anchor is the start, or today when that is past, after the trial."""
    _require(standing, "pending")
    anchor = max(terms.starts_on or today, today) + timedelta(days=terms.trial_days)
    return replace(
        standing,
        status="active",
        anchor_on=anchor,
        trial_until=anchor if terms.trial_days else None,
        instalments=plans.dated(terms.instalments, anchor, terms.interval),
    )


def next_charge(terms: Terms, standing: Standing) -> Charge | None:
    """The charge that comes next, whenever that is; None: none, or not before the subscription is resumed."""
    if standing.anchor_on is None or standing.status == "completed":
        return None
    if terms.kind == "recurring":
        return _next_period(terms, standing)
    return _next_instalment(terms, standing)


def _next_period(terms: Terms, standing: Standing) -> Charge | None:
    anchor, interval = calendar(terms, standing)
    slot = standing.slot
    day = nth(anchor, interval, slot)
    for gap in (*standing.pauses, *([standing.gap] if standing.gap else [])):
        if gap.from_on <= day and (gap.until is None or day < gap.until):
            if gap.until is None:
                return None
            slot = first_from(anchor, interval, gap.until)
            day = nth(anchor, interval, slot)
    end = standing.ended_on or standing.cancel_on
    if (terms.ends_after is not None and standing.made >= terms.ends_after) or (end is not None and day >= end):
        return None
    if terms.ends_on is not None and day > terms.ends_on:
        return None
    return Charge(standing.made + 1, day, terms.amount, period=period(anchor, interval, slot))


def _next_instalment(terms: Terms, standing: Standing) -> Charge | None:
    open_ones = projected(terms, standing)[standing.made :]
    if not open_ones or open_ones[0].due_on is None:
        return None
    first = open_ones[0]
    assert first.due_on is not None, "Checked above; only a pause takes the day away."
    return Charge(standing.made + 1, first.due_on, first.amount, instalment=first.number)


def projected(terms: Terms, standing: Standing) -> tuple[Instalment, ...]:
    """A plan's instalments as they will be once its pause and its scheduled cancellation are over.

    `due_on` is None for those that wait until the plan is resumed.
    """
    made, open_ones = standing.instalments[: standing.made], standing.instalments[standing.made :]
    assert standing.anchor_on is not None, "A pending plan has no days."
    if standing.gap:
        gap = standing.gap
        open_ones = plans.moved(open_ones, gap.from_on, gap.until, standing.anchor_on, terms.interval)
    if standing.cancel_on:
        assert standing.cancel_rest is not None, "A plan is cancelled with a choice."
        open_ones = plans.cut(open_ones, standing.cancel_on, standing.cancel_rest, largest_charge(terms.currency))
    return (*made, *open_ones)


def due(terms: Terms, standing: Standing, today: date) -> Charge | None:
    """The oldest charge whose day has come. After an outage: one at a time, each followed by `charged`."""
    charge = next_charge(terms, standing)
    return charge if charge is not None and charge.on <= today else None


def charged(terms: Terms, standing: Standing, charge: Charge) -> Standing:
    """After `charge`'s invoice was made. What the calendar brought until its day takes place first.

    Raises ValueError when it is not the next charge: another run has made it, and nobody may be charged twice.
    """
    now = turned(terms, standing, charge.on)
    if next_charge(terms, now) != charge:
        raise ValueError(f"Charge {charge.number} of {charge.on} is not the one that comes next.")
    made = now.made + 1
    if charge.period is None:
        finished = made == len(now.instalments) and now.status in ("active", "paused")
        return replace(complete(now, charge.on) if finished else now, made=made)
    anchor, interval = calendar(terms, now)
    pauses = tuple(gap for gap in now.pauses if gap.until is None or gap.until > charge.on)
    return replace(now, made=made, slot=first_from(anchor, interval, charge.period.until), pauses=pauses)


def upcoming(terms: Terms, standing: Standing, count: int, until: date | None = None) -> tuple[Charge, ...]:
    """At most `count` next charges, those after `until` left out; scheduled changes are taken into account."""
    charges: list[Charge] = []
    while len(charges) < count and (charge := next_charge(terms, standing)) and (until is None or charge.on <= until):
        charges.append(charge)
        standing = charged(terms, standing, charge)
    return tuple(charges)


def turn(terms: Terms, standing: Standing, today: date) -> Standing | None:
    """The oldest scheduled change whose day has come, taken place: a cancellation, an end, a pause, its end. None: none.

    On one day a cancellation comes before an end, an end before a pause. Call it until it says None.
    """
    if standing.status not in ("active", "paused"):
        return None
    changes: list[tuple[date, Callable[[Terms, Standing, date], Standing]]] = []
    if standing.cancel_on:
        changes.append((standing.cancel_on, end_cancelled))
    if over := _over_on(terms, standing):
        changes.append((over, lambda _, before, day: complete(before, day)))
    if standing.pause_on:
        changes.append((standing.pause_on, _begin_pause))
    if standing.paused_on and standing.resumes_on:
        changes.append((standing.resumes_on, end_pause))
    come = [each for each in changes if each[0] <= today]
    if not come:
        return None
    day, change = min(come, key=lambda each: each[0])
    return change(terms, standing, day)


def turned(terms: Terms, standing: Standing, today: date) -> Standing:
    """`turn` until nothing is left to take place."""
    while later := turn(terms, standing, today):
        standing = later
    return standing


def _over_on(terms: Terms, standing: Standing) -> date | None:
    """The day on which a recurring subscription has run its course, if that is known."""
    if terms.kind != "recurring" or (terms.ends_after is None and terms.ends_on is None):
        return None
    if next_charge(terms, replace(standing, cancel_on=None)) is not None:
        return None
    paid_until = nth(*calendar(terms, standing), standing.slot)
    if terms.ends_after is not None and standing.made >= terms.ends_after:
        return paid_until
    # Paused, it might be resumed until its last day, and be charged again.
    # The calendar's own last day is how other systems say "never": there is no day after it.
    return max(paid_until, min(terms.ends_on, date.max - _NEXT_DAY) + _NEXT_DAY) if terms.ends_on else None


def _begin_pause(terms: Terms, standing: Standing, day: date) -> Standing:  # noqa: ARG001 - the table in `turn` calls all alike
    return replace(standing, status="paused", pause_on=None, paused_on=day)


def end_pause(terms: Terms, standing: Standing, day: date) -> Standing:
    """Paused -> active on `day`: a plan's instalments get their new days, a recurring one remembers what to skip."""
    assert standing.paused_on is not None, "Only a paused subscription is resumed."
    back = replace(standing, status="active", paused_on=None, resumes_on=None, paused_by=None)
    if terms.kind == "recurring":
        gap = Gap(standing.paused_on, day)
        return replace(back, pauses=(*standing.pauses, gap) if gap.from_on < day else standing.pauses)
    ended = replace(standing, resumes_on=day, cancel_on=None)
    return replace(back, instalments=projected(terms, ended))


def end_cancelled(terms: Terms, standing: Standing, day: date) -> Standing:
    """Cancelled on `day`, which `cancel_on` names. Charges of earlier days stay due, a plan's rest as it was chosen."""
    instalments = standing.instalments if terms.kind == "recurring" else projected(terms, standing)
    open_gap = standing.gap
    pauses = (*standing.pauses, Gap(open_gap.from_on, day)) if open_gap and open_gap.from_on < day else standing.pauses
    ended = _ended(standing, day)
    return replace(ended, status="cancelled", pauses=pauses, cancel_rest=standing.cancel_rest, instalments=instalments)


def complete(standing: Standing, day: date) -> Standing:
    """Completed: nothing is left to be charged."""
    return replace(_ended(standing, day), status="completed", pauses=())


def _ended(standing: Standing, day: date) -> Standing:
    """Without anything scheduled."""
    clear = replace(standing, pause_on=None, paused_on=None, resumes_on=None, paused_by=None)
    return replace(clear, cancel_on=None, cancel_rest=None, ended_on=day)


def calendar(terms: Terms, standing: Standing) -> tuple[date, Interval]:
    """The anchor and the interval of an accepted recurring subscription."""
    assert standing.anchor_on is not None, "A pending subscription has no calendar."
    assert terms.interval is not None, "A recurring subscription has an interval."
    return standing.anchor_on, terms.interval


def _require(standing: Standing, *statuses: str) -> None:
    if standing.status not in statuses:
        raise ValueError(f"The subscription is {standing.status}.")
