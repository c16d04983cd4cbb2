"""What notifications refuses to start with."""

import pytest
from pydantic import ValidationError

from services.notifications.settings import Settings


def settings(**own: str) -> Settings:
    return Settings(database_url="postgresql://x/y", amqp_url="amqp://x/y", secret_key="k" * 16, **own)  # type: ignore[arg-type]  # text, as the environment gives it


def test_a_real_mail_server_needs_a_sender_of_ones_own() -> None:
    with pytest.raises(ValidationError, match="set PORTAL_MAIL_FROM"):
        settings(smtp_url="smtps://me:pw@mail.example.com")
    assert (
        settings(smtp_url="smtps://mail.example.com", mail_from="billing@example.com").mail_from
        == "billing@example.com"
    )


def test_the_laptops_mailbox_takes_anybody() -> None:
    assert settings(smtp_url="smtp://127.0.0.1:8025").mail_from == "portal@localhost"
