from datetime import timedelta
from functools import partial
from pathlib import Path

from chassis.service import COPY, Schedule, Service
from contracts.billing import BillingDefaults, Invoice, Payment, Subscription
from contracts.identity import Customer, Logo, Merchant
from services.billing import schedules, webhooks
from services.billing.handlers import (
    closing,
    defaults,
    ending,
    invoices,
    links,
    paying,
    questions,
    refunding,
    statements,
    subscribing,
    subscriptions,
)
from services.billing.settings import Settings
from services.billing.store import returning
from services.billing.store.defaults import every_defaults
from services.billing.store.invoices import every_invoice
from services.billing.store.payments import every_payment
from services.billing.store.subscriptions import every_subscription
from services.billing.stripe_gateway import StripeGateway


def build(settings: Settings | None = None, stripe: StripeGateway | None = None) -> Service:
    """Billing's wiring diagram. Tests bring their own settings and a Stripe of theirs."""
    settings = settings or Settings.load("billing")
    stripe = stripe or StripeGateway(settings.stripe_secret_key, settings.stripe_api_base)
    return Service(
        "billing",
        settings,
        migrations=Path(__file__).parent / "migrations",
        commands=(
            invoices.commands(settings.secret_key)
            | subscribing.commands(settings.secret_key)
            | subscriptions.COMMANDS
            | ending.commands(stripe, settings)
            | links.commands(settings.secret_key)
            | defaults.COMMANDS
            | closing.commands(stripe, settings)
            | paying.commands(stripe, settings)
            | refunding.commands(stripe)
        ),
        questions=questions.answers(settings.secret_key) | subscriptions.ANSWERS | statements.ANSWERS,
        follows={Merchant: COPY, Logo: COPY, Customer: COPY},
        nouns={Invoice: every_invoice, Payment: every_payment, Subscription: every_subscription}
        | {BillingDefaults: every_defaults}
        | returning.NOUNS,
        schedules=[
            Schedule("billing.reconcile", timedelta(minutes=5), partial(schedules.reconcile, stripe=stripe)),
            Schedule("billing.prune_webhooks", timedelta(hours=6), schedules.prune_webhooks),
        ],
        workers={
            "webhooks": partial(webhooks.work, stripe=stripe),
            "close_checkouts": partial(schedules.close_checkouts, stripe=stripe),
        },
        resources=[stripe],
        dead_letters=[webhooks.StuckWebhooks()],
        http=partial(webhooks.build_http, secret=settings.stripe_webhook_secret),
    )
