"""Objects, lists, expansion and refusals, as the official SDK sees them."""

from typing import Any

import httpx
import pytest
import stripe

from tests.integration.stripe_sandbox.sandbox import KEY, Running, line_item
from tests.integration.stripe_sandbox.shapes import misfits


async def test_a_customer_is_created_changed_and_deleted(sandbox: Running) -> None:
    customers = sandbox.stripe.v1.customers
    made = await customers.create_async({"email": "ada@example.org", "metadata": {"portal": "c1", "old": "x"}})
    assert made.id.startswith("cus_")
    assert made.last_response is not None
    assert made.last_response.headers["request-id"].startswith("req_")
    changed = await customers.update_async(made.id, {"name": "Ada", "metadata": {"old": "", "new": "y"}})
    assert (changed.name, changed.email) == ("Ada", "ada@example.org")
    assert changed.metadata is not None
    assert changed.metadata.to_dict() == {"portal": "c1", "new": "y"}
    deleted = await customers.delete_async(made.id)
    assert deleted.deleted is True
    assert (await customers.retrieve_async(made.id)).to_dict() == {"id": made.id, "object": "customer", "deleted": True}


async def test_a_list_pages_by_cursors_in_both_directions(sandbox: Running) -> None:
    customers = sandbox.stripe.v1.customers
    made = [(await customers.create_async({"email": "pages@example.org"})).id for _ in range(5)]
    newest_first = list(reversed(made))

    first = await customers.list_async({"email": "pages@example.org", "limit": 2})
    assert ([item.id for item in first.data], first.has_more) == (newest_first[:2], True)
    rest = await customers.list_async({"email": "pages@example.org", "limit": 3, "starting_after": first.data[-1].id})
    assert ([item.id for item in rest.data], rest.has_more) == (newest_first[2:], False)
    back = await customers.list_async({"email": "pages@example.org", "limit": 2, "ending_before": newest_first[3]})
    assert ([item.id for item in back.data], back.has_more) == (newest_first[1:3], True)
    walked = [item.id async for item in first.auto_paging_iter()]
    assert walked == newest_first


async def test_expand_replaces_ids_and_reaches_into_lists(sandbox: Running) -> None:
    customer = await sandbox.stripe.v1.customers.create_async({"email": "grace@example.org"})
    session = await sandbox.session(customer=customer.id)
    await sandbox.press_pay(session, "4242424242424242")
    found = await sandbox.stripe.v1.checkout.sessions.retrieve_async(
        session.id, {"expand": ["payment_intent.latest_charge", "line_items", "customer"]}
    )
    paid: Any = found
    assert paid.payment_intent.latest_charge.amount == 1250
    assert paid.customer.email == "grace@example.org"
    assert [item.description for item in paid.line_items.data] == ["Consulting"]
    listed: Any = await sandbox.stripe.v1.payment_intents.list_async(
        {"customer": customer.id, "expand": ["data.latest_charge"]}
    )
    assert [intent.latest_charge.status for intent in listed.data] == ["succeeded"]


async def test_a_property_that_is_no_reference_cannot_be_expanded(sandbox: Running) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="cannot be expanded"):
        await sandbox.stripe.v1.customers.create_async({"email": "e@example.org", "expand": ["email"]})


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/v1/customers/cus_none", "No such customer: 'cus_none'"),
        ("/v1/payment_intents/pi_none", "No such payment_intent: 'pi_none'"),
        ("/v1/checkout/sessions/cs_none", "No such checkout.session: 'cs_none'"),
    ],
)
async def test_an_unknown_id_is_a_404_that_names_it(sandbox: Running, path: str, message: str) -> None:
    response = await sandbox.http.get(path, headers={"Authorization": f"Bearer {KEY}"})
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "resource_missing"
    assert response.json()["error"]["message"] == message


