"""Billing as a process of its own, on a real broker, a real database and the sandbox: two of it, one of them killed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from chassis.clock import Clock
from chassis.database import Cause
from chassis.ids import new_id
from chassis.rpc import RpcClient
from chassis.testing import known, rows
from contracts.billing import CreatePaymentLink, Invoice, InvoicePdf, NewLine, StartInvoicePayment
from contracts.message import Actor, CustomerId, Document, InvoiceId
from local.children import free_port
from local.rabbitmq import RabbitMQ
from local.stripe.launch import running
from tests.integration.billing.shop import KEY, SECRET, a_customer, a_merchant, ledger

ROOT = Path(__file__).parents[3]


@dataclass
class World:
    """Two billing processes (the sandbox posts to the first), and a gateway's way of asking."""

    processes: list[asyncio.subprocess.Process]
    rpc: RpcClient
    database: str
    sandbox: str
    stripe_data: Path

    async def statuses(self) -> list[str]:
        return [str(row["status"]) for row in await rows(self.database, "SELECT status FROM invoice ORDER BY status")]

    async def relayed(self) -> bool:
        """Whether everything announced has been confirmed by the broker."""
        return await rows(self.database, "SELECT 1 FROM outbox LIMIT 1") == []


async def eventually(check: Callable[[], Awaitable[bool]], seconds: float = 60) -> None:
    began = time.monotonic()
    while not await check():
        assert time.monotonic() - began < seconds, f"still not so after {seconds} s"
        await asyncio.sleep(0.02)


@asynccontextmanager
async def serving(environment: dict[str, str], port: int, folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {**os.environ, **environment, "PORTAL_HTTP_PORT": str(port)}
    with (folder / f"billing-{port}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.billing", cwd=ROOT, env=environment, stdout=log, stderr=log
        )
    try:

        async def ready() -> bool:
            try:
                async with httpx.AsyncClient() as http:
                    return (await http.get(f"http://127.0.0.1:{port}/readyz")).is_success
            except httpx.HTTPError:
                return False

        await eventually(ready, 90)
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await asyncio.wait_for(process.wait(), 60)


@pytest_asyncio.fixture
async def world(own_rabbitmq: RabbitMQ, database: str, tmp_path: Path) -> AsyncIterator[World]:
    port, door = free_port(), free_port()
    environment = {
        "PORTAL_DATABASE_URL": database,
        "PORTAL_AMQP_URL": own_rabbitmq.url("portal_billing"),
        "PORTAL_SECRET_KEY": "a secret of sixteen letters",
        "STRIPE_SECRET_KEY": KEY,
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "STRIPE_API_BASE": f"http://127.0.0.1:{port}",
    }
    hook = f"http://127.0.0.1:{door}/webhooks/stripe"
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(
            running(tmp_path, port=port, webhook_url=hook, webhook_secret=SECRET, secret_key=KEY)
        )
        processes = [
            await stack.enter_async_context(serving(environment, door, tmp_path)),
            await stack.enter_async_context(serving(environment, free_port(), tmp_path)),
        ]
        rpc = RpcClient(own_rabbitmq.url("portal_gateway"), "gateway", Clock())
        await stack.enter_async_context(rpc.link)
        yield World(processes, rpc, database, f"http://127.0.0.1:{port}", tmp_path)


async def paid_link(world: World) -> tuple[Invoice, str]:
    """An invoice made and its checkout opened, over the broker."""
    merchant = a_merchant(datetime.now(UTC))
    customer = a_customer(merchant)
    member = Actor(kind="member", id=new_id(), role="sales", merchant_id=merchant.merchant_id)
    contact = Actor(kind="contact", id=new_id(), name="Ada", customer_id=CustomerId(customer.id))

    async def ask(request: Any, actor: Actor) -> Any:
        cause = Cause(actor, merchant.merchant_id, str(new_id()), str(new_id()))
        return (await world.rpc.ask(request, cause, known=[known(merchant), known(customer)])).result

    command = CreatePaymentLink(
        customer_id=CustomerId(customer.id),
        currency="EUR",
        lines=(NewLine(description="Consulting", unit_amount=1250),),
        due_on=datetime.now(UTC).date(),
    )
    invoice: Invoice = await ask(command, member)
    document: Document = await ask(InvoicePdf(invoice_id=InvoiceId(invoice.id)), contact)
    assert (document.filename, document.body[:4]) == ("INV-1.pdf", b"%PDF")
    started = await ask(StartInvoicePayment(invoice_id=InvoiceId(invoice.id), return_path="/portal"), contact)
    return invoice, started.checkout_url.rsplit("/", 1)[1]


async def pays(world: World, session: str) -> None:
    async with httpx.AsyncClient(base_url=world.sandbox) as http:
        answer = await http.post(f"/_sandbox/sessions/{session}/pay", json={"card": "4242424242424242"})
        assert answer.json()["outcome"] == "succeeded"


@pytest.mark.timeout(300)
async def test_an_invoice_is_paid_over_the_broker_while_the_broker_is_down_and_with_one_process_killed(
    world: World, own_rabbitmq: RabbitMQ
) -> None:
    invoice, session = await paid_link(world)
    await pays(world, session)

    async def paid() -> bool:
        return await world.statuses() == ["paid"]

    await eventually(paid)
    await eventually(world.relayed)

    # RabbitMQ dies; Stripe's webhook is taken and booked all the same, its announcement waits.
    _, second = await paid_link(world)
    await asyncio.to_thread(own_rabbitmq.kill9)
    await pays(world, second)

    async def both_paid() -> bool:
        return await world.statuses() == ["paid", "paid"]

    await eventually(both_paid)
    assert not await world.relayed()
    await asyncio.to_thread(own_rabbitmq.restart)
    await eventually(world.relayed)

    # The process that answers most is killed; the other one goes on answering, and the door comes back with it.
    await eventually(lambda: _answers(world))
    world.processes[1].send_signal(signal.SIGKILL)
    await world.processes[1].wait()
    await eventually(lambda: _answers(world))
    statuses = await world.statuses()
    assert statuses == ["open"] * (len(statuses) - 2) + ["paid"] * 2

    stripes = {line["payment_intent"] for line in ledger(world.stripe_data / "ledger.jsonl")}
    ours = await rows(world.database, "SELECT intent_id FROM payment WHERE status = 'succeeded'")
    assert {row["intent_id"] for row in ours} == stripes
    assert len(stripes) == 2
    assert invoice.number == "INV-1"


async def _answers(world: World) -> bool:
    try:
        await paid_link(world)
    except Exception:  # noqa: BLE001 - not taken or not answered yet: asked again
        return False
    return True
