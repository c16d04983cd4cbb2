"""An idempotency key keeps its first result for 24 hours, whatever that result was."""

import asyncio
from typing import Any

import pytest
import stripe

from tests.integration.stripe_sandbox.sandbox import Running


async def test_the_same_key_and_body_replays_the_first_result(sandbox: Running) -> None:
    first = await sandbox.session({"idempotency_key": "replay"})
    again = await sandbox.session({"idempotency_key": "replay"})
    assert again.to_dict() == first.to_dict()
    assert first.last_response is not None
    assert again.last_response is not None
    assert "idempotent-replayed" not in first.last_response.headers
    assert again.last_response.headers["idempotent-replayed"] == "true"
    assert again.last_response.headers["original-request"] == first.last_response.headers["request-id"]
    assert again.last_response.headers["request-id"] != first.last_response.headers["request-id"]


async def test_the_same_key_with_another_body_is_refused(sandbox: Running) -> None:
    first = await sandbox.session({"idempotency_key": "bodies"})
    with pytest.raises(stripe.IdempotencyError) as refused:
        await sandbox.session({"idempotency_key": "bodies"}, metadata={"other": "body"})
    assert refused.value.http_status == 400
    assert (await sandbox.session({"idempotency_key": "bodies"})).id == first.id


async def test_the_same_key_in_another_account_is_another_key(sandbox: Running) -> None:
    here = await sandbox.session({"idempotency_key": "accounts"})
    there = await sandbox.session({"idempotency_key": "accounts", "stripe_account": "acct_keys"})
    assert here.id != there.id


async def test_a_key_in_flight_is_a_conflict_and_is_free_afterwards(sandbox: Running) -> None:
    match = {"method": "POST", "path": "/v1/checkout/sessions"}
    await sandbox.control("POST", "/faults", match=match, kind="hang", seconds=3)
    slow = asyncio.create_task(sandbox.session({"idempotency_key": "flight"}))
    async with asyncio.timeout(20):
        while (await sandbox.control("GET", "/faults"))["waiting"]:
            pass  # not there yet: it would be the second
    with pytest.raises(stripe.APIError) as conflict:
        await sandbox.session({"idempotency_key": "flight"})
    assert conflict.value.http_status == 409
    body: Any = conflict.value.json_body
    assert body["error"]["code"] == "idempotency_key_in_use"
    first = await slow
    assert (await sandbox.session({"idempotency_key": "flight"})).id == first.id


async def test_a_stored_decline_is_replayed_and_charges_nothing_more(sandbox: Running) -> None:
    request: Any = {
        "amount": 900,
        "currency": "eur",
        "payment_method": "pm_card_visa_chargeDeclined",
        "confirm": True,
        "off_session": True,
    }
    declines = []
    for _ in range(2):
        with pytest.raises(stripe.CardError) as declined:
            await sandbox.stripe.v1.payment_intents.create_async(request, {"idempotency_key": "decline"})
        declines.append(declined.value)
    assert [decline.http_status for decline in declines] == [402, 402]
    assert declines[0].json_body == declines[1].json_body
    assert declines[0].error is not None
    intent = declines[0].error.payment_intent
    assert intent is not None
    charges = await sandbox.stripe.v1.charges.list_async({"payment_intent": intent.id})
    assert [charge.status for charge in charges.data] == ["failed"]


async def test_a_stored_500_is_replayed_with_no_effect_behind_it(sandbox: Running) -> None:
    await sandbox.control("POST", "/faults", match={"method": "POST", "path": "/v1/customers"}, kind="error_500")
    for _ in range(2):
        with pytest.raises(stripe.APIError) as broken:
            await sandbox.stripe.v1.customers.create_async({"email": "500@example.org"}, {"idempotency_key": "broken"})
        assert broken.value.http_status == 500
    assert (await sandbox.stripe.v1.customers.list_async({"email": "500@example.org"})).data == []
    made = await sandbox.stripe.v1.customers.create_async({"email": "500@example.org"}, {"idempotency_key": "next"})
    assert made.email == "500@example.org"


async def test_refused_parameters_leave_the_key_free(sandbox: Running) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        await sandbox.session({"idempotency_key": "typo"}, payment_method_types=["card"])
    assert (await sandbox.session({"idempotency_key": "typo"})).status == "open"


async def test_a_key_is_forgotten_after_24_hours(sandbox: Running) -> None:
    customers = sandbox.stripe.v1.customers
    first = await customers.create_async({}, {"idempotency_key": "day"})
    await sandbox.control("POST", "/clock", advance=24 * 3600 - 60)
    assert (await customers.create_async({}, {"idempotency_key": "day"})).id == first.id
    await sandbox.control("POST", "/clock", advance=120)
    assert (await customers.create_async({}, {"idempotency_key": "day"})).id != first.id
