from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from chassis.service import Schedule, Service
from services.identity import cli, schedules, store
from services.identity.handlers import acceptance, customers, invitations, merchants, people
from services.identity.security import Passwords
from services.identity.settings import Settings


def build() -> Service:
    """Which function answers what."""
    settings = Settings.load("identity")
    key, passwords = settings.secret_key, Passwords()
    return Service(
        "identity",
        settings,
        migrations=Path(__file__).parent / "migrations",
        commands=(
            acceptance.commands(passwords)
            | customers.COMMANDS
            | invitations.commands(key)
            | merchants.COMMANDS
            | people.COMMANDS
        ),
        questions=invitations.answers(key) | people.answers(passwords),
        nouns=store.EVERY,
        schedules=[
            Schedule("identity.expire-invitations", timedelta(minutes=1), schedules.expire_invitations),
            Schedule("identity.forget-attempts", timedelta(hours=1), schedules.forget_attempts),
        ],
        resources=[passwords],
        cli={"create-merchant": cli.create_merchant},
    )
