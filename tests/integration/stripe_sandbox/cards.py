"""Customers with saved cards, and charges of them: what most tests begin with."""

from typing import Any

import stripe

from tests.integration.stripe_sandbox.sandbox import Running


async def new_customer(sandbox: Running, account: str | None = None) -> str:
    """A customer's id."""
    options: Any = {"stripe_account": account} if account else {}
    return (await sandbox.stripe.v1.customers.create_async({}, options)).id


async def customer_with_card(sandbox: Running, card: str) -> tuple[str, str]:
    """A customer with an attached method, by its test name: (customer, payment method)."""
    customer = await new_customer(sandbox)
    method = await sandbox.stripe.v1.payment_methods.attach_async(card, {"customer": customer})
    return customer, method.id


async def charge(sandbox: Running, customer: str, method: str, **more: Any) -> stripe.PaymentIntent:
    """An off-session charge of EUR 20.00."""
    request: Any = {
        "amount": 2000,
        "currency": "eur",
        "customer": customer,
        "payment_method": method,
        "off_session": True,
        "confirm": True,
        **more,
    }
    return await sandbox.stripe.v1.payment_intents.create_async(request)
