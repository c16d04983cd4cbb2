"""How a page becomes HTML: one Jinja environment per language, and what every page knows."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path as Folder
from typing import Any
from urllib.parse import quote

from babel import Locale
from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse, RedirectResponse

from chassis.ids import new_id
from contracts.billing import Invoice
from contracts.identity import Customer, Merchant
from contracts.message import Address
from contracts.todos import Todo
from services.gateway.security import Session, csrf_token
from services.gateway.security.doors import set_visitor_cookie

from . import problems
from .language import LANGUAGES, NOTHING, Reader, accepted_languages, catalogue
from .language import gettext_noop as _

_HERE = Folder(__file__).parent.parent
_ROLES = {"owner": _("Owner"), "billing": _("Billing"), "member": _("Member"), "admin": _("Admin")}
_DEVICES = (("Edg", "Edge"), ("Firefox", "Firefox"), ("Chrom", "Chrome"), ("Safari", "Safari"))
_SYSTEMS = (("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"), ("Mac OS", "macOS"), ("Windows", "Windows"))


@dataclass(frozen=True)
class Brand:
    """What a page shows of its merchant."""

    id: str
    name: str
    stylesheet: str
    logo: str | None
    support_email: str | None
    support_phone: str | None

    @classmethod
    def of(cls, merchant: Merchant, logo_version: int | None) -> Brand:
        """The addresses carry what decides their content, so that browsers may keep it."""
        return cls(
            str(merchant.id),
            merchant.name,
            f"/brand/{merchant.id}.css?v={merchant.brand_colour[1:]}",
            f"/brand/{merchant.id}.png?v={logo_version}" if logo_version is not None else None,
            merchant.support_email,
            merchant.support_phone,
        )


@dataclass(frozen=True)
class NavItem:
    """A link of the main navigation."""

    href: str
    label: str
    current: bool


@dataclass(frozen=True)
class AccountChoice:
    """One account of the account menu."""

    key: str
    kind: str
    name: str
    merchant_name: str
    current: bool


# A page joins the navigation here; the order is the order on the screen.
_PORTAL = (("/portal", _("Home")), ("/portal/payments", _("Payments")), ("/portal/todos", _("To-dos")))
_CONSOLE = (("/console", _("Home")), ("/console/customers", _("Customers")), ("/console/settings", _("Settings")))
_DONE = {
    "invited": _("The invitation is on its way."),
    "taken-back": _("The invitation has been taken back."),
    "customer-added": _("The customer has been added."),
    "saved": _("Your changes have been saved."),
    "link-mailed": _("The payment link has been saved and is being mailed."),
    "link-saved": _("The payment link has been saved. It can now be paid in the portal."),
    "mailed": _("The mail is on its way."),
    "opened": _("The invoice is open now."),
    "withdrawn": _("The invoice has been withdrawn."),
    "given-up": _("The invoice has been marked as uncollectible."),
    "todo-added": _("The to-do has been added."),
    "todo-done": _("Done. Well done!"),
    "todo-open": _("The to-do is open again."),
    "todo-deleted": _("The to-do has been deleted."),
    "todo-assigned": _("The to-do has been assigned."),
    "todo-cancelled": _("The to-do has been cancelled."),
    "session-ended": _("That device is signed out."),
    "signed-out": _("You are signed out."),
    "welcome": _("Welcome! Your account is ready."),
}


@dataclass
class Page:
    """What every page knows: who reads it, in which language, for which merchant, with which form token."""

    request: Request
    reader: Reader
    session: Session | None
    merchant: Brand | None
    csrf: str
    failed: str = ""

    @classmethod
    async def of(
        cls,
        request: Request,
        session: Session | None,
        *,
        merchant: Brand | None = None,
        customer: Customer | None = None,
    ) -> Page:
        """The page of somebody signed in; or, without a session, of a visitor whom `customer` tells us about."""
        accepted = accepted_languages(request.headers.get("accept-language", ""))
        now = request.app.state.runtime.clock.now()
        if session is not None:
            reader = Reader.choose([session.locale, *accepted], session.time_zone, now)
            if session.merchant is not None and merchant is None:
                merchant = Brand.of(session.merchant, session.logo_version)
            return cls(request, reader, session, merchant, session.csrf)
        tags = [customer.locale if customer else None, *accepted]
        reader = Reader.choose(tags, customer.time_zone if customer else None, now)
        return cls(request, reader, None, merchant, await csrf_token(request))

    @property
    def console(self) -> bool:
        """Whether this is the merchant's side."""
        return self.session is not None and self.session.is_member

    @property
    def home(self) -> str:
        """Where the merchant's name in the header leads; empty for a visitor."""
        return home_of(self.session) if self.session else ""

    @property
    def profile(self) -> str:
        """The page about the person themselves."""
        return "/console/profile" if self.console else "/portal/profile"

    @property
    def nav(self) -> list[NavItem]:
        """The main navigation, empty for whoever has no account."""
        if self.session is None or self.session.account is None:
            return []
        path = self.request.url.path
        items = _CONSOLE if self.console else _PORTAL
        best = max((href for href, _ in items if path == href or path.startswith(f"{href}/")), key=len, default="")
        if path.startswith("/console/invoices"):
            best = "/console/customers"
        if path == self.profile:
            best = ""
        return [NavItem(href, self.reader.gettext(label), href == best) for href, label in items]

    @property
    def accounts(self) -> list[AccountChoice]:
        """The accounts that this person may switch to, the current one among them."""
        if self.session is None:
            return []
        current = self.session.account.id if self.session.account else None
        return [
            AccountChoice(str(each.id), each.kind, each.name, each.merchant_name, each.id == current)
            for each in self.session.accounts
        ]

    @property
    def done(self) -> str:
        """What has just been done, from the address that the form led to: one of our own sentences, never its text."""
        said = _DONE.get(self.request.query_params.get("done", ""))
        return self.reader.gettext(said) if said else ""

    def render(self, template: str, *, status: int = 200, **context: Any) -> HTMLResponse:
        """The page as HTML, in the reader's language."""
        html = (
            environment(self.reader.language)
            .get_template(template)
            .render(page=self, reader=self.reader, session=self.session, merchant=self.merchant, **context)
        )
        response = HTMLResponse(html, status)
        set_visitor_cookie(self.request, response)
        return response


