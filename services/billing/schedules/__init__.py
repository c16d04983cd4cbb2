"""Time-driven work: compare our books with Stripe's, expire checkouts that nobody may pay any more, forget old webhooks."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

from chassis.service import Runtime, Schedule
from services.billing.schedules import collecting
from services.billing.schedules.attempts import close_checkouts, close_one
from services.billing.schedules.methods import look_at_methods
from services.billing.schedules.reconciliation import reconcile
from services.billing.store import stripe_events
from services.billing.stripe_gateway import StripeGateway

__all__ = ["close_checkouts", "close_one", "prune_webhooks", "reconcile", "timetable", "workers"]

_KEEP = timedelta(days=30)


def timetable(stripe: StripeGateway) -> list[Schedule]:
    """What is done how often."""
    return [
        Schedule("billing.reconcile", timedelta(minutes=5), partial(reconcile, stripe=stripe)),
        Schedule("billing.look_at_methods", timedelta(minutes=5), partial(look_at_methods, stripe=stripe)),
        Schedule("billing.prune_webhooks", timedelta(hours=6), prune_webhooks),
    ]


def workers(stripe: StripeGateway) -> dict[str, Callable[[Runtime], Awaitable[None]]]:
    """What is done all the time."""
    return {
        "collect": partial(collecting.collect, stripe=stripe),
        "charge": partial(collecting.charge, stripe=stripe),
        "close_checkouts": partial(close_checkouts, stripe=stripe),
    }


async def prune_webhooks(runtime: Runtime) -> None:
    """Forget what Stripe told us more than thirty days ago. What is stuck stays until a person has decided."""
    async with runtime.db.transaction(runtime.system_cause()) as tx:
        await stripe_events.prune(tx, tx.now - _KEEP)
