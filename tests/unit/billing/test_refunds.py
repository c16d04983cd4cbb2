"""What can be given back, and credit notes that add up to what was billed."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.billing.domain.lines import Line, RateTotal, totals
from services.billing.domain.refunds import credit_note, refund_problems, refundable


def test_what_is_refunded_or_disputed_cannot_be_refunded_again() -> None:
    assert refundable(100, 0) == 100
    assert refundable(100, 40) == 60
    assert refundable(100, 40, 60) == 0
    assert refundable(100, 40, 100) == 0


@pytest.mark.parametrize(
    ("amount", "code"),
    [(0, "refund-too-small"), (-1, "refund-too-small"), (61, "refund-too-large"), (60, None), (1, None)],
)
def test_a_refund_is_above_nothing_and_at_most_what_is_left(amount: int, code: str | None) -> None:
    found = refund_problems(amount, "EUR", paid=100, refunded=30, disputed=10)
    assert [(each.field, each.code) for each in found] == ([("amount", code)] if code else [])


def test_a_refund_that_is_too_large_says_how_much_is_left() -> None:
    [problem] = refund_problems(61_00, "EUR", paid=100_00, refunded=40_00)
    assert problem.message == "At most 60.00 EUR of this payment can be refunded."
    assert problem.values == {"most": {"amount": 60_00, "currency": "EUR"}}


def test_a_refund_keeps_to_the_steps_of_its_currency() -> None:
    assert [each.code for each in refund_problems(1234, "KWD", paid=5000, refunded=0)] == ["refund-between-steps"]


def test_a_credit_note_takes_net_and_tax_of_each_rate_evenly() -> None:
    invoice = totals(
        [Line("a", Decimal(1), 100_00, tax_rate=Decimal(19)), Line("b", Decimal(1), 50_00, tax_rate=Decimal(7))],
        tax_inclusive=False,
    )
    assert invoice.total == 172_50
    assert credit_note(invoice, 86_25) == (RateTotal(Decimal(7), 25_00, 1_75), RateTotal(Decimal(19), 50_00, 9_50))


def test_a_credit_note_over_everything_is_the_invoice() -> None:
    invoice = totals([Line("a", Decimal(3), 33_33, tax_rate=Decimal(19))], tax_inclusive=False)
    assert credit_note(invoice, invoice.total) == invoice.rates


def test_an_invoice_without_tax_is_credited_at_rate_nought() -> None:
    invoice = totals([Line("a", Decimal(1), 100)], tax_inclusive=False)
    assert credit_note(invoice, 40) == (RateTotal(Decimal(0), 40, 0),)


def test_a_credit_note_over_nothing_or_more_than_is_left_is_an_error() -> None:
    invoice = totals([Line("a", Decimal(1), 100)], tax_inclusive=False)
    for amount in (0, -1, 101):
        with pytest.raises(ValueError, match="does not fit on the 100"):
            credit_note(invoice, amount)
    with pytest.raises(ValueError, match="does not fit on the 60"):
        credit_note(invoice, 61, [credit_note(invoice, 40)])


rates = st.sampled_from([Decimal(0), Decimal(7), Decimal(19), Decimal("5.5"), Decimal(100)])
lines = st.lists(
    st.builds(
        Line, st.just("x"), st.integers(1, 20).map(Decimal), st.integers(0, 50_000), st.just(Decimal(0)), tax_rate=rates
    ),
    min_size=1,
    max_size=6,
)


@given(lines, st.booleans(), st.data())
def test_notes_over_the_whole_invoice_credit_exactly_its_net_and_tax(
    typed: list[Line], inclusive: bool, data: st.DataObject
) -> None:
    invoice = totals(typed, tax_inclusive=inclusive)
    left = invoice.total
    notes: list[tuple[RateTotal, ...]] = []
    while left:
        amount = data.draw(st.integers(1, left)) if len(notes) < 6 else left
        note = credit_note(invoice, amount, notes)
        assert sum(part.base + part.amount for part in note) == amount
        assert all(part.base >= 0 and part.amount >= 0 for part in note)
        notes.append(note)
        left -= amount
    parts = [part for note in notes for part in note]
    for rate in invoice.rates:
        assert sum(part.base for part in parts if part.rate == rate.rate) == rate.base
        assert sum(part.amount for part in parts if part.rate == rate.rate) == rate.amount
    assert sum(part.base for part in parts) == invoice.subtotal
    assert sum(part.amount for part in parts) == invoice.tax
