"""What customers and merchants do once the first invoice is paid: agree to pay again and again, change their minds, get
money back; and what only banks do. All through the public API, but for the banks, who have Stripe's.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from local.portal_client import Json
from tests.chaos.customer import Customer
from tests.chaos.plant import TIME_ZONE

BROKE = "4000000000000341"
"""A card that can be kept and is then declined."""
_DECIDED = 0.5


def agree(customer: Customer) -> None:
    """A plan whose second instalment is due at once, charged without anybody being there."""
    plan = _agreement(customer, "payment_plan", instalments=[{"amount": 1000}, _today(2000)])
    customer.pay({"id": plan["first_invoice_id"]})


def fall_behind(customer: Customer) -> None:
    """A plan paid with a card that soon expires and is declined from the second instalment on."""
    plan = _agreement(customer, "payment_plan", instalments=[{"amount": 1000}, _today(1000), _today(1000)])
    intent = customer.at_stripe(f"payment_intents/{customer.pay({'id': plan['first_invoice_id']})}")
    now = datetime.now(UTC)
    bank = {"behaves_like": BROKE, "exp_month": now.month, "exp_year": now.year}
    customer.at_bank(f"payment_methods/{intent['payment_method']}", bank)


def change_mind(customer: Customer) -> None:
    """Every month: paid, given a card of its own, paused, resumed, asked about, cancelled for later, not after all, and now.

    And a trial that nobody accepts.
    """
    rent = _agreement(
        customer, "recurring", interval={"unit": "month"}, allow_customer_pause=True, allow_customer_cancel=True
    )
    customer.pay({"id": rent["first_invoice_id"]})
    path = f"/subscriptions/{rent['id']}"
    customer.see(path, lambda now: now["status"] == "active")
    chosen = {"payment_method_id": _card(customer)}
    customer.insist("method", lambda key: customer.me.call("PATCH", path, chosen, key=key))
    for act, body in (
        ("pause", {}),
        ("resume", None),
        ("ask", {"wish": "other", "note": "A day off?"}),
        ("cancel", {"when": "period_end"}),
        ("undo-cancel", None),
        ("cancel", {}),
    ):
        customer.insist(act, lambda key, a=act, b=body: customer.me.call("POST", f"{path}/{a}", b, key=key))  # type: ignore[misc]  # mypy does not infer a lambda's defaults
    customer.record.tell("cancelled", rent["id"])
    trial = _agreement(customer, "recurring", interval={"unit": "year"}, trial_days=14, send_email=True)
    for act, body in (("link/revoke", None), ("link/renew", None), ("send", None), ("cancel", {})):
        withdraw = f"/subscriptions/{trial['id']}/{act}"
        customer.insist(act, lambda key, p=withdraw, b=body: customer.admin.call("POST", p, b, key=key))  # type: ignore[misc]  # as above
    customer.record.tell("cancelled", trial["id"])


def give_back(customer: Customer) -> None:
    """Three payments: a part of the first given back, all of the second which its bank sends back, the third disputed."""
    change_defaults(customer)
    _refund(customer, {"amount": 50, "reason": "Cold coffee"})
    intent = _refund(customer, {})
    given: list[Json] = []

    def there() -> bool:
        given[:] = customer.at_stripe(f"refunds?payment_intent={intent}")["data"]
        return bool(given)

    customer.wait("the refund at Stripe", there)
    customer.at_bank(f"refunds/{given[0]['id']}/fail", {})
    _, intent = _paid(customer)
    dispute = customer.at_bank("disputes", {"payment_intent": intent})
    if dispute is not None and customer.rng.random() < _DECIDED:
        customer.at_bank(f"disputes/{dispute['id']}/close", {"outcome": customer.rng.choice(("won", "lost"))})


def _refund(customer: Customer, body: Json) -> str:
    """Give a payment back, all of it or so much; returns its name at Stripe."""
    invoice, intent = _paid(customer)
    path = f"/invoices/{invoice['id']}/refunds"
    refund = customer.insist("refund", lambda key: customer.admin.call("POST", path, body, key=key))
    customer.record.tell("refund", refund["id"])
    return intent


def change_defaults(customer: Customer) -> None:
    """Another term of payment."""
    body = {"due_days": customer.rng.randrange(7, 60)}
    customer.insist("defaults", lambda key: customer.admin.call("PATCH", "/billing-defaults", body, key=key))


Chapter = Callable[[Customer], None]
CHAPTERS: Sequence[Chapter] = (give_back, change_mind, agree, fall_behind)


def _agreement(customer: Customer, kind: str, **terms: Any) -> Json:
    amount = sum(each["amount"] for each in terms.get("instalments", ())) or customer.rng.randrange(100, 5000)
    body = {"kind": kind, "currency": "EUR", "lines": [{"description": "Beans", "unit_amount": amount}], **terms}
    path = f"/customers/{customer.customer['id']}/payment-links"
    made: Json = customer.insist("agreement", lambda key: customer.admin.call("POST", path, body, key=key))
    customer.record.tell("subscription", made["id"])
    return made


def _card(customer: Customer) -> str:
    """What the customer paid with, once the portal has it."""
    kept: list[Json] = []

    def there() -> bool:
        kept[:] = customer.me.call("GET", "/payment-methods")["items"]
        return bool(kept)

    customer.wait("a kept card", there)
    return str(kept[0]["id"])


def _today(amount: int) -> Json:
    return {"due_on": datetime.now(ZoneInfo(TIME_ZONE)).date().isoformat(), "amount": amount}


def _paid(customer: Customer) -> tuple[Json, str]:
    """An invoice that the portal says is paid, and the payment's name at Stripe."""
    invoice = customer.link(send_email=False)
    intent = customer.pay(invoice)
    customer.see(f"/invoices/{invoice['id']}", lambda now: now["status"] == "paid")
    return invoice, intent
