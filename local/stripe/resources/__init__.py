"""Importing this package fills the table of operations."""

from local.stripe.resources import (
    charges,
    checkout_sessions,
    customers,
    disputes,
    events,
    payment_intents,
    payment_methods,
    refunds,
    setup_intents,
    webhook_endpoints,
)

__all__ = [
    "charges",
    "checkout_sessions",
    "customers",
    "disputes",
    "events",
    "payment_intents",
    "payment_methods",
    "refunds",
    "setup_intents",
    "webhook_endpoints",
]
