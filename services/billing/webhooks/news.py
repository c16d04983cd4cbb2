"""What Stripe's events say about our attempts, in our own words."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from contracts.message import Money
from services.billing.stripe_gateway import (
    Card,
    Event,
    Reference,
    Refusal,
    charge_of,
    checkout_of,
    intent_of,
    reference_of,
)
from services.billing.webhooks import wallets
from services.billing.webhooks.returns import Returned, understand_return
from services.billing.webhooks.wallets import WalletNews


@dataclass(frozen=True)
class Succeeded:
    """Money was taken."""

    took: Money


@dataclass(frozen=True)
class OnItsWay:
    """The customer is done, the money is not here yet."""


@dataclass(frozen=True)
class Ended:
    """There will be no money."""

    refusal: Refusal | None = None


@dataclass(frozen=True)
class Declined:
    """One try inside the open checkout failed."""

    refusal: Refusal


@dataclass(frozen=True)
class CardSeen:
    """Which card is being used."""


News: TypeAlias = Succeeded | OnItsWay | Ended | Declined | CardSeen


@dataclass(frozen=True)
class Told:
    """What one event says about one of our attempts."""

    news: News
    reference: Reference
    account: str | None
    at: datetime
    session_id: str | None = None
    intent_id: str | None = None
    card: Card | None = None


def understand(event: Event) -> Told | Returned | WalletNews | str:
    """What an event says, or the reason why it says nothing to us. Raises KeyError or TypeError for a broken object."""
    if (of_methods := wallets.understand(event)) is not None:
        return of_methods
    match event.type.split("."):
        case ["checkout", "session", kind]:
            return _about_session(event, kind)
        case ["payment_intent", "succeeded" | "payment_failed" as kind]:
            intent = intent_of(event.object)
            if kind == "succeeded":
                return _told(event, Succeeded(intent.received), intent.metadata, intent_id=intent.id, card=intent.card)
            refusal = intent.refusal or Refusal("declined", "The payment was declined.")
            return _told(event, Declined(refusal), intent.metadata, intent_id=intent.id)
        case ["charge", "succeeded"]:
            charge = charge_of(event.object)
            return _told(event, CardSeen(), charge.metadata, intent_id=charge.intent_id, card=charge.card)
        case ["refund", "created" | "updated" | "failed"] | ["charge", "refund", "updated"] | ["charge", "dispute", _]:
            return understand_return(event)
        case _:
            return "unknown type"


def _about_session(event: Event, kind: str) -> Told | str:
    checkout = checkout_of(event.object)
    news: News
    match kind:
        case "completed" | "async_payment_succeeded":
            news = Succeeded(checkout.amount) if checkout.paid else OnItsWay()
        case "expired" | "async_payment_failed":
            news = Ended()
        case _:
            return "unknown type"
    return _told(event, news, checkout.metadata, session_id=checkout.id, intent_id=checkout.intent_id)


def _told(
    event: Event,
    news: News,
    metadata: Mapping[str, str],
    *,
    session_id: str | None = None,
    intent_id: str | None = None,
    card: Card | None = None,
) -> Told | str:
    reference = reference_of(metadata)
    if reference is None:
        return "foreign: without our metadata"
    at = datetime.fromtimestamp(event.created, UTC)
    return Told(news, reference, event.account, at, session_id, intent_id, card)
