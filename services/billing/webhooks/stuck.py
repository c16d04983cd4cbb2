"""Stuck webhooks, as the dead-letter commands see them."""

from chassis.deadletters import DeadLetter
from chassis.service import Runtime
from contracts.message import utc
from services.billing.store import stripe_events


class StuckWebhooks:
    """Events that did not work out twelve times, or brought money with the wrong amount."""

    async def entries(self, runtime: Runtime) -> list[DeadLetter]:
        """All of them, oldest first."""
        return [
            DeadLetter(
                id=row["id"],
                where="billing.stripe_event",
                reason="stuck",
                error=row["last_error"] or "",
                attempts=row["tries"],
                since=utc(row["received_at"]),
                details={"type": row["type"], "account": row["account"], "body": row["payload"]},
            )
            for row in await stripe_events.list_stuck(runtime.db)
        ]

    async def redrive(self, runtime: Runtime, id: str) -> bool:  # noqa: A002 - the chassis names it so
        """Handle one again, from its first try. False when it is not there."""
        return await stripe_events.redrive_stuck(runtime.db, runtime.clock.now(), id)

    async def discard(self, runtime: Runtime, id: str) -> bool:  # noqa: A002 - the chassis names it so
        """Leave one unhandled for good. False when it is not there."""
        return await stripe_events.discard_stuck(runtime.db, id)
