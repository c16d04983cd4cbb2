"""The lines of an invoice or a subscription as somebody types them: prices as people write them, parsed exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from contracts.message import FieldError, InvalidInput, minor_digits

from . import amounts
from .forms import Form
from .language import Reader

T = TypeVar("T")
CURRENCIES = (
    "AED",
    "AUD",
    "BHD",
    "BRL",
    "CAD",
    "CHF",
    "CNY",
    "CZK",
    "DKK",
    "EUR",
    "GBP",
    "HKD",
    "HUF",
    "ILS",
    "INR",
    "JOD",
    "JPY",
    "KRW",
    "KWD",
    "MXN",
    "NOK",
    "NZD",
    "PLN",
    "RON",
    "SAR",
    "SEK",
    "SGD",
    "THB",
    "TND",
    "TRY",
    "USD",
    "ZAR",
)


def currencies(*chosen: str) -> list[tuple[str, str]]:
    """The currencies to choose from, and those already in use."""
    return [(code, code) for code in sorted({*CURRENCIES, *filter(None, chosen)})]


def lines_of(form: Form, currency: str, reader: Reader) -> list[dict[str, Any]]:
    """The lines that somebody filled in, prices in minor units, each keeping its number in the form for its errors.

    Raises:
        InvalidInput: names every field that is not a number, or more exact than its currency.
    """
    lines: list[dict[str, Any]] = []
    errors: list[FieldError] = []

    def parsed(name: str, parse: Callable[[], T]) -> T | None:
        try:
            return parse()
        except amounts.NotANumberError:
            message = reader.gettext("Please enter a number such as %(example)s.")
            errors.append(FieldError(field=name, message=message % {"example": example(currency, reader)}))
        except amounts.TooManyDecimalsError:
            message = reader.gettext("%(currency)s has no fractions this small.") % {"currency": currency}
            errors.append(FieldError(field=name, message=message))
        return None

    for number, typed in form.numbered("lines"):
        parts = ("description", "quantity", "unit_amount", "tax_rate", "discount_percent")
        words, quantity, price, tax, discount = (typed.get(part, "") for part in parts)
        if typed.get("reverse_charge") == "yes":
            tax = ""  # the customer owes it: the usual rate, with which the form comes, does not stand in the way
        if not words and not price:
            continue
        at = f"lines.{number}"
        lines.append(
            {
                "description": words,
                "quantity": parsed(f"{at}.quantity", lambda text=quantity: amounts.number(text or "1", reader.locale)),  # type: ignore[misc]  # mypy does not infer a lambda's default
                "unit_amount": parsed(
                    f"{at}.unit_amount",
                    lambda text=price: amounts.minor_units(text, currency, reader.locale),  # type: ignore[misc]  # likewise
                ),
                "tax_rate": parsed(
                    f"{at}.tax_rate",
                    lambda text=tax: amounts.number(text or "0", reader.locale),  # type: ignore[misc]  # likewise
                ),
                "discount_percent": parsed(
                    f"{at}.discount_percent",
                    lambda text=discount: amounts.number(text or "0", reader.locale),  # type: ignore[misc]  # likewise
                ),
                "reverse_charge": typed.get("reverse_charge") == "yes",
            }
        )
        if not words:
            errors.append(FieldError(field=f"{at}.description", message=reader.gettext("Please fill this in.")))
    if not lines:
        errors.append(
            FieldError(field="lines.0.description", message=reader.gettext("Please fill in at least one line."))
        )
    if errors:
        raise InvalidInput(errors=tuple(errors))
    return lines


def example(currency: str, reader: Reader) -> str:
    """A price as the reader would type it."""
    return amounts.typed(125 * 10 ** minor_digits(currency) // 10 * 10, currency, reader.locale)
