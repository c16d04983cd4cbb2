"""Payment plans: instalments that add up, on days in order, moved by a pause and never lost."""

from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.billing.domain import currencies
from services.billing.domain.periods import Interval, nth
from services.billing.domain.plans import (
    Instalment,
    cut,
    dated,
    equal,
    equal_instalments,
    instalment_problems,
    moved,
)

TODAY = date(2027, 3, 2)
MOST = 999_999_99
MONTHLY = Interval("month")


def custom(*parts: tuple[str | None, int]) -> tuple[Instalment, ...]:
    return tuple(
        Instalment(number, date.fromisoformat(day) if day else None, amount)
        for number, (day, amount) in enumerate(parts, 1)
    )


def problems(total: int, *parts: tuple[str | None, int], currency: str = "EUR") -> list[tuple[str, str | None]]:
    return [(each.field, each.code) for each in instalment_problems(currency, total, custom(*parts), TODAY)]


def shown(instalments: tuple[Instalment, ...]) -> list[tuple[str | None, int]]:
    return [(each.due_on.isoformat() if each.due_on else None, each.amount) for each in instalments]


def test_the_last_instalment_takes_the_rounding() -> None:
    assert equal(100_00, 3, 1) == (33_33, 33_33, 33_34)
    assert equal(1000, 3, 1) == (333, 333, 334)
    assert equal(90, 3, 1) == (30, 30, 30)
    assert equal(99_99, 1, 1) == (99_99,)


def test_instalments_are_multiples_of_what_a_card_can_be_charged() -> None:
    assert equal(10_000, 3, 10) == (3330, 3330, 3340)
    assert [each.amount for each in equal_instalments("KWD", 10_000, 3)] == [3330, 3330, 3340]
    assert [each.amount for each in equal_instalments("MGA", 100_000, 3)] == [33_300, 33_300, 33_400]


@given(st.sampled_from(sorted(currencies.in_use())), st.integers(1, 10**9), st.integers(1, 36))
def test_the_instalments_of_every_currency_add_up_to_the_total(currency: str, steps: int, count: int) -> None:
    step = currencies.smallest_step(currency)
    total = steps * step
    parts = equal_instalments(currency, total, count)
    amounts = [each.amount for each in parts]
    assert sum(amounts) == total
    assert [each.number for each in parts] == list(range(1, count + 1))
    assert all(amount % step == 0 for amount in amounts)
    assert amounts[:-1] == [amounts[0]] * (count - 1)
    assert amounts[0] <= amounts[-1] < amounts[0] + count * step
    # As even as the step allows: nobody can split it so that the least one is greater.
    assert min(amounts) == total // count // step * step


def test_a_good_plan_has_no_problems() -> None:
    assert problems(300_00, ("2027-03-02", 100_00), ("2027-04-30", 150_00), ("2027-04-30", 50_00)) == []
    assert problems(300_00, (None, 100_00), ("2027-04-30", 200_00)) == []
    assert problems(300_00, (None, 100_00), (None, 200_00)) == []


def test_a_sum_that_differs_is_named_with_both_sums() -> None:
    [problem] = instalment_problems("EUR", 300_00, custom(("2027-03-02", 100_00), ("2027-04-02", 150_00)), TODAY)
    assert (problem.field, problem.code) == ("instalments", "instalments-sum-differs")
    assert problem.message == "The instalments add up to 250.00 EUR, but the total is 300.00 EUR."
    assert problem.values == {
        "sum": {"amount": 250_00, "currency": "EUR"},
        "total": {"amount": 300_00, "currency": "EUR"},
    }


def test_each_instalment_names_its_own_problem() -> None:
    assert problems(
        1000_00,
        ("2027-03-01", 49),
        ("2027-05-02", 100_000_000),
        ("2027-05-01", 1_00),
        (None, 1_00),
        ("2037-03-03", 1_00),
    ) == [
        ("instalments.0.amount", "instalment-too-small"),
        ("instalments.1.amount", "instalment-too-large"),
        ("instalments.0.due_on", "instalment-too-early"),
        ("instalments.2.due_on", "instalment-too-early"),
        ("instalments.3.due_on", "instalment-without-day"),
        ("instalments.4.due_on", "instalment-too-late"),
        ("instalments", "instalments-sum-differs"),
    ]


def test_an_amount_between_the_steps_of_a_card_is_refused() -> None:
    assert problems(2005, (None, 1005), ("2027-04-01", 1000), currency="KWD") == [
        ("instalments.0.amount", "instalment-between-steps")
    ]


@pytest.mark.parametrize(("count", "accepted"), [(0, False), (1, True), (36, True), (37, False)])
def test_a_plan_has_one_to_thirty_six_instalments(count: int, accepted: bool) -> None:
    found = problems(count * 100, *[(None, 100)] * count)
    assert found == ([] if accepted else [("instalments", "instalments-out-of-range")])


