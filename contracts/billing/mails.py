"""What is asked just before a mail of billing's is sent, and the books said once more for who lost their copy."""

from __future__ import annotations

from typing import Literal

from ..message import (
    InvoiceId,
    MailFacts,
    PaymentMethodId,
    Question,
    Republished,
    Service,
    SubscriptionId,
    question,
)


@question("billing.mail_facts.v1", askers=("notifications", "gateway"))
class BillingMailFacts(Question[MailFacts]):
    """Is a mail about an invoice or a subscription still true?

    *payment_link*, while it is open and not all of it is on its way: the path of its public page; `facts` is the invoice.
    *receipt*, which stays true: the same path, where the receipt can be got without an account; null when the link is dead.
    *card_expiring*, while the payment method of this id is there and about to expire: `facts` is the method.
    *payment_failed* and *confirm_payment*, while something may be paid on the invoice: the path of its public page, null
    when the link is dead; `facts` is the invoice.
    *subscription_link*, while the subscription waits to be accepted: the path of its public page. The other kinds, while it
    stands as they say; `facts` is the subscription, and for *renewal_ahead* `has_method`, whether there is a payment
    method that can be charged.
    """

    kind: Literal[
        "payment_link",
        "receipt",
        "payment_failed",
        "confirm_payment",
        "card_expiring",
        "subscription_link",
        "subscription_paused",
        "subscription_resumed",
        "subscription_cancel_planned",
        "subscription_cancelled",
        "subscription_completed",
        "renewal_ahead",
    ]
    id: InvoiceId | PaymentMethodId | SubscriptionId


@question("billing.republish.v1", askers=("notifications", "todos", "gateway"))
class RepublishBilling(Question[Republished]):
    """Send every current row of a noun to the asker's own queue."""

    noun: Literal[
        "invoice", "payment", "payment_method", "subscription", "defaults", "refund", "dispute", "reconciliation"
    ]
    to: Service
