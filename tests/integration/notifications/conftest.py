"""The notification service over a real database and a real SMTP server, the tables empty for each test."""

from __future__ import annotations

import asyncio
import email
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

import pytest
import pytest_asyncio
from aiosmtpd import smtp as aiosmtpd

from chassis.clock import FakeClock
from chassis.tasks import end
from chassis.testing import Harness, harness
from contracts.billing import Invoice, InvoiceOpened, PaymentSucceeded
from contracts.identity import ContactJoined, CustomerCreated, LogoChanged, MerchantCreated
from contracts.message import Event, MailFacts, NotAccepted, Reply
from services.notifications.app import build
from tests import builders

Answer = Callable[[], Awaitable[str]]


@dataclass
class MailServer:
    """An SMTP server that does what the test tells it: answers at RCPT and after the final dot, once each, then 250."""

    port: int = 0
    taken: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    at_rcpt: list[Answer] = field(default_factory=list)
    after_dot: list[Answer] = field(default_factory=list)
    transports: list[Any] = field(default_factory=list)

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802 - aiosmtpd's name
        self.transports.append(server.transport)
        answer = await self.at_rcpt.pop(0)() if self.at_rcpt else "250 OK"
        envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.transports.append(server.transport)
        answer = await self.after_dot.pop(0)() if self.after_dot else "250 OK"
        if answer.startswith("250"):
            parsed = email.message_from_bytes(envelope.content, policy=SMTP)
            assert isinstance(parsed, EmailMessage)
            self.taken.append(parsed)
            self.recipients += envelope.rcpt_tos
        return answer

    async def cut(self) -> str:
        """Hang up instead of answering."""
        self.transports[-1].abort()
        return "421 never heard"

    @staticmethod
    def says(answer: str) -> Answer:
        """An answer."""

        async def say() -> str:
            return answer

        return say

    @staticmethod
    def holds(until: asyncio.Event, answer: str = "250 OK") -> Answer:
        """An answer that waits for the test."""

        async def say() -> str:
            await until.wait()
            return answer

        return say

    def has_taken(self, mails: int) -> bool:
        return len(self.taken) >= mails

    @property
    def message_ids(self) -> list[str]:
        return [str(mail["Message-ID"]) for mail in self.taken]


class Owners:
    """identity and billing as far as mails ask them: what they answer is set by the test."""

    def __init__(self) -> None:
        self.answer: MailFacts | Exception = NotAccepted("The test has not said.")
        self.asked: list[Any] = []

    async def ask(self, request: Any, cause: Any, **_: Any) -> Reply[MailFacts]:
        self.asked.append((request, cause.merchant_id))
        if isinstance(self.answer, Exception):
            raise self.answer
        return Reply(self.answer, ())


@dataclass
class Office:
    """The service, the mail server it talks to, and one merchant with a customer and an invoice."""

    h: Harness
    smtp: MailServer
    owners: Owners
    restart: Callable[[], Any]

    def __post_init__(self) -> None:
        self.merchant = builders.merchant(name="Nordlicht GmbH", support_email="hilfe@nordlicht.example")
        self.customer = builders.customer(self.merchant, email="sam@okafor.example", locale="de")
        self.invoice = builders.invoice(self.customer, 10_710, number="INV-102")

    async def is_known(self) -> None:
        """Let the service hear of the merchant, its logo and its customer."""
        await self.h.deliver(MerchantCreated(state=self.merchant))
        await self.h.deliver(LogoChanged(state=builders.logo(self.merchant, None)))
        await self.h.deliver(CustomerCreated(state=self.customer))
        await self.h.deliver(InvoiceOpened(state=self.invoice))

    async def gets_contact(self, role: str, address: str, *, active: bool = True) -> None:
        person = builders.person(email=address)
        await self.h.deliver(
            ContactJoined(state=builders.contact(self.customer, person, role=role, active=active)), sequence=1
        )

    def paid(self, invoice: Invoice | None = None) -> PaymentSucceeded:
        settled = builders.paid(invoice or self.invoice)
        return PaymentSucceeded(state=builders.payment(settled, receipt_number="REC-7"), invoice=settled)

    def moves(self, event: Event[Any], **changes: object) -> Event[Any]:
        """The same event about a state with these changes."""
        return event.model_copy(update={"state": event.state.model_copy(update=changes)})

    @asynccontextmanager
    async def working(self, **settings: object) -> AsyncIterator[asyncio.Task[None]]:
        """The worker runs meanwhile, with these settings changed; ended as SIGTERM ends it."""
        worker = self.h.runtime.wiring.workers["mails"]
        assert isinstance(worker, functools.partial)
        changed = worker.keywords["settings"].model_copy(update=settings)
        task = asyncio.create_task(worker(self.h.runtime, settings=changed))
        try:
            yield task
        finally:
            await end([task], patience=5)

    async def mails(self) -> list[dict[str, Any]]:
        rows = await self.h.db.fetch("SELECT * FROM mail ORDER BY queued_at, recipient")
        return [dict(row) for row in rows]

    async def statuses(self) -> list[str]:
        return [row["status"] for row in await self.mails()]

    def asked_more_than(self, times: int) -> bool:
        return len(self.owners.asked) > times

    async def settle(self, *expected: str) -> None:
        """Wait until the mails have these statuses, half a minute at most."""
        for _ in range(1200):
            if await self.statuses() == list(expected):
                return
            await asyncio.sleep(0.025)
        assert await self.statuses() == list(expected)

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something has happened, half a minute at most."""
        for _ in range(1200):
            if condition():
                return
            await asyncio.sleep(0.025)
        raise AssertionError("It did not happen.")


@pytest_asyncio.fixture
async def smtp() -> AsyncIterator[MailServer]:
    server = MailServer()
    listener = await asyncio.get_running_loop().create_server(
        lambda: aiosmtpd.SMTP(server, hostname="mail.test", enable_SMTPUTF8=False), "127.0.0.1", 0
    )
    server.port = listener.sockets[0].getsockname()[1]
    yield server
    listener.close()
    for transport in server.transports:
        transport.abort()
    await listener.wait_closed()


@pytest_asyncio.fixture
async def office(module_database: str, smtp: MailServer) -> AsyncIterator[Office]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PORTAL_NOTIFICATIONS_DATABASE_URL", module_database)
        environment.setenv("PORTAL_AMQP_URL", "amqp://nobody@127.0.0.1:1/")  # nothing here talks to a broker
        environment.setenv("PORTAL_SECRET_KEY", "a key of at least sixteen characters")
        environment.setenv("PORTAL_PUBLIC_URL", "https://portal.example")
        environment.setenv("PORTAL_DRAIN_SECONDS", "0.2")
        environment.setenv("SMTP_URL", f"smtp://127.0.0.1:{smtp.port}")
        clock = FakeClock(datetime(2026, 3, 2, 9, 0, tzinfo=UTC))
        owners = Owners()

        @asynccontextmanager
        async def replica() -> AsyncIterator[Office]:
            async with harness(build, clock=clock) as h:
                h.runtime.rpc = owners  # type: ignore[assignment]  # the two services' answers, without a broker
                yield Office(h, smtp, owners, replica)

        async with replica() as opened:
            # A database for each test would take most of the time of these tests.
            await opened.h.db.execute(
                "TRUNCATE mail, inbox, outbox, copy_merchant, copy_logo, copy_member, copy_customer, copy_contact, copy_invoice"
            )
            yield opened
