"""A shop's customer at Stripe: what they do there with their cards, over the fake and over the sandbox."""

from __future__ import annotations

import dataclasses
from typing import Any

from chassis.ids import new_id
from contracts.billing import AddPaymentMethod, PaymentMethod, SetupStarted
from contracts.message import Actor, CustomerId, PaymentMethodId
from services.billing.schedules.methods import look_at_methods
from services.billing.store import methods, setups
from tests.fake_stripe import FakeStripe
from tests.integration.billing.shop import FakeTill, SandboxTill, Shop

CARDS = {
    "4242": "4242424242424242",
    "4444": "5555555555554444",
    "0341": "4000000000000341",
    "3155": "4000002500003155",
}
BACK = "/portal/payment-methods/saving"


@dataclasses.dataclass
class Purse:
    """What the customer does with cards. Each act returns when its webhooks are stored; `shop.work()` handles them."""

    shop: Shop

    def payer(self, role: str = "owner", customer_id: CustomerId | None = None) -> Actor:
        """A contact with a role."""
        return Actor(
            kind="contact",
            id=new_id(),
            name="Ada",
            role=role,
            merchant_id=self.shop.merchant_id,
            customer_id=customer_id or CustomerId(self.shop.customer.id),
        )

    async def begins(self, actor: Actor | None = None, **more: Any) -> SetupStarted:
        """Press “Add a payment method”."""
        order = AddPaymentMethod(return_path=BACK)
        started: SetupStarted = await self.shop.order(order, actor or self.payer(), **more)
        return started

    async def session_of(self, started: SetupStarted) -> str:
        """The page's id at Stripe."""
        found = await self.shop.h.db.fetchval("SELECT session_id FROM setup WHERE session_url = $1", started.setup_url)
        assert isinstance(found, str)
        return found

    async def gives(self, session_id: str, last4: str = "4242") -> None:
        """The customer gives a card on the page."""
        till = self.shop.till
        if isinstance(till, FakeTill):
            till.stripe.gives(session_id, last4)
            await till.deliver()
            return
        assert isinstance(till, SandboxTill)
        await till.control(f"/sessions/{session_id}/pay", card=CARDS[last4], authenticate=True)
        await till._stored("checkout.session.completed", session_id)

    async def adds(self, last4: str = "4242") -> PaymentMethod:
        """From the press to the mirrored method."""
        await self.gives(await self.session_of(await self.begins()), last4)
        await self.shop.work()
        return next(each for each in await self.shown() if each.last4 == last4)

    async def shown(self) -> list[PaymentMethod]:
        """The customer's methods as they are now, the oldest first."""
        async with self.shop.h.transaction() as tx:
            kept = await methods.methods_of(tx, self.shop.merchant_id, CustomerId(self.shop.customer.id))
        return [each.method for each in kept]

    async def summary(self) -> list[tuple[str | None, bool, bool]]:
        """Each method's last four digits, whether it is the default, whether it works."""
        return [(each.last4, each.is_default, each.working) for each in await self.shown()]

    async def stripe_id(self, method: PaymentMethod) -> str:
        found = await methods.find_method(self.shop.h.db, self.shop.merchant_id, PaymentMethodId(method.id))
        assert found is not None
        return found.stripe_id

    async def customer_id(self) -> str:
        found = await self.shop.h.db.fetchval("SELECT stripe_id FROM stripe_customer")
        assert isinstance(found, str)
        return found

    async def at_stripe(self, method: str, path: str, **data: Any) -> dict[str, Any]:
        """Somebody does something in Stripe's dashboard, seen through the sandbox's API."""
        assert isinstance(self.shop.till, SandboxTill)
        async with self.shop.till._http() as http:
            answer = await http.request(method, path, data=data)
        answer.raise_for_status()
        said: dict[str, Any] = answer.json()
        return said

    async def detached_at_stripe(self, method: PaymentMethod) -> None:
        """Somebody takes the method away in Stripe's dashboard."""
        stripe_id = await self.stripe_id(method)
        if isinstance(self.shop.till, FakeTill):
            self.shop.till.stripe.detaches(stripe_id)
            await self.shop.till.deliver()
        else:
            await self.at_stripe("POST", f"/v1/payment_methods/{stripe_id}/detach")
            await self._stored("payment_method.detached", stripe_id)

    async def changed_at_stripe(self, method: PaymentMethod, exp_month: int, exp_year: int) -> None:
        """The bank issues the card anew; Stripe learns of it."""
        stripe_id = await self.stripe_id(method)
        if isinstance(self.shop.till, FakeTill):
            self.shop.till.stripe.changes_method(stripe_id, {"card": {"exp_month": exp_month, "exp_year": exp_year}})
            await self.shop.till.deliver()
        else:
            expiry = {"card[exp_month]": exp_month, "card[exp_year]": exp_year}
            await self.at_stripe("POST", f"/v1/payment_methods/{stripe_id}", **expiry)
            await self._stored("payment_method.updated", stripe_id)

    async def default_at_stripe(self, method: PaymentMethod) -> None:
        """Somebody chooses the default in Stripe's dashboard."""
        stripe_id, customer = await self.stripe_id(method), await self.customer_id()
        if isinstance(self.shop.till, FakeTill):
            self.shop.till.stripe.makes_default(customer, stripe_id)
            await self.shop.till.deliver()
        else:
            setting = {"invoice_settings[default_payment_method]": stripe_id}
            await self.at_stripe("POST", f"/v1/customers/{customer}", **setting)
            await self._stored("customer.updated", stripe_id)

    async def stripes_default(self) -> str | None:
        """What Stripe calls the default."""
        return (await self.shop.stripe.wallet(await self.customer_id(), None)).default

    async def left_at_stripe(self) -> int:
        """How many methods the customer has at Stripe."""
        return len((await self.shop.stripe.wallet(await self.customer_id(), None)).methods)

    async def is_looked_at(self) -> None:
        """The schedule runs."""
        await look_at_methods(self.shop.h.runtime, stripe=self.shop.stripe)

    async def setup_statuses(self) -> list[str]:
        rows = await self.shop.h.db.fetch("SELECT id, status FROM setup ORDER BY id")
        assert all([await setups.setup(self.shop.h.db, row["id"]) for row in rows])
        return [row["status"] for row in rows]

    async def _stored(self, kind: str, named: str) -> None:
        assert isinstance(self.shop.till, SandboxTill)
        await self.shop.till._stored(kind, named)


def fake_of(shop: Shop) -> FakeStripe:
    assert isinstance(shop.stripe, FakeStripe)
    return shop.stripe


def id_of(method: PaymentMethod) -> PaymentMethodId:
    return PaymentMethodId(method.id)
