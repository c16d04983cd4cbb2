"""How often somebody may try. Attempts are counted before they are checked, so that trying in parallel gains nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True)
class Limit:
    """At most `count` attempts in any stretch of `window`."""

    count: int
    window: timedelta


PER_ACCOUNT = Limit(10, timedelta(minutes=15))
"""Wrong passwords for one e-mail address, whether it has an account or not."""
PER_NETWORK_ADDRESS = Limit(50, timedelta(minutes=15))
"""Wrong passwords from one network address, which an office may share."""
FRESH_MAILS = Limit(3, timedelta(hours=1))
"""Invitation mails to one address of one customer that were asked for without signing in."""
LONGEST_WINDOW = timedelta(hours=1)
"""After this an attempt counts for no limit any more."""


def retry_after(limit: Limit, attempts: Sequence[datetime], now: datetime) -> int | None:
    """Whole seconds until another attempt is allowed, or None when it is allowed at `now`.

    `attempts` holds the times of the earlier ones, in any order.
    """
    counted = sorted(at for at in attempts if at > now - limit.window)
    if len(counted) < limit.count:
        return None
    return math.ceil((counted[-limit.count] + limit.window - now).total_seconds())
