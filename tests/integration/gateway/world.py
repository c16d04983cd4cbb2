"""What the gateway's tests start from: a merchant with its people, as the events of identity tell of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx

from chassis.database import Cause
from chassis.ids import new_id
from chassis.rpc import RpcClient
from chassis.service import Asgi
from chassis.testing import Harness, envelope_of
from contracts.billing import Interval, Invoice, LineItem, PayLink, Payment, PaymentMethod, PlannedCharge, Subscription
from contracts.identity import (
    Account,
    Contact,
    ContactJoined,
    Customer,
    CustomerCreated,
    Member,
    MemberAdded,
    Merchant,
    MerchantCreated,
    Person,
    PersonCreated,
    SignedIn,
    SignIn,
    WrongCredentials,
)
from contracts.message import (
    CustomerId,
    Event,
    EventEnvelope,
    InvoiceId,
    Known,
    MerchantId,
    PersonId,
    Problem,
    Reply,
    Request,
)
from contracts.todos import Todo

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class Asked:
    """What the gateway asked another service."""

    request: Request[Any]
    cause: Cause
    id: str | None
    known: tuple[Known, ...]


@dataclass
class Owners:
    """Stands where the RPC client does: other services, as far as a test says how they answer."""

    answers: dict[type[Request[Any]], Callable[[Asked], Any]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    async def ask(
        self,
        request: Request[Any],
        cause: Cause,
        *,
        id: str | None = None,  # noqa: A002 - as the client has it
        known: Sequence[Known] = (),
        timeout: float = 10,
    ) -> Reply[Any]:
        asked = Asked(request, cause, id, tuple(known))
        self.asked.append(asked)
        answer = self.answers[type(request)](asked)
        if isinstance(answer, Problem):
            raise answer
        return answer if isinstance(answer, Reply) else Reply(answer, ())


@dataclass
class World:
    """A running gateway without its broker, and a browser's view of it."""

    h: Harness
    app: Asgi
    owners: Owners
    sequence: Any = field(default_factory=lambda: itertools.count(1))
    passwords: dict[str, SignedIn] = field(default_factory=dict)

    def client(self, token: str | None = None, **headers: str) -> httpx.AsyncClient:
        """A client that speaks for a session by its bearer token, or for nobody."""
        if token:
            headers["Authorization"] = f"Bearer {token}"
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000", headers=headers)

    async def hear(self, event: Event[Any], sequence: int | None = None) -> EventEnvelope:
        """Deliver an event (twice) as its owner announced it."""
        number = next(self.sequence) if sequence is None else sequence
        envelope = envelope_of(event, sequence=number, clock=self.h.clock)
        return await self.h.deliver(event, envelope=envelope)

    async def merchant(self, name: str = "Nordlicht GmbH", **values: Any) -> Merchant:
        id_ = new_id()
        state = Merchant(id=id_, merchant_id=MerchantId(id_), name=name, created_at=START, **values)
        await self.hear(MerchantCreated(state=state))
        return state

    async def person(self, name: str, email: str, **values: Any) -> Person:
        state = Person(id=new_id(), name=name, email=email, created_at=START, **values)
        await self.hear(PersonCreated(state=state))
        return state

    async def member(self, merchant: Merchant, name: str = "Nora", role: Any = "admin") -> Member:
        person = await self.person(name, f"{name.lower()}-{new_id()}@nordlicht.example")
        state = Member(
            id=new_id(),
            merchant_id=MerchantId(merchant.id),
            person_id=PersonId(person.id),
            role=role,
            name=person.name,
            email=person.email,
            created_at=START,
        )
        await self.hear(MemberAdded(state=state))
        return state

    async def customer(self, merchant: Merchant, name: str = "Ada", **values: Any) -> Customer:
        given = {"email": f"{name.lower().replace(' ', '-')}@example.com", "portal_access": "active"} | values
        state = Customer(id=new_id(), merchant_id=MerchantId(merchant.id), name=name, created_at=START, **given)
        await self.hear(CustomerCreated(state=state))
        return state

    async def contact(self, customer: Customer, person: Person | None = None) -> Contact:
        person = person or await self.person(f"{customer.name} Owner", f"{new_id()}@example.com")
        state = Contact(
            id=new_id(),
            merchant_id=customer.merchant_id,
            customer_id=CustomerId(customer.id),
            person_id=PersonId(person.id),
            role="owner",
            name=person.name,
            email=person.email,
            active=True,
            created_at=START,
        )
        await self.hear(ContactJoined(state=state))
        return state

    async def accounts(self, person_id: UUID) -> tuple[Account, ...]:
        rows = await self.h.db.fetch("SELECT * FROM accounts_of($1) ORDER BY merchant_name, kind DESC, name", person_id)
        return tuple(Account.model_validate(dict(row)) for row in rows)

    async def sign_in(self, who: Member | Contact) -> str:
        """The bearer token of a fresh session, through the API."""
        signed_in = SignedIn(
            person_id=who.person_id,
            name=who.name or "",
            email=who.email or "",
            locale="en",
            time_zone="UTC",
            accounts=await self.accounts(who.person_id),
        )
        self.passwords[signed_in.email] = signed_in

        def check(asked: Asked) -> SignedIn | Problem:
            request = asked.request
            assert isinstance(request, SignIn)
            known = self.passwords.get(request.email)
            return known if known and request.password == PASSWORD else WrongCredentials()

        self.owners.answers[SignIn] = check
        async with self.client() as browser:
            answer = await browser.post("/api/v1/session", json={"email": signed_in.email, "password": PASSWORD})
        assert answer.status_code == 201, answer.text
        token: str = answer.json()["token"]
        return token


