"""Subscriptions as time goes by: a shop whose clock is turned, with its renewals, charges and retries, and its cards."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime, time
from typing import Any

from contracts.billing import AcceptSubscription, CreateSubscription, Invoice, NewInterval, NewLine, Subscription
from contracts.message import InvoiceId, SubscriptionId
from services.billing.schedules.archiving import close_customers
from services.billing.schedules.charging import charge_due
from services.billing.schedules.renewing import renew_due
from services.billing.schedules.retrying import retry_due
from services.billing.store import subscriptions
from tests.integration.billing.shop import FakeTill, SandboxTill, Shop
from tests.integration.billing.wallets import Purse

REFUSALS = {
    "insufficient_funds": "4000000000009995",
    "expired_card": "4000000000000069",
    "authentication_required": "4000002760003184",
    None: "4242424242424242",
}
"""Which of the sandbox's cards a bank's answer is."""
IBAN = "DE89370400440532013000"


def monthly(shop: Shop, **changes: Any) -> CreateSubscription:
    """The command for EUR 12.50 each month."""
    given: dict[str, Any] = {
        "customer_id": shop.customer.id,
        "kind": "recurring",
        "currency": "EUR",
        "lines": (NewLine(description="Website care", unit_amount=1250),),
        "interval": NewInterval(unit="month"),
    }
    return CreateSubscription(**(given | changes))


def plan_of_three(shop: Shop, **changes: Any) -> CreateSubscription:
    """The command for EUR 100 in three parts, a month apart."""
    given = {"kind": "payment_plan", "lines": (NewLine(description="Website", unit_amount=10000),)}
    return monthly(shop, **(given | {"instalment_count": 3} | changes))


@dataclasses.dataclass
class Calendar:
    """A shop whose time passes."""

    shop: Shop

    @property
    def purse(self) -> Purse:
        return Purse(self.shop)

    async def comes(self, day: date, hour: int = 12) -> None:
        """It is noon (UTC) of `day`, and everything due has been done, webhooks included."""
        self.shop.clock.at = datetime.combine(day, time(hour), UTC)
        await self.runs()

    async def runs(self) -> None:
        """The workers come round once."""
        await close_customers(self.shop.h.runtime, self.shop.stripe)
        await retry_due(self.shop.h.runtime)
        await renew_due(self.shop.h.runtime)
        await charge_due(self.shop.h.runtime, self.shop.stripe)
        await self.webhooks()

    async def webhooks(self) -> None:
        """What Stripe has told so far is handled."""
        if isinstance(self.shop.till, FakeTill):
            await self.shop.till.deliver()
        await self.shop.work()

    async def accepted(self, command: CreateSubscription) -> Subscription:
        """A subscription whose first invoice the customer has paid, its card kept."""
        made: Subscription = await self.shop.order(command)
        started = await self.shop.pay(await self.first_invoice(made), self.shop.contact())
        await self.shop.customer_pays(started)
        await self.webhooks()
        return await self.now(made)

    async def accepted_by_debit(self, command: CreateSubscription) -> Subscription:
        """As `accepted`, but what is kept is a bank account: from the second charge on, banks take days to answer."""
        made: Subscription = await self.shop.order(command)
        started = await self.shop.pay(await self.first_invoice(made), self.shop.contact())
        session = await self.shop.session_of(started)
        if isinstance(self.shop.till, FakeTill):  # keeps cards alone, of which one may take its time
            await self.shop.till.pays(session)
            await self.webhooks()
            await self.card_is("processing")
        else:
            await self.pays_by_debit(session)
            await self.bank_answers()
        return await self.now(made)

    async def pays_by_debit(self, session_id: str) -> None:
        """On the page where an invoice is paid, a bank account is given."""
        till = self.shop.till
        if isinstance(till, FakeTill):
            till.stripe.debits(session_id)
        else:
            assert isinstance(till, SandboxTill)
            await till.control(f"/sessions/{session_id}/pay", iban=IBAN)
            await till._stored("checkout.session.completed", session_id)
        await self.webhooks()

    async def bank_answers(self, refusal: str | None = None) -> None:
        """Days later the bank of the one debit under way says yes, or why not."""
        (row,) = await self.shop.h.db.fetch("SELECT intent_id, session_id FROM payment WHERE status = 'processing'")
        till, intent = self.shop.till, row["intent_id"]
        if isinstance(till, SandboxTill):
            if intent is None:  # the page's; it is in our books with the money alone
                async with till._http() as http:
                    session = (await http.get(f"/v1/checkout/sessions/{row['session_id']}")).json()
                intent = session["payment_intent"]
            await till.control(f"/payment_intents/{intent}/settle", outcome="failed" if refusal else "succeeded")
            await till._stored("payment_intent.payment_failed" if refusal else "payment_intent.succeeded", intent)
            if row["session_id"]:
                told = (
                    "checkout.session.async_payment_failed" if refusal else "checkout.session.async_payment_succeeded"
                )
                await till._stored(told, row["session_id"])
        else:
            assert isinstance(till, FakeTill)
            if row["session_id"] is None:
                till.stripe.bank_answers(intent, refusal)
            elif refusal:
                till.stripe.debit_fails(row["session_id"])
            else:
                till.stripe.debit_arrives(row["session_id"])
        await self.webhooks()

    async def accepted_on_its_page(self, command: CreateSubscription) -> Subscription:
        """A subscription that asks for no money yet, accepted by giving a card."""
        made: Subscription = await self.shop.order(command)
        order = AcceptSubscription(subscription_id=SubscriptionId(made.id), return_path="/portal")
        started = await self.shop.order(order, self.purse.payer())
        await self.purse.gives(await self.purse.session_of(started))
        await self.shop.work()
        return await self.now(made)

    async def first_invoice(self, subscription: Subscription) -> Invoice:
        assert subscription.first_invoice_id is not None
        return await self.shop.invoice_of(subscription.first_invoice_id)

    async def now(self, subscription: Subscription) -> Subscription:
        """It as it is now."""
        order = SubscriptionId(subscription.id)
        found = await subscriptions.subscription(self.shop.h.db, self.shop.merchant_id, order)
        assert found is not None
        return found.state

    async def invoices(self) -> list[Invoice]:
        """All invoices, in the order of their numbers."""
        rows = await self.shop.h.db.fetch("SELECT id FROM invoice ORDER BY id")
        return [await self.shop.invoice_of(InvoiceId(row["id"])) for row in rows]

    async def last(self) -> Invoice:
        return (await self.invoices())[-1]

    async def card_is(self, answer: str | None) -> None:
        """From now on the bank of the default card answers so; None: yes."""
        (default,) = [each for each in await self.purse.shown() if each.is_default]
        stripe_id = await self.purse.stripe_id(default)
        till = self.shop.till
        if isinstance(till, FakeTill):
            if answer is None:
                till.stripe.behaves.pop(stripe_id, None)
            else:
                till.stripe.behaves[stripe_id] = answer
            return
        assert isinstance(till, SandboxTill)
        await till.control(f"/payment_methods/{stripe_id}", behaves_like=REFUSALS[answer])

    async def taken(self) -> int:
        """All the money that Stripe took of this shop's customers, by its own record."""
        till = self.shop.till
        if isinstance(till, FakeTill):
            return sum(each["amount_received"] for each in till.stripe.intents.values())
        assert isinstance(till, SandboxTill)
        async with till._http() as http:
            lines = (await http.get("/_sandbox/ledger")).json()["lines"]
        ours = str(self.shop.merchant_id)
        return sum(
            each["amount"]
            for each in lines
            if each["kind"] == "charge.succeeded" and each["metadata"].get("merchant_id") == ours
        )

    async def booked(self) -> int:
        """All the money in our books."""
        return int(await self.shop.h.db.fetchval("SELECT coalesce(sum(amount_paid), 0) FROM invoice"))
