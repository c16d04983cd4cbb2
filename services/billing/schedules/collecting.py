"""The workers that collect without anybody being there, and the clocks that they trust."""

import asyncio
import logging
from datetime import datetime, timedelta

from chassis import health
from chassis.service import Runtime
from services.billing.schedules.archiving import close_customers
from services.billing.schedules.charging import charge_due
from services.billing.schedules.renewing import renew_due
from services.billing.schedules.retrying import retry_due
from services.billing.store import collecting, payments
from services.billing.stripe_gateway import StripeError, StripeGateway

log = logging.getLogger("portal.billing.collecting")

FARTHEST = timedelta(minutes=5)
"""Clocks that differ by so much are not trusted: a renewal would be charged on a wrong day."""
_LOOK_EVERY = timedelta(minutes=1)
_TROUBLE = "clocks"


async def collect(runtime: Runtime, *, stripe: StripeGateway) -> None:
    """End what archived customers have, renew what is due and try again what has failed, until cancelled."""
    clocks = Clocks(stripe)
    while True:
        await runtime.wait(collecting.RETRIES, timeout=15)
        await close_customers(runtime, stripe)
        if await collecting.something_due(runtime.db, runtime.clock.now()) and await clocks.agree(runtime):
            await retry_due(runtime)
            await renew_due(runtime)


async def charge(runtime: Runtime, *, stripe: StripeGateway) -> None:
    """Charge the attempts that wait, until cancelled."""
    clocks = Clocks(stripe)
    while True:
        await runtime.wait(collecting.CHARGES, timeout=15)
        if await payments.charge_waits(runtime.db) and await clocks.agree(runtime):
            await charge_due(runtime, stripe)


class Clocks:
    """Compares our clock with the database's and Stripe's, once a minute at most while somebody wants to know."""

    def __init__(self, stripe: StripeGateway) -> None:
        self._stripe = stripe
        self._agreed = False
        self._next_look = -1.0

    async def agree(self, runtime: Runtime) -> bool:
        """Whether money may be taken now. What is wrong is logged, and `/readyz` shows it."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._next_look:
            return self._agreed
        try:
            apart = await _apart(runtime, self._stripe)
        except StripeError as away:
            log.warning("Stripe does not say what time it is; nothing is charged.", extra={"reason": str(away)})
            return False
        self._next_look = loop.time() + _LOOK_EVERY.total_seconds()
        self._agreed = apart < FARTHEST
        if self._agreed:
            health.trouble.pop(_TROUBLE, None)
        else:
            seconds = round(apart.total_seconds())
            log.error("The clocks differ; nothing is charged.", extra={"seconds": seconds})
            health.trouble[_TROUBLE] = f"Ours, the database's and Stripe's differ by {seconds} s: nothing is charged."
        return self._agreed


async def _apart(runtime: Runtime, stripe: StripeGateway) -> timedelta:
    """How far the clocks are apart at most."""
    at_database: datetime = await runtime.db.fetchval("SELECT clock_timestamp()")
    times = (at_database, await stripe.now(), runtime.clock.now())
    return max(times) - min(times)
