"""Putting a mail into the queue, once for each (template, subject, occasion, recipient)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from chassis.database import Tx
from chassis.ids import new_id
from contracts.message import CustomerId, Event, MerchantId
from contracts.notifications import Mail, MailQueued
from services.notifications import store
from services.notifications.domain import message_id, receipt_recipients


async def queue(
    tx: Tx,
    event: Event[Any],
    template: str,
    recipients: list[str],
    *,
    subject_kind: Any,
    subject_id: UUID,
    customer_id: CustomerId,
    mail_host: str,
    invoice_id: UUID | None = None,
) -> None:
    """Queue a mail for each recipient; the occasion is the message that the transaction belongs to."""
    for recipient in recipients:
        mail_id = new_id()
        mail = Mail(
            id=mail_id,
            merchant_id=tx.merchant,
            customer_id=customer_id,
            template=template,
            subject_kind=subject_kind,
            subject_id=subject_id,
            invoice_id=invoice_id,
            occasion=tx.cause.message_id,
            recipient=recipient,
            status="queued",
            message_id=message_id(mail_id, mail_host),
            queued_at=tx.now,
        )
        if await store.insert_mail(tx, mail, event.model_dump_json()):
            tx.announce(MailQueued(state=mail), sequence=1)
            tx.notify(store.CHANNEL)


async def customers_money(tx: Tx, merchant_id: MerchantId, customer_id: CustomerId) -> list[str]:
    """The addresses of those who look after a customer's money.

    Raises:
        LookupError: the customer is not known yet. The event comes again.
    """
    customer = await store.known_customer(tx, merchant_id, customer_id)
    if customer is None:
        raise LookupError(f"Customer {customer_id} is not known yet.")
    contacts = await store.active_contacts(tx, merchant_id, customer_id)
    return receipt_recipients([(each.role, each.email) for each in contacts], customer.email)