def test_equal_instalments_fall_on_the_calendar_of_the_day_of_acceptance() -> None:
    parts = dated(equal_instalments("EUR", 100_00, 4), date(2027, 1, 31), MONTHLY)
    assert shown(parts) == [("2027-01-31", 2500), ("2027-02-28", 2500), ("2027-03-31", 2500), ("2027-04-30", 2500)]


def test_custom_instalments_keep_their_days_and_those_of_the_past_are_due_on_acceptance() -> None:
    parts = custom((None, 100), ("2027-03-10", 200), ("2027-05-01", 300))
    assert shown(dated(parts, date(2027, 3, 20), None)) == [
        ("2027-03-20", 100),
        ("2027-03-20", 200),
        ("2027-05-01", 300),
    ]


def test_a_pause_moves_the_rest_by_whole_months_and_keeps_the_last_day_of_the_month() -> None:
    open_ones = dated(equal_instalments("EUR", 100_00, 4), date(2027, 1, 31), MONTHLY)[1:]
    after = moved(open_ones, date(2027, 2, 10), date(2027, 4, 5), date(2027, 1, 31), MONTHLY)
    assert shown(after) == [("2027-04-30", 2500), ("2027-05-31", 2500), ("2027-06-30", 2500)]


def test_a_pause_moves_custom_instalments_together_by_the_days_that_the_first_needs() -> None:
    parts = custom(("2027-03-10", 100), ("2027-04-10", 200), ("2027-04-20", 300))
    after = moved(parts, date(2027, 4, 1), date(2027, 4, 15), TODAY, None)
    assert shown(after) == [("2027-03-10", 100), ("2027-04-15", 200), ("2027-04-25", 300)]


def test_a_pause_in_which_nothing_falls_due_moves_nothing() -> None:
    parts = custom(("2027-03-10", 100), ("2027-04-10", 200))
    assert moved(parts, date(2027, 3, 11), date(2027, 4, 10), TODAY, None) == parts
    monthly = dated(equal_instalments("EUR", 100_00, 2), date(2027, 3, 31), MONTHLY)
    assert moved(monthly, date(2027, 4, 1), date(2027, 4, 30), date(2027, 3, 31), MONTHLY) == monthly


def test_a_pause_without_an_end_takes_the_days_away_and_nothing_else() -> None:
    parts = custom(("2027-03-10", 100), ("2027-04-10", 200))
    after = moved(parts, date(2027, 3, 20), None, TODAY, None)
    assert shown(after) == [("2027-03-10", 100), (None, 200)]


def test_the_rest_of_a_cancelled_plan_is_one_sum_or_nothing_and_what_was_due_before_stays() -> None:
    parts = custom(("2027-03-10", 100), ("2027-04-10", 200), ("2027-05-10", 300))
    assert cut(parts, date(2027, 4, 1), "owe", MOST) == (parts[0], Instalment(2, date(2027, 4, 1), 500))
    assert cut(parts, date(2027, 4, 1), "waive", MOST) == (parts[0],)
    assert cut(parts, date(2027, 6, 1), "owe", MOST) == parts


def test_a_rest_that_no_card_could_be_charged_comes_in_sums_that_one_can() -> None:
    parts = custom(("2027-03-10", 700), ("2027-04-10", 300), ("2027-05-10", 1), ("2027-06-10", 1000))
    day = date(2027, 3, 1)
    sums = (Instalment(1, day, 1000), Instalment(3, day, 1), Instalment(4, day, 1000))
    assert cut(parts, day, "owe", 1000) == sums


@given(
    st.lists(st.tuples(st.integers(0, 90), st.integers(50, 10_000)), min_size=1, max_size=36),
    st.integers(0, 400),
    st.integers(1, 800),
    st.booleans(),
)
def test_a_pause_loses_no_instalment_and_makes_none_due_inside_it(
    gaps: list[tuple[int, int]], begins: int, lasts: int, calendar: bool
) -> None:
    interval = MONTHLY if calendar else None
    parts, day = [], TODAY
    for number, (gap, amount) in enumerate(gaps, 1):
        day += timedelta(days=gap)
        parts.append(Instalment(number, nth(TODAY, MONTHLY, number - 1) if calendar else day, amount))
    start = TODAY + timedelta(days=begins)
    until = start + timedelta(days=lasts)
    after = moved(parts, start, until, TODAY, interval)
    assert [replace(each, due_on=None) for each in after] == [replace(each, due_on=None) for each in parts]
    dues = [each.due_on for each in after if each.due_on]
    assert dues == sorted(dues)
    assert len(dues) == len(parts)
    assert not [due for due in dues if start <= due < until]
    assert all(new >= old.due_on for new, old in zip(dues, parts, strict=True) if old.due_on)
    if not any(old.due_on and start <= old.due_on < until for old in parts):
        assert after == tuple(parts)
