"""Paying a part of an invoice: what somebody typed as the amount."""

from __future__ import annotations

from typing import Any

from contracts.billing import Invoice
from contracts.message import FieldError, InvalidInput

from . import amounts
from .forms import Form
from .language import Reader
from .lines import example


def amount_of(form: Form, invoice: Invoice, reader: Reader) -> dict[str, Any]:
    """The command's `amount` where a part may be paid, else nothing. Raises InvalidInput (`amount`)."""
    typed = form.given("amount")
    if not invoice.allow_partial or typed is None:
        return {}
    try:
        return {"amount": amounts.minor_units(typed, invoice.currency, reader.locale)}
    except amounts.NotANumberError:
        message = reader.gettext("Please enter a number such as %(example)s.")
        message %= {"example": example(invoice.currency, reader)}
    except amounts.TooManyDecimalsError:
        message = reader.gettext("%(currency)s has no fractions this small.") % {"currency": invoice.currency}
    raise InvalidInput(errors=(FieldError(field="amount", message=message),))
