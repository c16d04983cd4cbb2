"""A customer's account over a period: what was owed before, what changed it, what is owed after."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from pydantic import JsonValue

from contracts.message import FieldError

MOST_ENTRIES = 2_000
"""More than fifty pages; and 2,000 rows stay far below the 5 MB of an answer."""
_LONGEST_YEARS = 10
_EARLIEST, _LATEST = date(1900, 1, 1), date(2999, 12, 31)
"""Calendars end at both ends: the day after 9999-12-31 does not exist, nor in some places the midnight of 0001-01-01."""


@dataclass(frozen=True)
class Movement:
    """Something that changed what is owed: `amount` in minor units, positive when it is more."""

    on: date
    kind: str
    reference: str | None
    amount: int
    currency: str


@dataclass(frozen=True)
class Balanced:
    """A movement and what is owed after it, in minor units."""

    movement: Movement
    balance: int


@dataclass(frozen=True)
class Account:
    """What happened in one currency. `opening` plus every movement is `closing`."""

    currency: str
    opening: int
    entries: tuple[Balanced, ...]
    closing: int


def accounts(opening: Mapping[str, int], movements: Sequence[Movement]) -> tuple[Account, ...]:
    """One account per currency that owed something before or moved, by its code. `movements` are in their order."""
    currencies = {each.currency for each in movements} | {code for code, owed in opening.items() if owed}
    return tuple(
        _account(code, opening.get(code, 0), (each for each in movements if each.currency == code))
        for code in sorted(currencies)
    )


def _account(currency: str, opening: int, movements: Iterable[Movement]) -> Account:
    balance, entries = opening, []
    for each in movements:
        balance += each.amount
        entries.append(Balanced(each, balance))
    return Account(currency, opening, tuple(entries), balance)


def period_problem(first: date, last: date) -> FieldError | None:
    """What is wrong with the period of a statement; None: nothing."""
    for field, day in (("from_on", first), ("to_on", last)):
        if not _EARLIEST <= day <= _LATEST:
            message = f"This must be between {_EARLIEST} and {_LATEST}."
            values: dict[str, JsonValue] = {"first": {"date": str(_EARLIEST)}, "last": {"date": str(_LATEST)}}
            return FieldError(field=field, message=message, code="statement-day-out-of-range", values=values)
    if last < first:
        return _period_error("The last day must not be before the first.")
    if (last - first).days > _LONGEST_YEARS * 366:
        return _period_error(f"A statement covers at most {_LONGEST_YEARS} years.")
    return None


def _period_error(message: str) -> FieldError:
    return FieldError(field="to_on", message=message, code="statement-period")
