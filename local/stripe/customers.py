from typing import Any

from local.stripe.work import Work, new_id

Json = dict[str, Any]


def customer_shape(work: Work) -> Json:
    """A customer with Stripe's defaults, its prefix for invoice numbers among them."""
    return {
        "id": new_id("cus_", 14),
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": work.now,
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "invoice_prefix": new_id("", 8).upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": {},
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }


def new_customer(work: Work, body: Json) -> Json:
    """Stores and announces a customer."""
    work.insert(body)
    work.emit("customer.created", body)
    return body
