"""Webhooks over real HTTP: signed, ordered, repeated until accepted, and misbehaving when asked to."""

import asyncio
import time
from typing import Any

import pytest
import stripe

from tests.integration.stripe_sandbox.sandbox import SECRET, Running, receiving

_PAID = ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded", "checkout.session.completed"]


async def pay(sandbox: Running, **params: Any) -> str:
    """Pays a new session; the PaymentIntent's id."""
    session = await sandbox.session(**params)
    answer = await sandbox.control("POST", f"/sessions/{session.id}/pay", card="4242424242424242")
    return str(answer["payment_intent"])


async def test_a_payment_is_told_in_stripes_order_and_signed_over_the_exact_bytes(sandbox: Running) -> None:
    intent = await pay(sandbox)
    receiver = sandbox.receiver
    await receiver.until(lambda: len(receiver.about(intent)) == 4)
    assert receiver.types_about(intent) == _PAID
    for delivered in receiver.deliveries:
        assert stripe.WebhookSignature.verify_header(delivered.body, delivered.signature, SECRET, tolerance=300)
        with pytest.raises(stripe.SignatureVerificationError):
            stripe.WebhookSignature.verify_header(delivered.body + b" ", delivered.signature, SECRET, tolerance=300)


async def test_an_event_carries_the_state_of_its_moment(sandbox: Running) -> None:
    session = await sandbox.session()
    await sandbox.press_pay(session, "4000000000000002")
    await sandbox.press_pay(session, "4242424242424242")
    intent = str((await sandbox.stripe.v1.checkout.sessions.retrieve_async(session.id)).payment_intent)
    await sandbox.receiver.until(lambda: len(sandbox.receiver.about(intent)) == 6)
    told = [(event["type"], event["data"]["object"].get("status")) for event in sandbox.receiver.about(intent)]
    assert told == [
        ("payment_intent.created", "requires_payment_method"),
        ("charge.failed", "failed"),
        ("payment_intent.payment_failed", "requires_payment_method"),
        ("charge.succeeded", "succeeded"),
        ("payment_intent.succeeded", "succeeded"),
        ("checkout.session.completed", "complete"),
    ]
    assert "account" not in sandbox.receiver.about(intent)[0]


async def test_a_connected_accounts_event_names_the_account(sandbox: Running) -> None:
    options: Any = {"stripe_account": "acct_events"}
    customer = await sandbox.stripe.v1.customers.create_async({}, options)
    await sandbox.receiver.until(lambda: sandbox.receiver.about(customer.id) != [])
    assert sandbox.receiver.about(customer.id)[0]["account"] == "acct_events"


async def test_a_refused_delivery_comes_again_until_it_is_accepted(sandbox: Running) -> None:
    sandbox.receiver.answers[:] = [500, 302, 500]
    customer = await sandbox.stripe.v1.customers.create_async({})
    await sandbox.receiver.until(lambda: len(sandbox.receiver.about(customer.id)) == 1)
    events = sandbox.stripe.v1.events
    undelivered = await events.list_async({"delivery_success": False, "type": "customer.created"})
    event = next(event for event in undelivered.data if event.data.object["id"] == customer.id)
    assert event.pending_webhooks == 1
    await sandbox.receiver.until(lambda: len(sandbox.receiver.about(customer.id)) == 4)
    answers = await sandbox.delivered(event.id)
    assert len({delivered["id"] for delivered in sandbox.receiver.about(customer.id)}) == 1
    assert (await events.retrieve_async(event.id)).pending_webhooks == 0
    delivered_ids = [item.id for item in (await events.list_async({"delivery_success": True})).data]
    assert event.id in delivered_ids
    assert answers == [{"endpoint": "default", "state": "delivered", "attempts": 4, "answer": "200"}]


