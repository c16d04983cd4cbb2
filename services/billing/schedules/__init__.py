"""Time-driven work: compare our books with Stripe's, expire checkouts that nobody may pay any more, forget old webhooks."""

from datetime import timedelta

from chassis.service import Runtime
from services.billing.schedules.attempts import close_checkouts, close_one
from services.billing.schedules.reconciliation import reconcile
from services.billing.store import stripe_events

__all__ = ["close_checkouts", "close_one", "prune_webhooks", "reconcile"]

_KEEP = timedelta(days=30)


async def prune_webhooks(runtime: Runtime) -> None:
    """Forget what Stripe told us more than thirty days ago. What is stuck stays until a person has decided."""
    async with runtime.db.transaction(runtime.system_cause()) as tx:
        await stripe_events.prune(tx, tx.now - _KEEP)
