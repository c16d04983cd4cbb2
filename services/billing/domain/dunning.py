"""When a declined charge is tried again, and which declines are never tried again with the same card."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal

from contracts.message import FieldError
from services.billing.domain.periods import charge_moment, local_day

MOST_TRIES = 8
MOST_DAYS = 60

# "Hard" declines: the bank says that this card will never work (docs.stripe.com/declines/codes). Asking again costs the
# merchant with the card schemes, so a new card or the customer's own press must come first.
_HARD = frozenset(
    [
        "card_not_supported",
        "currency_not_supported",
        "do_not_try_again",
        "expired_card",
        "fraudulent",
        "highest_risk_level",
        "incorrect_number",
        "invalid_account",
        "invalid_number",
        "lost_card",
        "merchant_blacklist",
        "pickup_card",
        "restricted_card",
        "revocation_of_all_authorizations",
        "revocation_of_authorization",
        "security_violation",
        "stolen_card",
        "stop_payment_order",
        "transaction_not_allowed",
    ]
)


@dataclass(frozen=True)
class Policy:
    """`retry_days` count from the first failure. After the last one the subscription is cancelled or kept."""

    retry_days: tuple[int, ...] = (2, 7, 14, 21)
    after_last: Literal["cancel", "keep"] = "cancel"


def next_try(policy: Policy, failures: int, first_failed_at: datetime, now: datetime, zone: str) -> datetime | None:
    """When to try again after `failures` (1 or more) on one invoice: 09:00 in the zone; None: that was the last one.

    It is the first retry day still ahead: a new card that is declined between two of them uses up no step, and one that
    only reminded (a hard decline, authentication needed) moves on like a try. The end comes on the same day for everybody.
    """
    began = local_day(first_failed_at, zone)
    tries = (charge_moment(began + timedelta(days=day), zone) for day in policy.retry_days)
    ahead = next((each for each in tries if each > now), None)
    if ahead is None and failures <= len(policy.retry_days):
        # An outage has outlasted the last day: what is left of the schedule is not used up within a minute.
        return charge_moment(local_day(now, zone) + timedelta(days=1), zone)
    return ahead


def hard(decline_code: str | None) -> bool:
    """Whether the same card must not be tried again. The schedule goes on: on its days the customer is reminded instead."""
    return decline_code in _HARD


def policy_problems(retry_days: Sequence[int], field: str = "retry_days") -> list[FieldError]:
    """What is wrong with the days of a policy; none at all is a policy, too."""
    rising = all(one < two for one, two in pairwise(retry_days))
    if len(retry_days) <= MOST_TRIES and rising and all(1 <= each <= MOST_DAYS for each in retry_days):
        return []
    message = f"There may be {MOST_TRIES} retries at most, on rising days between 1 and {MOST_DAYS}."
    values = {"most": str(MOST_TRIES), "days": str(MOST_DAYS)}
    return [FieldError(field=field, code="retry-days-out-of-range", message=message, values={**values})]
