"""What money that arrived does to an invoice."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.message import Money
from services.billing.domain.invoices import Balance, Status
from services.billing.domain.settlement import (
    AlreadyPaid,
    AlreadyRecorded,
    Collected,
    PartPaid,
    Settled,
    WrongAmount,
    settle,
)

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
EUR_100 = Money(100, "EUR")


def collected(took: Money = EUR_100, asked: Money = EUR_100) -> Collected:
    return Collected(asked, took, "pi_1")


def test_the_whole_amount_settles_the_invoice() -> None:
    assert settle(Balance("open", "EUR", 100), collected(), NOW) == Settled(applied=100, surplus=0, paid_at=NOW)


def test_a_part_leaves_the_rest_due() -> None:
    assert settle(Balance("open", "EUR", 250), collected(), NOW) == PartPaid(applied=100, still_due=150)


def test_more_than_is_due_settles_and_the_rest_is_surplus() -> None:
    assert settle(Balance("open", "EUR", 130, paid=100), collected(), NOW) == Settled(30, 70, NOW)


@pytest.mark.parametrize(("status", "paid"), [("paid", 100), ("void", 0), ("draft", 0)])
def test_money_that_nobody_owes_is_surplus(status: Status, paid: int) -> None:
    assert settle(Balance(status, "EUR", 100, paid=paid), collected(), NOW) == AlreadyPaid(surplus=100)


def test_money_on_an_invoice_that_was_given_up_pays_it_after_all() -> None:
    assert settle(Balance("uncollectible", "EUR", 100), collected(), NOW) == Settled(100, 0, NOW)


@pytest.mark.parametrize("took", [Money(99, "EUR"), Money(101, "EUR"), Money(100, "USD")])
def test_another_amount_or_currency_than_was_asked_for_settles_nothing(took: Money) -> None:
    assert settle(Balance("open", "EUR", 100), collected(took), NOW) == WrongAmount(EUR_100, took)


def test_an_attempt_in_another_currency_than_the_invoice_settles_nothing() -> None:
    usd = Money(100, "USD")
    assert settle(Balance("open", "EUR", 100), collected(usd, usd), NOW) == WrongAmount(usd, usd)


@pytest.mark.parametrize("intent", ["pi_1", None])
def test_the_same_movement_told_again_changes_nothing(intent: str | None) -> None:
    again = Collected(EUR_100, EUR_100, intent, succeeded_before=True, recorded_intent="pi_1")
    assert settle(Balance("paid", "EUR", 100, paid=100), again, NOW) == AlreadyRecorded()


def test_another_movement_of_the_same_attempt_is_money_to_give_back() -> None:
    second = Collected(EUR_100, EUR_100, "pi_2", succeeded_before=True, recorded_intent="pi_1")
    assert settle(Balance("paid", "EUR", 100, paid=100), second, NOW) == AlreadyPaid(100)


@given(st.integers(1, 10**11), st.lists(st.integers(1, 10**11), max_size=8))
def test_no_cent_is_swallowed_and_none_is_made_up(total: int, amounts: list[int]) -> None:
    balance = Balance("open", "EUR", total)
    applied, surplus = 0, 0
    for number, amount in enumerate(amounts):
        money = Money(amount, "EUR")
        outcome = settle(balance, Collected(money, money, f"pi_{number}"), NOW)
        match outcome:
            case Settled():
                applied, surplus = applied + outcome.applied, surplus + outcome.surplus
                balance = replace(balance, status="paid", paid=applied)
            case PartPaid():
                applied += outcome.applied
                balance = replace(balance, paid=applied)
                assert balance.due == outcome.still_due
            case AlreadyPaid():
                surplus += outcome.surplus
            case _:
                pytest.fail(f"unexpected {outcome}")
    assert applied + surplus == sum(amounts)
    assert applied == min(total, sum(amounts))
    assert (balance.status == "paid") == (sum(amounts) >= total)
