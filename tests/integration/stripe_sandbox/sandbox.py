"""A sandbox in its own process, the official SDK pointed at it, and what tests do all the time."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import stripe
from stripe.checkout import Session

from local.children import free_port
from local.stripe.launch import running
from tests.integration.stripe_sandbox.receiver import Receiver, receiving

Json = dict[str, Any]

KEY = "sk_test_suite"
SECRET = "whsec_suite"


@dataclass
class Running:
    """One running sandbox."""

    data: Path
    url: str
    process: asyncio.subprocess.Process
    receiver: Receiver
    http: httpx.AsyncClient
    stripe: stripe.StripeClient

    async def session(self, options: Json | None = None, **params: Any) -> Session:
        """An open Checkout Session over EUR 12.50, unless the params say otherwise."""
        given: Any = {
            "mode": "payment",
            "success_url": "http://merchant.test/done?session={CHECKOUT_SESSION_ID}",
            "cancel_url": "http://merchant.test/back",
            "line_items": [line_item()],
            **params,
        }
        return await self.stripe.v1.checkout.sessions.create_async(given, options)  # type: ignore[arg-type]  # test options

    async def press_pay(self, session: Session, card: str, **typed: str) -> httpx.Response:
        """What the browser sends when a person presses Pay."""
        form = {"card_number": card, "expiry": "12 / 34", "cvc": "123", "cardholder": "Ada Lovelace", **typed}
        return await self.http.post(f"/c/pay/{session.id}", data=form)

    async def control(self, method: str, path: str, **body: Any) -> Json:
        """A call to `/_sandbox`."""
        response = await self.http.request(method, f"/_sandbox{path}", json=body or None)
        response.raise_for_status()
        answer: Json = response.json()
        return answer

    async def delivered(self, event_id: str) -> list[Json]:
        """What became of an event's deliveries, once none is pending."""
        async with asyncio.timeout(20):
            while True:
                found: list[Json] = (await self.control("GET", f"/events/{event_id}/deliveries"))["deliveries"]
                if all(delivery["state"] != "pending" for delivery in found):
                    return found

    def ledger(self, payment_intent: str) -> list[Json]:
        """The ledger file's lines about a payment intent, read from the disk."""
        lines = [json.loads(line) for line in (self.data / "ledger.jsonl").read_text().splitlines()]
        return [line for line in lines if line["payment_intent"] == payment_intent]


def line_item(amount: int = 1250, currency: str = "eur", name: str = "Consulting", quantity: int = 1) -> Json:
    return {
        "quantity": quantity,
        "price_data": {"currency": currency, "unit_amount": amount, "product_data": {"name": name}},
    }


@asynccontextmanager
async def run_sandbox(data: Path, receiver: Receiver, retries: int = 0) -> AsyncIterator[Running]:
    """A sandbox on a free port with its data in a folder."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    http_client = stripe.HTTPXClient(timeout=20)
    client = stripe.StripeClient(KEY, http_client=http_client, max_network_retries=retries, base_addresses={"api": url})
    async with (
        running(data, port=port, webhook_url=receiver.url, webhook_secret=SECRET, secret_key=KEY) as process,
        httpx.AsyncClient(base_url=url, timeout=20) as http,
    ):
        yield Running(data, url, process, receiver, http, client)
        await http_client.close_async()  # type: ignore[no-untyped-call]  # the SDK's method has no annotations


__all__ = ["KEY", "SECRET", "Receiver", "Running", "line_item", "receiving", "run_sandbox"]
