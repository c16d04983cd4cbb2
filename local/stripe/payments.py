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
from local.stripe.work import Work, new_id

Json = dict[str, Any]

_DEFAULT_EXPIRY = (12, 2034)


def new_method(work: Work, details: CardDetails, billing: Json | None = None) -> Json:
    """A card payment method, attached to nobody."""
    card = details.card
    body: Json = {
        "id": new_id("pm_"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": {
            "address": {
                "city": None,
                "country": None,
                "line1": None,
                "line2": None,
                "postal_code": None,
                "state": None,
            },
            "email": None,
            "name": details.name,
            "phone": None,
            "tax_id": None,
            **(billing or {}),
        },
        "card": {
            "brand": card.brand,
            "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
            "country": "US",
            "display_brand": card.brand,
            "exp_month": details.exp_month,
            "exp_year": details.exp_year,
            "fingerprint": f"{card.last4:0>16}",
            "funding": "credit",
            "generated_from": None,
            "last4": card.last4,
            "networks": {"available": [card.brand], "preferred": None},
            "regulated_status": "unregulated",
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        },
        "created": work.now,
        "customer": None,
        "livemode": False,
        "metadata": {},
        "type": "card",
    }
    return work.insert(body, number=card.number)


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
    intent_id = new_id("pi_")
    body: Json = {
        "id": intent_id,
        "object": "payment_intent",
        "amount": 0,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": {"allow_redirects": "always", "enabled": True},
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic_async",
        "client_secret": f"{intent_id}_secret_{new_id('', 25)}",
        "confirmation_method": "automatic",
        "created": work.now,
        "currency": "",
        "customer": None,
        "description": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": ["card"],
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "source": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
        **fields,
    }
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
    charge = _new_charge(work, intent, method)
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
        charge = _new_charge(work, intent, method, decline)
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


def _new_charge(work: Work, intent: Json, method: Json, decline: Decline | None = None) -> Json:
    paid = decline is None
    card = {name: value for name, value in method["card"].items() if name not in ("display_brand", "networks")}
    card.pop("generated_from")
    card.pop("three_d_secure_usage")
    return {
        "id": new_id("ch_"),
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": intent["amount"] if paid else 0,
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": intent["application_fee_amount"],
        # The default capture is asynchronous: Stripe, too, leaves this null in the response.
        "balance_transaction": None,
        "billing_details": method["billing_details"],
        "calculated_statement_descriptor": work.settings.merchant_name.upper()[:22],
        "captured": paid,
        "created": work.now,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": decline.code if decline else None,
        "failure_message": decline.message if decline else None,
        "fraud_details": {},
        "livemode": False,
        "metadata": intent["metadata"],
        "on_behalf_of": intent["on_behalf_of"],
        "outcome": _outcome(decline),
        "paid": paid,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": {
            "card": {**card, "amount_authorized": intent["amount"] if paid else None, "network": card["brand"]},
            "type": "card",
        },
        "radar_options": {},
        "receipt_email": intent["receipt_email"],
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "shipping": intent["shipping"],
        "source": None,
        "source_transfer": None,
        "statement_descriptor": intent["statement_descriptor"],
        "statement_descriptor_suffix": intent["statement_descriptor_suffix"],
        "status": "succeeded" if paid else "failed",
        "transfer_data": intent["transfer_data"],
        "transfer_group": intent["transfer_group"],
    }


def _outcome(decline: Decline | None) -> Json:
    if decline is None:
        return {
            "advice_code": None,
            "network_advice_code": None,
            "network_decline_code": None,
            "network_status": "approved_by_network",
            "reason": None,
            "risk_level": "normal",
            "risk_score": 21,
            "seller_message": "Payment complete.",
            "type": "authorized",
        }
    return {
        "advice_code": "try_again_later",
        "network_advice_code": None,
        "network_decline_code": None,
        "network_status": "declined_by_network",
        "reason": decline.decline_code or decline.code,
        "risk_level": "normal",
        "risk_score": 21,
        "seller_message": "The bank did not return any further details with this decline.",
        "type": "issuer_declined",
    }
