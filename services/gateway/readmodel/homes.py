"""The two home pages: everything that matters now, in a few indexed reads."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from contracts.billing import Dispute, Invoice, Payment, Reconciliation, Subscription
from contracts.message import Money
from contracts.todos import Todo
from services.gateway.domain import Viewer
from services.gateway.readmodel.lists import Reader
from services.gateway.readmodel.timeline import Entry, timeline

SHOWN = 5
"""How many of each kind a home page lists; the rest is a link away."""


@dataclass(frozen=True)
class Outstanding:
    """What is owed in one currency, in how many open invoices."""

    money: Money
    invoices: int


@dataclass(frozen=True)
class PortalHome:
    """A customer's home. `open_invoices` are the earliest due, `paid` the latest paid; `overdue` counts all that are.

    What is on its way is asked of nobody again: `due`, `overdue` and `open_invoices` are without it.
    """

    due: tuple[Outstanding, ...]
    on_its_way: tuple[Money, ...]
    """What debits that are being processed are going to pay, by currency."""
    overdue: int
    open_invoices: tuple[Invoice, ...]
    paid: tuple[Invoice, ...]
    todos: tuple[Todo, ...]
    lately: tuple[Entry, ...]
    next_charges: tuple[Subscription, ...]
    """The active subscriptions that are charged next, the earliest first."""


@dataclass(frozen=True)
class DayIncome:
    """Money that came in on one day of the merchant's calendar, in one currency, by how many payments."""

    day: date
    money: Money
    payments: int


@dataclass(frozen=True)
class ConsoleHome:
    """A merchant's home, by the merchant's own calendar. `failing`: open invoices whose last attempt was declined.

    `days` holds the last 30 days that money came in, oldest first; a day and currency without any has no entry.
    """

    today: date
    money_in_today: tuple[Money, ...]
    money_in_this_month: tuple[Money, ...]
    due: tuple[Outstanding, ...]
    overdue: tuple[Outstanding, ...]
    days: tuple[DayIncome, ...]
    failing: tuple[Invoice, ...]
    todos: tuple[Todo, ...]
    """What is for the merchant's members to do, the oldest first."""
    lately: tuple[Entry, ...]
    surplus: tuple[Payment, ...]
    """Payments that arrived for settled invoices and are to be given back, the oldest first."""
    disputes: tuple[Dispute, ...]
    """Disputes that are not decided, the oldest first."""
    reconciliation: Reconciliation | None
    """The last comparison of the books with the payment provider's; None before the first."""
    customers: int
    """How many customers there are, counted up to 1,000."""


async def portal_home(db: Reader, viewer: Viewer, *, today: date, news: Collection[str] | None = None) -> PortalHome:
    """What a contact sees first: two reads. What was due before `today` is overdue.

    `news` are the types of events worth telling lately; None: all.
    """
    rows = await db.fetch(
        """
        SELECT 'due' AS kind,
               json_build_object('currency', currency, 'amount', sum(amount), 'invoices', sum(invoices))::text AS value
        FROM due_by_customer WHERE customer_id = $2 AND merchant_id = $1 GROUP BY currency HAVING sum(invoices) > 0
        UNION ALL
        SELECT 'on_its_way', json_build_object(
            'currency', currency, 'amount', sum(least(amount_processing, amount_due)),
            'invoices', count(*) FILTER (WHERE amount_processing >= amount_due))::text
        FROM copy_invoice
        WHERE customer_id = $2 AND merchant_id = $1 AND status = 'open' AND NOT deleted AND amount_processing > 0
        GROUP BY currency
        UNION ALL
        SELECT 'overdue', count(*)::text FROM copy_invoice
        WHERE customer_id = $2 AND merchant_id = $1 AND status = 'open' AND NOT deleted AND due_on < $4
          AND amount_due > amount_processing
        UNION ALL
        SELECT 'open', state::text FROM (
            SELECT state FROM copy_invoice
            WHERE customer_id = $2 AND merchant_id = $1 AND status = 'open' AND NOT deleted
              AND amount_due > amount_processing
            ORDER BY due_on, id LIMIT $3) AS i
        UNION ALL
        SELECT 'paid', state::text FROM (
            SELECT state FROM copy_invoice
            WHERE customer_id = $2 AND merchant_id = $1 AND status = 'paid' AND NOT deleted
            ORDER BY paid_at DESC, id DESC LIMIT $3) AS p
        UNION ALL
        SELECT 'todo', state::text FROM (
            SELECT state FROM copy_todo
            WHERE customer_id = $2 AND merchant_id = $1 AND status = 'open' AND contacts_may_see AND NOT deleted
            ORDER BY due_on NULLS LAST, id LIMIT $3) AS t
        UNION ALL
        SELECT 'next', state::text FROM (
            SELECT state FROM copy_subscription
            WHERE customer_id = $2 AND merchant_id = $1 AND status = 'active' AND NOT deleted
              AND next_charge_on IS NOT NULL
            ORDER BY next_charge_on, id LIMIT $3) AS n
        """,
        viewer.merchant_id,
        viewer.customer_id,
        SHOWN,
        today,
    )
    values: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        values[row["kind"]].append(row["value"])
    lately = await timeline(db, viewer, types=news, limit=2 * SHOWN)
    coming = {each.money.currency: each for each in map(_outstanding, values["on_its_way"])}
    owed = [_without(each, coming.get(each.money.currency)) for each in map(_outstanding, values["due"])]
    return PortalHome(
        due=tuple(sorted((each for each in owed if each.invoices), key=lambda each: each.money.currency)),
        on_its_way=tuple(coming[currency].money for currency in sorted(coming)),
        overdue=int(values["overdue"][0]),
        open_invoices=tuple(Invoice.model_validate_json(each) for each in values["open"]),
        paid=tuple(Invoice.model_validate_json(each) for each in values["paid"]),
        todos=tuple(Todo.model_validate_json(each) for each in values["todo"]),
        lately=lately.items,
        next_charges=tuple(Subscription.model_validate_json(each) for each in values["next"]),
    )


