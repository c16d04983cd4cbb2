"""Subscriptions lived through day by day, against what was said beforehand and against an outage of any length."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from services.billing.domain.periods import Interval, Unit
from services.billing.domain.plans import Instalment, Rest, equal_instalments
from services.billing.domain.subscriptions import (
    Action,
    Charge,
    Standing,
    Terms,
    When,
    accept,
    cancel,
    charged,
    due,
    pause,
    pause_problems,
    preview,
    projected,
    resume,
    turn,
    turned,
    undo_cancel,
    upcoming,
    why_not,
)
from tests.unit.billing.histories import on_the_calendar

THOROUGH = max(int(os.environ.get("HISTORIES", "500")) // 500, 1)
"""HISTORIES=10000, which test_histories reads, tries twenty times as many lives here."""
DAY = timedelta(days=1)
TWO_YEARS = 731
ACTIONS: tuple[Action, ...] = ("pause", "resume", "cancel", "undo_cancel")
LONGEST: dict[Unit, int] = {"day": 40, "week": 6, "month": 4, "year": 2}


@dataclass(frozen=True)
class Move:
    """What somebody does, `after` days after the one before."""

    after: int
    action: Action
    when: When
    pause_days: int | None
    rest: Rest


@dataclass(frozen=True)
class Life:
    terms: Terms
    begun: date
    moves: tuple[Move, ...]


month_ends = [date(2027, 1, 31), date(2027, 2, 28), date(2028, 1, 30), date(2028, 2, 29), date(2027, 12, 31)]
begins = st.sampled_from(month_ends) | st.dates(date(2027, 1, 1), date(2028, 12, 31))
intervals = st.sampled_from(list(LONGEST)).flatmap(
    lambda unit: st.builds(Interval, st.just(unit), st.integers(1, LONGEST[unit]))
)
moves = st.builds(
    Move,
    st.integers(0, 70),
    st.sampled_from(ACTIONS),
    st.sampled_from(["now", "period_end"]),
    st.none() | st.integers(1, 120),
    st.sampled_from(["owe", "waive"]),
)


@st.composite
def recurring(draw: st.DrawFn) -> Terms:
    begun = draw(begins)
    return Terms(
        "recurring",
        "EUR",
        10_00,
        draw(intervals),
        starts_on=draw(st.none() | st.integers(-10, 40).map(lambda days: begun + days * DAY)),
        trial_days=draw(st.just(0) | st.integers(1, 45)),
        ends_after=draw(st.none() | st.integers(1, 12)),
        ends_on=draw(st.none() | st.integers(50, 700).map(lambda days: begun + days * DAY)),
    )


@st.composite
def payment_plans(draw: st.DrawFn) -> Terms:
    if draw(st.booleans()):
        parts = equal_instalments("EUR", draw(st.integers(50_00, 500_00)), draw(st.integers(1, 8)))
        interval = draw(intervals)
    else:
        day, dated, interval = draw(begins), [], None
        for number in range(1, draw(st.integers(1, 8)) + 1):
            dated.append(Instalment(number, day, draw(st.integers(50, 100_00))))
            day += draw(st.integers(0, 60)) * DAY
        parts = tuple(dated)
    return Terms("payment_plan", "EUR", sum(each.amount for each in parts), interval, instalments=parts)


lives = st.builds(Life, recurring() | payment_plans(), begins, st.lists(moves, max_size=5).map(tuple))


def begin(life: Life) -> Standing:
    return accept(life.terms, Standing(instalments=life.terms.instalments), life.begun)


def done(terms: Terms, standing: Standing, move: Move, today: date) -> Standing | None:
    """The move made, or None when it may not be made."""
    if why_not(terms, standing, move.action, today, "merchant"):
        return None
    match move.action:
        case "pause":
            until = ending(move, today)
            if pause_problems(terms, standing, today, until, move.when):
                return None
            return pause(terms, standing, today, until, when=move.when, by="merchant")
        case "resume":
            return resume(terms, standing, today)
        case "cancel":
            return cancel(terms, standing, today, move.when, move.rest, by="merchant")
        case _:
            return undo_cancel(terms, standing, today)


def ending(move: Move, today: date) -> date | None:
    return None if move.pause_days is None else today + move.pause_days * DAY


def charge_all(terms: Terms, standing: Standing, today: date) -> tuple[list[Charge], Standing]:
    made = []
    while charge := due(terms, standing, today):
        made.append(charge)
        standing = charged(terms, standing, charge)
    return made, standing


def day_by_day(terms: Terms, standing: Standing, first: date, last: date) -> tuple[list[Charge], Standing]:
    """Every day from `first` to `last`: what the calendar brings, then what is charged, which is always of that day."""
    made: list[Charge] = []
    today = first
    while today <= last:
        standing = turned(terms, standing, today)
        if standing.status == "paused":
            assert due(terms, standing, today) is None, "A paused day is not charged."
        if standing.status == "cancelled":
            assert standing.ended_on is not None
            assert [each.on for each in charge_all(terms, standing, today)[0]] in ([], [standing.ended_on])
        new, standing = charge_all(terms, standing, today)
        assert {charge.on for charge in new} <= {today}, "Nothing is charged late."
        made += new
        today += DAY
    return made, standing


def told(charges: Sequence[Charge]) -> Counter[tuple[date, int, int | None]]:
    return Counter((charge.on, charge.amount, charge.instalment) for charge in charges)


def lived(life: Life) -> tuple[Standing, date]:
    """Where a life stands after its moves, each day's charges made; and that day."""
    standing, today = begin(life), life.begun
    for move in life.moves:
        _, standing = day_by_day(life.terms, standing, today, today + move.after * DAY)
        today += move.after * DAY
        standing = done(life.terms, standing, move, today) or standing
    return standing, today


