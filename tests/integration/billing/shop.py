"""A merchant with a customer on billing's real database, its real webhook door, and a Stripe: the fake or the sandbox."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import httpx
import uvicorn

from chassis.clock import FakeClock
from chassis.ids import new_id
from chassis.testing import Harness, harness, known
from contracts.billing import CheckoutStarted, CreatePaymentLink, Invoice, NewLine, Payment, StartInvoicePayment
from contracts.identity import Customer, Merchant, MerchantCreated
from contracts.message import Actor, Address, CustomerId, EventEnvelope, InvoiceId, MerchantId, PaymentId
from services.billing.app import build
from services.billing.settings import Settings
from services.billing.store import invoices, payments
from services.billing.stripe_gateway import StripeGateway, StripeUnknownError
from services.billing.webhooks.door import build_http
from services.billing.webhooks.worker import handle_next
from tests.fake_stripe import FakeStripe, webhook

SECRET = "whsec_shop"
KEY = "sk_test_shop"
PUBLIC_URL = "https://portal.test"
CARDS = {"visa": "4242424242424242", "declined": "4000000000000002"}


class Till(Protocol):
    """What customers do at Stripe. Returns when the webhooks about it have been stored at our door."""

    async def pays(self, session_id: str) -> None: ...

    async def is_declined(self, session_id: str) -> None: ...

    async def expires(self, session_id: str) -> None: ...

    async def loses_webhooks(self) -> None: ...

    async def loses_the_next_answer(self) -> None: ...

    async def open_sessions(self) -> list[str]: ...


@dataclasses.dataclass
class FakeTill:
    """Over FakeStripe."""

    stripe: FakeStripe
    door: str
    lossy: bool = False

    async def pays(self, session_id: str) -> None:
        self.stripe.pays(session_id)
        await self.deliver()

    async def is_declined(self, session_id: str) -> None:
        self.stripe.is_declined(session_id)
        await self.deliver()

    async def expires(self, session_id: str) -> None:
        self.stripe.expires(session_id)
        await self.deliver()

    async def loses_webhooks(self) -> None:
        self.lossy = True

    async def loses_the_next_answer(self) -> None:
        self.stripe.lost["open_checkout"] = [StripeUnknownError("lost")]

    async def open_sessions(self) -> list[str]:
        return [each["id"] for each in self.stripe.sessions.values() if each["status"] == "open"]

    async def deliver(self, times: int = 1) -> None:
        """Post what happened since, in Stripe's order."""
        happened, self.stripe.told = self.stripe.told, []
        if not self.lossy:
            for event in happened:
                await post(self.door, [event] * times)


async def post(door: str, events: Sequence[dict[str, Any]]) -> list[int]:
    """Post events to the door, all at once, as Stripe signs them."""
    async with httpx.AsyncClient() as http:
        answers = await asyncio.gather(
            *(http.post(door, content=raw, headers=headers) for raw, headers in (webhook(e, SECRET) for e in events))
        )
    return [answer.status_code for answer in answers]


@dataclasses.dataclass
class SandboxTill:
    """Over the sandbox, a process of its own."""

    url: str
    db_of: Harness
    lossy: bool = False

    async def pays(self, session_id: str) -> None:
        await self._card(session_id, "visa", "checkout.session.completed")

    async def is_declined(self, session_id: str) -> None:
        await self._card(session_id, "declined", "payment_intent.payment_failed")

    async def expires(self, session_id: str) -> None:
        async with self._http() as http:
            (await http.post(f"/v1/checkout/sessions/{session_id}/expire")).raise_for_status()
        await self._stored("checkout.session.expired", session_id)

    async def loses_webhooks(self) -> None:
        self.lossy = True
        await self.control("/webhooks", drop=100)

    async def loses_the_next_answer(self) -> None:
        match = {"method": "POST", "path": "/v1/checkout/sessions"}
        await self.control("/faults", match=match, times=3, kind="drop_response_after_effect")

    async def open_sessions(self) -> list[str]:
        async with self._http() as http:
            answer = (await http.get("/v1/checkout/sessions", params={"status": "open", "limit": 100})).json()
        return [each["id"] for each in answer["data"]]

    async def control(self, path: str, **body: Any) -> dict[str, Any]:
        async with self._http() as http:
            answer = await http.post(f"/_sandbox{path}", json=body)
            answer.raise_for_status()
            said: dict[str, Any] = answer.json()
            return said

    def _http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, headers={"Authorization": f"Bearer {KEY}"})

    async def _card(self, session_id: str, card: str, last_event: str) -> None:
        paid = await self.control(f"/sessions/{session_id}/pay", card=CARDS[card])
        await self._stored(last_event, paid["payment_intent"])

    async def _stored(self, kind: str, named: str) -> None:
        if self.lossy:
            return
        sql = "SELECT count(*) FROM stripe_event WHERE type = $1 AND payload LIKE '%' || $2 || '%'"
        for _ in range(1000):
            if await self.db_of.db.fetchval(sql, kind, named):
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"No webhook {kind} for {named} came.")


