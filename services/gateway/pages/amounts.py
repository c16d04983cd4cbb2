"""Amounts as people write and read them. Exact: minor units in, minor units out, nothing is ever rounded."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from functools import lru_cache

from babel import Locale
from babel.numbers import NumberPattern, get_decimal_symbol, get_group_symbol, parse_pattern

from contracts.message import minor_digits

_SPACES = "\u0020\u00a0\u202f\u2009"
_GROUPS = {"'": "'\u2019", "\u2019": "'\u2019", "\u066c": "\u066c,"}


class NotANumberError(ValueError):
    """What was typed is not a number as this locale writes it."""


class TooManyDecimalsError(ValueError):
    """What was typed is more exact than the currency: it would have to be rounded, and we round nobody's price."""


@lru_cache(maxsize=256)
def _pattern(locale: Locale, decimals: int) -> NumberPattern:
    pattern = parse_pattern(locale.currency_formats["standard"].pattern)
    pattern.frac_prec = (decimals, decimals)
    return pattern


def money(amount: int, currency: str, locale: Locale) -> str:
    """`money(125000, "EUR", de)` is `1.250,00 €`."""
    decimals = minor_digits(currency)
    major = Decimal(amount).scaleb(-decimals)
    written = str(_pattern(locale, decimals).apply(major, locale, currency=currency, currency_digits=False))
    # A sign after letters, as in `JP¥`, would jump to their other side where people read from right to left.
    if locale.text_direction == "rtl":
        written = re.sub(r"(?<=[A-Z][$¥£])", "\u200e", written)
    # A code in letters does not stick to its digits: "KWD 1.250" (CLDR, alphaNextToNumber).
    return re.sub(r"(?<=[A-Z])(?=\d)", "\u00a0", written)


def typed(amount: int, currency: str, locale: Locale) -> str:
    """An amount as it stands in a form's field: no symbol, no grouping, the locale's decimal sign."""
    return f"{Decimal(amount).scaleb(-minor_digits(currency)):f}".replace(".", get_decimal_symbol(locale))


def number(text: str, locale: Locale) -> Decimal:
    """What somebody typed: `1.234,5` in German, `1,234.5` in English; digits of any script. Never negative.

    Raises:
        NotANumberError: anything else, such as a group of two digits or the other locale's decimal sign.
    """
    plain = "".join(str(digit) if (digit := unicodedata.digit(sign, None)) is not None else sign for sign in text)
    group = get_group_symbol(locale)
    groups = _SPACES if group in _SPACES else _GROUPS.get(group, group)
    decimal = get_decimal_symbol(locale)
    fraction = "[" + re.escape(decimal) + ("\u066b" if locale.language == "ar" else "") + "]"
    found = re.fullmatch(
        rf"\s*(\d{{1,15}}|\d{{1,3}}(?:[{re.escape(groups)}]\d{{2,3}}){{0,4}}[{re.escape(groups)}]\d{{3}})"
        rf"(?:{fraction}(\d{{1,12}}))?\s*",
        plain,
    )
    if found is None:
        raise NotANumberError(text)
    return Decimal(re.sub(r"\D", "", found[1]) + "." + (found[2] or "0"))


def minor_units(text: str, currency: str, locale: Locale) -> int:
    """A typed price in the currency's minor units, exactly: `12,50` in German and EUR is 1250.

    Raises:
        NotANumberError: not a number.
        TooManyDecimalsError: it has a fraction of a minor unit, such as 12.505 EUR or 1.5 JPY.
    """
    minor = number(text, locale).scaleb(minor_digits(currency))
    if minor != minor.to_integral_value():
        raise TooManyDecimalsError(text)
    return int(minor)


def hundredth(number_of_hundredths: object) -> Decimal:
    """A rate in percent as the ratio that formatting wants: 19 is 0.19."""
    return Decimal(str(number_of_hundredths)).scaleb(-2)
