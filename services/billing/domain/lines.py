"""What an invoice adds up to: lines, discounts, tax per rate.

Rounding: to the minor unit, half up, once per line and once per tax rate, never in between. The sums are those of
EN 16931-1 (the European invoice): the subtotal is the sum of the lines' net amounts (BR-CO-10), a rate's tax is taken of
the sum of its lines, not line by line (BR-S-09, BR-CO-17), the total is subtotal plus tax (BR-CO-15).
Directive 2006/112/EC leaves the way of rounding to the member states (CJEU C-484/06 "Ahold"); half up is what commerce does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import groupby

HIGHEST_TOTAL = 99_999_999_999
"""Minor units: what the contracts' `Amount` holds, and so a line. What cards can be charged is less: `currencies`."""


@dataclass(frozen=True)
class Line:
    """A line as a member types it: `unit_amount` in minor units, rates in percent."""

    description: str
    quantity: Decimal
    unit_amount: int
    discount_percent: Decimal = Decimal(0)
    tax_rate: Decimal = Decimal(0)
    reverse_charge: bool = False
    """The customer owes the tax, so that none is taken here."""


@dataclass(frozen=True)
class RateTotal:
    """The tax of one rate and the net amount it is the tax of, in minor units."""

    rate: Decimal
    base: int
    amount: int


@dataclass(frozen=True)
class Totals:
    """An invoice's sums in minor units. `amounts` are the lines' net amounts in order; subtotal + tax = total.

    `rates` is empty when no line is taxed; else it names every rate, 0 included.
    """

    amounts: tuple[int, ...]
    subtotal: int
    rates: tuple[RateTotal, ...]
    tax: int
    total: int


def half_up(exact: Fraction) -> int:
    """The nearest integer, a half going up. Amounts here are never negative."""
    return int((2 * exact + 1) // 2)


def line_amount(line: Line) -> int:
    """Quantity times unit amount, less the discount, rounded once. Exact: fractions, since 29 digits may be needed."""
    kept = 1 - Fraction(line.discount_percent) / 100
    return half_up(Fraction(line.quantity) * line.unit_amount * kept)


def totals(lines: Sequence[Line], *, tax_inclusive: bool) -> Totals:
    """Add the lines up. With `tax_inclusive` the unit amounts contain the tax, and it is taken out of each rate's sum."""
    typed = [line_amount(line) for line in lines]
    amounts = list(typed)
    rates: list[RateTotal] = []
    by_rate = sorted(range(len(lines)), key=lambda index: lines[index].tax_rate)
    for rate, grouped in groupby(by_rate, key=lambda index: lines[index].tax_rate):
        members = list(grouped)
        together = sum(typed[index] for index in members)
        if tax_inclusive:
            tax = half_up(together * Fraction(rate) / (100 + Fraction(rate)))
            shares = _net_shares([typed[index] for index in members], together - tax, Fraction(rate))
            for index, share in zip(members, shares, strict=True):
                amounts[index] = share
            rates.append(RateTotal(rate, together - tax, tax))
        else:
            rates.append(RateTotal(rate, together, half_up(together * Fraction(rate) / 100)))
    subtotal, tax = sum(amounts), sum(each.amount for each in rates)
    taxed = tuple(rates) if any(each.rate for each in rates) else ()
    return Totals(tuple(amounts), subtotal, taxed, tax, subtotal + tax)


def _net_shares(gross: Sequence[int], net: int, rate: Fraction) -> list[int]:
    """The lines' net amounts, which add up to exactly `net`: each rounded down, the rest to the largest remainders."""
    exact = [amount * 100 / (100 + rate) for amount in gross]
    shares = [int(each // 1) for each in exact]
    first = sorted(range(len(gross)), key=lambda index: (shares[index] - exact[index], index))
    for index in first[: net - sum(shares)]:
        shares[index] += 1
    return shares
