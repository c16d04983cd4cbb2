"""Refusals in the reader's words. A refusal that has none yet is shown in its own, English ones."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from pydantic import JsonValue

from contracts import billing, identity, message, todos
from contracts.billing import Decline
from contracts.message import FieldError, Problem
from services.gateway.security import CsrfRefused, Overloaded, WrongAccount

from .language import Reader
from .language import gettext_noop as _

_SENTENCES: dict[type[Problem], str] = {
    message.NotAccepted: _(
        "This could not be taken right now, and nothing has been changed. Please try again in a moment."
    ),
    message.OutcomeUnknown: _(
        "We do not know yet whether this was done. Please press the button again: it will not be done twice."
    ),
    message.InvalidInput: _("Please look at the marked fields."),
    message.CommandReused: _(
        "This form was already sent once, with other contents. Please check it and send it again."
    ),
    message.Conflict: _("This has changed in the meantime. Please look at it again."),
    message.TooManyAttempts: _("That were too many attempts. Please wait a few minutes and try again."),
    message.Incident: _("Something went wrong on our side. Nothing is lost; please try again in a moment."),
    identity.WrongCredentials: _("The e-mail address or the password is not right."),
    identity.InvitationNotUsable: _("This invitation can no longer be used."),
    identity.EmailTaken: _("There is already a customer with this e-mail address."),
    billing.InvoiceAlreadyPaid: _("This invoice is already paid."),
    billing.InvoiceNotPayable: _("This invoice cannot be paid now."),
    billing.AmountNotChargeable: _(
        "This amount cannot be paid by card, and trying again does not help. Please contact the merchant."
    ),
    billing.PayLinkNotUsable: _("This payment link can no longer be used."),
    billing.NoReceiptYet: _("There is no receipt for this invoice yet."),
    billing.PaymentsUnavailable: _(
        "Payments cannot be taken right now. Nothing has been charged. Please try again later."
    ),
    billing.RefundRefused: _("The payment provider does not make this refund. No money has moved."),
    billing.NothingToRefund: _("There is no money left to give back."),
    billing.StatementTooLong: _("There is too much in this period for one statement. Choose a shorter one."),
    billing.PaymentMethodInUse: _("This payment method is in use. Choose which one takes its place."),
    todos.TodoFollowsFacts: _("This to-do is ticked off by itself once it has been settled."),
    Overloaded: _("There is more to do right now than we can. Nothing has been changed; please try again in a moment."),
    CsrfRefused: _("This form has expired. Please load the page again and repeat what you did."),
    WrongAccount: _("This is not for the account that you are using now. You can switch accounts in the account menu."),
}

_OUTDATED = _("The secret key was changed after this link was made. Make a new link.")

_WHY = {
    "not-pending": _("It has been accepted already, or it is over."),
    "over": _("This offer has ended."),
    "not-accepted": _("It has not been accepted yet."),
    "already-paused": _("It is paused already."),
    "already-cancelled": _("It is cancelled already."),
    "already-completed": _("It is completed already."),
    "ends-anyway": _("It is going to be cancelled. Take that back first."),
    "nothing-left": _("There is no charge left that a pause could move."),
    "pause-not-allowed": _("Only the merchant can pause this."),
    "invoice-has-the-link": _("Its first invoice has the payment link."),
    "not-paused": _("It is not paused."),
    "resume-not-allowed": _("Only the merchant can resume this."),
    "cancel-not-allowed": _("Only the merchant can cancel this."),
    "role-not-allowed": _("Your role does not allow this."),
    "minimum-term": _("It can be cancelled only after the payments that were agreed."),
    "rest-undecided": _("The merchant decides what becomes of the remaining instalments."),
    "not-cancelled": _("It is not going to be cancelled."),
    "undo-not-allowed": _("Only the merchant can take this cancellation back."),
}

_DECLINES = {
    "card_declined": _("The card was declined by its bank."),
    "generic_decline": _("The card was declined by its bank."),
    "insufficient_funds": _("There is not enough money on the card."),
    "expired_card": _("The card has expired."),
    "incorrect_cvc": _("The security code of the card was not right."),
    "incorrect_number": _("The number of the card was not right."),
    "processing_error": _("The payment provider could not process the card just now."),
    "authentication_required": _("The bank wants the payment to be confirmed."),
}

_FIELDS = {
    "missing": _("Please fill this in."),
    "email": _("Please enter an e-mail address such as name@example.com."),
    "date": _("Please enter a date."),
    "length": _("This is too long: at most %(most)s characters."),
    "short": _("Please use at least %(least)s characters."),
    "greater": _("This must be more than %(limit)s."),
    "least": _("This must be at least %(limit)s."),
    "less": _("This must be at most %(limit)s."),
    "exact": _("This has too many decimals: at most %(most)s."),
    "other": _("Please check what stands here."),
}

_CODES = {
    "quantity-too-small": _("The quantity must be above 0."),
    "line-too-large": _("This line adds up to too much."),
    "discount-out-of-range": _("The discount must be between 0 and 100 percent."),
    "tax-rate-out-of-range": _("The tax rate must be between 0 and 100 percent."),
    "no-lines": _("Please fill in at least one line."),
    "currency-not-in-use": _("%(currency)s is not a currency in use."),
    "total-too-small": _("The total must be at least %(least)s."),
    "total-too-large": _("The total must be at most %(most)s."),
    "total-between-steps": _("Cards can be charged in steps of %(step)s only; the total is %(total)s."),
    "refund-too-small": _("Please enter how much is to be given back."),
    "refund-too-large": _("At most %(most)s of this payment can be given back."),
    "refund-between-steps": _("Cards can be refunded in steps of %(step)s only."),
    "due-date-out-of-range": _("The due date must be between %(first)s and %(last)s."),
    "draft-not-sent": _("A draft is not sent. Open it first."),
    "only-cards-expire": _("Only a card expires."),
    "not-empty": _("Please fill this in."),
    "expiry-over": _("This date is over. Enter what is printed on the new card."),
    "no-replacement": _("Choose another one of the payment methods that are there."),
    "replacement-not-working": _("This payment method does not work any more. Choose another one."),
    "no-such-method": _("Choose one of the payment methods that are there."),
    "method-not-working": _("This payment method does not work any more. Choose another one."),
    "stripe-refused": _("The payment provider does not take this. Please check it."),
    "no-email-address": _("This customer has no e-mail address."),
    "reverse-charge-taxed": _("A line under reverse charge has no tax: the customer owes it."),
    "reverse-charge-without-tax-id": _("Reverse charge needs the customer's tax number. Add it to the customer first."),
    "link-end-past": _("The payment link must end in the future."),
    "link-end-too-late": _("The payment link must end on %(last)s or earlier."),
    "draft-without-link": _("A draft has no payment link yet. Say until when it lives when you open it."),
    "retry-days-not-rising": _("Retries are days after the first failure, each later than the one before."),
    "statement-period": _("Please choose a period of at most ten years whose last day is not before its first."),
    "statement-day-out-of-range": _("This must be between %(first)s and %(last)s."),
    "draft-replacement": _("A draft cannot take the place of an open invoice."),
    "part-too-large": _("At most %(most)s can be paid now."),
    "part-not-allowed": _("Only the whole amount of %(whole)s can be paid."),
    "part-not-chargeable": _("This amount cannot be paid by card."),
    "rest-too-small": _("What is left must be at least %(least)s."),
    "pause-end-out-of-range": _("The pause must end between %(first)s and %(last)s."),
    "rest-undecided": _("The merchant decides what becomes of the remaining instalments."),
    "rest-missing": _("Please say whether the remaining instalments are owed or waived."),
    "start-out-of-range": _("The start must be between %(first)s and %(last)s."),
    "end-before-start": _("The end must be on %(first)s or later."),
    "two-ends": _("It ends after a number of payments or on a date, not both."),
    "number-out-of-range": _("This must be between %(least)s and %(most)s."),
    "interval-out-of-range": _("This must be between 1 and %(most)s."),
    "interval-missing": _("Please say how often it is charged."),
    "instalments-missing": _("A payment plan needs instalments."),
    "instalments-out-of-range": _("There must be between 1 and %(most)s instalments."),
    "instalments-without-days": _("Each instalment but the first needs a date."),
    "instalments-sum-differs": _("The instalments add up to %(sum)s, but the total is %(total)s."),
    "instalment-too-small": _("An instalment must be at least %(least)s."),
    "instalment-too-large": _("An instalment must be at most %(most)s."),
    "instalment-between-steps": _("Cards can be charged in steps of %(step)s only."),
    "instalment-without-day": _("Only the first instalment may have no date."),
    "instalment-too-early": _("This instalment must be due on %(first)s or later."),
    "instalment-too-late": _("This instalment must be due on %(last)s or earlier."),
    "does-not-belong": _("This does not go together with the rest."),
}


def explain(problem: Problem, reader: Reader) -> str:
    """The refusal as a sentence in the reader's language."""
    known = next((_SENTENCES[kind] for kind in type(problem).__mro__ if kind in _SENTENCES), None)
    if isinstance(problem, message.NotAllowed) and type(problem) is message.NotAllowed:
        known = None  # its detail says why, and that is what matters
    sentence = reader.gettext(known) if known else reader.gettext(problem.detail)
    if isinstance(problem, billing.SubscriptionNotChangeable | billing.ChangeNotPermitted):
        sentence = explain_refused_change(str(problem.members.get("why", "")), problem.detail, reader)
    if isinstance(problem, billing.PayLinkNotUsable) and problem.members.get("why") == "outdated":
        sentence = reader.gettext(_OUTDATED)
    incident = problem.members.get("incident")
    return f"{sentence} ({incident})" if incident else sentence


