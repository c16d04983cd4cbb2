"""What every page knows: who reads it, for which merchant, in which language; and where forms lead when they are done."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any, Literal
from urllib.parse import urlencode

from fastapi import Request
from starlette.responses import HTMLResponse, RedirectResponse

from contracts.billing import Invoice
from contracts.identity import Customer, Merchant
from contracts.todos import Todo
from services.gateway.security import Session, csrf_token
from services.gateway.security.doors import set_visitor_cookie

from .language import Reader, accepted_languages, zone
from .rendering import environment


@dataclass(frozen=True)
class Brand:
    """What a page shows of its merchant."""

    id: str
    name: str
    stylesheet: str
    logo: str | None
    support_email: str | None
    support_phone: str | None
    time_zone: str

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
            merchant.time_zone,
        )


@dataclass(frozen=True)
class NavEntry:
    """How a page joins the main navigation: the module that shows it has one, named `navigation`."""

    side: Literal["portal", "console"]
    place: int
    href: str
    label: str
    icon: str
    """One of `icons.html`: what a phone shows over the label."""


@dataclass(frozen=True)
class NavItem:
    """A link of the main navigation, in the reader's language."""

    href: str
    label: str
    icon: str
    current: bool


@dataclass(frozen=True)
class AccountChoice:
    """One account of the account menu."""

    key: str
    kind: str
    name: str
    merchant_name: str
    current: bool


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
    def merchants_day(self) -> date:
        """The date where the merchant is: what accounts and due dates count by, and around midnight not the reader's."""
        return self.reader.now.astimezone(zone(self.merchant.time_zone if self.merchant else "UTC")).date()

    def today_for(self, thing: Invoice | Todo) -> date:
        """The date by which it is due or late: the merchant's for a bill and its to-do, the reader's for other to-dos."""
        is_bill = isinstance(thing, Invoice) or thing.origin == "billing"
        return self.merchants_day if is_bill else self.reader.today

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
        side = "console" if self.console else "portal"
        items: list[NavEntry] = [each for each in self.request.app.state.navigation if each.side == side]
        best = max((e.href for e in items if path == e.href or path.startswith(f"{e.href}/")), key=len, default="")
        if path.startswith(("/console/invoices", "/console/subscriptions")):
            best = "/console/customers"
        if path == self.profile:
            best = ""
        return [NavItem(each.href, self.reader.gettext(each.label), each.icon, each.href == best) for each in items]

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
        said = self.request.app.state.said.get(self.request.query_params.get("done", ""))
        return self.reader.gettext(said) if said else ""

    def listed(self, path: str, name: str, cursor: str | None) -> str:
        """The list at `path` from this cursor on, its query parameter `name`; from its start without one.

        What else stands in the query, a search or another list's cursor, stays.
        """
        query = {key: value for key, value in self.request.query_params.items() if key not in {name, "done"}}
        if cursor:
            query[name] = cursor
        return f"{path}?{urlencode(query)}" if query else path

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
    """To `path`, saying that `what` has been done: a key of the `said` of the module that sends there."""
    path, _, fragment = path.partition("#")
    return see(f"{path}{'&' if '?' in path else '?'}done={what}{'#' if fragment else ''}{fragment}")


def see(path: str) -> RedirectResponse:
    """Look there now: the answer to a form that was carried out, so that a reload does not send it again."""
    return RedirectResponse(path, 303)