def home_of(session: Session) -> str:
    """The home page of the account that somebody works in."""
    return "/console" if session.is_member else "/portal"


def done(path: str, what: str) -> RedirectResponse:
    """To `path`, saying that `what` (a key of `_DONE`) has been done."""
    assert what in _DONE
    path, _, fragment = path.partition("#")
    return see(f"{path}{'&' if '?' in path else '?'}done={what}{'#' if fragment else ''}{fragment}")


def see(path: str) -> RedirectResponse:
    """Look there now: the answer to a form that was carried out, so that a reload does not send it again."""
    return RedirectResponse(path, 303)


# --- templates ------------------------------------------------------------------------------------------------------


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
    """An invoice's state as people see it: its own, or *being_paid* or *overdue* for an open one."""
    if invoice.status != "open":
        return invoice.status
    if invoice.being_paid is not None:
        return "being_paid"
    return "overdue" if overdue(invoice, today) else "open"


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
    if todo.origin == "billing" and todo.subject is not None:
        subject = todo.subject
        if subject.amount is not None and subject.currency is not None:
            amount = reader.money(subject.amount, subject.currency)
            return reader.gettext("Pay %(number)s (%(amount)s)") % {"number": subject.label, "amount": amount}
        return reader.gettext("Pay %(number)s") % {"number": subject.label}
    return todo.title or NOTHING


def device(user_agent: str) -> str:
    """A browser and its system as people call them; empty when neither is known."""
    browser = next((name for sign, name in _DEVICES if sign in user_agent), "")
    system = next((name for sign, name in _SYSTEMS if sign in user_agent), "Linux" if "Linux" in user_agent else "")
    return " · ".join(filter(None, (browser, system)))


def masked(email: str) -> str:
    """Enough of an address to recognise one's own: `s•••@example.com`."""
    name, _, host = email.partition("@")
    return f"{name[:1]}•••@{host}"


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
    "initials": initials,
    "language_name": _language_name,
    "buyer": lambda invoice: (invoice.buyer.company or invoice.buyer.name) if invoice.buyer else NOTHING,
    "overdue": overdue,
    "role_name": lambda role, reader: reader.gettext(_ROLES.get(role, role)),
    "standing": standing,
    "tel": _tel,
    "todo_title": todo_title,
    "urlencode": lambda text: Markup(quote(text, safe="")),  # noqa: S704 - percent-encoded: nothing left to escape
}


def locale_choices() -> list[tuple[str, str]]:
    """The languages that a person may choose, each in its own words."""
    return list(LANGUAGES.items())
