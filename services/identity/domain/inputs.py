"""What a contract's types cannot see is wrong: places that do not exist, and characters that nobody can print."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any
from zoneinfo import available_timezones

from babel import Locale, UnknownLocaleError
from babel.core import get_global

from contracts.message import FieldError

# Two letters that CLDR names but ISO 3166-1 gives to no country: reservations, unions and test codes. Kosovo's XK, which
# ISO leaves to its users, stays: it is what banks and post offices write.
_NO_COUNTRIES = {"AC", "CP", "CQ", "DG", "EA", "EU", "EZ", "IC", "QO", "TA", "UN", "XA", "XB", "ZZ"}
# Names in the time zone database that stand for no place.
_NO_TIME_ZONES = {"localtime", "Factory"}
# They would break a line of a mail's header or a document, and PostgreSQL keeps no NUL.
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")


def mistakes(values: Mapping[str, Any], path: str = "") -> tuple[FieldError, ...]:
    """What is wrong in single-line fields, nested ones included. None and "" are no mistake: nothing was said.

    Fields named `locale`, `time_zone`, `country` and `currency` must name one that exists.
    """
    return tuple(_mistakes(values, path))


def _mistakes(values: Mapping[str, Any], path: str) -> Iterator[FieldError]:
    for name, value in values.items():
        field = f"{path}{name}"
        if isinstance(value, Mapping):
            yield from _mistakes(value, f"{field}.")
        elif isinstance(value, tuple):
            yield from _mistakes({str(index): each for index, each in enumerate(value)}, f"{field}.")
        elif isinstance(value, str) and value:
            if _CONTROL_CHARACTER.search(value):
                yield FieldError(field=field, message="Please leave out line breaks and control characters.")
            elif name in _KINDS and not _KINDS[name][0](value):
                yield FieldError(field=field, message=f"“{value}” is not {_KINDS[name][1]}.")


def locale_exists(tag: str) -> bool:
    """Whether CLDR has data for a BCP 47 tag such as `de` or `en-GB`."""
    try:
        Locale.parse(tag, sep="-")
    except (UnknownLocaleError, ValueError):
        return False
    return True


@cache
def time_zones() -> frozenset[str]:
    """The names of the IANA time zone database."""
    return frozenset(available_timezones() - _NO_TIME_ZONES)


@cache
def countries() -> frozenset[str]:
    """ISO 3166-1 alpha-2 codes, from CLDR."""
    codes = map(str, Locale("en").territories)
    return frozenset(code for code in codes if len(code) == 2 and code.isalpha()) - _NO_COUNTRIES


@cache
def currencies() -> frozenset[str]:
    """ISO 4217 codes that are legal tender somewhere today, from CLDR."""
    history = get_global("territory_currencies").values()
    return frozenset(code for rows in history for code, _since, until, tender in rows if tender and until is None)


_KINDS: dict[str, tuple[Callable[[str], bool], str]] = {
    "locale": (locale_exists, "a language that we know"),
    "time_zone": (lambda name: name in time_zones(), "a time zone that we know"),
    "country": (lambda code: code in countries(), "a country's code"),
    "currency": (lambda code: code in currencies(), "a currency in use"),
}
