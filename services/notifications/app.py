"""What notifications listens to and does."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from pathlib import Path

from chassis.service import COPY, Schedule, Service
from contracts.billing import BillingDefaults, Invoice, PaymentMethod, Subscription
from contracts.identity import Contact, Customer, Logo, Member, Merchant
from contracts.notifications import Mail
from services.notifications import handlers, schedules, store
from services.notifications.mailer import Mailer, Server, greeting
from services.notifications.settings import Settings

FOLLOWS = (Merchant, Logo, Member, Customer, Contact, Invoice, Subscription, PaymentMethod, BillingDefaults)


def build() -> Service:
    """The service as its environment describes it."""
    settings = Settings.load("notifications")
    mailer = Mailer(Server.from_url(settings.smtp_url), greet_as=greeting(settings.mail_host))
    queue = partial(handlers.on_renewal_ahead, mail_host=settings.mail_host)
    announce = partial(schedules.announce_renewals, queue=queue)
    return Service(
        "notifications",
        settings,
        migrations=Path(__file__).parent / "migrations",
        follows=dict.fromkeys(FOLLOWS, COPY),
        facts=handlers.facts(settings.mail_host),
        nouns={Mail: store.every_mail},
        schedules=[
            Schedule("find_abandoned", every=timedelta(seconds=30), run=schedules.find_abandoned),
            Schedule("announce_renewals", every=timedelta(minutes=10), run=announce),
        ],
        workers={"mails": partial(schedules.send_mails, settings=settings, mailer=mailer, kinds=handlers.KINDS)},
        resources=[mailer],
    )
