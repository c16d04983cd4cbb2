"""What of a payment can be given back, and the credit note that says so.

A refund is of one payment, its surplus included. Its credit note is of the invoice: money that came on top of the
invoice's total is given back without one.
"""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from pydantic import JsonValue

from contracts.message import FieldError
from services.billing.domain import currencies
from services.billing.domain.lines import RateTotal, Totals, half_up

_UNTAXED = Decimal(0)


def refundable(paid: int, refunded: int, disputed: int = 0) -> int:
    """What of a payment can still be given back. `refunded` includes what is under way, not what failed.

    A dispute takes its amount out of the merchant's hands until it is won: giving it back as well would pay twice.
    """
    return max(paid - refunded - disputed, 0)


def refund_problems(
    amount: int, currency: str, *, paid: int, refunded: int, disputed: int = 0, field: str = "amount"
) -> list[FieldError]:
    """What is wrong with a refund of `amount` minor units."""
    most, step = refundable(paid, refunded, disputed), currencies.smallest_step(currency)
    if amount <= 0:
        return [_error(field, "refund-too-small", "The refund must be above 0.")]
    if amount > most:
        message = f"At most {currencies.written(most, currency)} of this payment can be refunded."
        return [_error(field, "refund-too-large", message, most={"amount": most, "currency": currency})]
    if amount % step:
        message = f"Cards can be refunded in steps of {currencies.written(step, currency)} only."
        return [_error(field, "refund-between-steps", message, step={"amount": step, "currency": currency})]
    return []


def credit_note(invoice: Totals, amount: int, earlier: Sequence[tuple[RateTotal, ...]] = ()) -> tuple[RateTotal, ...]:
    """Net and tax per rate of a credit note over `amount`, taken evenly from what earlier notes have left.

    The parts add up to exactly `amount`, no rate is credited more than was billed, and notes over the whole total credit
    exactly the invoice's net and tax of each rate: always of what is left, so roundings cannot add up. An invoice without
    tax has one part, at rate 0. Raises ValueError when less than `amount` is left, or `amount` is not above 0.
    """
    rates = invoice.rates or (RateTotal(_UNTAXED, invoice.subtotal, 0),)
    left = [_less(each, earlier) for each in rates]
    gross = [each.base + each.amount for each in left]
    if not 0 < amount <= sum(gross):
        raise ValueError(f"A credit note over {amount} does not fit on the {sum(gross)} that are left.")
    parts = []
    for rate, whole, part in zip(left, gross, _shares(gross, amount), strict=True):
        tax = half_up(Fraction(part * rate.amount, whole)) if whole else 0
        parts.append(RateTotal(rate.rate, part - tax, tax))
    return tuple(each for each in parts if each.base or each.amount)


def _less(billed: RateTotal, earlier: Sequence[tuple[RateTotal, ...]]) -> RateTotal:
    credited = [part for note in earlier for part in note if part.rate == billed.rate]
    base = billed.base - sum(each.base for each in credited)
    return RateTotal(billed.rate, base, billed.amount - sum(each.amount for each in credited))


def _shares(of: Sequence[int], amount: int) -> list[int]:
    """`amount` split like `of`: each share rounded down, the rest to the largest remainders. None is above its own."""
    together = sum(of)
    shares = [amount * each // together for each in of]
    largest = sorted(range(len(of)), key=lambda index: (-(amount * of[index] % together), index))
    for index in largest[: amount - sum(shares)]:
        shares[index] += 1
    return shares


def _error(field: str, code: str, message: str, **values: JsonValue) -> FieldError:
    return FieldError(field=field, message=message, code=code, values=values)
