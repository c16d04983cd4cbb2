"""The timeline in words: what happened, when, and because of what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contracts.message import EVENTS
from services.gateway.domain import Viewer
from services.gateway.readmodel import Entry

from .language import NOTHING, Reader
from .language import gettext_noop as _

# What happened, by event type, and how it feels. An event without a sentence is not news to anybody; nor is one that
# another line follows at once: that a mail is to be sent, a payment begun, an invitation accepted by whoever joins.
_HAPPENED: dict[str, tuple[str, str]] = {
    "identity.customer.created": (_("Customer added"), ""),
    "identity.contact.joined": (_("%(email)s joined the portal"), "good"),
    "identity.invitation.sent": (_("Invitation sent to %(email)s"), ""),
    "identity.invitation.revoked": (_("Invitation of %(email)s taken back"), ""),
    "identity.invitation.expired": (_("Invitation of %(email)s expired"), "bad"),
    "billing.invoice.drafted": (_("Draft of an invoice for %(total)s saved"), ""),
    "billing.invoice.opened": (_("Invoice %(number)s for %(total)s issued"), ""),
    "billing.invoice.payment_declined": (_("A card was declined for %(number)s"), "bad"),
    "billing.invoice.payment_ended": (_("Payment of %(number)s ended without money"), "bad"),
    "billing.invoice.part_paid": (_("Part of %(number)s paid, %(amount_due)s still due"), "good"),
    "billing.invoice.paid": (_("Invoice %(number)s for %(total)s paid"), "good"),
    "billing.invoice.voided": (_("Invoice %(number)s withdrawn"), ""),
    "billing.invoice.given_up": (_("Invoice %(number)s marked as uncollectible"), "bad"),
    "billing.payment.succeeded": (_("Payment of %(amount)s received"), "good"),
    "billing.payment.failed": (_("Payment of %(amount)s failed"), "bad"),
    "billing.refund.started": (_("Refund of %(amount)s begun"), ""),
    "billing.refund.succeeded": (_("%(amount)s given back"), ""),
    "billing.refund.failed": (_("Refund of %(amount)s failed"), "bad"),
    "billing.dispute.opened": (_("Payment of %(amount)s disputed"), "bad"),
    "billing.dispute.won": (_("Dispute about %(amount)s won"), "good"),
    "billing.dispute.lost": (_("Dispute about %(amount)s lost"), "bad"),
    "billing.payment_method.added": (_("Payment method ending in %(last4)s added"), "good"),
    "billing.payment_method.made_default": (_("Payment method ending in %(last4)s is charged from now on"), ""),
    "billing.payment_method.stopped_working": (_("Payment method ending in %(last4)s does not work any more"), "bad"),
    "billing.payment_method.expiring": (_("Card ending in %(last4)s expires soon"), "bad"),
    "billing.payment_method.removed": (_("Payment method removed"), ""),
    "billing.invoice.charge_failed": (_("Automatic charge of %(number)s failed"), "bad"),
    "billing.invoice.collection_stopped": (_("%(number)s is not charged automatically any more"), ""),
    "billing.subscription.created": (_("%(title)s offered"), ""),
    "billing.subscription.accepted": (_("%(title)s accepted"), "good"),
    "billing.subscription.payment_method_chosen": (_("Payment method chosen for %(title)s"), ""),
    "billing.subscription.pause_planned": (_("%(title)s is going to be paused"), ""),
    "billing.subscription.paused": (_("%(title)s paused"), ""),
    "billing.subscription.resumed": (_("%(title)s goes on"), "good"),
    "billing.subscription.cancel_planned": (_("%(title)s is going to be cancelled"), ""),
    "billing.subscription.cancel_undone": (_("Cancellation of %(title)s taken back"), "good"),
    "billing.subscription.cancelled": (_("%(title)s cancelled"), "bad"),
    "billing.subscription.completed": (_("%(title)s completed"), "good"),
    "billing.subscription.change_requested": (_("Change of %(title)s asked for"), ""),
    "todos.todo.created": (_("To-do added: %(title)s"), ""),
    "todos.todo.assigned": (_("To-do assigned: %(title)s"), ""),
    "todos.todo.done": (_("To-do done: %(title)s"), "good"),
    "todos.todo.reopened": (_("To-do open again: %(title)s"), ""),
    "todos.todo.cancelled": (_("To-do not needed any more: %(title)s"), ""),
    "notifications.mail.accepted": (_("%(template)s sent to %(recipient)s"), "good"),
    "notifications.mail.failed": (_("%(template)s to %(recipient)s failed"), "bad"),
    "notifications.mail.bounced": (_("%(template)s to %(recipient)s came back"), "bad"),
    "notifications.mail.dropped": (_("%(template)s was not needed any more"), ""),
    "notifications.mail.in_doubt": (_("%(template)s perhaps sent to %(recipient)s"), ""),
}

# Why it happened, when another event caused it.
_BECAUSE: dict[str, str] = {
    "identity.customer.created": _("because the customer was added"),
    "identity.contact.joined": _("because %(email)s joined the portal"),
    "identity.invitation.sent": _("because an invitation was sent"),
    "identity.invitation.accepted": _("because the invitation was accepted"),
    "billing.invoice.opened": _("because invoice %(number)s was issued"),
    "billing.invoice.link_email_requested": _("because the payment link of %(number)s was to be mailed"),
    "billing.invoice.paid": _("because invoice %(number)s was paid"),
    "billing.invoice.voided": _("because invoice %(number)s was withdrawn"),
    "billing.invoice.given_up": _("because invoice %(number)s was given up"),
    "billing.subscription.accepted": _("because %(title)s was accepted"),
    "billing.subscription.paused": _("because %(title)s was paused"),
    "billing.subscription.resumed": _("because %(title)s goes on"),
    "billing.subscription.cancelled": _("because %(title)s was cancelled"),
    "billing.payment.succeeded": _("because a payment of %(amount)s was received"),
    "billing.payment.failed": _("because a payment failed"),
    "billing.refund.succeeded": _("because %(amount)s was given back"),
    "billing.refund.failed": _("because a refund failed"),
    "billing.dispute.opened": _("because a payment was disputed"),
    "billing.payment_method.added": _("because a payment method was added"),
    "billing.payment_method.stopped_working": _("because a payment method does not work any more"),
    "billing.payment_method.expiring": _("because a card expires soon"),
    "todos.todo.assigned": _("because a to-do was assigned"),
}

_TEMPLATES = {
    "invitation": _("Invitation"),
    "payment_link": _("Payment link"),
    "receipt": _("Receipt"),
    "refund": _("News of a refund"),
    "refund_failed": _("News of a failed refund"),
    "dispute_opened": _("News of a dispute"),
    "card_expiring": _("Notice of a card that expires"),
    "subscription_link": _("Offer of a subscription"),
    "subscription_paused": _("Notice of the pause"),
    "subscription_resumed": _("Notice that it goes on"),
    "subscription_cancel_planned": _("Notice of the coming cancellation"),
    "subscription_cancelled": _("Notice of the cancellation"),
    "subscription_completed": _("Notice of the completion"),
    "renewal_ahead": _("Notice of the next charge"),
    "payment_failed": _("Notice of a failed charge"),
    "confirm_payment": _("Request to confirm a payment"),
    "customer_request": _("Notice of a customer's request"),
}
_ASKED = {
    "invoice": _("Pay %(number)s"),
    "payment_method": _("Replace the card ending in %(label)s"),
    "request": _("Request about %(label)s"),
}
_MONEY = ("amount", "total", "amount_due")


@dataclass(frozen=True)
class Happening:
    """One line of the timeline, ready to be shown. `tone` is a class of the stylesheet."""

    what: str
    at: datetime
    because: str
    href: str
    tone: str
    whose: str = ""
    """The customer, where lines of several stand side by side."""


def news(viewer: Viewer) -> list[str]:
    """The types of the events that there is a sentence for, to ask the timeline for these alone."""
    return [type_ for type_ in EVENTS if _is_news(type_.rsplit(".", 1)[0], viewer)]


def _is_news(name: str, viewer: Viewer) -> bool:
    return name in _HAPPENED and (viewer.is_member or name != "identity.customer.created")


def happenings(entries: Iterable[Entry], viewer: Viewer, reader: Reader, *, whose: bool = False) -> list[Happening]:
    """The entries as sentences, `whose` with the customer's name; what is no news to a person is left out."""
    return [line for entry in entries if (line := _line(entry, viewer, reader, whose=whose)) is not None]


