from functools import partial
from pathlib import Path

from chassis.service import COPY, Service
from contracts.billing import BillingDefaults, Invoice, Payment, PaymentMethod, Subscription
from contracts.identity import Customer, Logo, Merchant
from services.billing import cli, schedules, webhooks
from services.billing.handlers import (
    accepting,
    choosing,
    closing,
    customers,
    defaults,
    ending,
    invoices,
    links,
    methods,
    offers,
    paying,
    questions,
    refunding,
    setups,
    statements,
    subscribing,
    subscriptions,
)
from services.billing.settings import Settings
from services.billing.store import returning
from services.billing.store.defaults import every_defaults
from services.billing.store.invoices import every_invoice
from services.billing.store.methods import every_payment_method
from services.billing.store.payments import every_payment
from services.billing.store.subscriptions import every_subscription
from services.billing.stripe_gateway import StripeGateway


def build(settings: Settings | None = None, stripe: StripeGateway | None = None) -> Service:
    """Billing's wiring diagram. Tests bring their own settings and a Stripe of theirs."""
    settings = settings or Settings.load("billing")
    stripe = stripe or StripeGateway(settings.stripe_secret_key, settings.stripe_api_base)
    secret = settings.secret_key
    return Service(
        "billing",
        settings,
        migrations=Path(__file__).parent / "migrations",
        commands=(
            invoices.commands(secret)
            | subscribing.commands(secret)
            | subscriptions.COMMANDS
            | choosing.COMMANDS
            | ending.commands(stripe, settings)
            | links.commands(secret)
            | offers.commands(secret)
            | defaults.COMMANDS
            | accepting.commands(stripe, settings)
            | closing.commands(stripe, settings)
            | paying.commands(stripe, settings)
            | refunding.commands(stripe)
            | methods.commands(stripe)
            | setups.commands(stripe, settings)
        ),
        questions=questions.answers(secret) | subscriptions.ANSWERS | statements.ANSWERS | defaults.answers(settings),
        follows={Merchant: COPY, Logo: COPY, Customer: customers.follow_customer},
        nouns={Invoice: every_invoice, Payment: every_payment, Subscription: every_subscription}
        | {BillingDefaults: every_defaults, PaymentMethod: every_payment_method}
        | returning.NOUNS,
        schedules=schedules.timetable(stripe),
        workers={"webhooks": partial(webhooks.work, stripe=stripe)} | schedules.workers(stripe),
        resources=[stripe],
        cli=cli.commands(stripe),
        dead_letters=[webhooks.StuckWebhooks()],
        http=partial(webhooks.build_http, secret=settings.stripe_webhook_secret),
    )
