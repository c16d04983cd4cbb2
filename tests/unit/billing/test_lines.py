"""What an invoice adds up to."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from services.billing.domain.lines import Line, RateTotal, line_amount, totals

D = Decimal
quantities = st.decimals(min_value=D("0.0001"), max_value=D(1_000_000), places=4)
percents = st.decimals(min_value=0, max_value=100, places=4)
rates = st.sampled_from([D(0), D("5.5"), D(7), D(19), D("19.00"), D(20), D(100)])
some_lines = st.lists(
    st.builds(Line, st.just("x"), quantities, st.integers(0, 99_999_999_999), percents, rates), min_size=1, max_size=12
)


def test_three_hours_at_80_euro_with_19_percent_added() -> None:
    sums = totals([Line("Consulting", D(3), 8000, tax_rate=D(19))], tax_inclusive=False)
    assert (sums.amounts, sums.subtotal, sums.tax, sums.total) == ((24000,), 24000, 4560, 28560)
    assert sums.rates == (RateTotal(D(19), 24000, 4560),)


def test_a_gross_price_of_119_contains_19_of_tax() -> None:
    sums = totals([Line("Desk", D(1), 11900, tax_rate=D(19))], tax_inclusive=True)
    assert (sums.amounts, sums.subtotal, sums.tax, sums.total) == ((10000,), 10000, 1900, 11900)


def test_half_a_cent_goes_up() -> None:
    assert line_amount(Line("x", D("0.5"), 1)) == 1
    assert line_amount(Line("x", D("0.4999"), 1)) == 0
    assert line_amount(Line("x", D("2.5"), 1)) == 3  # not to the even one


def test_a_discount_is_taken_before_the_one_rounding() -> None:
    # 3 x 3.33 = 9.99; less 33.33 % is 6.660333
    assert line_amount(Line("x", D(3), 333, discount_percent=D("33.33"))) == 666


def test_tax_is_taken_of_a_rates_sum_and_not_line_by_line() -> None:
    # 3 x 0.03 at 19 %: of the sum 0.09 it is 0.0171, so 2; line by line (0.0057 each) it would be 3
    sums = totals([Line("x", D(1), 3, tax_rate=D(19))] * 3, tax_inclusive=False)
    assert (sums.subtotal, sums.tax, sums.total) == (9, 2, 11)


def test_rates_are_listed_from_low_to_high_and_the_untaxed_base_with_them() -> None:
    lines = [Line("a", D(1), 1000, tax_rate=D(19)), Line("b", D(1), 500), Line("c", D(1), 1000, tax_rate=D("19.0"))]
    sums = totals(lines, tax_inclusive=False)
    assert sums.rates == (RateTotal(D(0), 500, 0), RateTotal(D(19), 2000, 380))


def test_an_invoice_without_any_tax_lists_no_rates() -> None:
    assert totals([Line("a", D(1), 1000)], tax_inclusive=False).rates == ()


def test_net_amounts_of_gross_lines_add_up_to_the_subtotal_to_the_cent() -> None:
    # 3 x 0.10 gross at 20 %: 0.30 contains 0.05, 0.25 net; each line alone would say 0.08
    sums = totals([Line("x", D(1), 10, tax_rate=D(20))] * 3, tax_inclusive=True)
    assert (sums.amounts, sums.subtotal, sums.tax) == ((9, 8, 8), 25, 5)


def test_29_digits_are_not_rounded_on_the_way() -> None:
    # Decimal's 28 digits would lose the last place.
    line = Line("x", D("999999.9999"), 99_999_999_999, discount_percent=D("0.0001"))
    assert line_amount(line) == (9_999_999_999 * 99_999_999_999 * 999_999 * 2 + 10**10) // (2 * 10**10)


@given(some_lines, st.booleans())
def test_sums_are_consistent_whatever_the_lines_are(lines: list[Line], tax_inclusive: bool) -> None:
    sums = totals(lines, tax_inclusive=tax_inclusive)
    assert sums.total == sums.subtotal + sums.tax
    assert sums.subtotal == sum(sums.amounts)
    assert all(amount >= 0 for amount in sums.amounts)
    if sums.rates:
        assert sum(rate.base for rate in sums.rates) == sums.subtotal
        assert sum(rate.amount for rate in sums.rates) == sums.tax
        assert len({rate.rate for rate in sums.rates}) == len(sums.rates)


@given(some_lines)
def test_tax_that_is_included_never_changes_what_the_customer_pays(lines: list[Line]) -> None:
    assert totals(lines, tax_inclusive=True).total == sum(line_amount(line) for line in lines)


@given(some_lines)
def test_a_net_share_is_never_more_than_its_gross_and_never_a_cent_off(lines: list[Line]) -> None:
    net = totals(lines, tax_inclusive=True).amounts
    for line, share in zip(lines, net, strict=True):
        gross = line_amount(line)
        exact = D(gross) * 100 / (100 + line.tax_rate)
        assert share <= gross
        assert abs(share - exact) < 1


@given(some_lines, st.randoms())
def test_the_order_of_lines_decides_nothing_about_the_total(lines: list[Line], chance: object) -> None:
    shuffled = list(lines)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis gives a random.Random
    for tax_inclusive in (False, True):
        assert totals(lines, tax_inclusive=tax_inclusive).total == totals(shuffled, tax_inclusive=tax_inclusive).total
