"""Subscriptions and payment plans in words: what is charged how often, until when, and who may change it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from contracts.billing import Interval, Subscription

from .language import Reader
from .language import gettext_noop as _


def how_often(agreed: Subscription, reader: Reader) -> str:
    """`€12.00 every month`, or `€900.00 in 3 instalments`."""
    amount = reader.money(agreed.total, agreed.currency)
    if agreed.kind == "payment_plan" or agreed.interval is None:
        count = len(agreed.instalments)
        text = reader.ngettext("%(amount)s in %(num)s instalment", "%(amount)s in %(num)s instalments", count)
        return text % {"amount": amount, "num": count}
    return _every(amount, agreed.interval, reader)


def _every(amount: str, interval: Interval, reader: Reader) -> str:
    count = interval.count
    match interval.unit:
        case "day":
            text = reader.ngettext("%(amount)s every day", "%(amount)s every %(num)s days", count)
        case "week":
            text = reader.ngettext("%(amount)s every week", "%(amount)s every %(num)s weeks", count)
        case "month":
            text = reader.ngettext("%(amount)s every month", "%(amount)s every %(num)s months", count)
        case "year":
            text = reader.ngettext("%(amount)s every year", "%(amount)s every %(num)s years", count)
    return text % {"amount": amount, "num": count}


def terms(agreed: Subscription, merchant: str, reader: Reader, today: date, *, member: bool = False) -> list[str]:
    """What a customer who accepts it agrees to, sentence by sentence; as the merchant reads it for a `member`.

    `today` is the date where the merchant is, by which it begins.
    """
    found = []
    if agreed.starts_on is not None and agreed.starts_on > today:
        found.append(reader.gettext("It begins on %(date)s.") % {"date": reader.date(agreed.starts_on, "long")})
    elif agreed.status == "pending":
        begins = _("It begins when the customer accepts it.") if member else _("It begins when you accept it.")
        found.append(reader.gettext(begins))
    if agreed.trial_days:
        text = reader.ngettext("The first day is free.", "The first %(num)s days are free.", agreed.trial_days)
        found.append(text % {"num": agreed.trial_days})
    if agreed.kind == "recurring":
        found.append(_end(agreed, reader))
    elif agreed.interval is not None and agreed.status == "pending" and len(agreed.instalments) > 1:
        # Its days are known once it is accepted; how far they are apart must be known before.
        later = _every(reader.money(agreed.instalments[1].amount, agreed.currency), agreed.interval, reader)
        found.append(reader.gettext("After the first instalment: %(what)s.") % {"what": later})
    return [*found, *(_granted(agreed, reader) if member else _rights(agreed, merchant, reader))]


def _end(agreed: Subscription, reader: Reader) -> str:
    if agreed.ends_after is not None:
        text = reader.ngettext("It ends after %(num)s payment.", "It ends after %(num)s payments.", agreed.ends_after)
        return text % {"num": agreed.ends_after}
    if agreed.ends_on is not None:
        return reader.gettext("It ends on %(date)s.") % {"date": reader.date(agreed.ends_on, "long")}
    return reader.gettext("It goes on until it is cancelled.")


def _may_cancel(agreed: Subscription) -> bool:
    """Whether the customer may do it themselves: what becomes of a plan's rest may be the merchant's to say each time."""
    return agreed.allow_customer_cancel and (agreed.kind != "payment_plan" or agreed.plan_on_cancel != "ask")


def is_term_over(agreed: Subscription) -> bool:
    """Whether as many payments have been made as the customer must make before they may cancel it."""
    return agreed.charges_paid >= agreed.minimum_payments


def _rest(agreed: Subscription, reader: Reader) -> list[str]:
    """What becomes of the instalments to come when the customer cancels."""
    if agreed.kind != "payment_plan" or not _may_cancel(agreed):
        return []
    if agreed.plan_on_cancel == "owe":
        return [reader.gettext("The remaining instalments are then due at once.")]
    return [reader.gettext("The remaining instalments are then waived.")]


def _rights(agreed: Subscription, merchant: str, reader: Reader) -> list[str]:
    """What the customer may do themselves."""
    found = []
    may_cancel = _may_cancel(agreed)
    if may_cancel and agreed.minimum_payments:
        text = reader.ngettext(
            "You may cancel it after %(num)s payment.",
            "You may cancel it after %(num)s payments.",
            agreed.minimum_payments,
        )
        found.append(text % {"num": agreed.minimum_payments})
    elif may_cancel:
        found.append(reader.gettext("You may cancel it at any time."))
    found += _rest(agreed, reader)
    if agreed.allow_customer_pause:
        found.append(reader.gettext("You may pause it."))
    if not may_cancel and not agreed.allow_customer_pause:
        found.append(reader.gettext("To pause or cancel it, ask %(merchant)s.") % {"merchant": merchant})
    elif not may_cancel:
        found.append(reader.gettext("To cancel it, ask %(merchant)s.") % {"merchant": merchant})
    return found


def _granted(agreed: Subscription, reader: Reader) -> list[str]:
    """The same, as the merchant reads it."""
    found = []
    if agreed.allow_customer_cancel and not _may_cancel(agreed):
        found.append(reader.gettext("The customer may ask you to cancel it."))
    elif agreed.allow_customer_cancel and agreed.minimum_payments:
        text = reader.ngettext(
            "The customer may cancel it after %(num)s payment.",
            "The customer may cancel it after %(num)s payments.",
            agreed.minimum_payments,
        )
        found.append(text % {"num": agreed.minimum_payments})
    elif agreed.allow_customer_cancel:
        found.append(reader.gettext("The customer may cancel it at any time."))
    else:
        found.append(reader.gettext("The customer may not cancel it."))
    found += _rest(agreed, reader)
    pause = _("The customer may pause it.") if agreed.allow_customer_pause else _("The customer may not pause it.")
    found.append(reader.gettext(pause))
    return found


@dataclass(frozen=True)
class Choice:
    """Something that can be done with it: `verb` of the address, `label` in English. `ask`: the merchant has to do it."""

    verb: str
    label: str
    ask: bool = False
    danger: bool = False


def choices(agreed: Subscription, *, member: bool) -> list[Choice]:
    """What there is to do as it stands; a customer who may not do it themselves may ask for it."""
    may_pause = member or agreed.allow_customer_pause
    may_cancel = member or (_may_cancel(agreed) and is_term_over(agreed))
    if agreed.status in {"cancelled", "completed"}:
        return []
    if agreed.status == "pending":
        return [Choice("cancel", _("Withdraw the offer"), danger=True)] if member else []
    found = []
    if agreed.status == "paused":
        found.append(Choice("resume", _("Resume") if may_pause else _("Ask to resume it"), ask=not may_pause))
    elif agreed.pause_on is not None:
        found.append(Choice("resume", _("Do not pause after all"), ask=not may_pause))
    elif agreed.cancel_on is None and agreed.next_charge is not None:
        found.append(Choice("pause", _("Pause") if may_pause else _("Ask for a pause"), ask=not may_pause))
    if agreed.cancel_on is not None:
        may_undo = member or (_may_cancel(agreed) and agreed.cancelled_by != "merchant")
        label = _("Do not cancel after all") if may_undo else _("Ask not to cancel it")
        found.append(Choice("undo-cancel", label, ask=not may_undo))
    else:
        label = _("Cancel it") if may_cancel else _("Ask to cancel it")
        found.append(Choice("cancel", label, ask=not may_cancel, danger=may_cancel))
    return found