@dataclasses.dataclass
class Shop:
    """One merchant's billing."""

    h: Harness
    clock: FakeClock
    stripe: StripeGateway
    till: Till
    door: str
    merchant: Merchant
    customer: Customer
    read: int = 0

    @property
    def merchant_id(self) -> MerchantId:
        return self.merchant.merchant_id

    def member(self, role: str = "admin") -> Actor:
        return Actor(kind="member", id=new_id(), name="Nora", role=role, merchant_id=self.merchant_id)

    def contact(self, name: str = "Ada") -> Actor:
        customer_id = CustomerId(self.customer.id)
        return Actor(kind="contact", id=new_id(), name=name, merchant_id=self.merchant_id, customer_id=customer_id)

    async def order(self, request: Any, actor: Actor | None = None, **more: Any) -> Any:
        """Send a command of this merchant, with the customer known, twice (see Harness)."""
        given: dict[str, Any] = {"merchant_id": self.merchant_id, "known": [known(self.customer)]}
        return await self.h.send(request, actor=actor or self.member(), **(given | more))

    async def link(self, **changes: Any) -> Invoice:
        """A new open invoice over EUR 12.50."""
        made: Invoice = await self.order(payment_link(self, **changes))
        return made

    async def pay(self, invoice: Invoice, actor: Actor, **more: Any) -> CheckoutStarted:
        """Press Pay."""
        command = StartInvoicePayment(invoice_id=InvoiceId(invoice.id), return_path="/portal/payments?tab=open")
        started: CheckoutStarted = await self.order(command, actor, **more)
        return started

    async def session_of(self, started: CheckoutStarted) -> str:
        """The checkout's id at Stripe."""
        found = await payments.attempt(self.h.db, self.merchant_id, started.payment_id)
        assert found is not None
        assert found.session_id is not None
        return found.session_id

    async def customer_pays(self, started: CheckoutStarted) -> None:
        """The customer pays, and our worker handles the webhooks."""
        await self.till.pays(await self.session_of(started))
        await self.work()

    async def work(self) -> None:
        """Handle every stored event that is due."""
        while await handle_next(self.h.runtime, self.stripe):
            pass

    def later(self, **passed: float) -> None:
        self.clock.advance(timedelta(**passed))

    async def invoice(self, invoice: Invoice) -> Invoice:
        """The invoice as it is now."""
        found = await invoices.invoice(self.h.db, self.merchant_id, InvoiceId(invoice.id))
        assert found is not None
        return found

    async def invoice_of(self, invoice_id: InvoiceId) -> Invoice:
        """The invoice of this id as it is now."""
        found = await invoices.invoice(self.h.db, self.merchant_id, invoice_id)
        assert found is not None
        return found

    async def payment(self, started: CheckoutStarted) -> Payment:
        """The payment as it is now."""
        found = await payments.attempt(self.h.db, self.merchant_id, PaymentId(started.payment_id))
        assert found is not None
        return found.payment

    async def payments_of(self, invoice: Invoice) -> list[tuple[int, str]]:
        """Each attempt's number and status."""
        sql = "SELECT attempt, status FROM payment WHERE invoice_id = $1 ORDER BY attempt"
        return [(row["attempt"], row["status"]) for row in await self.h.db.fetch(sql, invoice.id)]

    async def news(self) -> list[str]:
        """The types announced since the last look, without `billing.` and the version."""
        return [each.type.removeprefix("billing.").removesuffix(".v1") for each in await self.news_events()]

    async def news_events(self) -> list[EventEnvelope]:
        """What was announced since the last look."""
        everything = await self.h.outbox()
        fresh, self.read = everything[self.read :], len(everything)
        # The sandbox keeps the payments of earlier shops, and a reconciliation speaks of those, too.
        return [each for each in fresh if each.merchantid == self.merchant_id]

    async def stored_events(self) -> list[tuple[str, str, str | None]]:
        """Each of Stripe's events: type, status, outcome."""
        rows = await self.h.db.fetch("SELECT type, status, outcome FROM stripe_event ORDER BY received_at, id")
        return [(row["type"], row["status"], row["outcome"]) for row in rows]


def payment_link(shop: Shop, **changes: Any) -> CreatePaymentLink:
    """The command for an invoice over EUR 12.50, due in two weeks."""
    given: dict[str, Any] = {
        "customer_id": shop.customer.id,
        "currency": "EUR",
        "lines": (NewLine(description="Consulting", unit_amount=1250),),
        "due_on": shop.clock.now().date() + timedelta(days=14),
    }
    return CreatePaymentLink(**(given | changes))


