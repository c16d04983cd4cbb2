"""A payment method in the reader's words: what it is called, until when it is valid, what is wrong with it."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from contracts.billing import PaymentMethod

from .language import NOTHING, Reader
from .language import gettext_noop as _

_SOON = timedelta(days=30)
_BRANDS = {"visa": "Visa", "mastercard": "Mastercard", "amex": "American Express", "jcb": "JCB", "unionpay": "UnionPay"}
_KINDS = {"card": _("Card"), "sepa_debit": _("Bank account")}

Standing = Literal["working", "expiring", "expired", "not_working"]


def named(method: PaymentMethod, reader: Reader) -> str:
    """`Visa`, `Bank account`; other kinds by Stripe's word."""
    if method.kind == "card" and method.brand:
        return _BRANDS.get(method.brand, method.brand.replace("_", " ").title())
    known = _KINDS.get(method.kind)
    return reader.gettext(known) if known else method.kind.replace("_", " ").title()


def digits(method: PaymentMethod) -> str:
    """`•••• 4242`."""
    return f"•••• {method.last4 or NOTHING}"


def valid_until(method: PaymentMethod) -> str:
    """`12/34` as it is printed on cards everywhere; empty for what does not expire."""
    if method.exp_month is None or method.exp_year is None:
        return ""
    return f"{method.exp_month:02}/{method.exp_year % 100:02}"


def standing(method: PaymentMethod, now: datetime) -> Standing:
    """Whether it can be charged, and for how long: by the day in UTC, as billing counts, wherever it is read."""
    last_day, today = _last_day(method), now.astimezone(UTC).date()
    if last_day is not None and last_day < today:
        return "expired"
    if not method.working:
        return "not_working"
    return "expiring" if last_day is not None and last_day <= today + _SOON else "working"


def _last_day(method: PaymentMethod) -> date | None:
    if method.exp_month is None or method.exp_year is None:
        return None
    return date(method.exp_year, method.exp_month, monthrange(method.exp_year, method.exp_month)[1])
