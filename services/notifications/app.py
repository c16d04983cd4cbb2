"""What notifications listens to and does."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from pathlib import Path

from chassis.service import COPY, Schedule, Service
from contracts.billing import Invoice, PaymentMethod, Subscription
from contracts.identity import Contact, Customer, Logo, Member, Merchant
from contracts.notifications import Mail
from services.notifications import handlers, schedules, store
from services.notifications.mailer import Mailer, Server, greeting
from services.notifications.settings import Settings


def build() -> Service:
    """The service as its environment describes it."""
    settings = Settings.load("notifications")
    mailer = Mailer(Server.from_url(settings.smtp_url), greet_as=greeting(settings.mail_host))
    return Service(
        "notifications",
        settings,
        migrations=Path(__file__).parent / "migrations",
        follows=dict.fromkeys((Merchant, Logo, Member, Customer, Contact, Invoice, Subscription, PaymentMethod), COPY),
        facts=handlers.facts(settings.mail_host),
        nouns={Mail: store.every_mail},
        schedules=[Schedule("find_abandoned", every=timedelta(seconds=30), run=schedules.find_abandoned)],
        workers={"mails": partial(schedules.send_mails, settings=settings, mailer=mailer, kinds=handlers.KINDS)},
        resources=[mailer],
    )
