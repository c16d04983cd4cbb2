"""What a caller of a misbehaving Stripe sees, and what really happened behind it."""

import time
from typing import Any

import httpx
import pytest
import stripe

from tests.integration.stripe_sandbox.sandbox import KEY, Running

_CUSTOMERS = {"method": "POST", "path": "/v1/customers"}


async def create(sandbox: Running, email: str, key: str | None = None) -> stripe.Customer:
    options: Any = {"idempotency_key": key} if key else {}
    return await sandbox.stripe.v1.customers.create_async({"email": email}, options)


async def emails(sandbox: Running, email: str) -> int:
    return len((await sandbox.stripe.v1.customers.list_async({"email": email})).data)


async def test_a_reset_connection_had_no_effect(sandbox: Running) -> None:
    await sandbox.control("POST", "/faults", match=_CUSTOMERS, kind="reset")
    with pytest.raises(stripe.APIConnectionError):
        await create(sandbox, "reset@example.org", "reset")
    assert await emails(sandbox, "reset@example.org") == 0
    await create(sandbox, "reset@example.org", "reset")
    assert await emails(sandbox, "reset@example.org") == 1


async def test_a_response_dropped_after_the_effect_is_found_again_by_its_key(sandbox: Running) -> None:
    await sandbox.control("POST", "/faults", match=_CUSTOMERS, kind="drop_response_after_effect")
    with pytest.raises(stripe.APIConnectionError):
        await create(sandbox, "dropped@example.org", "dropped")
    assert await emails(sandbox, "dropped@example.org") == 1
    found = await create(sandbox, "dropped@example.org", "dropped")
    assert found.last_response is not None
    assert found.last_response.headers["idempotent-replayed"] == "true"
    assert await emails(sandbox, "dropped@example.org") == 1


async def test_a_hanging_request_takes_effect_after_its_caller_gave_up(sandbox: Running) -> None:
    await sandbox.control("POST", "/faults", match=_CUSTOMERS, kind="hang", seconds=3)
    patience = httpx.Timeout(20, read=0.2)
    impatient = httpx.AsyncClient(base_url=sandbox.url, timeout=patience, headers={"Authorization": f"Bearer {KEY}"})
    async with impatient:
        with pytest.raises(httpx.ReadTimeout):
            await impatient.post("/v1/customers", data={"email": "hang@example.org"})
    assert await emails(sandbox, "hang@example.org") == 0
    deadline = time.monotonic() + 20
    while await emails(sandbox, "hang@example.org") == 0:
        assert time.monotonic() < deadline


async def test_a_rate_limit_stores_nothing(sandbox: Running) -> None:
    await sandbox.control("POST", "/faults", match=_CUSTOMERS, kind="rate_limit_429", times=2)
    for _ in range(2):
        with pytest.raises(stripe.RateLimitError):
            await create(sandbox, "limited@example.org", "limited")
    assert (await create(sandbox, "limited@example.org", "limited")).email == "limited@example.org"


async def test_a_fault_touches_only_what_it_matches_and_can_be_lifted(sandbox: Running) -> None:
    await sandbox.control("POST", "/faults", match={"path": "/v1/checkout/*"}, kind="error_500", times=9)
    await create(sandbox, "untouched@example.org")
    with pytest.raises(stripe.APIError):
        await sandbox.session()
    assert (await sandbox.control("GET", "/faults"))["waiting"][0]["times"] == 8
    assert await sandbox.control("DELETE", "/faults") == {"waiting": []}
    assert (await sandbox.session()).status == "open"


async def test_an_unknown_fault_is_refused(sandbox: Running) -> None:
    answer = await sandbox.http.post("/_sandbox/faults", json={"kind": "explode"})
    assert answer.status_code == 422
    assert (await sandbox.control("GET", "/faults"))["waiting"] == []