@settings(max_examples=60 * THOROUGH)
@given(lives, moves)
def test_what_a_preview_shows_is_what_then_happens(life: Life, move: Move) -> None:
    terms = life.terms
    standing, today = lived(life)
    possible = [each for each in ACTIONS if done(terms, standing, replace(move, action=each), today)]
    assume(possible)
    # The drawn one, or else the rarest that is possible.
    move = move if move.action in possible else replace(move, action=possible[-1])
    after = done(terms, standing, move, today)
    assert after is not None
    shown = preview(
        terms,
        standing,
        move.action,
        today,
        by="merchant",
        when=move.when,
        until=ending(move, today) if move.action == "pause" else None,
        rest=move.rest,
    )
    assert shown.standing == after
    last = today + TWO_YEARS * DAY
    undisturbed = told(day_by_day(terms, standing, today, last)[0])
    happens = told(day_by_day(terms, after, today, last)[0])
    gone, come = told(shown.disappear), told(shown.come)
    old = told([each.old for each in shown.move])
    new = told([each.new for each in shown.move if each.new])
    waiting = standing.gap is not None and standing.gap.until is None
    if not waiting:
        old = within(old, last)
        assert not old - undisturbed, "What is said to move would have come."
    assert not within(gone, last) - undisturbed or waiting, "What is said to disappear would have come."
    assert undisturbed - gone - old + within(new, last) + within(come, last) == happens
    event(f"{terms.kind}: {move.action} {move.when}")


def within(charges: Counter[tuple[date, int, int | None]], last: date) -> Counter[tuple[date, int, int | None]]:
    return Counter({key: count for key, count in charges.items() if key[0] <= last})


@settings(max_examples=60 * THOROUGH)
@given(lives, st.integers(0, 400), st.booleans())
def test_after_an_outage_the_same_charges_are_made_oldest_first(life: Life, more: int, turn_first: bool) -> None:
    """People go on pausing and cancelling while no charge is made and no day is turned; then all is caught up with."""
    terms = life.terms
    standing = late = begin(life)
    today, made = life.begun, list[Charge]()
    for move in life.moves:
        new, standing = day_by_day(terms, standing, today, today + move.after * DAY - DAY)
        made += new
        today += move.after * DAY
        standing = turned(terms, standing, today)
        if (moved := done(terms, standing, move, today)) is not None:
            standing = moved
            behind = done(terms, late, move, today)
            assert behind is not None, "What may be done does not depend on the outage."
            late = behind
    last = today + more * DAY
    new, standing = day_by_day(terms, standing, today, last)
    late = turned(terms, late, last) if turn_first else late
    caught_up, late = charge_all(terms, late, last)
    assert caught_up == made + new
    assert [charge.on for charge in caught_up] == sorted(charge.on for charge in caught_up)
    assert [charge.number for charge in caught_up] == list(range(1, len(caught_up) + 1))
    late = turned(terms, late, last)
    if late.status == standing.status:
        assert late == standing
    else:
        # All its instalments were charged before it was cancelled, which an outage cannot know.
        assert (terms.kind, standing.status, late.status) == ("payment_plan", "completed", "cancelled")


@settings(max_examples=40 * THOROUGH)
@given(lives)
def test_a_plan_keeps_its_instalments_and_their_sum_whatever_is_done_with_it(life: Life) -> None:
    terms = life.terms
    assume(terms.kind == "payment_plan")
    standing, today = begin(life), life.begun
    whole = [(each.number, each.amount) for each in terms.instalments]
    for move in life.moves:
        _, standing = day_by_day(terms, standing, today, today + move.after * DAY)
        today += move.after * DAY
        after = done(terms, standing, move, today)
        if after is None:
            continue
        if move.action == "cancel":
            kept, left = projected(terms, after), sum(each.amount for each in projected(terms, after))
            assert left == (terms.amount if move.rest == "owe" else sum(each.amount for each in kept))
            assert kept[: after.made] == standing.instalments[: after.made]
            assert move.rest == "owe" or len(kept) == standing.made, "What is waived is gone."
        else:
            assert [(each.number, each.amount) for each in projected(terms, after)] == whole
        standing = after
        if standing.cancel_on or standing.status == "cancelled":
            return
    assert [(each.number, each.amount) for each in standing.instalments] == whole


