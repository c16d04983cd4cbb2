"""Periods of a subscription: from an anchor day and an interval, never from the period before.

Counted from the anchor, a month's end finds back to its day: 31 Jan, 28 Feb, 31 Mar. Counted from the period before it
would stay on the 28th for ever.
"""

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Literal
from zoneinfo import ZoneInfo

from contracts.message import FieldError

Unit = Literal["day", "week", "month", "year"]

MOST: dict[Unit, int] = {"day": 730, "week": 104, "month": 24, "year": 3}
"""The longest interval of each unit."""
_DAYS: dict[Unit, int] = {"day": 1, "week": 7}
_MONTHS: dict[Unit, int] = {"month": 1, "year": 12}
_CHARGED_AT = time(9)


@dataclass(frozen=True)
class Interval:
    """Every `count` units; `interval_problems` says which counts are accepted."""

    unit: Unit
    count: int = 1


@dataclass(frozen=True)
class Period:
    """Half open: `until` is the first day of the next period."""

    starts_on: date
    until: date

    @property
    def ends_on(self) -> date:
        """Its last day, as people say it."""
        return self.until - timedelta(days=1)


def interval_problems(interval: Interval, field: str = "interval") -> list[FieldError]:
    """What is wrong with an interval, named by its field: `interval.count`."""
    most = MOST[interval.unit]
    if 1 <= interval.count <= most:
        return []
    message = f"The interval must be between 1 and {most} {interval.unit}s."
    values = {"most": str(most), "unit": interval.unit}
    return [FieldError(field=f"{field}.count", code="interval-out-of-range", message=message, values={**values})]


def nth(anchor: date, interval: Interval, n: int) -> date:
    """The first day of period `n`, counted from 0 and from the anchor: 29 Feb yearly is 28 Feb, and 29 Feb in leap years."""
    if interval.unit in _DAYS:
        return anchor + timedelta(days=n * interval.count * _DAYS[interval.unit])
    months = anchor.month - 1 + n * interval.count * _MONTHS[interval.unit]
    year, month = anchor.year + months // 12, months % 12 + 1
    return date(year, month, min(anchor.day, monthrange(year, month)[1]))


def period(anchor: date, interval: Interval, n: int) -> Period:
    """Period `n`, which ends where period `n + 1` begins."""
    return Period(nth(anchor, interval, n), nth(anchor, interval, n + 1))


def first_from(anchor: date, interval: Interval, day: date) -> int:
    """The number of the first period that begins on `day` or later."""
    if day <= anchor:
        return 0
    if interval.unit in _DAYS:
        return -((anchor - day).days // (interval.count * _DAYS[interval.unit]))
    months = (day.year - anchor.year) * 12 + day.month - anchor.month
    n = months // (interval.count * _MONTHS[interval.unit])
    return n if nth(anchor, interval, n) >= day else n + 1


def charge_moment(day: date, zone_name: str) -> datetime:
    """09:00 of `day` in the zone, as UTC; an unknown zone is UTC.

    Where that hour does not exist (Samoa had no 30 Dec 2011) it is counted from the offset before the gap, so a later day
    never comes earlier and `local_day` of the moment is never before `day`: daylight saving decides nothing.
    """
    return datetime.combine(day, _CHARGED_AT, _zone(zone_name)).astimezone(UTC)


def local_day(moment: datetime, zone_name: str) -> date:
    """The day that an aware moment falls on in the zone; an unknown zone is UTC."""
    return moment.astimezone(_zone(zone_name)).date()


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, not a name at all (".."), a folder ("Europe")
        return UTC
