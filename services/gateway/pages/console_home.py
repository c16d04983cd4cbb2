"""A merchant's home: money in, due, overdue, failing; a chart; what happened lately and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from fastapi import APIRouter, Request
from starlette.responses import Response

from contracts.billing import Reconciliation
from contracts.message import Money
from services.gateway import readmodel
from services.gateway.readmodel import ConsoleHome
from services.gateway.security.doors import MemberSession

from . import chart
from .activity import happenings, news
from .language import Reader
from .language import gettext_noop as _
from .page import NavEntry, Page

router = APIRouter()
navigation = NavEntry("console", 10, "/console", _("Home"), "home")

_COMPARED_WITHIN = timedelta(hours=3)
"""Billing compares every few minutes, and says so at least once an hour even when nothing is new."""
_DAYS = 30


@dataclass(frozen=True)
class Sums:
    """The figures of one currency, in minor units."""

    currency: str
    today: int
    month: int
    due: int
    due_count: int
    overdue: int
    overdue_count: int


@dataclass(frozen=True)
class IncomeChart:
    """Money in per day in one currency, as bars and as a table."""

    currency: str
    bars: list[chart.Bar]
    days: list[tuple[date, int]]
    label: str
    width: int = chart.WIDTH
    height: int = chart.HEIGHT


def sums(home: ConsoleHome, currency: str) -> list[Sums]:
    """One set of figures per currency in use; `currency`, the merchant's own, is always there and first."""
    today, month = _by_currency(home.money_in_today), _by_currency(home.money_in_this_month)
    due = {each.money.currency: each for each in home.due}
    late = {each.money.currency: each for each in home.overdue}
    rest = sorted({*today, *month, *due, *late} - {currency})
    return [
        Sums(
            currency=each,
            today=today.get(each, 0),
            month=month.get(each, 0),
            due=due[each].money.amount if each in due else 0,
            due_count=due[each].invoices if each in due else 0,
            overdue=late[each].money.amount if each in late else 0,
            overdue_count=late[each].invoices if each in late else 0,
        )
        for each in [currency, *rest]
    ]


def _by_currency(amounts: tuple[Money, ...]) -> dict[str, int]:
    return {each.currency: each.amount for each in amounts}


def charts(home: ConsoleHome, reader: Reader) -> list[IncomeChart]:
    """A chart for each currency in which money came in."""
    made = []
    for currency in sorted({each.money.currency for each in home.days}):
        income = {each.day: each.money.amount for each in home.days if each.money.currency == currency}
        days = [home.today - timedelta(days=_DAYS - 1 - past) for past in range(_DAYS)]
        values = [(day, income.get(day, 0)) for day in days]
        total = reader.money(sum(amount for _, amount in values), currency)
        label = reader.gettext("Bar chart of the last 30 days: %(total)s altogether. The table below has each day.")
        bars = chart.bars([(reader.day_month(day), amount) for day, amount in values])
        made.append(IncomeChart(currency, bars, [each for each in values if each[1]], label % {"total": total}))
    return made


def _are_old(books: Reconciliation | None, reader: Reader) -> bool:
    """Whether no comparison has succeeded for longer than they are apart: what the last one said may not hold any more."""
    return books is not None and reader.now - books.finished_at > _COMPARED_WITHIN


@router.get("/console")
async def show(request: Request, session: MemberSession) -> Response:
    """Home, from the read model alone."""
    viewer, merchant, db = session.viewer, session.merchant, request.app.state.runtime.db
    assert viewer is not None
    page = await Page.of(request, session)
    zone = merchant.time_zone if merchant else "UTC"
    home = await readmodel.console_home(db, viewer, now=page.reader.now, time_zone=zone, news=news(viewer))
    late = await readmodel.open_invoices(db, viewer, due_before=home.today, limit=5)
    return page.render(
        "console_home.html",
        home=home,
        books_are_old=_are_old(home.reconciliation, page.reader),
        totals=sums(home, merchant.currency if merchant else "EUR"),
        charts=charts(home, page.reader),
        overdue=late.items,
        activity=happenings(home.lately, viewer, page.reader, whose=True),
    )
