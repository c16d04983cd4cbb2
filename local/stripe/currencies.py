"""Stripe's currency rules: minor units, the three-decimal rule, the smallest chargeable amounts."""

from decimal import Decimal

from babel.core import UnknownLocaleError
from babel.numbers import format_currency, is_currency

from local.stripe.errors import InvalidParameterError

# https://docs.stripe.com/currencies
_ZERO_DECIMAL = frozenset(
    ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"]
)
_THREE_DECIMAL = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])
# Without decimals today, but for old clients' sake their amounts still have two, always 00.
_SENT_WITH_TWO_ZEROS = frozenset(["isk", "ugx"])
_SMALLEST = {
    "usd": 50, "aed": 200, "aud": 50, "brl": 50, "cad": 50, "chf": 50, "czk": 1500, "dkk": 250, "eur": 50, "gbp": 30,
    "hkd": 400, "huf": 17500, "inr": 50, "jpy": 50, "mxn": 1000, "myr": 200, "nok": 300, "nzd": 50, "pln": 200,
    "ron": 200, "sek": 300, "sgd": 50, "thb": 1000,
}  # fmt: skip
_LARGEST = 99_999_999


def check_currency(currency: str, param: str) -> str:
    """The lower-case code.

    Raises:
        InvalidParameterError: not a currency.
    """
    if not is_currency(currency.upper()):
        raise InvalidParameterError(f"Invalid currency: {currency.lower()}", param=param)
    return currency.lower()


def check_amount(amount: int, currency: str, param: str) -> int:
    """An amount that can be charged, in minor units.

    Raises:
        InvalidParameterError: below the currency's minimum, above eight digits, or finer than the currency allows
            (the last digit of a three-decimal amount is 0).
    """
    smallest = _SMALLEST.get(currency, 1)
    if amount < smallest:
        shown = format_amount(smallest, currency)
        raise InvalidParameterError(f"Amount must be at least {shown}", code="amount_too_small", param=param)
    if amount > _LARGEST:
        shown = format_amount(_LARGEST, currency)
        raise InvalidParameterError(f"Amount must be no more than {shown}", code="amount_too_large", param=param)
    step = 10 if currency in _THREE_DECIMAL else 100 if currency in _SENT_WITH_TWO_ZEROS else 1
    if amount % step:
        raise InvalidParameterError(
            f"Invalid amount: {currency.upper()} amounts must be evenly divisible by {step}.", param=param
        )
    return amount


def format_amount(amount: int, currency: str, locale: str = "en") -> str:
    """An amount of minor units for people, e.g. `€12.50`."""
    digits = 0 if currency in _ZERO_DECIMAL else 3 if currency in _THREE_DECIMAL else 2
    value = Decimal(amount).scaleb(-digits)
    try:
        return format_currency(value, currency.upper(), locale=locale.replace("-", "_"))
    except (UnknownLocaleError, ValueError):
        return format_currency(value, currency.upper(), locale="en")
