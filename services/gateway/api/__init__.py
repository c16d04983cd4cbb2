"""The JSON API: one file per noun, each with its `router`."""

from __future__ import annotations

from fastapi import FastAPI

from . import (
    billing_defaults,
    customers,
    invoice_changes,
    invoice_documents,
    invoices,
    merchant,
    payment_links,
    payment_methods,
    refunds,
    sessions,
    statements,
    subscription_changes,
    subscriptions,
    todos,
)
from .document import describe
from .errors import ProblemPage, Refuse, install_errors

__all__ = ["ProblemPage", "install", "new_application"]


def new_application() -> FastAPI:
    """An application whose OpenAPI document describes the API and whose interactive pages, which load foreign code, are off."""
    return describe()


def install(http: FastAPI, problem_page: ProblemPage) -> Refuse:
    """Add the API's operations, and what answers when something is refused: documents here, pages elsewhere. Returns that."""
    bills = (payment_links, payment_methods, invoices, invoice_changes, invoice_documents, refunds)
    agreed = (subscriptions, subscription_changes, statements)
    parts = (sessions, merchant, billing_defaults, customers, *bills, *agreed, todos)
    for part in parts:
        http.include_router(part.router, prefix="/api/v1")
    return install_errors(http, problem_page)
