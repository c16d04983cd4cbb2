"""The sandbox's own clock, which tests that last for months turn."""

import time
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest
import pytest_asyncio
import stripe

from tests.integration.stripe_sandbox.cards import charge, customer_with_card, new_customer
from tests.integration.stripe_sandbox.sandbox import SECRET, Running, receiving, run_sandbox

_2028 = 1_832_112_000  # 2028-01-22


@pytest_asyncio.fixture
async def own(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    """A sandbox whose clock no other test sees."""
    async with receiving() as receiver, run_sandbox(tmp_path_factory.mktemp("clock"), receiver) as running:
        yield running


async def test_everything_follows_the_clock_but_signatures(own: Running) -> None:
    turned = await own.control("POST", "/clock", now=_2028)
    assert turned["now"] in (_2028, _2028 + 1)
    customer, method = await customer_with_card(own, "pm_card_visa")
    intent = await charge(own, customer, method)
    assert _2028 <= intent.created <= _2028 + 30
    assert own.ledger(intent.id)[0]["time"].startswith("2028-01-22T")
    assert intent.last_response is not None
    said = parsedate_to_datetime(intent.last_response.headers["date"]).timestamp()
    assert intent.created <= said <= _2028 + 30
    await own.receiver.until_types(
        intent.id, ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]
    )
    assert _2028 <= own.receiver.about(intent.id)[0]["created"] <= _2028 + 30
    # A receiver checks a signature's age by the time it has itself.
    delivered = own.receiver.deliveries[-1]
    assert stripe.WebhookSignature.verify_header(delivered.body, delivered.signature, SECRET, tolerance=300)


async def test_the_clock_goes_back_and_refused_webhooks_still_come_again(own: Running) -> None:
    await own.control("POST", "/clock", now=1_600_000_000)
    own.receiver.answers[:] = [500]
    customer = await new_customer(own)
    await own.receiver.until_count(customer, 2)
    await own.control("POST", "/clock", advance=-60)
    made = await own.stripe.v1.customers.create_async({})
    assert 1_600_000_000 - 61 <= made.created < 1_600_000_000
    back = await own.control("POST", "/clock", now=int(time.time()))
    assert abs(back["offset"]) <= 1


@pytest.mark.parametrize("body", [{}, {"advance": 1, "now": 2}, {"now": -1}])
async def test_a_turn_names_one_time(sandbox: Running, body: dict[str, Any]) -> None:
    with pytest.raises(httpx.HTTPStatusError, match="422"):
        await sandbox.control("POST", "/clock", **body)
