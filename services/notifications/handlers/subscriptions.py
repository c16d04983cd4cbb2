"""Mails about subscriptions and payment plans: what happens to them, what is charged next, what could not be charged."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Literal

from chassis.database import Database, Tx
from chassis.listeners import Facts
from contracts.billing import (
    BillingMailFacts,
    ChangeWish,
    Collection,
    Invoice,
    InvoiceChargeFailed,
    Subscription,
    SubscriptionCancelled,
    SubscriptionCancelPlanned,
    SubscriptionChanged,
    SubscriptionChangeRequested,
    SubscriptionCompleted,
    SubscriptionLinkEmailRequested,
    SubscriptionPaused,
    SubscriptionResumed,
)
from contracts.message import Event, InvoiceId, MailFacts, Question, SubscriptionId
from services.notifications import emails, store
from services.notifications.handlers.queueing import customers_money, queue

News = Literal[
    "subscription_link",
    "subscription_paused",
    "subscription_resumed",
    "subscription_cancel_planned",
    "subscription_cancelled",
    "subscription_completed",
    "renewal_ahead",
]


async def _to_customer(tx: Tx, event: Event[Subscription], template: str, mail_host: str) -> None:
    agreed = event.state
    await queue(
        tx,
        event,
        template,
        await customers_money(tx, agreed.merchant_id, agreed.customer_id),
        subject_kind="subscription",
        subject_id=agreed.id,
        customer_id=agreed.customer_id,
        mail_host=mail_host,
    )


async def on_subscription_link_email_requested(
    tx: Tx, event: SubscriptionLinkEmailRequested, *, mail_host: str
) -> None:
    """Queue the offer for the customer."""
    await _to_customer(tx, event, "subscription_link", mail_host)


async def on_subscription_paused(tx: Tx, event: SubscriptionPaused, *, mail_host: str) -> None:
    """Say that nothing is charged for now."""
    await _to_customer(tx, event, "subscription_paused", mail_host)


async def on_subscription_resumed(tx: Tx, event: SubscriptionResumed, *, mail_host: str) -> None:
    """Say that it goes on."""
    await _to_customer(tx, event, "subscription_resumed", mail_host)


async def on_subscription_cancel_planned(tx: Tx, event: SubscriptionCancelPlanned, *, mail_host: str) -> None:
    """Say when it ends, and that it was heard."""
    await _to_customer(tx, event, "subscription_cancel_planned", mail_host)


async def on_subscription_cancelled(tx: Tx, event: SubscriptionCancelled, *, mail_host: str) -> None:
    """Say that it is over; an offer that was never accepted ends without a word."""
    if event.state.accepted_at is not None:
        await _to_customer(tx, event, "subscription_cancelled", mail_host)


async def on_subscription_completed(tx: Tx, event: SubscriptionCompleted, *, mail_host: str) -> None:
    """Say that its last charge was made."""
    await _to_customer(tx, event, "subscription_completed", mail_host)


async def on_renewal_ahead(tx: Tx, agreed: Subscription, *, mail_host: str) -> None:
    """Say what is charged next; the occasion is the charge's day."""
    await _to_customer(tx, SubscriptionChanged(state=agreed), "renewal_ahead", mail_host)


async def on_subscription_change_requested(tx: Tx, event: SubscriptionChangeRequested, *, mail_host: str) -> None:
    """Tell the merchant what a customer wishes."""
    agreed = event.state
    await queue(
        tx,
        event,
        "customer_request",
        await store.money_members(tx, agreed.merchant_id),
        subject_kind="subscription",
        subject_id=agreed.id,
        customer_id=agreed.customer_id,
        mail_host=mail_host,
    )


async def on_invoice_charge_failed(tx: Tx, event: InvoiceChargeFailed, *, mail_host: str) -> None:
    """Tell the customer that the charge failed, or that their bank wants them to confirm it."""
    invoice = event.state
    confirm = invoice.collection is not None and invoice.collection.confirm
    await queue(
        tx,
        event,
        "confirm_payment" if confirm else "payment_failed",
        await customers_money(tx, invoice.merchant_id, invoice.customer_id),
        subject_kind="invoice",
        subject_id=invoice.id,
        customer_id=invoice.customer_id,
        invoice_id=invoice.id,
        mail_host=mail_host,
    )


# --- what the mails need ----------------------------------------------------------------------------------------------