def explain_refused_change(code: str, sentence: str, reader: Reader) -> str:
    """Why a subscription cannot be changed in this way: by the reason's code, else in billing's own words."""
    return reader.gettext(_WHY.get(code, sentence))


def decline(why: Decline, reader: Reader) -> str:
    """Why a card was declined, as a sentence in the reader's language where we know the code."""
    known = _DECLINES.get(why.code)
    return reader.gettext(known) if known else reader.gettext(why.message)


def owners_sentence(error: FieldError, reader: Reader) -> str:
    """What the owner found wrong with one field: in the reader's words where we have them for its code."""
    known = _CODES.get(error.code or "")
    if known is None:
        return reader.gettext(error.message)
    return reader.gettext(known) % {name: _in_words(value, reader) for name, value in error.values.items()}


def _in_words(value: JsonValue, reader: Reader) -> str:
    match value:
        case {"amount": int(amount), "currency": str(currency)}:
            return reader.money(amount, currency)
        case {"date": str(day)}:
            return reader.date(date.fromisoformat(day))
        case _:
            return str(value)


def explain_field(kind: str, name: str, context: Mapping[str, Any], reader: Reader) -> str:
    """What is wrong with one field, from pydantic's error type and its limits."""
    say = reader.gettext
    match kind:
        case "missing" | "none_required":
            return say(_FIELDS["missing"])
        case "string_too_short" if context.get("min_length", 1) > 1:
            return say(_FIELDS["short"]) % {"least": context["min_length"]}
        case "string_too_short":
            return say(_FIELDS["missing"])
        case "string_too_long":
            return say(_FIELDS["length"]) % {"most": context["max_length"]}
        case "greater_than":
            return say(_FIELDS["greater"]) % {"limit": reader.decimal(context["gt"])}
        case "greater_than_equal":
            return say(_FIELDS["least"]) % {"limit": reader.decimal(context["ge"])}
        case "less_than_equal" | "less_than":
            return say(_FIELDS["less"]) % {"limit": reader.decimal(context.get("le", context.get("lt")))}
        case "decimal_max_places":
            return say(_FIELDS["exact"]) % {"most": context["decimal_places"]}
        case _ if kind.startswith("date"):
            return say(_FIELDS["date"])
        case "string_pattern_mismatch" if name.endswith("email"):
            return say(_FIELDS["email"])
        case _:
            return say(_FIELDS["other"])
