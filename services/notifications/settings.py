from __future__ import annotations

from typing import Self
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, model_validator
from pydantic_settings import SettingsConfigDict

from chassis.settings import ServiceSettings

_NOBODY = "portal@localhost"
"""Good enough for the mailbox of a laptop; a real mail server refuses it."""


class Settings(ServiceSettings):
    """notifications' own environment.

    `smtp_url` is `smtp://[user:password@]host[:port]`, with `?starttls` for TLS after the greeting, or `smtps://…` for
    TLS from the first byte.
    """

    model_config = SettingsConfigDict(populate_by_name=True)

    smtp_url: str = Field(
        default="smtp://127.0.0.1:8025", repr=False, validation_alias=AliasChoices("SMTP_URL", "PORTAL_SMTP_URL")
    )
    mail_from: str = _NOBODY
    mails_at_once: int = Field(default=4, ge=1, le=100)

    @model_validator(mode="after")
    def _mails_come_from_somebody(self) -> Self:
        host = urlsplit(self.smtp_url).hostname or "localhost"
        if self.mail_from == _NOBODY and host not in ("localhost", "127.0.0.1", "::1"):
            raise ValueError(f"mails through {host} need a sender of yours: set PORTAL_MAIL_FROM")
        return self

    @property
    def mail_host(self) -> str:
        """What stands behind the @ of our Message-IDs: the host of the portal's public address."""
        host = urlsplit(self.public_url).hostname or "localhost"
        return f"[IPv6:{host}]" if ":" in host else host
