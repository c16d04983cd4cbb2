"""What happened to a customer, read off the envelopes of events: what, when, by whom, and because of what."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from services.gateway.domain import Viewer
from services.gateway.readmodel.lists import PAGE, Page, Reader, cut, from_cursor


@dataclass(frozen=True)
class Cause:
    """The event that this one follows from."""

    type: str
    about: dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """One thing that happened. `type` is the event's (`billing.invoice.paid.v1`), `subject_id` what it happened to.

    `about` are the few facts a sentence needs: `number`, `amount` (minor units), `currency`, `title`, `email`,
    `total`, `amount_due`, `name`, `recipient`, `template`, `status`, `reason`, `origin`, `invoice_id`, as far as the noun
    has them. `actor_name` is None for the system and for
    whoever held a pay link (`actor_kind` tells). `because` is the event that caused it; None when a person did.
    """

    id: str
    at: datetime
    type: str
    subject_id: UUID
    customer_id: UUID | None
    customer_name: str
    actor_kind: str
    actor_id: UUID | None
    actor_name: str | None
    about: dict[str, Any] = field(default_factory=dict)
    because: Cause | None = None


_BEGIN = datetime.fromisoformat("9999-01-01T00:00:00+00:00")


async def timeline(
    db: Reader,
    viewer: Viewer,
    *,
    customer_id: UUID | None = None,
    types: Collection[str] | None = None,
    cursor: str | None = None,
    limit: int = PAGE,
) -> Page[Entry]:
    """What happened lately, newest first: to a customer, or (members) to the merchant's customers altogether.

    With `types` (`billing.invoice.paid.v1`) of these events alone: whoever leaves some out after reading would have a
    short page, or an empty one, of a timeline that goes on.

    Members are not told of private to-dos, contacts not of drafts, mails and invitations. Nobody is told that a to-do
    follows its invoice, its payment method or its request: what happened to those has a line of its own.
    """
    owner = viewer.customer_id or customer_id
    before = from_cursor(cursor, "timeline", datetime, str) or [_BEGIN, ""]
    scope = "t.customer_id = $2" if owner else "$2::uuid IS NULL"
    side = "members" if viewer.is_member else "contacts"
    rows = await db.fetch(
        f"""
        SELECT t.event_id, t.at, t.type, t.subject_id, t.customer_id, t.actor_kind, t.actor_id, t.about,
               p.state->>'name' AS actor_name,
               coalesce(k.state->>'company', k.state->>'name', '') AS customer_name, c.type AS because_type, c.about AS because_about
        FROM timeline AS t
        LEFT JOIN copy_person AS p ON p.id = t.actor_id
        LEFT JOIN copy_customer AS k ON k.id = t.customer_id
        LEFT JOIN timeline AS c ON c.event_id = t.causation_id AND c.{side}
        WHERE t.merchant_id = $1 AND {scope} AND t.{side} AND (t.at, t.event_id) < ($3, $4)
          AND ($6::text[] IS NULL OR t.type = ANY($6))
          AND (t.noun <> 'todos.todo' OR t.about->>'origin' <> 'billing'
               AND NOT (t.about->>'origin' = 'merchant' AND t.type LIKE 'todos.todo.created.%')
               AND EXISTS (
                SELECT FROM copy_todo AS o WHERE o.id = t.subject_id AND NOT o.deleted
                AND ({"o.members_may_see" if viewer.is_member else "TRUE"})))
        ORDER BY t.at DESC, t.event_id DESC LIMIT $5
        """,  # noqa: S608 - texts of this file alone
        viewer.merchant_id,
        owner,
        *before,
        limit + 1,
        None if types is None else list(types),
    )
    return cut(rows, limit, _entry, "timeline", lambda row: [row["at"], row["event_id"]])


def _entry(row: Any) -> Entry:
    because = Cause(row["because_type"], json.loads(row["because_about"])) if row["because_type"] else None
    return Entry(
        id=row["event_id"],
        at=row["at"],
        type=row["type"],
        subject_id=row["subject_id"],
        customer_id=row["customer_id"],
        customer_name=row["customer_name"],
        actor_kind=row["actor_kind"],
        actor_id=row["actor_id"],
        actor_name=row["actor_name"],
        about=json.loads(row["about"]),
        because=because,
    )
