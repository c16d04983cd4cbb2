"""Who looks, and which sessions and changes that concerns. No clock, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from contracts.message import CustomerId, MerchantId

ABSOLUTE = timedelta(hours=12)
"""How long a session lasts, however busy it is."""
IDLE = timedelta(minutes=30)
"""How long a contact's session outlives their last request."""
TOUCH_EVERY = timedelta(minutes=1)
"""How often a session's last-seen time is written, so that a busy page does not write at every click."""


@dataclass(frozen=True)
class Viewer:
    """Whose eyes a query reads with: a member sees what the merchant may see, a contact what their customer may see.

    Every query of the read model takes one, so that nothing can be read without saying for whom.
    """

    merchant_id: MerchantId
    customer_id: CustomerId | None = None

    @property
    def is_member(self) -> bool:
        """Whether this is the merchant's side."""
        return self.customer_id is None


@dataclass(frozen=True)
class Change:
    """That something changed: ids, never content. `audience` says which side may be told."""

    noun: str
    id: UUID
    merchant_id: UUID | None
    customer_id: UUID | None
    audience: str
    """*both*, *members*, *contacts*, or *person* (then `id` is theirs)."""


def concerns(change: Change, viewer: Viewer | None, person_id: UUID) -> bool:
    """Whether somebody with this view may be told of the change.

    A private to-do is for contacts only, a draft for members only; what has no customer (the merchant, its logo) is for
    everybody of the merchant.
    """
    if change.audience == "person":
        return change.id == person_id
    if viewer is None or change.merchant_id != viewer.merchant_id:
        return False
    if viewer.is_member:
        return change.audience in {"both", "members"}
    return change.audience in {"both", "contacts"} and change.customer_id in {None, viewer.customer_id}


def expires_at(now: datetime) -> datetime:
    """When a session that starts now ends at the latest."""
    return now + ABSOLUTE
