"""How a template becomes HTML: one Jinja environment per language, and how it writes what it is given."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

from babel import Locale
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from chassis.ids import new_id
from contracts.billing import Invoice
from contracts.identity import Customer
from contracts.message import Address
from contracts.todos import Todo

from . import agreement, cards, problems
from .language import LANGUAGES, NOTHING, Reader, catalogue
from .language import gettext_noop as _

_HERE = Path(__file__).parent.parent
_ROLES = {"owner": _("Owner"), "billing": _("Billing"), "member": _("Member"), "admin": _("Admin")}
_DEVICES = (("Edg", "Edge"), ("Firefox", "Firefox"), ("Chrom", "Chrome"), ("Safari", "Safari"))
_SYSTEMS = (("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Mac OS", "macOS"), ("Windows", "Windows"))


@lru_cache
def environment(language: str) -> Environment:
    """The templates with the texts of one language. Everything is escaped; an unknown name is an error, not a blank."""
    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.install_gettext_translations(catalogue(language), newstyle=True)  # type: ignore[attr-defined]  # by the extension
    made.globals.update(static=static_address, new_command_id=lambda: str(new_id()))
    made.filters.update(_FILTERS)
    return made


@lru_cache
def static_file(name: str) -> bytes | None:
    """A file of `static/`, kept in memory; None when there is none of that name."""
    path = _HERE / "static" / name
    return path.read_bytes() if re.fullmatch(r"[a-z]+\.[a-z]+", name) and path.is_file() else None


@lru_cache
def static_address(name: str) -> str:
    """The address of a file of `static/`, with its hash, so that a browser keeps it exactly as long as it is true."""
    content = static_file(name)
    assert content is not None, name
    return f"/static/{name}?v={hashlib.sha256(content).hexdigest()[:12]}"


def standing(invoice: Invoice, today: date) -> str:
    """An invoice's state as people see it: its own, or *being_paid*, *processing* or *overdue* for an open one."""
    if invoice.status != "open":
        return invoice.status
    if invoice.being_paid is not None:
        return "being_paid"
    if invoice.amount_due > 0 and not payable(invoice):
        return "processing"
    return "overdue" if overdue(invoice, today) else "open"


def payable(invoice: Invoice) -> int:
    """What is still to be paid, in minor units: less what is on its way, which nobody is asked for twice."""
    return max(invoice.amount_due - invoice.amount_processing, 0)


def overdue(thing: Invoice | Todo, today: date) -> bool:
    """Whether it should have been settled before today."""
    return thing.status == "open" and thing.due_on is not None and thing.due_on < today


def called(customer: Customer) -> str:
    """What a customer is called: by the company if there is one."""
    return customer.company or customer.name or customer.email or NOTHING


def initials(name: str, most: int = 2) -> str:
    """The first letters of the first words."""
    return "".join(word[0] for word in re.findall(r"\w+", name)[:most]).upper() or "•"


def todo_title(todo: Todo, reader: Reader) -> str:
    """A to-do's words. One that follows from a bill is worded here, in the reader's language."""
    if todo.subject is not None and todo.subject.kind == "payment_method":
        return reader.gettext("Replace the card ending in %(label)s") % {"label": todo.subject.label}
    if todo.subject is not None and todo.subject.kind == "request":
        return reader.gettext("Request about %(label)s") % {"label": todo.subject.label}
    if todo.origin == "billing" and todo.subject is not None:
        subject = todo.subject
        if subject.amount is not None and subject.currency is not None:
            amount = reader.money(subject.amount, subject.currency)
            return reader.gettext("Pay %(number)s (%(amount)s)") % {"number": subject.label, "amount": amount}
        return reader.gettext("Pay %(number)s") % {"number": subject.label}
    return todo.title or NOTHING


def todo_href(todo: Todo) -> str:
    """Where a customer does what a billing to-do asks for; empty for the others."""
    if todo.origin != "billing" or todo.subject is None:
        return ""
    return f"/portal/payments/{todo.subject.id}" if todo.subject.kind == "invoice" else "/portal/payment-methods"


def device(user_agent: str) -> str:
    """A browser and its system as people call them; empty when neither is known."""
    browser = next((name for sign, name in _DEVICES if sign in user_agent), "")
    system = next((name for sign, name in _SYSTEMS if sign in user_agent), "Linux" if "Linux" in user_agent else "")
    return " · ".join(filter(None, (browser, system)))


def _address_lines(address: Address | None, reader: Reader) -> list[str]:
    if address is None:
        return []
    town = " ".join(filter(None, (address.postal_code, address.city)))
    country = reader.locale.territories.get(address.country, address.country)
    return [line for line in (address.line1, address.line2, town, address.region, country) if line]


def _language_name(tag: str, reader: Reader) -> str:
    language = tag.split("-", maxsplit=1)[0]
    return str(reader.locale.languages.get(language, tag))


def _bcp47(locale: Locale) -> str:
    return str(locale).replace("_", "-")


def _anchor(name: str) -> str:
    """A field's name as an id: dots would have to be escaped in a stylesheet or a selector."""
    return name.replace(".", "-").replace("_", "-")


def _tel(phone: str) -> str:
    return re.sub(r"[^\d+]", "", phone)


_FILTERS: dict[str, Callable[..., Any]] = {
    "address_lines": _address_lines,
    "anchor": _anchor,
    "bcp47": _bcp47,
    "called": called,
    "decline": problems.decline,
    "device": device,
    "digits": cards.digits,
    "how_often": agreement.how_often,
    "initials": initials,
    "language_name": _language_name,
    "method_name": cards.named,
    "method_standing": cards.standing,
    "buyer": lambda invoice: (invoice.buyer.company or invoice.buyer.name) if invoice.buyer else NOTHING,
    "overdue": overdue,
    "payable": payable,
    "role_name": lambda role, reader: reader.gettext(_ROLES.get(role, role)),
    "standing": standing,
    "tel": _tel,
    "todo_href": todo_href,
    "todo_title": todo_title,
    "valid_until": cards.valid_until,
}


def locale_choices() -> list[tuple[str, str]]:
    """The languages that a person may choose, each in its own words."""
    return list(LANGUAGES.items())
