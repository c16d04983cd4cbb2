"""E-mails and what became of each. Owner: notifications."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, StringConstraints

from .message import (
    CustomerId,
    Event,
    MerchantId,
    Question,
    Republished,
    Service,
    State,
    event,
    noun,
    question,
)

Template = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z_]*$", max_length=60)]
"""A kind of mail, such as `receipt`. Readers show one that they do not know as a mail: new ones come without a new version."""


@noun("notifications.mail", followed_by=("gateway",))
class Mail(State):
    """One logical e-mail per (template, subject, occasion, recipient); `message_id` is the same on every try.

    *accepted*: the mail server took it. *in_doubt*: the connection was cut after the final dot, so it may have been
    taken; it is not sent again by itself. *dropped*: no longer true when its turn came, `reason` says why.
    """

    merchant_id: MerchantId
    customer_id: CustomerId | None = None
    """The customer it goes to or is about."""
    template: Template
    """What kind of mail it is."""
    subject_kind: Literal["invitation", "invoice", "payment", "refund", "dispute", "payment_method", "subscription"]
    """What it is about."""
    subject_id: UUID
    """The id of what it is about."""
    invoice_id: UUID | None = None
    """The invoice beside which it is shown."""
    occasion: str
    """What it was sent for: the id of the event that caused it, or a reminder's number."""
    recipient: str | None
    """The mailbox; null once erased."""
    status: Literal["queued", "sending", "accepted", "failed", "bounced", "dropped", "in_doubt"]
    """What became of it."""
    reason: str | None = None
    """Why it was dropped, failed or is in doubt."""
    message_id: str
    """The Message-ID header, the same on every try."""
    queued_at: AwareDatetime
    """When it was to be sent."""
    settled_at: AwareDatetime | None = None
    """When its end was known."""


@event("notifications.mail.queued.v1")
class MailQueued(Event[Mail]):
    """A mail is to be sent."""


@event("notifications.mail.accepted.v1")
class MailAccepted(Event[Mail]):
    """The mail server took responsibility for it (SMTP 250 after the data)."""


@event("notifications.mail.failed.v1")
class MailFailed(Event[Mail]):
    """The mail server refused it for good, or every try failed."""


@event("notifications.mail.dropped.v1")
class MailDropped(Event[Mail]):
    """It was no longer true when its turn came."""


@event("notifications.mail.in_doubt.v1")
class MailInDoubt(Event[Mail]):
    """The connection was cut before the mail server's answer."""


@question("notifications.republish.v1", askers=("gateway",))
class RepublishMails(Question[Republished]):
    """Send every current row of a noun to the asker's own queue."""

    noun: Literal["mail"]
    to: Service
