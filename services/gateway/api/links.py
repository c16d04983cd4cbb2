"""The public link of an invoice, or of an offer: its state, its end, its address."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from contracts.message import Flag, Moment
from services.gateway.api.shapes import Answer, Given

_NAMES = {"partial": "allow_partial", "expires_at": "link_expires_at"}


def given_name(field: str) -> str:
    """What the API calls a field of billing's commands."""
    return next((ours for ours, theirs in _NAMES.items() if theirs == field), field)


class Link(Answer):
    """The state of the public URL; the URL itself is handed out by `POST .../{id}/link`."""

    revoked: bool
    expires_at: datetime | None
    replaced_by: UUID | None


class LinkTerms(Given):
    """Something that is given about a link."""

    def fields(self) -> dict[str, Any]:
        """What was given, under the names that billing's commands have for it."""
        return {_NAMES.get(name, name): value for name, value in super().fields().items()}


class LinkEnd(LinkTerms):
    """Until when a payment link works."""

    expires_at: Annotated[Moment | None, Field(description="Null: no end. Left out: as the billing defaults say.")] = (
        None
    )
    send_email: Flag = False


class PublicUrl(Answer):
    """A public page. Whoever has this address can see and pay the invoice, or accept the subscription."""

    url: str
