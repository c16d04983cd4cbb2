"""What becomes of a mail: pure decisions about who gets it, when it is tried again, and when it is over."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal, assert_never
from uuid import UUID

Status = Literal["queued", "sending", "accepted", "failed", "dropped", "in_doubt"]

_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)
PAUSES = (
    timedelta(seconds=5),
    timedelta(seconds=30),
    2 * _MINUTE,
    10 * _MINUTE,
    30 * _MINUTE,
    _HOUR,
    *(11 * [2 * _HOUR]),
)
"""How long to wait after each temporary refusal: often at first (greylisting), for about a day in all."""


@dataclass(frozen=True)
class Accepted:
    """The mail server took responsibility: 250 after the final dot."""


@dataclass(frozen=True)
class Later:
    """The mail server cannot be reached or refused for now (4xx): it has certainly not taken the mail."""

    reason: str


@dataclass(frozen=True)
class Rejected:
    """The mail server refused for good (5xx), or the mail cannot be written at all."""

    reason: str


@dataclass(frozen=True)
class Doubtful:
    """The final dot may have reached the mail server, its answer did not reach us."""

    reason: str


@dataclass(frozen=True)
class Untrue:
    """The owner says that the mail is no longer true."""

    reason: str


@dataclass(frozen=True)
class Unanswered:
    """Something is not known yet that the mail must say: its owner did not answer, or a copy has not arrived."""

    reason: str


Outcome = Accepted | Later | Rejected | Doubtful | Untrue | Unanswered


@dataclass(frozen=True)
class Verdict:
    """A mail's next state. `due_at` is set when it is *queued* again; `tries` counts temporary refusals."""

    status: Status
    reason: str | None
    tries: int
    due_at: datetime | None = None


def judge(outcome: Outcome, *, tries: int, queued_at: datetime, now: datetime) -> Verdict:
    """What an attempt's outcome makes of a mail that has been refused `tries` times before."""
    match outcome:
        case Accepted():
            return Verdict("accepted", None, tries)
        case Doubtful(reason):
            return Verdict("in_doubt", reason, tries)
        case Rejected(reason):
            return Verdict("failed", reason, tries)
        case Untrue(reason):
            return Verdict("dropped", reason, tries)
        case Later(reason) if tries >= len(PAUSES):
            return Verdict("failed", f"Tried for a day. {reason}", tries)
        case Later(reason):
            return Verdict("queued", reason, tries + 1, now + PAUSES[tries])
        case Unanswered(reason):
            # Without end: the owner will say whether it is still true. Asked less often the longer it takes.
            pause = min(max((now - queued_at) / 4, timedelta(seconds=1)), timedelta(seconds=30))
            return Verdict("queued", reason, tries, now + pause)
        case _:
            assert_never(outcome)


def receipt_recipients(contacts: Iterable[tuple[str, str | None]], customer_email: str | None) -> list[str]:
    """Who gets a receipt: the (role, e-mail) contacts that look after money, else the customer. No address twice."""
    responsible = [email for role, email in contacts if role in {"owner", "billing"} and email]
    addresses = responsible or ([customer_email] if customer_email else [])
    return list({address.casefold(): address for address in reversed(addresses)}.values())[::-1]


def notice_is_due(charged_on: date, last_charged_on: date | None, notice_days: int, today: date) -> bool:
    """Whether a charge is to be announced today; 0 days of notice: never.

    Not for what comes so often that the notice would come before the charge before: nobody wants a mail every day.
    """
    notice_on = charged_on - timedelta(days=notice_days)
    often = last_charged_on is not None and notice_on <= last_charged_on
    return notice_days > 0 and not often and notice_on <= today < charged_on


def message_id(mail_id: UUID, host: str) -> str:
    """The one Message-ID of a logical mail, the same on every try (RFC 5322, 3.6.4)."""
    return f"<{mail_id}@{host}>"
