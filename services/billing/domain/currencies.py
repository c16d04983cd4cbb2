"""Which currencies can be invoiced, and how finely the processor can charge them."""

from decimal import Decimal
from functools import cache

from babel.core import get_global

from contracts.message import minor_digits

# Stripe's units where they are not ISO 4217's (docs.stripe.com/currencies, "Special cases"): ISK and UGX are sent as if
# they had two decimals, MGA as if it had none.
_STRIPE_DIGITS = {"ISK": 2, "UGX": 2, "MGA": 0}
# "The least-significant digit must be 0" (the same page) for currencies of three decimals.
_STRIPE_TENS = frozenset(["BHD", "JOD", "KWD", "OMR", "TND"])
# "Minimum and maximum charge amounts" (the same page), in Stripe's units: the least where one is published, and eight
# digits. Other currencies' least depends on the day's rate to the account's own; Stripe alone can refuse those.
_STRIPE_LEAST = {
    "AED": 2_00,
    "AUD": 50,
    "BRL": 50,
    "CAD": 50,
    "CHF": 50,
    "CZK": 15_00,
    "DKK": 2_50,
    "EUR": 50,
    "GBP": 30,
    "HKD": 4_00,
    "HUF": 175_00,
    "INR": 50,
    "JPY": 50,
    "MXN": 10_00,
    "MYR": 2_00,
    "NOK": 3_00,
    "NZD": 50,
    "PLN": 2_00,
    "RON": 2_00,
    "SEK": 3_00,
    "SGD": 50,
    "THB": 10_00,
    "USD": 50,
}
_STRIPE_MOST = 99_999_999


@cache
def in_use() -> frozenset[str]:
    """The currencies that are legal tender somewhere today, as Babel's CLDR data knows them: no DEM, no XAU."""
    territories = get_global("territory_currencies").values()
    return frozenset(
        code for entries in territories for code, _, until, is_tender in entries if until is None and is_tender
    )


def smallest_step(currency: str) -> int:
    """What a total must be a multiple of, in minor units, so that a card can be charged exactly that: KWD 10, EUR 1."""
    if currency in _STRIPE_TENS:
        return 10
    finer: int = 10 ** max(minor_digits(currency) - _STRIPE_DIGITS.get(currency, minor_digits(currency)), 0)
    return finer


def smallest_charge(currency: str) -> int:
    """The least that a card can be charged, in minor units: EUR 50, KWD 10."""
    least = _STRIPE_LEAST.get(currency)
    return smallest_step(currency) if least is None else from_stripe(least, currency)


def largest_charge(currency: str) -> int:
    """The most that a card can be charged, in minor units: EUR 99999999, ISK 999999."""
    step = smallest_step(currency)
    return _STRIPE_MOST // to_stripe(step, currency) * step


def written(amount: int, currency: str) -> str:
    """An amount as our English sentences name it: `0.50 EUR`."""
    return f"{Decimal(amount).scaleb(-minor_digits(currency)):f} {currency}"


def to_stripe(amount: int, currency: str) -> int:
    """Minor units as Stripe counts them: 5 ISK are 500 there. Raises ValueError when it cannot be said exactly."""
    return _rescale(amount, minor_digits(currency), _STRIPE_DIGITS.get(currency, minor_digits(currency)))


def from_stripe(amount: int, currency: str) -> int:
    """ISO 4217 minor units of an amount that Stripe named. Raises ValueError when it cannot be said exactly."""
    return _rescale(amount, _STRIPE_DIGITS.get(currency, minor_digits(currency)), minor_digits(currency))


def _rescale(amount: int, digits_from: int, digits_to: int) -> int:
    if digits_to >= digits_from:
        return amount * int(10 ** (digits_to - digits_from))
    scaled, lost = divmod(amount, 10 ** (digits_from - digits_to))
    if lost:
        raise ValueError(f"{amount} with {digits_from} decimals cannot be said with {digits_to}.")
    return int(scaled)