def invoice(customer: Customer, status: Any = "open", **values: Any) -> Invoice:
    """An invoice of 119.00 with one line; `values` beat everything."""
    total = values.pop("total", 11900)
    paid = total if status == "paid" else 0
    number = values.pop("number", None if status == "draft" else f"INV-{str(new_id())[-6:]}")
    given: dict[str, Any] = {
        "id": new_id(),
        "merchant_id": customer.merchant_id,
        "customer_id": CustomerId(customer.id),
        "kind": "one_time",
        "status": status,
        "number": number,
        "currency": "EUR",
        "lines": (LineItem(description="Consulting", quantity=1, unit_amount=total, amount=total),),
        "subtotal": total,
        "tax": 0,
        "total": total,
        "amount_paid": paid,
        "amount_due": total - paid,
        "due_on": date(2026, 3, 16),
        "created_at": START,
        "opened_at": None if status == "draft" else START,
        "paid_at": START + timedelta(hours=1) if status == "paid" else None,
    }
    return Invoice(**{**given, **values})


def with_link(state: Invoice, token_sha256: str) -> Invoice:
    return state.model_copy(update={"link": PayLink(token_sha256=token_sha256)})


def payment(of: Invoice, status: Any = "succeeded", **values: Any) -> Payment:
    given: dict[str, Any] = {
        "id": new_id(),
        "merchant_id": of.merchant_id,
        "customer_id": of.customer_id,
        "invoice_id": InvoiceId(of.id),
        "attempt": 1,
        "status": status,
        "amount": of.total,
        "currency": of.currency,
        "created_at": START,
        "settled_at": START if status == "succeeded" else None,
    }
    return Payment(**{**given, **values})


def subscription(customer: Customer, status: Any = "active", **values: Any) -> Subscription:
    """12.00 every month since the start; `values` beat everything."""
    total = values.pop("total", 1200)
    running = status in {"active", "paused"}
    given: dict[str, Any] = {
        "id": new_id(),
        "merchant_id": customer.merchant_id,
        "customer_id": CustomerId(customer.id),
        "kind": "recurring",
        "status": status,
        "title": "Hosting",
        "currency": "EUR",
        "lines": (LineItem(description="Hosting", quantity=1, unit_amount=total, amount=total),),
        "subtotal": total,
        "tax": 0,
        "total": total,
        "interval": Interval(unit="month"),
        "anchor_on": None if status == "pending" else START.date(),
        "next_charge": PlannedCharge(on=date(2026, 4, 2), amount=total) if running else None,
        "created_at": START,
        "accepted_at": None if status == "pending" else START,
    }
    return Subscription(**{**given, **values})


def payment_method(customer: Customer, **values: Any) -> PaymentMethod:
    """A default visa that works; `values` beat everything."""
    given: dict[str, Any] = {
        "id": new_id(),
        "merchant_id": customer.merchant_id,
        "customer_id": CustomerId(customer.id),
        "kind": "card",
        "brand": "visa",
        "last4": "4242",
        "exp_month": 12,
        "exp_year": 2034,
        "is_default": True,
        "billing_name": "Ada Lovelace",
        "added_at": START,
    }
    return PaymentMethod(**{**given, **values})


def todo(customer: Customer, origin: Any = "own", title: str = "Water the plants", **values: Any) -> Todo:
    given: dict[str, Any] = {
        "id": new_id(),
        "merchant_id": customer.merchant_id,
        "customer_id": CustomerId(customer.id),
        "origin": origin,
        "title": title,
        "status": "open",
        "created_by": "somebody",
        "created_at": START,
    }
    return Todo(**{**given, **values})


def use(owners: Owners, h: Harness) -> None:
    """Let the runtime ask these owners instead of the broker."""
    client: Any = owners
    assert isinstance(h.runtime.rpc, RpcClient | Owners)
    h.runtime.rpc = client
