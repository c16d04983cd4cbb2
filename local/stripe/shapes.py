"""The objects as the API answers them: every field of the API version, with the values a new one has.

Lists that Stripe leaves out until they are expanded are left out here, too.
"""

from typing import Any

from local.stripe.cards import CardDetails, Decline
from local.stripe.debits import DebitDetails, bank_shape
from local.stripe.work import Work, new_id

Json = dict[str, Any]


def card_method_shape(work: Work, details: CardDetails, billing: Json) -> Json:
    """A card that belongs to nobody; `billing` goes into the billing details."""
    card = details.card
    shown = {
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
    }
    return _method_shape(work, "card", shown, {"name": details.name, **billing})


def debit_method_shape(work: Work, details: DebitDetails, billing: Json) -> Json:
    """A bank account that belongs to nobody."""
    shown = {**bank_shape(details.account), "generated_from": {"charge": None, "setup_attempt": None}}
    return _method_shape(work, "sepa_debit", shown, {"name": details.name, **billing})


def _method_shape(work: Work, kind: str, shown: Json, billing: Json) -> Json:
    address = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))
    return {
        "id": new_id("pm_"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": {"address": address, "email": None, "name": None, "phone": None, "tax_id": None, **billing},
        kind: shown,
        "created": work.now,
        "customer": None,
        "livemode": False,
        "metadata": {},
        "type": kind,
    }


def intent_shape(work: Work) -> Json:
    """A PaymentIntent with Stripe's defaults; amount and currency are its creator's to fill."""
    intent_id = new_id("pi_")
    return {
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
    }


def charge_shape(work: Work, intent: Json, method: Json, decline: Decline | None = None) -> Json:
    """A charge of the intent's amount, succeeded or declined; of a debit, pending."""
    debit = method["type"] == "sepa_debit"
    paid = decline is None and not debit
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
        "captured": decline is None,
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
        "payment_method_details": _paid_with(method, intent["amount"] if paid else None),
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
        "status": "failed" if decline else "pending" if debit else "succeeded",
        "transfer_data": intent["transfer_data"],
        "transfer_group": intent["transfer_group"],
    }


def _paid_with(method: Json, authorized: int | None) -> Json:
    shown = dict(method[method["type"]])
    shown.pop("generated_from")
    if method["type"] == "sepa_debit":
        return {"sepa_debit": {**shown, "expected_debit_date": None, "mandate": None}, "type": "sepa_debit"}
    for name in ("display_brand", "networks", "three_d_secure_usage"):
        shown.pop(name)
    return {"card": {**shown, "amount_authorized": authorized, "network": shown["brand"]}, "type": "card"}


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


def session_shape(work: Work) -> Json:
    """An open Checkout Session in payment mode; amounts, customer and URLs are its creator's to fill."""
    return {
        "id": new_id("cs_test_", 58),
        "object": "checkout.session",
        "adaptive_pricing": {"enabled": False},
        "after_expiration": None,
        "allow_promotion_codes": None,
        "amount_subtotal": None,
        "amount_total": None,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "billing_address_collection": None,
        "branding_settings": None,
        "cancel_url": None,
        "client_reference_id": None,
        "client_secret": None,
        "collected_information": None,
        "consent": None,
        "consent_collection": None,
        "created": work.now,
        "currency": None,
        "currency_conversion": None,
        "custom_fields": [],
        "custom_text": {
            "after_submit": None,
            "shipping_address": None,
            "submit": None,
            "terms_of_service_acceptance": None,
        },
        "customer": None,
        "customer_creation": None,
        "customer_details": None,
        "customer_email": None,
        "discounts": [],
        "expires_at": 0,
        "invoice": None,
        "invoice_creation": None,
        "livemode": False,
        "locale": None,
        "metadata": {},
        "mode": "payment",
        "origin_context": None,
        "payment_intent": None,
        "payment_link": None,
        "payment_method_collection": "if_required",
        "payment_method_configuration_details": None,
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": ["card"],
        "payment_status": "unpaid",
        "permissions": None,
        "phone_number_collection": {"enabled": False},
        "recovered_from": None,
        "saved_payment_method_options": None,
        "setup_intent": None,
        "shipping_address_collection": None,
        "shipping_cost": None,
        "shipping_options": [],
        "status": "open",
        "submit_type": None,
        "subscription": None,
        "success_url": None,
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": "hosted_page",
        "url": None,
        "wallet_options": None,
    }


def price_shape(work: Work, currency: str, amount: int, tax_behavior: str) -> Json:
    """The one-time price that `price_data` makes in passing."""
    return {
        "id": new_id("price_"),
        "object": "price",
        "active": False,
        "billing_scheme": "per_unit",
        "created": work.now,
        "currency": currency,
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": None,
        "metadata": {},
        "nickname": None,
        "product": new_id("prod_", 14),
        "recurring": None,
        "tax_behavior": tax_behavior,
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "one_time",
        "unit_amount": amount,
        "unit_amount_decimal": str(amount),
    }