@settings(max_examples=40 * THOROUGH)
@given(lives, st.integers(0, 60), st.sampled_from(["owe", "waive"]))
def test_a_cancellation_that_is_undone_has_never_been(life: Life, later: int, rest: Rest) -> None:
    terms = life.terms
    standing, today = lived(life)
    standing = turned(terms, standing, today)
    assume(standing.status in ("active", "paused"))
    standing = replace(standing, cancel_on=None, cancel_rest=None, cancelled_by=None)
    leaving = cancel(terms, standing, today, "period_end", rest, by="merchant")
    assume(leaving.cancel_on is not None and leaving.cancel_on > today + later * DAY)
    made, leaving = day_by_day(terms, leaving, today, today + later * DAY)
    never_made, never = day_by_day(terms, standing, today, today + later * DAY)
    assert made == never_made
    assert undo_cancel(terms, leaving, today + later * DAY) == never


@settings(max_examples=40 * THOROUGH)
@given(lives, st.sampled_from(["owe", "waive"]))
def test_a_scheduled_cancellation_leaves_no_charge_from_its_day_on_but_a_plans_one_sum(life: Life, rest: Rest) -> None:
    terms = life.terms
    standing, today = lived(life)
    standing = turned(terms, standing, today)
    assume(standing.status in ("active", "paused"))
    leaving = cancel(terms, standing, today, "period_end", rest, by="merchant")
    end = leaving.cancel_on or leaving.ended_on
    assert end is not None
    assert end >= today
    made, ended = day_by_day(terms, leaving, today, end + 60 * DAY)
    assert (ended.status, ended.ended_on) == ("cancelled", end)
    owed = [charge for charge in made if charge.on >= end]
    open_ones = sum(each.amount for each in standing.instalments[standing.made :])
    expected = open_ones if terms.kind == "payment_plan" and rest == "owe" else 0
    before = sum(charge.amount for charge in made if charge.on < end) if terms.kind == "payment_plan" else 0
    assert sum(charge.amount for charge in owed) == max(expected - before, 0)
    assert len(owed) <= 1


@settings(max_examples=40 * THOROUGH)
@given(recurring(), begins, st.integers(0, 200), st.integers(0, 200))
def test_a_pause_skips_the_charges_of_its_days_and_shifts_no_other(
    terms: Terms, begun: date, before: int, lasts: int
) -> None:
    terms = replace(terms, ends_after=None, ends_on=None)
    standing = accept(terms, Standing(), begun)
    start, back, last = begun + before * DAY, begun + (before + lasts) * DAY, begun + 600 * DAY
    undisturbed = [charge.on for charge in upcoming(terms, standing, 700, last)]
    made, standing = day_by_day(terms, standing, begun, start - DAY)
    standing = pause(terms, standing, start, None, by="customer")
    skipped, standing = day_by_day(terms, standing, start, back - DAY)
    assert skipped == []
    resumed, standing = day_by_day(terms, resume(terms, standing, back), back, last)
    assert [charge.on for charge in made + resumed] == [on for on in undisturbed if not start <= on < back]
    assert standing.anchor_on is not None
    assert terms.interval is not None


@settings(max_examples=40 * THOROUGH)
@given(lives)
def test_a_year_ahead_is_what_then_comes_and_no_period_overlaps(life: Life) -> None:
    terms = life.terms
    standing, today = lived(life)
    last = today + 366 * DAY
    ahead = upcoming(terms, standing, 1000, last)
    assert list(ahead) == day_by_day(terms, standing, today, last)[0]
    assert [charge.number for charge in ahead] == list(range(standing.made + 1, standing.made + 1 + len(ahead)))
    periods = [charge.period for charge in ahead if charge.period]
    assert all(one.until <= two.starts_on for one, two in pairwise(periods))
    for each in periods:
        assert standing.anchor_on is not None
        assert terms.interval is not None
        assert on_the_calendar(standing.anchor_on, terms.interval, each.starts_on)


@pytest.mark.parametrize("action", ACTIONS)
def test_a_day_is_turned_once(action: Action) -> None:
    terms = Terms("recurring", "EUR", 10_00, Interval("month"))
    standing = accept(terms, Standing(), date(2027, 1, 31))
    _, standing = charge_all(terms, standing, date(2027, 2, 1))
    for first in ACTIONS:
        for move in (Move(0, first, "period_end", 40, "owe"), Move(0, action, "now", None, "owe")):
            standing = done(terms, standing, move, date(2027, 2, 1)) or standing
    for offset in range(100):
        standing = turned(terms, standing, date(2027, 2, 1) + offset * DAY)
        assert turn(terms, standing, date(2027, 2, 1) + offset * DAY) is None
