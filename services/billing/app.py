from datetime import timedelta
from functools import partial
from pathlib import Path

from chassis.service import COPY, Schedule, Service, steps
from contracts.billing import (
    BillingMailFacts,
    CreatePaymentLink,
    GiveUpInvoice,
    Invoice,
    InvoicePdf,
    OpenInvoice,
    PayLinkUrl,
    Payment,
    ReceiptPdf,
    SendPaymentLink,
    StartInvoicePayment,
    VoidInvoice,
)
from contracts.identity import Customer, Logo, Merchant
from services.billing import schedules, webhooks
from services.billing.handlers import closing, invoices, paying, questions
from services.billing.settings import Settings
from services.billing.store.invoices import every_invoice
from services.billing.store.payments import every_payment
from services.billing.stripe_gateway import StripeGateway


def build(settings: Settings | None = None, stripe: StripeGateway | None = None) -> Service:
    """Billing's wiring diagram. Tests bring their own settings and a Stripe of theirs."""
    settings = settings or Settings.load("billing")
    stripe = stripe or StripeGateway(settings.stripe_secret_key, settings.stripe_api_base)
    key = settings.secret_key
    return Service(
        "billing",
        settings,
        migrations=Path(__file__).parent / "migrations",
        commands={
            CreatePaymentLink: partial(invoices.create_payment_link, secret_key=key),
            OpenInvoice: partial(invoices.open_invoice, secret_key=key),
            SendPaymentLink: invoices.send_payment_link,
            VoidInvoice: steps(partial(closing.void_invoice, stripe=stripe, settings=settings)),
            GiveUpInvoice: steps(partial(closing.give_up_invoice, stripe=stripe, settings=settings)),
            StartInvoicePayment: steps(partial(paying.start_invoice_payment, stripe=stripe, settings=settings)),
        },
        questions={
            PayLinkUrl: partial(questions.pay_link_url, secret_key=key),
            InvoicePdf: questions.invoice_pdf,
            ReceiptPdf: questions.receipt_pdf,
            BillingMailFacts: partial(questions.mail_facts, secret_key=key),
        },
        follows={Merchant: COPY, Logo: COPY, Customer: COPY},
        nouns={Invoice: every_invoice, Payment: every_payment},
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
