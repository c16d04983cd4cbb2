"""One row of many: what goes wrong with it stops nobody else's turn."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from chassis.database import transient
from chassis.telemetry import handled
from services.billing.stripe_gateway import StripeClosedError, StripeUnavailableError, StripeUnknownError

log = logging.getLogger("portal.billing.schedules")


@dataclass
class Turn:
    """One row's turn. `error`: it was not dealt with, and comes round again."""

    error: Exception | None = None

    @property
    def failed(self) -> bool:
        """Whether it was not dealt with."""
        return self.error is not None


@contextmanager
def one_of_many(what: str, **whose: str) -> Iterator[Turn]:
    """Keep what goes wrong with one row to that row. `whose` names it, and its owner, in the log.

    What is nobody's own fault is raised: Stripe or the database is away, and the whole round comes again.
    """
    turn = Turn()
    try:
        yield turn
    except (StripeUnknownError, StripeClosedError) as doubt:
        # A 500 that Stripe has stored comes again for a day, and one account may be closed to us: the others are asked.
        turn.error = doubt
        log.warning("Stripe does not say; the others are asked.", extra={"what": what, "reason": str(doubt)} | whose)
    except StripeUnavailableError:
        raise
    except Exception as error:
        if transient(error):
            raise
        turn.error = error
        note_failure(error, what, **whose)


def note_failure(error: Exception, what: str, **whose: str) -> None:
    """Log it with whose it is, and count it: `portal_messages_handled_total{handler="each <what>", outcome="failed"}`."""
    handled.labels(f"each {what}", "failed").inc()
    log.error("One of many could not be dealt with; the others go on.", extra={"what": what} | whose, exc_info=error)