def _line(entry: Entry, viewer: Viewer, reader: Reader, *, whose: bool) -> Happening | None:
    name = entry.type.rsplit(".", 1)[0]
    if not _is_news(name, viewer):
        return None
    sentence, tone = _HAPPENED[name]
    what = reader.gettext(sentence) % _told(entry.about, reader)
    return Happening(
        what,
        entry.at,
        _because(entry, reader),
        _address(entry, name, viewer),
        tone,
        entry.customer_name if whose else "",
    )


def _gave_up(entry: Entry) -> bool:
    return entry.about.get("cancelled_by") == "collection"


def _because(entry: Entry, reader: Reader) -> str:
    if entry.because is not None:
        sentence = _BECAUSE.get(entry.because.type.rsplit(".", 1)[0])
        return reader.gettext(sentence) % _told(entry.because.about, reader) if sentence else ""
    match entry.actor_kind:
        case "public" if entry.type.startswith("billing.") or entry.about.get("origin") == "pay_link":
            return reader.gettext("through the payment link")  # however they came by it: it may have been handed on
        case "public":
            return reader.gettext("through the link in the mail")
        case "system" if entry.type.startswith(
            ("billing.payment_method.expiring.", "billing.invoice.collection_stopped.")
        ):
            return ""
        case "system" if entry.type.startswith("billing.subscription.cancelled.") and _gave_up(entry):
            return reader.gettext("because its charges failed until the last try")
        case "system" if entry.type.startswith(("billing.subscription.", "billing.invoice.opened.")):
            return reader.gettext("as agreed")
        case "system" if entry.type.startswith("billing."):
            return reader.gettext("reported by the payment provider")
        case "system" if entry.type.startswith("identity.invitation.expired."):
            return reader.gettext("because seven days passed without an answer")
        case _ if entry.actor_name:
            return reader.gettext("by %(name)s") % {"name": entry.actor_name}
        case _:
            return ""


