"""What may be invoiced, and what may happen to an invoice next."""

from datetime import date
from decimal import Decimal

import pytest

from services.billing.domain import currencies
from services.billing.domain.invoices import (
    Balance,
    Status,
    invoice_problems,
    line_problems,
    why_not_given_up,
    why_not_opened,
    why_not_withdrawn,
)
from services.billing.domain.lines import Line, totals

TODAY = date(2026, 3, 2)
STATUSES: tuple[Status, ...] = ("draft", "open", "paid", "void", "uncollectible")


def problems(
    currency: str = "EUR", amount: int = 1000, due_on: date = TODAY, quantity: Decimal = Decimal(1)
) -> list[tuple[str, str]]:
    sums = totals([Line("x", quantity, amount)], tax_inclusive=False)
    return [(each.field, each.message) for each in invoice_problems(currency, sums, due_on, TODAY)]


def test_an_ordinary_invoice_has_no_problems() -> None:
    assert problems() == []


@pytest.mark.parametrize("currency", ["ZZZ", "DEM", "XAU", "XTS"])
def test_a_currency_that_nobody_pays_in_is_refused_by_name(currency: str) -> None:
    assert problems(currency) == [("currency", f"{currency} is not a currency in use.")]


@pytest.mark.parametrize("currency", ["EUR", "USD", "JPY", "KWD", "XOF", "ISK"])
def test_currencies_in_use_are_accepted(currency: str) -> None:
    assert problems(currency) == []


def test_a_total_of_nothing_is_refused() -> None:
    assert problems(amount=0) == [("lines", "The total must be at least 0.50 EUR.")]


@pytest.mark.parametrize(
    ("currency", "least", "most"),
    [
        ("EUR", 50, 99_999_999),
        ("HUF", 17_500, 99_999_999),
        ("JPY", 50, 99_999_999),
        ("KWD", 10, 99_999_990),
        ("ISK", 1, 999_999),
        ("MGA", 100, 9_999_999_900),
    ],
)
def test_a_total_is_refused_below_what_a_card_can_be_charged_and_above_it(currency: str, least: int, most: int) -> None:
    step = currencies.smallest_step(currency)
    assert problems(currency, least) == problems(currency, most) == []
    assert [field for field, _ in problems(currency, least - step)] == ["lines"]
    assert [field for field, _ in problems(currency, most + step)] == ["lines"]


def test_a_total_that_no_card_can_be_charged_is_refused_with_the_limit() -> None:
    assert problems(amount=1) == [("lines", "The total must be at least 0.50 EUR.")]
    assert problems(amount=100_000_000) == [("lines", "The total must be at most 999999.99 EUR.")]
    assert problems("JPY", 49) == [("lines", "The total must be at least 50 JPY.")]


@pytest.mark.parametrize(
    ("due_on", "accepted"),
    [
        (date(1999, 12, 31), False),
        (date(2000, 1, 1), True),
        (date(2036, 3, 2), True),
        (date(2036, 3, 3), False),
    ],
)
def test_a_due_date_is_neither_ancient_nor_more_than_ten_years_away(due_on: date, accepted: bool) -> None:
    fields = [field for field, _ in problems(due_on=due_on)]
    assert fields == ([] if accepted else ["due_on"])


def test_ten_years_after_a_leap_day_is_the_28th() -> None:
    sums = totals([Line("x", Decimal(1), 100)], tax_inclusive=False)
    leap = date(2024, 2, 29)
    assert invoice_problems("EUR", sums, date(2034, 2, 28), leap) == []
    assert [each.field for each in invoice_problems("EUR", sums, date(2034, 3, 1), leap)] == ["due_on"]


def test_a_three_decimal_total_that_no_card_can_be_charged_is_refused() -> None:
    assert problems("KWD", 1250) == []
    assert [field for field, _ in problems("KWD", 1251)] == ["lines"]