async def test_a_registered_endpoint_gets_what_it_asked_for_with_its_own_secret(sandbox: Running) -> None:
    async with receiving() as other:
        endpoints = sandbox.stripe.v1.webhook_endpoints
        endpoint = await endpoints.create_async({"url": other.url, "enabled_events": ["payment_intent.succeeded"]})
        assert endpoint.secret is not None
        assert "secret" not in (await endpoints.retrieve_async(endpoint.id)).to_dict()
        intent = await pay(sandbox)
        await other.until(lambda: other.types_about(intent) == ["payment_intent.succeeded"])
        delivered = other.deliveries[0]
        stripe.WebhookSignature.verify_header(delivered.body, delivered.signature, endpoint.secret, tolerance=300)
        await sandbox.receiver.until(lambda: len(sandbox.receiver.about(intent)) == 4)

        await endpoints.update_async(endpoint.id, {"disabled": True})
        await sandbox.receiver.until_types(await pay(sandbox), _PAID)
        await endpoints.delete_async(endpoint.id)
        assert len(other.deliveries) == 1
        with pytest.raises(stripe.InvalidRequestError, match="No such webhook_endpoint"):
            await endpoints.retrieve_async(endpoint.id)


async def test_a_dead_endpoint_does_not_hold_up_the_others(sandbox: Running) -> None:
    released = asyncio.Event()

    async def never_answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await released.wait()
        writer.close()

    server = await asyncio.start_server(never_answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hangs"
    endpoint = await sandbox.stripe.v1.webhook_endpoints.create_async({"url": url, "enabled_events": ["*"]})
    await sandbox.receiver.until_types(await pay(sandbox), _PAID, timeout=8)  # the dead one is given 10 s
    await sandbox.stripe.v1.webhook_endpoints.delete_async(endpoint.id)
    released.set()
    server.close()


async def test_duplicates_arrive_as_often_as_asked(sandbox: Running) -> None:
    await sandbox.control("POST", "/webhooks", duplicate=4)
    customer = await sandbox.stripe.v1.customers.create_async({})
    await sandbox.receiver.until(lambda: len(sandbox.receiver.about(customer.id)) == 5)
    await sandbox.delivered(sandbox.receiver.about(customer.id)[0]["id"])
    assert [event["type"] for event in sandbox.receiver.about(customer.id)] == ["customer.created"] * 5


async def test_shuffled_events_all_arrive_in_another_order(sandbox: Running) -> None:
    await sandbox.control("POST", "/webhooks", shuffle=True)
    orders = []
    for _ in range(6):
        intent = await pay(sandbox)
        await sandbox.receiver.until_count(intent, 4)
        orders.append(sandbox.receiver.types_about(intent))
    assert [sorted(order) for order in orders] == [sorted(_PAID)] * 6
    assert orders != [_PAID] * 6  # (1/24)^6: less than one run in a hundred million


async def test_a_delayed_event_comes_after_its_delay(sandbox: Running) -> None:
    await sandbox.control("POST", "/webhooks", delay=1.5)
    before = time.monotonic()
    customer = await sandbox.stripe.v1.customers.create_async({})
    await sandbox.receiver.until(lambda: len(sandbox.receiver.about(customer.id)) == 1)
    assert time.monotonic() - before >= 1.5


async def test_a_dropped_event_never_comes_until_it_is_redelivered(sandbox: Running) -> None:
    await sandbox.control("POST", "/webhooks", drop=3)
    intent = await pay(sandbox)
    await sandbox.receiver.until(lambda: sandbox.receiver.types_about(intent) == ["checkout.session.completed"])
    undelivered = await sandbox.stripe.v1.events.list_async({"delivery_success": False, "types": _PAID[:3]})
    missed = [event for event in undelivered.data if intent in str(event.data.object)]
    assert [event.type for event in missed] == list(reversed(_PAID[:3]))
    for event in missed:
        await sandbox.control("POST", f"/events/{event.id}/redeliver")
    await sandbox.receiver.until(lambda: len(sandbox.receiver.about(intent)) == 4)
    await sandbox.delivered(missed[0].id)
    assert (await sandbox.stripe.v1.events.retrieve_async(missed[0].id)).pending_webhooks == 0


async def test_an_event_can_beat_the_response(sandbox: Running) -> None:
    await sandbox.control("POST", "/webhooks", before_response=True)
    customer = await sandbox.stripe.v1.customers.create_async({})
    assert sandbox.receiver.types_about(customer.id) == ["customer.created"]
