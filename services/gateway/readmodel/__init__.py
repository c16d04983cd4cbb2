"""Everything that pages and the API show, read from our own tables. Nothing in here ever leaves this process."""

from .applying import apply, note
from .customers import contacts, customer, customers, invitations
from .homes import ConsoleHome, DayIncome, Outstanding, PortalHome, console_home, portal_home
from .invoices import invoice, invoice_by_link, invoices, open_invoices, payments
from .lists import Page, Reader
from .mails import mails_about
from .merchants import defaults, known, logo, merchant
from .methods import payment_method, payment_methods
from .returns import disputes, reconciliation, refund, refunds
from .subscriptions import invoices_of, past_due, subscription, subscription_by_link, subscriptions
from .timeline import Entry, timeline
from .todos import todo, todos

__all__ = [
    "ConsoleHome",
    "DayIncome",
    "Entry",
    "Outstanding",
    "Page",
    "PortalHome",
    "Reader",
    "apply",
    "console_home",
    "contacts",
    "customer",
    "customers",
    "defaults",
    "disputes",
    "invitations",
    "invoice",
    "invoice_by_link",
    "invoices",
    "invoices_of",
    "known",
    "logo",
    "mails_about",
    "merchant",
    "note",
    "open_invoices",
    "past_due",
    "payment_method",
    "payment_methods",
    "payments",
    "portal_home",
    "reconciliation",
    "refund",
    "refunds",
    "subscription",
    "subscription_by_link",
    "subscriptions",
    "timeline",
    "todo",
    "todos",
]