async def test_an_operation_that_is_not_played_is_a_404_as_stripe_says_it(sandbox: Running) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sandbox.stripe.v1.balance.retrieve_async()
    assert refused.value.http_status == 404
    assert "Unrecognized request URL (GET: /v1/balance)" in str(refused.value)


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({"payment_method_types": ["card"]}, "parameter_unknown", "payment_method_types"),
        ({"line_items": [{"quantity": 1, "amount": 5}]}, "parameter_unknown", "line_items[0][amount]"),
        ({"success_url": None}, "parameter_missing", "success_url"),
        ({"line_items": None}, "parameter_missing", "line_items"),
        ({"line_items": [{"price_data": line_item()["price_data"]}]}, "parameter_missing", "line_items[0][quantity]"),
        ({"line_items": [line_item(amount=10)]}, "amount_too_small", "line_items"),
        ({"customer": "cus_none"}, "resource_missing", "customer"),
        ({"cancel_url": "javascript:alert(1)"}, "url_invalid", "cancel_url"),
        ({"expires_at": 5}, None, "expires_at"),
        ({"mode": "donation"}, None, "mode"),
        ({"allow_promotion_codes": True}, "sandbox_unplayed", "allow_promotion_codes"),
    ],
)
async def test_a_wrong_session_is_refused_with_stripes_code(
    sandbox: Running, params: dict[str, Any], code: str | None, param: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await sandbox.session(**params)
    assert refused.value.http_status == 400
    assert (refused.value.code, refused.value.param) == (code, param)


@pytest.mark.parametrize("key", ["sk_test_other", "sk_live_suite", ""])
async def test_another_key_is_unauthorized(sandbox: Running, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    response = await sandbox.http.get("/v1/customers", headers=headers)
    assert response.status_code == 401
    assert key == "" or key not in response.text


async def test_a_connected_account_sees_only_its_own(sandbox: Running) -> None:
    customers = sandbox.stripe.v1.customers
    theirs = await customers.create_async({"email": "one@example.org"}, {"stripe_account": "acct_one"})
    assert (await customers.retrieve_async(theirs.id, options={"stripe_account": "acct_one"})).id == theirs.id
    for other in ({}, {"stripe_account": "acct_two"}):
        with pytest.raises(stripe.InvalidRequestError, match="No such customer"):
            await customers.retrieve_async(theirs.id, options=other)  # type: ignore[arg-type]  # built per case


async def test_every_object_has_the_shape_of_the_sdks_classes(sandbox: Running) -> None:
    customer = await sandbox.stripe.v1.customers.create_async({"address": {"city": "Bonn"}, "name": "Shape"})
    intent_data: Any = {"setup_future_usage": "off_session", "metadata": {"invoice": "i1"}}
    session = await sandbox.session(customer=customer.id, payment_intent_data=intent_data)
    await sandbox.press_pay(session, "4000000000000002")
    await sandbox.press_pay(session, "4242424242424242")
    session = await sandbox.stripe.v1.checkout.sessions.retrieve_async(session.id, {"expand": ["line_items"]})
    intent = str(session.payment_intent)
    await sandbox.stripe.v1.refunds.create_async({"payment_intent": intent, "amount": 50})
    endpoint = await sandbox.stripe.v1.webhook_endpoints.create_async(
        {"url": "http://127.0.0.1:9/none", "enabled_events": ["invoice.paid"]}
    )
    expected: dict[str, tuple[int, type]] = {
        f"/v1/customers/{customer.id}": (1, stripe.Customer),
        f"/v1/checkout/sessions/{session.id}": (1, stripe.checkout.Session),
        f"/v1/checkout/sessions/{session.id}/line_items": (1, stripe.LineItem),
        f"/v1/payment_intents/{intent}": (1, stripe.PaymentIntent),
        f"/v1/charges?payment_intent={intent}": (2, stripe.Charge),
        f"/v1/customers/{customer.id}/payment_methods": (1, stripe.PaymentMethod),
        f"/v1/refunds?payment_intent={intent}": (1, stripe.Refund),
        f"/v1/webhook_endpoints/{endpoint.id}": (1, stripe.WebhookEndpoint),
        "/v1/events?limit=9": (9, stripe.Event),
    }
    for path, (count, resource) in expected.items():
        body = (await sandbox.http.get(path, headers={"Authorization": f"Bearer {KEY}"})).json()
        objects = body["data"] if body["object"] == "list" else [body]
        assert len(objects) == count, path
        assert [miss for item in objects for miss in misfits(item, resource, resource.__name__)] == []


async def test_the_shape_check_sees_a_wrong_object(sandbox: Running) -> None:
    customer = (await sandbox.stripe.v1.customers.create_async({"name": "Wrong"})).to_dict()
    wrong = {**customer, "created": "yesterday", "nickname": "W", "tax_exempt": "maybe"}
    del wrong["livemode"]
    assert sorted(miss.split(":")[0] for miss in misfits(wrong, stripe.Customer)) == [
        ".created",
        ".livemode",
        ".nickname",
        ".tax_exempt",
    ]


async def test_another_api_version_is_refused(sandbox: Running) -> None:
    headers = {"Authorization": f"Bearer {KEY}", "Stripe-Version": "2020-08-27"}
    response: httpx.Response = await sandbox.http.get("/v1/customers", headers=headers)
    assert response.status_code == 400
    assert "Invalid Stripe API version" in response.json()["error"]["message"]
