"""Periods: from the anchor, so that month ends find back to their day; 09:00 in the merchant's zone."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.billing.domain.periods import (
    MOST,
    Interval,
    Period,
    Unit,
    charge_moment,
    first_from,
    interval_problems,
    local_day,
    nth,
    period,
)

UNITS: tuple[Unit, ...] = ("day", "week", "month", "year")
MONTHLY = Interval("month")

anchors = st.dates(date(2000, 1, 1), date(2100, 12, 31))
intervals = st.sampled_from(UNITS).flatmap(lambda unit: st.builds(Interval, st.just(unit), st.integers(1, MOST[unit])))
# Names that every system has; the full list is walked once below.
zones = st.sampled_from(
    [
        "Europe/Berlin",
        "America/New_York",
        "America/Sao_Paulo",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Asia/Tehran",
        "Asia/Kathmandu",
        "Pacific/Kiritimati",
        "Africa/Casablanca",
        "UTC",
        "Mars/Olympus",
        "../etc/passwd",
        "Europe",
        "",
    ]
)


def days(anchor: date, interval: Interval, count: int) -> list[str]:
    return [nth(anchor, interval, n).isoformat() for n in range(count)]


def test_a_month_end_finds_back_to_its_day() -> None:
    assert days(date(2027, 1, 31), MONTHLY, 5) == ["2027-01-31", "2027-02-28", "2027-03-31", "2027-04-30", "2027-05-31"]


def test_in_a_leap_year_february_has_one_day_more() -> None:
    assert days(date(2028, 1, 30), MONTHLY, 3) == ["2028-01-30", "2028-02-29", "2028-03-30"]


def test_a_leap_day_yearly_is_the_28th_until_the_next_leap_year() -> None:
    yearly = days(date(2028, 2, 29), Interval("year"), 5)
    assert yearly == ["2028-02-29", "2029-02-28", "2030-02-28", "2031-02-28", "2032-02-29"]


def test_two_weeks_and_three_months_are_counted_from_the_anchor() -> None:
    assert days(date(2027, 12, 30), Interval("week", 2), 3) == ["2027-12-30", "2028-01-13", "2028-01-27"]
    assert days(date(2027, 11, 30), Interval("month", 3), 3) == ["2027-11-30", "2028-02-29", "2028-05-30"]


def test_a_period_is_half_open_and_says_its_last_day() -> None:
    february = period(date(2027, 1, 31), MONTHLY, 1)
    assert february == Period(date(2027, 2, 28), date(2027, 3, 31))
    assert february.ends_on == date(2027, 3, 30)


@given(anchors, intervals, st.integers(0, 60))
def test_no_period_overlaps_and_none_is_skipped(anchor: date, interval: Interval, n: int) -> None:
    this, later = period(anchor, interval, n), period(anchor, interval, n + 1)
    assert this.starts_on < this.until == later.starts_on < later.until
    assert period(anchor, interval, 0).starts_on == anchor


@given(anchors, st.sampled_from(["month", "year"]), st.integers(1, 3), st.integers(0, 60))
def test_a_period_begins_on_the_anchors_day_or_the_last_of_a_shorter_month(
    anchor: date, unit: Unit, count: int, n: int
) -> None:
    day = nth(anchor, Interval(unit, count), n)
    if day.day != anchor.day:
        assert day.day < anchor.day
        assert (day + timedelta(days=1)).day == 1
    months = (day.year - anchor.year) * 12 + day.month - anchor.month
    assert months == n * count * (12 if unit == "year" else 1)


@given(anchors, intervals, st.integers(-400, 4000))
def test_the_first_period_from_a_day_is_found_without_counting(anchor: date, interval: Interval, offset: int) -> None:
    day = anchor + timedelta(days=offset)
    n = first_from(anchor, interval, day)
    assert nth(anchor, interval, n) >= day
    assert n == 0 or nth(anchor, interval, n - 1) < day


def test_intervals_out_of_range_name_their_count() -> None:
    for unit in UNITS:
        assert interval_problems(Interval(unit, 1)) == interval_problems(Interval(unit, MOST[unit])) == []
        for count in (0, -1, MOST[unit] + 1):
            assert [each.field for each in interval_problems(Interval(unit, count))] == ["interval.count"]
    assert interval_problems(Interval("day", 731))[0].message == "The interval must be between 1 and 730 days."


def test_charges_are_made_at_nine_in_the_merchants_zone() -> None:
    assert charge_moment(date(2027, 1, 15), "Europe/Berlin") == datetime(2027, 1, 15, 8, tzinfo=UTC)
    assert charge_moment(date(2027, 7, 15), "Europe/Berlin") == datetime(2027, 7, 15, 7, tzinfo=UTC)
    assert charge_moment(date(2027, 7, 15), "Asia/Kathmandu") == datetime(2027, 7, 15, 3, 15, tzinfo=UTC)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "Europe", "../../etc/passwd", "\0"])
def test_an_unknown_zone_is_utc(zone: str) -> None:
    assert charge_moment(date(2027, 1, 15), zone) == datetime(2027, 1, 15, 9, tzinfo=UTC)
    assert local_day(datetime(2027, 1, 15, 23, 59, tzinfo=UTC), zone) == date(2027, 1, 15)


def test_the_local_day_of_a_moment_is_the_merchants() -> None:
    midnight = datetime(2027, 1, 15, tzinfo=UTC)
    assert local_day(midnight, "America/New_York") == date(2027, 1, 14)
    assert local_day(midnight, "Pacific/Kiritimati") == date(2027, 1, 15)


def test_a_day_that_a_zone_left_out_is_charged_the_morning_after() -> None:
    left_out = charge_moment(date(2011, 12, 30), "Pacific/Apia")
    assert left_out == charge_moment(date(2011, 12, 31), "Pacific/Apia")
    assert local_day(left_out, "Pacific/Apia") == date(2011, 12, 31)


@given(st.dates(date(2000, 1, 1), date(2099, 12, 30)), zones)
def test_daylight_saving_decides_nothing(day: date, zone: str) -> None:
    today, tomorrow = (charge_moment(each, zone) for each in (day, day + timedelta(days=1)))
    assert today <= tomorrow
    assert today < tomorrow or (zone, day) == ("Pacific/Apia", date(2011, 12, 30))
    assert day <= local_day(today, zone) <= day + timedelta(days=1)


def test_every_change_of_clocks_in_every_zone_keeps_the_order_of_the_days() -> None:
    first = date(2026, 1, 1)
    year = [first + timedelta(days=offset) for offset in range(366)]
    for zone in sorted(available_timezones()):
        moments = [charge_moment(day, zone) for day in year]
        assert all(one < two for one, two in pairwise(moments)), zone
        assert [local_day(moment, zone) for moment in moments] == year, zone
