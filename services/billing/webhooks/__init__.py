"""Stripe's webhooks: the HTTP door that stores them, and the worker that handles what is stored.

Events come twice, at once, reordered, before our own commit, days late, or never. So each is handled by itself in a
transaction that locks the invoice, and says only what its own object says: amount, currency and account decide, metadata is
a hint. What reconciliation finds at Stripe is stored as an event, too: there is one way into the books.
"""

from services.billing.webhooks.door import build_http
from services.billing.webhooks.stuck import StuckWebhooks
from services.billing.webhooks.worker import work

__all__ = ["StuckWebhooks", "build_http", "work"]