def test_every_currency_in_use_is_written_with_the_digits_that_the_contracts_say() -> None:
    # Chile's unit of account has four decimals: a table of billing's own once said two.
    assert currencies.written(12_345, "CLF") == "1.2345 CLF"
    assert {currencies.written(1, code) for code in ("JPY", "EUR", "KWD")} == {"1 JPY", "0.01 EUR", "0.001 KWD"}


def test_each_line_names_its_own_problem() -> None:
    lines = [
        Line("a", Decimal(0), 100),
        Line("b", Decimal(1), 100, discount_percent=Decimal(101)),
        Line("c", Decimal(1), 100, tax_rate=Decimal(-1)),
        Line("d", Decimal(1_000_000), 99_999_999_999),
    ]
    assert [each.field for each in line_problems(lines)] == [
        "lines.0.quantity",
        "lines.1.discount_percent",
        "lines.2.tax_rate",
        "lines.3.unit_amount",
    ]
    assert [each.field for each in line_problems([])] == ["lines"]


def test_only_a_draft_may_be_opened() -> None:
    assert [status for status in STATUSES if why_not_opened(status) is None] == ["draft"]
    assert why_not_opened("void") == "Only a draft can be opened. This invoice is void."


def test_only_open_and_uncollectible_invoices_may_be_voided() -> None:
    allowed = [status for status in STATUSES if why_not_withdrawn(Balance(status, "EUR", 100)) is None]
    assert allowed == ["open", "uncollectible"]


def test_an_invoice_with_money_on_it_may_not_be_voided() -> None:
    assert why_not_withdrawn(Balance("open", "EUR", 100, paid=1)) is not None
    assert why_not_withdrawn(Balance("open", "EUR", 100, processing=1)) is not None
    assert why_not_withdrawn(Balance("open", "EUR", 100, paid=40, refunded=39)) is not None


def test_an_invoice_is_voided_once_all_that_was_paid_went_back_by_a_refund_or_a_dispute() -> None:
    assert why_not_withdrawn(Balance("open", "EUR", 100, paid=40, refunded=40)) is None
    assert why_not_withdrawn(Balance("open", "EUR", 100, paid=40, disputed=40)) is None
    assert why_not_withdrawn(Balance("open", "EUR", 100, paid=40, refunded=10, disputed=30)) is None


def test_only_an_open_invoice_may_be_given_up_and_not_while_money_is_on_its_way() -> None:
    assert [status for status in STATUSES if why_not_given_up(Balance(status, "EUR", 100)) is None] == ["open"]
    assert why_not_given_up(Balance("open", "EUR", 100, processing=100)) is not None
    assert why_not_given_up(Balance("open", "EUR", 100, paid=40)) is None


def test_payable_now_is_total_less_paid_less_processing() -> None:
    assert Balance("open", "EUR", 100, paid=30, processing=50).payable_now == 20
    assert Balance("open", "EUR", 100, processing=100).payable_now == 0
    assert [Balance(status, "EUR", 100).payable_now for status in STATUSES] == [0, 100, 0, 0, 0]


def test_an_invoice_cannot_be_paid_more_than_its_total() -> None:
    with pytest.raises(ValueError, match="101 paid"):
        Balance("open", "EUR", 100, paid=101)


@pytest.mark.parametrize(
    ("currency", "ours", "stripes"),
    [("EUR", 1250, 1250), ("JPY", 500, 500), ("KWD", 5120, 5120), ("ISK", 5, 500), ("UGX", 7, 700), ("MGA", 500, 5)],
)
def test_amounts_are_sent_in_the_units_that_stripe_counts_in(currency: str, ours: int, stripes: int) -> None:
    assert currencies.to_stripe(ours, currency) == stripes
    assert currencies.from_stripe(stripes, currency) == ours
    assert ours % currencies.smallest_step(currency) == 0


def test_an_amount_that_cannot_be_said_exactly_is_an_error_and_never_rounded() -> None:
    with pytest.raises(ValueError, match="cannot be said"):
        currencies.from_stripe(550, "ISK")
    with pytest.raises(ValueError, match="cannot be said"):
        currencies.to_stripe(150, "MGA")