def a_merchant(now: datetime, name: str = "Nordlicht GmbH") -> Merchant:
    merchant_id = MerchantId(new_id())
    address = Address(line1="Hafenstr. 1", postal_code="20457", city="Hamburg", country="DE")
    return Merchant(
        id=merchant_id, merchant_id=merchant_id, name=name, tax_id="DE123", address=address, locale="de", created_at=now
    )


def a_customer(merchant: Merchant, **changes: Any) -> Customer:
    given: dict[str, Any] = {
        "id": new_id(),
        "merchant_id": merchant.id,
        "name": "Ada Lovelace",
        "email": "ada@example.test",
        "portal_access": "active",
        "created_at": merchant.created_at,
    }
    return Customer(**(given | changes))


@asynccontextmanager
async def running_door(h: Harness, port: int) -> AsyncIterator[str]:
    """The webhook door over real HTTP."""
    app = build_http(h.runtime, secret=SECRET)
    server = uvicorn.Server(uvicorn.Config(app, port=port, lifespan="off", log_config=None, access_log=False))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn sets no event
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{port}/webhooks/stripe"
    finally:
        server.should_exit = True
        await serving


@dataclasses.dataclass
class Premises:
    """A running service, on which each test opens a shop of its own."""

    h: Harness
    clock: FakeClock
    stripe: StripeGateway
    door: str
    sandbox_url: str | None


@asynccontextmanager
async def premises(database: str, port: int, sandbox_url: str | None) -> AsyncIterator[Premises]:
    """Billing on an empty database. Without a sandbox it has a FakeStripe."""
    clock = FakeClock()
    stripe = FakeStripe() if sandbox_url is None else StripeGateway(KEY, sandbox_url)
    settings = Settings(
        database_url=database,
        amqp_url="amqp://portal_billing:none@127.0.0.1:1/none",
        secret_key="a secret of sixteen letters",
        public_url=PUBLIC_URL,
        STRIPE_SECRET_KEY=KEY,
        STRIPE_WEBHOOK_SECRET=SECRET,
    )
    async with harness(lambda: build(settings, stripe), clock=clock) as h, running_door(h, port) as door:
        yield Premises(h, clock, stripe, door, sandbox_url)


@asynccontextmanager
async def under_another_key(shop: Shop) -> AsyncIterator[Shop]:
    """The same shop after its operator has changed the secret key."""
    settings = shop.h.runtime.settings
    assert isinstance(settings, Settings)
    changed = settings.model_copy(update={"secret_key": "another secret of some letters"})
    async with harness(lambda: build(changed, shop.stripe), clock=shop.clock) as h:
        yield dataclasses.replace(shop, h=h)


async def opened(place: Premises) -> Shop:
    """A shop with empty books, at this moment."""
    tables = (
        "invoice, payment, subscription, payment_method, setup, refund, dispute, counter, stripe_customer, stripe_event, "
        "stripe_cursor, customer_to_close, billing_defaults, reconciliation, account_entry, difference, "
        "copy_merchant, copy_customer, outbox, command_reply"
    )
    await place.h.db.execute(f"TRUNCATE {tables} CASCADE")
    now = datetime.now(UTC).replace(microsecond=0)
    place.clock.at = now
    till: Till
    if isinstance(place.stripe, FakeStripe):
        vars(place.stripe).clear()
        vars(place.stripe).update(vars(FakeStripe()))
        till = FakeTill(place.stripe, place.door)
    else:
        till = SandboxTill(str(place.sandbox_url), place.h)
        await till.control("/webhooks", duplicate=0)
    merchant = a_merchant(now)
    await place.h.deliver(MerchantCreated(state=merchant))
    return Shop(place.h, place.clock, place.stripe, till, place.door, merchant, a_customer(merchant))


def fake(shop: Shop) -> FakeStripe:
    """The shop's Stripe, where a scenario needs what only the fake can do."""
    assert isinstance(shop.stripe, FakeStripe)
    return shop.stripe


def shuffled(events: Sequence[Any], seed: int) -> list[Any]:
    order = list(events)
    random.Random(seed).shuffle(order)
    return order


def ledger(path: Path) -> list[dict[str, Any]]:
    """The sandbox's money movements, read from its file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


async def paid_without_webhooks(shop: Shop) -> tuple[Any, Any, list[dict[str, Any]]]:
    """An invoice that was paid, and the events about it, not delivered yet."""
    invoice = await shop.link()
    started = await shop.pay(invoice, shop.contact())
    fake(shop).pays(await shop.session_of(started))
    events, fake(shop).told = fake(shop).told, []
    await shop.news()
    return invoice, started, events