async def console_home(
    db: Reader, viewer: Viewer, *, now: datetime, time_zone: str, news: Collection[str] | None = None
) -> ConsoleHome:
    """What a member sees first: three reads. `time_zone` is the merchant's, `news` as for the portal."""
    zone = _zone(time_zone)
    today = now.astimezone(zone).date()
    days = await _income(db, viewer, today, zone)
    rows = await db.fetch(
        """
        SELECT 'due' AS kind, json_build_object('currency', currency, 'amount', sum(amount), 'invoices', sum(invoices))::text
                   AS value
        FROM due_by_day WHERE merchant_id = $1 GROUP BY currency HAVING sum(invoices) > 0
        UNION ALL
        SELECT 'overdue', json_build_object('currency', currency, 'amount', sum(amount), 'invoices', sum(invoices))::text
        FROM due_by_day WHERE merchant_id = $1 AND due_on < $2 GROUP BY currency HAVING sum(invoices) > 0
        UNION ALL
        SELECT 'failing', state::text FROM (
            SELECT state FROM copy_invoice WHERE merchant_id = $1 AND declined AND status = 'open' AND NOT deleted
            ORDER BY id DESC LIMIT $3) AS f
        UNION ALL
        SELECT 'surplus', state::text FROM (
            SELECT state FROM copy_payment WHERE merchant_id = $1 AND surplus AND NOT deleted ORDER BY id LIMIT $3) AS s
        UNION ALL
        SELECT 'dispute', state::text FROM (
            SELECT state FROM copy_dispute WHERE merchant_id = $1 AND status = 'open' AND NOT deleted
            ORDER BY id LIMIT $3) AS d
        UNION ALL
        SELECT 'books', state::text FROM copy_reconciliation WHERE id = $1 AND merchant_id = $1 AND NOT deleted
        UNION ALL
        SELECT 'todo', state::text FROM (
            SELECT state FROM copy_todo
            WHERE merchant_id = $1 AND NOT contacts_may_see AND status = 'open' AND NOT deleted ORDER BY id LIMIT $3) AS t
        UNION ALL
        SELECT 'customers', count(*)::text FROM (
            SELECT FROM copy_customer WHERE merchant_id = $1 AND NOT deleted AND NOT archived LIMIT 1000) AS c
        """,
        viewer.merchant_id,
        today,
        SHOWN,
    )
    values: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        values[row["kind"]].append(row["value"])
    lately = await timeline(db, viewer, types=news, limit=2 * SHOWN)
    month = [each for each in days if (each.day.year, each.day.month) == (today.year, today.month)]
    return ConsoleHome(
        today=today,
        money_in_today=_total([each for each in days if each.day == today]),
        money_in_this_month=_total(month),
        due=tuple(sorted((_outstanding(each) for each in values["due"]), key=lambda each: each.money.currency)),
        overdue=tuple(sorted((_outstanding(each) for each in values["overdue"]), key=lambda each: each.money.currency)),
        days=tuple(each for each in days if (today - each.day).days < 30),
        failing=tuple(Invoice.model_validate_json(each) for each in values["failing"]),
        todos=tuple(Todo.model_validate_json(each) for each in values["todo"]),
        lately=lately.items,
        surplus=tuple(Payment.model_validate_json(each) for each in values["surplus"]),
        disputes=tuple(Dispute.model_validate_json(each) for each in values["dispute"]),
        reconciliation=next((Reconciliation.model_validate_json(each) for each in values["books"]), None),
        customers=int(values["customers"][0]),
    )


async def _income(db: Reader, viewer: Viewer, today: date, zone: ZoneInfo) -> list[DayIncome]:
    rows = await db.fetch(
        """
        SELECT (quarter AT TIME ZONE $3)::date AS day, currency, sum(amount)::bigint AS amount,
               sum(payments)::bigint AS payments
        FROM income
        WHERE merchant_id = $1 AND quarter >= ($2::date - 31)::timestamp AT TIME ZONE $3
        GROUP BY 1, 2 HAVING sum(payments) > 0 ORDER BY 1, 2
        """,
        viewer.merchant_id,
        today,
        zone.key,
    )
    return [DayIncome(row["day"], Money(row["amount"], row["currency"]), row["payments"]) for row in rows]


def _total(days: list[DayIncome]) -> tuple[Money, ...]:
    sums: dict[str, Money] = {}
    for each in days:
        sums[each.money.currency] = sums.get(each.money.currency, Money(0, each.money.currency)) + each.money
    return tuple(sums[currency] for currency in sorted(sums))


def _outstanding(value: str) -> Outstanding:
    found = json.loads(value)
    return Outstanding(Money(int(found["amount"]), found["currency"]), int(found["invoices"]))


def _without(owed: Outstanding, coming: Outstanding | None) -> Outstanding:
    """What is left to ask for: less what is on its way, and without the invoices that it is going to settle."""
    if coming is None:
        return owed
    return Outstanding(owed.money - coming.money, owed.invoices - coming.invoices)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        # A zone that this machine's tables do not have: the page still shows its sums, by UTC.
        return ZoneInfo("UTC")
