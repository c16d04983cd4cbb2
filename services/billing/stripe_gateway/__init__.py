"""The only importer of `stripe`: what we ask of it, in our own words, and what its objects say.

Amounts come here in our minor units and leave in Stripe's (see `domain.currencies`). An error is one of three:
`StripeUnavailableError` (nothing was done), `StripeUnknownError` (it may have been done: ask) and `StripeRefusedError`
(it will not be done).
"""

from services.billing.stripe_gateway.client import (
    StripeClosedError,
    StripeDeclinedError,
    StripeError,
    StripeRefusedError,
    StripeUnavailableError,
    StripeUnknownError,
    verify,
    within_budget,
)
from services.billing.stripe_gateway.objects import (
    Card,
    Charge,
    Checkout,
    Event,
    Intent,
    NotFromStripeError,
    Reference,
    Refusal,
    charge_of,
    charge_request,
    checkout_of,
    checkout_request,
    event_of,
    found_event,
    id_in,
    intent_of,
    payload_of,
    reference_of,
    without_secrets,
)
from services.billing.stripe_gateway.returns import DisputeSeen, RefundSeen, dispute_of, refund_of, refund_request
from services.billing.stripe_gateway.wallets import (
    SetupPage,
    SetupReference,
    StripeGateway,
    setup_of,
    setup_reference_of,
    setup_request,
)

__all__ = [
    "Card",
    "Charge",
    "Checkout",
    "DisputeSeen",
    "Event",
    "Intent",
    "NotFromStripeError",
    "Reference",
    "RefundSeen",
    "Refusal",
    "SetupPage",
    "SetupReference",
    "StripeClosedError",
    "StripeDeclinedError",
    "StripeError",
    "StripeGateway",
    "StripeRefusedError",
    "StripeUnavailableError",
    "StripeUnknownError",
    "charge_of",
    "charge_request",
    "checkout_of",
    "checkout_request",
    "dispute_of",
    "event_of",
    "found_event",
    "id_in",
    "intent_of",
    "payload_of",
    "reference_of",
    "refund_of",
    "refund_request",
    "setup_of",
    "setup_reference_of",
    "setup_request",
    "verify",
    "within_budget",
    "without_secrets",
]
