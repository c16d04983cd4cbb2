"""Payment plans: how a total is split into instalments, when each is due, and how a pause moves them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Literal

from pydantic import JsonValue

from contracts.message import FieldError
from services.billing.domain import currencies
from services.billing.domain.periods import Interval, first_from, nth

MOST_INSTALMENTS = 36
_YEARS_AHEAD = 10

Rest = Literal["owe", "waive"]
"""What becomes of the instalments of a cancelled plan: their sum is due at once, or nothing is."""


@dataclass(frozen=True)
class Instalment:
    """One part of a plan, numbered from 1; `amount` in minor units. `due_on` None: not known before it is accepted."""

    number: int
    due_on: date | None
    amount: int


def equal(total: int, count: int, step: int) -> tuple[int, ...]:
    """Split `total` into `count` amounts, multiples of `step` (the currency's), the last with what does not divide.

    Their sum is `total`; no other split in steps has a greater least amount. `total` must be a multiple of `step`.
    """
    each = total // (count * step) * step
    return (*[each] * (count - 1), total - each * (count - 1))


def equal_instalments(currency: str, total: int, count: int) -> tuple[Instalment, ...]:
    """Equal instalments without days: they get them from the plan's interval when the customer accepts."""
    amounts = equal(total, count, currencies.smallest_step(currency))
    return tuple(Instalment(number, None, amount) for number, amount in enumerate(amounts, 1))


def instalment_problems(currency: str, total: int, custom: Sequence[Instalment], today: date) -> list[FieldError]:
    """What is wrong with a plan's instalments (equal ones have no days), each named by its place: `instalments.0.amount`.

    The first may go without a day, which means the day of acceptance; so may all of them, when an interval gives the days.
    """
    if not 1 <= len(custom) <= MOST_INSTALMENTS:
        message = f"There must be between 1 and {MOST_INSTALMENTS} instalments."
        return [_error("instalments", "instalments-out-of-range", message, most=str(MOST_INSTALMENTS))]
    found = [problem for place, each in enumerate(custom) if (problem := _amount_problem(currency, place, each.amount))]
    if any(each.due_on is not None for each in custom):
        found += _day_problems(custom, today)
    together = sum(each.amount for each in custom)
    if together != total:
        shown, wanted = currencies.written(together, currency), currencies.written(total, currency)
        message = f"The instalments add up to {shown}, but the total is {wanted}."
        values = {"sum": _money(together, currency), "total": _money(total, currency)}
        found.append(_error("instalments", "instalments-sum-differs", message, **values))
    return found


def _amount_problem(currency: str, place: int, amount: int) -> FieldError | None:
    field, step = f"instalments.{place}.amount", currencies.smallest_step(currency)
    least, most = currencies.smallest_charge(currency), currencies.largest_charge(currency)
    if amount < least:
        message = f"An instalment must be at least {currencies.written(least, currency)}."
        return _error(field, "instalment-too-small", message, least=_money(least, currency))
    if amount > most:
        message = f"An instalment must be at most {currencies.written(most, currency)}."
        return _error(field, "instalment-too-large", message, most=_money(most, currency))
    if amount % step:
        message = f"Cards can be charged in steps of {currencies.written(step, currency)} only."
        return _error(field, "instalment-between-steps", message, step=_money(step, currency))
    return None


def _day_problems(custom: Sequence[Instalment], today: date) -> list[FieldError]:
    found = []
    latest = nth(today, Interval("year"), _YEARS_AHEAD)
    before = today
    for place, each in enumerate(custom):
        field = f"instalments.{place}.due_on"
        if each.due_on is None:
            if place:
                found.append(_error(field, "instalment-without-day", "Only the first instalment may have no date."))
        elif each.due_on < before:
            message = f"This instalment must be due on {before} or later."
            found.append(_error(field, "instalment-too-early", message, first={"date": before.isoformat()}))
        elif each.due_on > latest:
            message = f"An instalment must be due on {latest} or earlier."
            found.append(_error(field, "instalment-too-late", message, last={"date": latest.isoformat()}))
        else:
            before = each.due_on
    return found


def dated(instalments: Sequence[Instalment], anchor: date, interval: Interval | None) -> tuple[Instalment, ...]:
    """The instalments with their days, the plan being accepted.

    Equal ones fall on the anchor's calendar, the first on the anchor. Custom ones keep their days, but none is due before
    the anchor: whoever accepts late has those of the past due on that day.
    """
    if interval is not None:
        return tuple(replace(each, due_on=nth(anchor, interval, place)) for place, each in enumerate(instalments))
    return tuple(replace(each, due_on=max(each.due_on or anchor, anchor)) for each in instalments)


def moved(
    instalments: Sequence[Instalment], paused_on: date, until: date | None, anchor: date, interval: Interval | None
) -> tuple[Instalment, ...]:
    """Open instalments after a pause `[paused_on, until)`: those due from its first day on move, together, none is lost.

    With an interval they move along the plan's calendar by whole intervals, else by the days that the first of them needs.
    A pause in which nothing falls due moves nothing. Without `until` (till resumed) they have no day.
    """
    kept = [each for each in instalments if each.due_on is not None and each.due_on < paused_on]
    later = instalments[len(kept) :]
    if not later or until is None:
        return (*kept, *(replace(each, due_on=None) for each in later))
    first = later[0].due_on
    assert first is not None, "An accepted plan has days."
    start = max(first, until)
    if interval is not None:
        slot = first_from(anchor, interval, start)
        return (*kept, *(replace(each, due_on=nth(anchor, interval, slot + k)) for k, each in enumerate(later)))
    return (*kept, *(replace(each, due_on=_shifted(each.due_on, start - first)) for each in later))


def _shifted(day: date | None, by: timedelta) -> date | None:
    return None if day is None else day + by


def cut(instalments: Sequence[Instalment], cancelled_on: date, rest: Rest, most: int) -> tuple[Instalment, ...]:
    """Open instalments after a cancellation: those due earlier stay, the others are due that day as one sum, or gone.

    A sum above `most`, what a card can be charged, would be a debt that nobody can pay: it comes in several.
    """
    kept = [each for each in instalments if each.due_on is not None and each.due_on < cancelled_on]
    later = instalments[len(kept) :]
    if not later or rest == "waive":
        return tuple(kept)
    sums: list[Instalment] = []
    for each in later:
        if sums and sums[-1].amount + each.amount <= most:
            sums[-1] = replace(sums[-1], amount=sums[-1].amount + each.amount)
        else:
            sums.append(replace(each, due_on=cancelled_on))
    return (*kept, *sums)


def _error(field: str, code: str, message: str, **values: JsonValue) -> FieldError:
    return FieldError(field=field, message=message, code=code, values=values)


def _money(amount: int, currency: str) -> JsonValue:
    return {"amount": amount, "currency": currency}
