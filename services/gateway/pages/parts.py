"""Paying an invoice, whole or in part: what somebody typed as the amount, and what they find when they come back."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import Request

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


def way_back(path: str, invoice: Invoice) -> str:
    """Where the browser comes back to from the payment page: the page `path`, told how much had been paid before."""
    return f"{path}?before={invoice.amount_paid}&paid=confirming"


def came_back(request: Request, invoice: Invoice) -> Literal["confirming", "arrived", ""]:
    """What to say to somebody who comes back from the payment page of an open invoice.

    Coming back proves nothing; that more is paid than before does, and the rest of a part payment stays open.
    """
    if request.query_params.get("paid") != "confirming":
        return ""
    before = request.query_params.get("before", "")[:18]
    return "arrived" if before.isdecimal() and invoice.amount_paid > int(before) else "confirming"
