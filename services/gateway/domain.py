"""Who looks, and which sessions and changes that concerns; tables that spreadsheets open. No clock, no I/O."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
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


_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""With what a cell begins that spreadsheets compute instead of showing (OWASP, "CSV Injection"), full width too."""


def spreadsheet(rows: Iterable[Sequence[str | int | None]], decimals: Sequence[int | None] = ()) -> str:
    """RFC 4180 text with a byte order mark, without which some spreadsheets guess the encoding.

    A text that would be a formula gets an apostrophe in front. Integers are amounts in minor units: `decimals`, row by
    row, says how many decimals their currency has.
    """
    written = io.StringIO()
    writer = csv.writer(written)
    for place, row in enumerate(rows):
        digits = decimals[place] if place < len(decimals) else None
        writer.writerow(_cell(each, digits) for each in row)
    return "\ufeff" + written.getvalue()


def _cell(value: str | int | None, digits: int | None) -> str:
    match value:
        case None:
            return ""
        case int():
            return f"{Decimal(value).scaleb(-(digits or 0)):f}"
        case _:
            return f"'{value}" if value.startswith(_FORMULA) else value
