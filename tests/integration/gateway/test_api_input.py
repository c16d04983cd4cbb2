"""What the API is given, as its types are: nothing is guessed at, each field is named, and nobody is asked."""

from typing import Any

from contracts.billing import PaymentMethodAdded, SubscriptionAccepted
from contracts.identity import SignIn
from tests.integration.gateway.browsing import problem
from tests.integration.gateway.world import World, payment_method, subscription

LINE = {"description": "Hosting", "unit_amount": 1200}
MONTHLY: dict[str, Any] = {"kind": "recurring", "currency": "EUR", "lines": [LINE]}
PLAN: dict[str, Any] = {"kind": "payment_plan", "currency": "EUR", "lines": [LINE]}


async def test_a_count_is_a_number_and_a_time_is_written_out(world: World) -> None:
    merchant = await world.merchant()
    customer = await world.customer(merchant)
    agreed = subscription(customer)
    await world.hear(SubscriptionAccepted(state=agreed))
    card = payment_method(customer)
    await world.hear(PaymentMethodAdded(state=card))
    links, change = f"/api/v1/customers/{customer.id}/payment-links", f"/api/v1/subscriptions/{agreed.id}"
    day = 1767225600
    async with world.client(await world.sign_in(await world.member(merchant))) as browser:

        async def fields(method: str, path: str, body: dict[str, Any]) -> list[str]:
            answer = await browser.request(method, path, json=body)
            return sorted(each["field"] for each in problem(answer, 422)["errors"])

        once = {"currency": "EUR", "lines": [LINE], "due_on": day, "expires_at": day}
        assert await fields("POST", links, once) == ["due_on", "expires_at"]
        often = MONTHLY | {"interval": {"unit": "month", "count": "1"}, "trial_days": "14", "minimum_payments": "3"}
        often |= {"starts_on": day, "ends": {"after": "12", "on": str(day)}, "expires_at": str(day)}
        assert await fields("POST", links, often) == [
            *("ends.after", "ends.on", "expires_at", "interval.count"),
            *("minimum_payments", "starts_on", "trial_days"),
        ]
        equal = {"count": "3", "interval": {"unit": "week", "count": "2"}}
        assert await fields("POST", links, PLAN | {"instalments": equal}) == [
            "instalments.count",
            "instalments.interval.count",
        ]
        parts = PLAN | {"instalments": [{"amount": 700, "due_on": day}]}
        assert await fields("POST", links, parts) == ["instalments.0.due_on"]
        assert await fields("POST", f"{change}/pause", {"until": day}) == ["until"]
        assert await fields("POST", f"{change}/preview", {"action": "pause", "until": str(day)}) == ["until"]
        assert await fields("POST", f"{change}/link/renew", {"expires_at": day}) == ["expires_at"]
        todo = {"customer_id": str(customer.id), "title": "Call", "due_on": day}
        assert await fields("POST", "/api/v1/todos", todo) == ["due_on"]
        expiry = {"exp_month": "12", "exp_year": "2034"}
        assert await fields("PATCH", f"/api/v1/payment-methods/{card.id}", expiry) == ["exp_month", "exp_year"]
        counts = {"due_days": "14", "link_days": "30", "minimum_payments": True, "renewal_notice_days": 3.0}
        assert await fields("PATCH", "/api/v1/billing-defaults", counts | {"retry_days": [2, "7"]}) == [
            *("due_days", "link_days", "minimum_payments", "renewal_notice_days", "retry_days.1"),
        ]
        midnight = "2026-05-01T00:00:00Z"
        said = {"tax_inclusive": "no", "allow_partial": "yes", "send_email": 1, "draft": "", "due_on": midnight}
        assert await fields("POST", links, once | {"expires_at": None} | said) == sorted(said)
        monthly = MONTHLY | {"interval": {"unit": "month"}}
        may = {"allow_customer_cancel": "no", "allow_customer_pause": 0, "starts_on": midnight}
        assert await fields("POST", links, monthly | may) == sorted(may)
        line = LINE | {"reverse_charge": "no"}
        assert await fields("POST", links, monthly | {"lines": [line]}) == ["lines.0.reverse_charge"]
        assert await fields("POST", "/api/v1/todos", todo | {"due_on": midnight, "shared": "no"}) == [
            "due_on",
            "shared",
        ]
        assert await fields("PATCH", f"/api/v1/customers/{customer.id}", {"archived": "no"}) == ["archived"]
        assert await fields("PATCH", "/api/v1/billing-defaults", {"tax_inclusive": "no"}) == ["tax_inclusive"]
        statement = await browser.get(f"/api/v1/statements?customer_id={customer.id}&from={day}&to=2026-04-30")
        assert [each["field"] for each in problem(statement, 422)["errors"]] == ["from"]
    assert {type(each.request) for each in world.owners.asked} == {SignIn}
