"""Create new Payment Link: lines with prices as people write them, parsed exactly."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from contracts import billing
from contracts.identity import Customer
from contracts.message import FieldError, InvalidInput, minor_digits
from services.gateway import commands, readmodel
from services.gateway.security import Session
from services.gateway.security.doors import MemberSession

from . import amounts
from .forms import Form
from .language import Reader
from .language import gettext_noop as _
from .page import Page, done

router = APIRouter()
said = {
    "link-mailed": _("The payment link has been saved and is being mailed."),
    "link-saved": _("The payment link has been saved. It can now be paid in the portal."),
}

T = TypeVar("T")
MOST_LINES = 200
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
        parts = ("description", "quantity", "unit_amount", "tax_rate")
        words, quantity, price, tax = (typed.get(part, "") for part in parts)
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


def _show(page: Page, session: Session, customer: Customer, form: Form, more: int = 0) -> Response:
    merchant = session.merchant
    filled = 1 + max((number for number, _ in form.numbered("lines")), default=-1)
    currency = form.get("currency") or (merchant.currency if merchant else "EUR")
    return page.render(
        "payment_link_new.html",
        status=form.status,
        form=form,
        customer=customer,
        line_count=min(max(filled, 1) + more, MOST_LINES),
        currencies=currencies(currency),
        example=example(currency, page.reader),
    )


@router.get("/console/customers/{customer_id:uuid}/payment-links/new")
async def new(request: Request, session: MemberSession, customer_id: UUID) -> Response:
    """One empty line, due in two weeks, in the merchant's currency."""
    assert session.viewer is not None
    page = await Page.of(request, session)
    customer = await readmodel.customer(request.app.state.runtime.db, session.viewer, customer_id)
    due = page.reader.today + timedelta(days=14)
    currency = session.merchant.currency if session.merchant else "EUR"
    form = Form({"due_on": due.isoformat(), "currency": currency, "lines.0.quantity": "1", "lines.0.tax_rate": "0"})
    return _show(page, session, customer, form)


@router.post("/console/customers/{customer_id:uuid}/payment-links/new")
async def create(request: Request, session: MemberSession, customer_id: UUID) -> Response:
    """Add a line to the form, or save the link, mailed or not."""
    assert session.viewer is not None
    page = await Page.of(request, session)
    customer = await readmodel.customer(request.app.state.runtime.db, session.viewer, customer_id)
    form = await Form.posted(request)
    if form.get("press") == "add_line":
        return _show(page, session, customer, form, more=1)
    with form.refusals(page.reader):
        currency = form.get("currency")
        order = billing.CreatePaymentLink.model_validate(
            {
                "customer_id": customer_id,
                "currency": currency,
                "lines": lines_of(form, currency, page.reader),
                "due_on": form.given("due_on"),
                "memo": form.given("memo"),
                "send_email": form.get("press") == "email",
            }
        )
        invoice = await commands.send(request, order, id=form.command_id)
        said = "link-mailed" if order.send_email else "link-saved"
        return done(f"/console/invoices/{invoice.id}", said)
    return _show(page, session, customer, form)
