"""When to look at a subscription again."""

from datetime import date, timedelta

from services.billing.domain.subscriptions.schedule import next_charge, turn
from services.billing.domain.subscriptions.terms import Standing, Terms

_NEXT_DAY = timedelta(days=1)


def turns_on(terms: Terms, standing: Standing) -> date | None:
    """The next day on which the calendar has something to do: a charge, or a scheduled change. None: no such day."""
    charge = next_charge(terms, standing)
    days = [standing.cancel_on, standing.pause_on, standing.resumes_on if standing.paused_on else None]
    days += [charge.on if charge else None, _over_on(terms, standing) if charge is None else None]
    return min((day for day in days if day), default=None)


def _over_on(terms: Terms, standing: Standing) -> date | None:
    """The day on which one without a further charge is over, as `turn` says it: it names that day when it lets it end."""
    ended = turn(terms, standing, date.max - _NEXT_DAY)
    return ended.ended_on if ended else None
