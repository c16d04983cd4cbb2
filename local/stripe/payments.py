"""What a confirmed PaymentIntent does: asks the bank, makes the charge, moves the money, says so in events."""

from typing import Any

from local.stripe.cards import AUTHENTICATION_FAILED, Approval, Challenge, Decline, TestCard, decide
from local.stripe.debits import SETTLES_AFTER, Processing, TestAccount
from local.stripe.errors import StripeError
from local.stripe.methods import behind, check_usable, last_error, save_for_later
from local.stripe.shapes import charge_shape, intent_shape
from local.stripe.work import Work

Json = dict[str, Any]
Outcome = Approval | Decline | Challenge | Processing


def new_intent(work: Work, fields: Json, *, session: str | None = None, idempotency_key: str | None = None) -> Json:
    """A PaymentIntent, announced. `fields` are those that its creator chose; the rest are Stripe's defaults.

    `idempotency_key` is the key under which its creator asked, for the ledger.
    """
    body = {**intent_shape(work), **fields}
    work.insert(body, session=session, idempotency_key=idempotency_key)
    work.emit("payment_intent.created", body)
    return body


def confirm(
    work: Work, intent: Json, method: Json, *, off_session: bool = False, authenticated: bool = False
) -> Outcome:
    """Tries to pay the intent with the method; the intent is changed and stored whatever the outcome.

    A challenge leaves `requires_action`; `next_action` is the caller's to fill, since only it knows the page.
    """
    check_usable(work, method, intent["customer"], "PaymentIntent")
    bank = behind(work, method)
    intent.update(payment_method=method["id"], next_action=None, last_payment_error=None)
    if isinstance(bank, TestAccount):
        _begin_debit(work, intent, method)
        return Processing()
    set_up = bool(work.private(method["id"]).get("set_up"))
    outcome = decide(bank, off_session=off_session, set_up=set_up, authenticated=authenticated)
    match outcome:
        case Challenge():
            intent["status"] = "requires_action"
            work.save(intent)
        case Decline():
            _fail(work, intent, method, outcome, charged=True)
        case Approval():
            _succeed(work, intent, method, bank)
    return outcome


def settle_debit(work: Work, intent: Json, failure: Decline | None) -> None:
    """The bank's answer to a debit, days later."""
    charge = work.fetch("charge", intent["latest_charge"], "charge")
    method = work.fetch("payment_method", intent["payment_method"], "payment_method")
    work.remember(intent["id"], due_at=None)
    intent["processing"] = None
    if failure is None:
        charge.update(status="succeeded", paid=True, amount_captured=charge["amount"])
        work.save(charge)
        _take_money(work, intent, charge)
        return
    charge.update(
        status="failed", captured=False, failure_code=failure.code, failure_message=failure.message, outcome=None
    )
    work.save(charge)
    work.emit("charge.failed", charge)
    _ask_for_another_method(work, intent, method, failure, charge["id"])


def fail_authentication(work: Work, intent: Json, method: Json) -> Decline:
    """The customer did not pass the challenge: nothing reached the bank, so there is no charge."""
    _fail(work, intent, method, AUTHENTICATION_FAILED, charged=False)
    return AUTHENTICATION_FAILED


def cancel(work: Work, intent: Json, reason: str | None) -> Json:
    """Ends an intent that has not succeeded."""
    intent.update(status="canceled", canceled_at=work.now, cancellation_reason=reason, next_action=None)
    work.save(intent)
    work.emit("payment_intent.canceled", intent)
    return intent


def card_error(intent: Json) -> Json:
    """The `error` of a 402: the last payment error with the whole intent."""
    return {**intent["last_payment_error"], "payment_intent": intent}


def _begin_debit(work: Work, intent: Json, method: Json) -> None:
    if intent["currency"] != "eur":
        raise StripeError(
            400,
            f"The currency provided ({intent['currency']}) is invalid for sepa_debit: it takes eur.",
            param="currency",
        )
    _keep_method(work, intent, method)
    charge = work.insert(charge_shape(work, intent, method))
    work.emit("charge.pending", charge)
    intent.update(status="processing", latest_charge=charge["id"])
    work.save(intent)
    work.remember(intent["id"], due_at=work.now + SETTLES_AFTER)
    work.emit("payment_intent.processing", intent)


def _keep_method(work: Work, intent: Json, method: Json) -> None:
    if intent["setup_future_usage"] is not None:
        save_for_later(work, method, intent["customer"], intent["setup_future_usage"])
    work.remember(method["id"], used=True)


def _succeed(work: Work, intent: Json, method: Json, card: TestCard) -> None:
    _keep_method(work, intent, method)
    charge = charge_shape(work, intent, method)
    charge["receipt_url"] = f"{work.settings.public_url}/receipts/{charge['id']}"
    work.insert(charge, refund_fails=card.refund_fails, due_at=work.now if card.disputed else None)
    _take_money(work, intent, charge)


def _take_money(work: Work, intent: Json, charge: Json) -> None:
    intent.update(status="succeeded", amount_received=intent["amount"], latest_charge=charge["id"])
    work.save(intent)
    work.record_money("charge.succeeded", charge, amount=charge["amount"])
    work.emit("charge.succeeded", charge)
    work.emit("payment_intent.succeeded", intent)


def _fail(work: Work, intent: Json, method: Json, decline: Decline, *, charged: bool) -> None:
    charge_id = None
    if charged:
        charge = work.insert(charge_shape(work, intent, method, decline))
        charge_id = charge["id"]
        work.emit("charge.failed", charge)
    _ask_for_another_method(work, intent, method, decline, charge_id)


def _ask_for_another_method(work: Work, intent: Json, method: Json, decline: Decline, charge: str | None) -> None:
    intent.update(
        status="requires_payment_method",
        payment_method=None,
        next_action=None,
        latest_charge=charge or intent["latest_charge"],
        last_payment_error=last_error(decline, method, charge),
    )
    work.save(intent)
    work.emit("payment_intent.payment_failed", intent)
