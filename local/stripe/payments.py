"""What a confirmed PaymentIntent does: asks the card's bank, makes the charge, moves the money, says so in events."""

from typing import Any

from local.stripe.cards import (
    AUTHENTICATION_FAILED,
    BY_TOKEN,
    Approval,
    CardDetails,
    Challenge,
    Decline,
    TestCard,
    card_of,
    decide,
)
from local.stripe.errors import StripeError
from local.stripe.shapes import charge_shape, intent_shape, method_shape
from local.stripe.work import Work

Json = dict[str, Any]

_DEFAULT_EXPIRY = (12, 2034)


def new_method(work: Work, details: CardDetails, billing: Json | None = None) -> Json:
    """A card payment method, attached to nobody."""
    return work.insert(method_shape(work, details, billing or {}), number=details.card.number)


def method_of(work: Work, name: str, param: str, *, status: int = 400) -> Json:
    """A payment method by id, or a fresh one for a test name like `pm_card_visa`.

    Raises:
        StripeError: `resource_missing`.
    """
    if name in BY_TOKEN:
        return new_method(work, CardDetails(BY_TOKEN[name], *_DEFAULT_EXPIRY))
    return work.fetch("payment_method", name, param, status=status, noun="PaymentMethod")


def attach(work: Work, method: Json, customer: str) -> Json:
    """Ties a payment method to a customer for later charges."""
    if method["customer"] != customer:
        method["customer"] = customer
        work.save(method)
        work.emit("payment_method.attached", method)
    return method


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
) -> Approval | Decline | Challenge:
    """Tries to pay the intent with the method; the intent is changed and stored whatever the outcome.

    A challenge leaves `requires_action`; `next_action` is the caller's to fill, since only it knows the page.
    """
    _check_reusable(work, intent, method)
    private = work.private(method["id"])
    card = _card_behind(private)
    outcome = decide(card, off_session=off_session, set_up=bool(private.get("set_up")), authenticated=authenticated)
    intent.update(payment_method=method["id"], next_action=None, last_payment_error=None)
    match outcome:
        case Challenge():
            intent["status"] = "requires_action"
            work.save(intent)
        case Decline():
            _fail(work, intent, method, outcome, charged=True)
        case Approval():
            _succeed(work, intent, method)
    return outcome


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


def _card_behind(private: Json) -> TestCard:
    return card_of(private["number"])


def _check_reusable(work: Work, intent: Json, method: Json) -> None:
    if method["customer"] is None and work.private(method["id"]).get("used"):
        raise StripeError(
            400,
            "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment, shared "
            "with a connected account without Customer attachment, or was detached from a Customer. It may not be "
            "used again. To use a PaymentMethod multiple times, you must attach it to a Customer first.",
        )
    if method["customer"] is not None and intent["customer"] is None:
        raise StripeError(
            400,
            f"The PaymentMethod {method['id']} belongs to the Customer {method['customer']}. Please include the "
            "Customer in the `customer` parameter on the PaymentIntent.",
            param="payment_method",
        )
    if method["customer"] not in (None, intent["customer"]):
        raise StripeError(
            400,
            f"The customer does not have a payment method with the ID {method['id']}. The payment method must be "
            "attached to the customer.",
            code="resource_missing",
            param="payment_method",
        )


def _succeed(work: Work, intent: Json, method: Json) -> None:
    if intent["setup_future_usage"] is not None:
        if intent["customer"] is not None:
            attach(work, method, intent["customer"])
        work.remember(method["id"], set_up=intent["setup_future_usage"] == "off_session")
    work.remember(method["id"], used=True)
    charge = charge_shape(work, intent, method)
    charge["receipt_url"] = f"{work.settings.public_url}/receipts/{charge['id']}"
    work.insert(charge)
    intent.update(status="succeeded", amount_received=intent["amount"], latest_charge=charge["id"])
    work.save(intent)
    work.record_money("charge.succeeded", intent, charge, amount=charge["amount"])
    work.emit("charge.succeeded", charge)
    work.emit("payment_intent.succeeded", intent)


def _fail(work: Work, intent: Json, method: Json, decline: Decline, *, charged: bool) -> None:
    charge_id = None
    if charged:
        charge = charge_shape(work, intent, method, decline)
        charge_id = charge["id"]
        work.insert(charge)
        work.emit("charge.failed", charge)
    error = {
        "charge": charge_id,
        "code": decline.code,
        "decline_code": decline.decline_code,
        "doc_url": f"https://stripe.com/docs/error-codes/{decline.code.replace('_', '-')}",
        "message": decline.message,
        "payment_method": method,
        "type": "card_error",
    }
    intent.update(
        status="requires_payment_method",
        payment_method=None,
        next_action=None,
        latest_charge=charge_id or intent["latest_charge"],
        last_payment_error={name: value for name, value in error.items() if value is not None},
    )
    work.save(intent)
    work.emit("payment_intent.payment_failed", intent)
