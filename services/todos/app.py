from __future__ import annotations

from pathlib import Path

from chassis.service import COPY, Service
from contracts.billing import Invoice, PaymentMethod
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
        follows={
            Invoice: handlers.follow_invoice,
            PaymentMethod: handlers.follow_payment_method,
            **dict.fromkeys((Customer, Merchant), COPY),
        },
        facts=handlers.FACTS,
        nouns={Todo: store.every_todo},
    )
