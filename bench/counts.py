"""Counts, which no busy machine can blur: statements and round trips per message and page, bytes per event and page.

`python -m bench.counts` writes bench/baseline.json; tests/integration/test_counts.py compares with it in `make test`.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import asyncpg
import httpx

from bench import tiny, webhook
from bench.command import CUSTOMER, MERCHANT, todo
from bench.counting import Counter, counting
from bench.event_handled import on_payment_succeeded
from chassis.clock import FakeClock
from chassis.copies import seen_in
from chassis.database import Tx
from chassis.ids import new_id
from chassis.listeners import FactListener, FollowerListener
from chassis.outbox import Relay
from chassis.service import COPY, Service, application
from chassis.testing import Harness, envelope_of, harness
from contracts.billing import InvoicePaid, PaymentSucceeded
from contracts.message import Actor
from contracts.todos import CreateTodo, TodoCreated
from services.billing import app as billing
from services.gateway import app as gateway
from tests import builders as make
from tests import parts
from tests.e2e.seed import Seed

BASELINE = Path(__file__).with_name("baseline.json")
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)

Counts = dict[str, dict[str, int]]


class Count:
    """Fills in what each piece costs, once warm."""

    def __init__(self, counter: Counter) -> None:
        self.counter = counter
        self.found: Counts = {}

    async def of(self, name: str, once: Callable[[], Any]) -> Any:
        """Twice for warming up: statements are prepared once per connection."""
        for _ in range(2):
            await once()
        self.counter.reset()
        answer = await once()
        self.found[name] = {"statements": self.counter.statements, "round_trips": self.counter.round_trips}
        return answer


@contextmanager
def _environment(name: str, url: str) -> Any:
    given = {
        "PORTAL_DATABASE_URL": url,
        "PORTAL_AMQP_URL": f"amqp://portal_{name}@127.0.0.1:1/",
        "PORTAL_SECRET_KEY": "a secret key for measuring",
        "STRIPE_SECRET_KEY": "sk_test_for_measuring",
        "STRIPE_WEBHOOK_SECRET": webhook.SECRET,
    }
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PORTAL_")}
    with mock.patch.dict(os.environ, clean | given, clear=True):
        yield


@asynccontextmanager
async def _counted(name: str, build: Callable[[], Service], url: str) -> AsyncIterator[tuple[Harness, Count]]:
    with counting(url) as counter, _environment(name, counter.url):
        async with harness(build, clock=FakeClock(NOON)) as h:
            yield h, Count(counter)


async def _announce(tx: Tx, command: CreateTodo) -> Any:
    state = todo(command.title)
    tx.announce(TodoCreated(state=state), sequence=1)
    return state


async def commands(url: str) -> Counts:
    """A command whose handler asks the database nothing but announces its result; and its repeat."""
    async with _counted("todos", lambda: tiny.service("todos", commands={CreateTodo: _announce}), url) as (h, count):
        actor = Actor(kind="contact", id=new_id(), name="Ada", merchant_id=MERCHANT, customer_id=CUSTOMER)
        command = CreateTodo(customer_id=CUSTOMER, title="Compare grinders")

        def message(id_: str | None = None) -> bytes:
            return h.message(command, actor=actor, merchant_id=MERCHANT, id=id_)

        async def fresh() -> Any:
            return await h.runtime.answerer.answer(message())

        await count.of("command", fresh)
        await count.of("command repeated", lambda: h.runtime.answerer.answer(message("always this one")))
        relay, link = Relay(h.db, mock.AsyncMock(connected=True), poll_seconds=1), await asyncpg.connect(h.db.url)
        try:

            async def move() -> int:
                for _ in range(10):
                    await fresh()
                count.counter.reset()
                return await relay._move(link)  # noqa: SLF001 - one round of it is what is counted

            await count.of("relay, 10 rows", move)
        finally:
            await link.close()
        return count.found


async def facts(url: str) -> Counts:
    facts = {PaymentSucceeded: on_payment_succeeded}
    async with _counted("notifications", lambda: tiny.service("notifications", facts=facts), url) as (h, count):
        listener = FactListener(h.db, PaymentSucceeded, on_payment_succeeded, mock.Mock(), mock.Mock())
        of = make.paid(make.invoice(make.customer(make.merchant())))
        event = PaymentSucceeded(state=make.payment(of), invoice=of)
        await count.of("event handled", lambda: listener.handle(envelope_of(event), event))
        return count.found


async def copies(url: str) -> Counts:
    async with _counted("gateway", lambda: tiny.service("gateway"), url) as (h, count):
        follower = FollowerListener(h.db, "billing.invoice", COPY, mock.Mock(), mock.Mock())
        of = make.paid(make.invoice(make.customer(make.merchant())))

        async def hundred() -> None:
            states = [of.model_copy(update={"id": new_id()}) for _ in range(100)]
            await follower._apply([seen_in(envelope_of(InvoicePaid(state=each))) for each in states])  # noqa: SLF001 - one batch of it is what is counted

        await count.of("projection, 100 events", hundred)
        return count.found


async def pages(url: str) -> Counts:
    seed = Seed()
    seed.full()
    async with _counted("gateway", gateway.build, url) as (h, count):
        await seed.write(url)
        app = application(h.runtime)
        for name, who, path in (
            ("portal home", "contact", "/portal"),
            ("portal payments", "contact", "/portal/payments"),
            ("console home", "member", "/console"),
            ("console customers", "member", "/console/customers"),
            ("api invoices", "member", "/api/v1/invoices"),
        ):
            headers = {"Authorization": f"Bearer {seed.tokens[who]}"}
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000", headers=headers) as web:
                answer = await count.of(name, partial(web.get, path))
            assert answer.status_code == 200, (path, answer.text)
            count.found[name]["bytes"] = len(answer.content)
        return count.found


async def webhooks(url: str) -> Counts:
    async with _counted("billing", billing.build, url) as (h, count):
        app = application(h.runtime)
        with parts.folder() as folder:
            webhook.write_bodies(folder / "bodies", 3)
            lines = iter((folder / "bodies").read_text().splitlines())

        async def post() -> httpx.Response:
            signature, _, body = next(lines).partition(" ")
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8010") as web:
                return await web.post("/webhooks/stripe", content=body, headers={"Stripe-Signature": signature})

        answer = await count.of("webhook", post)
        assert answer.status_code == 200, answer.text
        return count.found


def event_bytes() -> Counts:
    """Bytes on the wire of the events that are sent most."""
    of = make.paid(make.invoice(make.customer(make.merchant())))
    events = (InvoicePaid(state=of), PaymentSucceeded(state=make.payment(of), invoice=of), TodoCreated(state=make.todo(make.customer(make.merchant()))))  # fmt: skip
    return {type(event).wire_type: {"bytes": len(envelope_of(event).model_dump_json())} for event in events}


async def everything(database: Callable[[], str]) -> Counts:
    """All counts; `database` makes an empty database. The builders' day is held still: dates differ in length."""
    with mock.patch.object(make, "NOW", NOON), mock.patch.object(make, "TODAY", NOON.date()):
        found: Counts = {}
        for each in (commands, facts, copies, pages, webhooks):
            found |= await each(database())
        return found | event_bytes()


def main() -> None:
    """Write bench/baseline.json."""
    with parts.postgres_server() as server, ExitStack() as stack:
        found = asyncio.run(everything(lambda: stack.enter_context(parts.fresh_database(server))))
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(counts)}" for name, counts in found.items())
    BASELINE.write_text(f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    main()
