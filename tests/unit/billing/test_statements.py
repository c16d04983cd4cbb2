"""A customer's account: balances that run, currencies apart, periods that make sense."""

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from services.billing.domain.statements import Movement, accounts, period_problem

DAY = date(2026, 3, 2)


def movement(amount: int, currency: str = "EUR") -> Movement:
    return Movement(DAY, "invoice", "INV-1", amount, currency)


def test_balances_run_from_what_was_owed_before() -> None:
    [account] = accounts({"EUR": 500}, [movement(1000), movement(-300)])
    assert (account.opening, [each.balance for each in account.entries], account.closing) == (500, [1500, 1200], 1200)


def test_currencies_are_never_added_up() -> None:
    found = accounts({"USD": 7, "GBP": 0}, [movement(100), movement(5, "JPY"), movement(-100)])
    assert [(each.currency, each.closing) for each in found] == [("EUR", 0), ("JPY", 5), ("USD", 7)]


@given(st.dictionaries(st.sampled_from(["EUR", "USD"]), st.integers(-9999, 9999)), st.lists(st.integers(-9999, 9999)))
def test_opening_and_entries_make_the_closing(opening: dict[str, int], amounts: list[int]) -> None:
    for account in accounts(opening, [movement(each) for each in amounts]):
        assert account.opening + sum(each.movement.amount for each in account.entries) == account.closing


def test_a_period_ends_after_it_begins_and_is_not_for_ever() -> None:
    assert period_problem(DAY, DAY) is None
    assert said(DAY, date(2026, 3, 1)) == ("to_on", "The last day must not be before the first.")
    assert said(date(2000, 1, 1), DAY) == ("to_on", "A statement covers at most 10 years.")


def test_a_period_keeps_away_from_the_ends_of_the_calendar() -> None:
    assert said(date(1, 1, 1), date(5, 1, 1)) == ("from_on", "This must be between 1900-01-01 and 2999-12-31.")
    assert said(date(2995, 1, 1), date.max) == ("to_on", "This must be between 1900-01-01 and 2999-12-31.")


def said(first: date, last: date) -> tuple[str, str]:
    problem = period_problem(first, last)
    assert problem is not None
    return problem.field, problem.message