def _told(about: dict[str, Any], reader: Reader) -> _Told:
    told = _Told({name: str(value) for name, value in about.items()})
    currency = about.get("currency")
    if currency:
        told |= {name: reader.money(int(about[name]), currency) for name in _MONEY if about.get(name) is not None}
    if subject := about.get("subject"):
        told["title"] = reader.gettext(_ASKED.get(subject.get("kind", "invoice"), "%(label)s")) % {
            "label": subject["label"],
            "number": subject["label"],
        }
    if "template" in about:
        told["template"] = reader.gettext(_TEMPLATES.get(about["template"], _("Mail")))
    return told


class _Told(dict[str, str]):
    """What a sentence may name; what an event does not tell is a dash, not an error page."""

    def __missing__(self, _name: str) -> str:
        return NOTHING


def _address(entry: Entry, name: str, viewer: Viewer) -> str:
    noun = name.rsplit(".", 1)[0]
    if noun in {"billing.refund", "billing.dispute"} and "invoice_id" in entry.about:
        return f"{'/console/invoices' if viewer.is_member else '/portal/payments'}/{entry.about['invoice_id']}"
    if viewer.is_member:
        if noun == "billing.invoice":
            return f"/console/invoices/{entry.subject_id}"
        if noun == "billing.payment_method":
            return f"/console/customers/{entry.customer_id}/payments"
        if noun == "billing.subscription":
            return f"/console/subscriptions/{entry.subject_id}"
        return f"/console/customers/{entry.customer_id}" if entry.customer_id else ""
    if noun == "billing.invoice":
        return f"/portal/payments/{entry.subject_id}"
    if noun == "billing.payment_method":
        return "/portal/payment-methods"
    if noun == "billing.subscription":
        return f"/portal/subscriptions/{entry.subject_id}"
    return "/portal/todos" if noun == "todos.todo" else ""
