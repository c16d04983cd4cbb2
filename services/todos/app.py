from __future__ import annotations

from pathlib import Path

from chassis.service import COPY, Service
from contracts.billing import Invoice
from contracts.identity import Customer, Merchant
from contracts.todos import Todo
from services.todos import handlers, store
from services.todos.settings import Settings


def build() -> Service:
    """Which function answers what."""
    return Service(
        "todos",
        Settings.load("todos"),
        migrations=Path(__file__).parent / "migrations",
        commands=handlers.COMMANDS,
        follows={Invoice: handlers.follow_invoice, Customer: COPY, Merchant: COPY},
        nouns={Todo: store.every_todo},
    )
