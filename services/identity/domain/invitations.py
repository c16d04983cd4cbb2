"""When an invitation's link opens the door, and when a fresh one may be mailed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

LIFETIME = timedelta(days=7)

Status = Literal["pending", "accepted", "revoked", "expired", "superseded"]
Dead = Literal["accepted", "revoked", "expired", "superseded", "unknown"]

_DETAILS: dict[Dead, str] = {
    "accepted": "This invitation has been used already. Please sign in.",
    "revoked": "This invitation was taken back.",
    "expired": "This invitation has expired: it was good for seven days.",
    "superseded": "A newer invitation was sent to this address. Please use the link in the latest mail.",
    "unknown": "This link belongs to no invitation.",
}


def why_dead(status: Status, expires_at: datetime, *, shut_out: bool, now: datetime) -> Dead | None:
    """Why the link cannot be used at `now`, or None when it can.

    `shut_out`: the customer is archived or its portal is switched off, which takes every open invitation back. The time is
    looked at here and not left to the schedule that marks invitations as expired: that one may be late.
    """
    if status != "pending":
        return status
    if shut_out:
        return "revoked"
    return "expired" if now >= expires_at else None


def renewable(latest: Status) -> bool:
    """Whether the address may get a fresh mail, given the status of the latest invitation that it was sent.

    An accepted one means: sign in. A revoked one was meant, so whoever still holds an old link cannot undo it.
    """
    return latest in ("pending", "expired")


def explain(why: Dead) -> str:
    """A sentence for whoever holds the dead link."""
    return _DETAILS[why]