def _asks(kind: News) -> Callable[[Database, emails.Content], Awaitable[Question[MailFacts] | None]]:
    async def ask(_: Database, event: emails.Content) -> Question[MailFacts]:
        return BillingMailFacts(kind=kind, id=SubscriptionId(event["state"]["id"]))

    return ask


def _asks_about_charge(
    kind: Literal["payment_failed", "confirm_payment"],
) -> Callable[[Database, emails.Content], Awaitable[Question[MailFacts] | None]]:
    async def ask(_: Database, event: emails.Content) -> Question[MailFacts]:
        """An invoice paid meanwhile needs no mail."""
        return BillingMailFacts(kind=kind, id=InvoiceId(event["state"]["id"]))

    return ask


async def _ask_nobody(_: Database, _event: emails.Content) -> Question[MailFacts] | None:
    return None


def _news(event: emails.Content, facts: MailFacts, portal: str) -> dict[str, object]:
    agreed = Subscription.model_validate(event["state"] | facts.facts)
    return {"subscription": agreed, "url": f"{portal}{facts.path or f'/portal/subscriptions/{agreed.id}'}"}


def _renewal(event: emails.Content, facts: MailFacts, portal: str) -> dict[str, object]:
    has_method = bool(facts.facts.get("has_method", True))
    values = _news(event, facts, portal) | {"has_method": has_method}
    return values if has_method else values | {"url": f"{portal}/portal/payment-methods"}


def _failed(event: emails.Content, facts: MailFacts, portal: str) -> dict[str, object]:
    invoice = Invoice.model_validate(event["state"] | facts.facts)
    # The link may have been withdrawn; the invoice is in the portal then.
    return {
        "invoice": invoice,
        "case": _case(invoice.collection),
        "url": f"{portal}{facts.path or f'/portal/payments/{invoice.id}'}",
    }


def _case(collection: Collection | None) -> Literal["declined", "not_again", "no_method"]:
    if collection is None or collection.attempted or collection.last_failure is None:
        return "declined"
    return "no_method" if collection.last_failure.code == "no_payment_method" else "not_again"


def _request(event: emails.Content, _: MailFacts, portal: str) -> dict[str, object]:
    agreed = Subscription.model_validate(event["state"])
    wish = ChangeWish.model_validate(event["wish"])
    return {"subscription": agreed, "wish": wish, "url": f"{portal}/console/subscriptions/{agreed.id}"}


KINDS: dict[str, emails.Kind] = {
    "subscription_link": emails.Kind("subscription", _asks("subscription_link"), _news),
    "subscription_paused": emails.Kind("subscription", _asks("subscription_paused"), _news),
    "subscription_resumed": emails.Kind("subscription", _asks("subscription_resumed"), _news),
    "subscription_cancel_planned": emails.Kind("subscription", _asks("subscription_cancel_planned"), _news),
    "subscription_cancelled": emails.Kind("subscription", _asks("subscription_cancelled"), _news),
    "subscription_completed": emails.Kind("subscription", _asks("subscription_completed"), _news),
    "renewal_ahead": emails.Kind("subscription", _asks("renewal_ahead"), _renewal),
    "payment_failed": emails.Kind("invoice", _asks_about_charge("payment_failed"), _failed),
    "confirm_payment": emails.Kind("invoice", _asks_about_charge("confirm_payment"), _failed),
    "customer_request": emails.Kind("subscription", _ask_nobody, _request, to="merchant"),
}


def facts(mail_host: str) -> Facts:
    """Which function handles which event."""
    return {
        SubscriptionLinkEmailRequested: partial(on_subscription_link_email_requested, mail_host=mail_host),
        SubscriptionPaused: partial(on_subscription_paused, mail_host=mail_host),
        SubscriptionResumed: partial(on_subscription_resumed, mail_host=mail_host),
        SubscriptionCancelPlanned: partial(on_subscription_cancel_planned, mail_host=mail_host),
        SubscriptionCancelled: partial(on_subscription_cancelled, mail_host=mail_host),
        SubscriptionCompleted: partial(on_subscription_completed, mail_host=mail_host),
        SubscriptionChangeRequested: partial(on_subscription_change_requested, mail_host=mail_host),
        InvoiceChargeFailed: partial(on_invoice_charge_failed, mail_host=mail_host),
    }
