"""Connected accounts never meet, and every POST can be sent twice."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
import stripe

from tests.integration.stripe_sandbox.cards import charge, new_customer
from tests.integration.stripe_sandbox.sandbox import KEY, Running

_ONE: Any = {"stripe_account": "acct_one"}
_ELSEWHERE = [{}, {"stripe_account": "acct_two"}]


@dataclass
class Objects:
    """One of each kind, in the account `acct_one`."""

    customer: str
    payment_method: str
    setup_intent: str
    session: str
    payment_intent: str
    charge: str
    refund: str
    dispute: str


@pytest_asyncio.fixture
async def theirs(sandbox: Running) -> AsyncIterator[Objects]:
    v1 = sandbox.stripe.v1
    customer = await new_customer(sandbox, "acct_one")
    setup: Any = {"mode": "setup", "line_items": None, "currency": "eur", "customer": customer}
    session = await sandbox.session(_ONE, **setup)
    await sandbox.control("POST", f"/sessions/{session.id}/pay", card="4000000000000259")
    (method,) = (await v1.customers.payment_methods.list_async(customer, {}, _ONE)).data
    request: Any = {
        "amount": 2000,
        "currency": "eur",
        "customer": customer,
        "payment_method": method.id,
        "off_session": True,
        "confirm": True,
    }
    intent = await v1.payment_intents.create_async(request, _ONE)
    (dispute,) = (await v1.disputes.list_async({"payment_intent": intent.id}, _ONE)).data
    await v1.payment_methods.attach_async("pm_card_visa", {"customer": customer}, _ONE)
    request["payment_method"] = "pm_card_visa"
    other = await v1.payment_intents.create_async(request, _ONE)
    refund = await v1.refunds.create_async({"payment_intent": other.id, "amount": 100}, _ONE)
    yield Objects(
        customer,
        method.id,
        str(session.setup_intent),
        session.id,
        intent.id,
        str(intent.latest_charge),
        refund.id,
        dispute.id,
    )


async def ask(sandbox: Running, account: dict[str, str], path: str, method: str = "GET") -> Any:
    headers = {"Authorization": f"Bearer {KEY}"}
    if account:
        headers["Stripe-Account"] = account["stripe_account"]
    return await sandbox.http.request(method, path, headers=headers)


async def test_an_object_of_one_account_is_missing_to_every_other(sandbox: Running, theirs: Objects) -> None:
    reads = {
        f"/v1/customers/{theirs.customer}",
        f"/v1/customers/{theirs.customer}/payment_methods",
        f"/v1/payment_methods/{theirs.payment_method}",
        f"/v1/setup_intents/{theirs.setup_intent}",
        f"/v1/checkout/sessions/{theirs.session}",
        f"/v1/checkout/sessions/{theirs.session}/line_items",
        f"/v1/payment_intents/{theirs.payment_intent}",
        f"/v1/charges/{theirs.charge}",
        f"/v1/refunds/{theirs.refund}",
        f"/v1/disputes/{theirs.dispute}",
    }
    acts = {
        f"/v1/setup_intents/{theirs.setup_intent}/cancel",
        f"/v1/setup_intents/{theirs.setup_intent}/confirm",
        f"/v1/payment_methods/{theirs.payment_method}/detach",
        f"/v1/payment_intents/{theirs.payment_intent}/cancel",
        f"/v1/checkout/sessions/{theirs.session}/expire",
        f"/v1/refunds/{theirs.refund}",
        f"/v1/disputes/{theirs.dispute}",
        f"/v1/disputes/{theirs.dispute}/close",
    }
    for path in reads:
        assert (await ask(sandbox, _ONE, path)).status_code == 200, path
        for account in _ELSEWHERE:
            answer = await ask(sandbox, account, path)
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "resource_missing"), path
    for path in acts:
        for account in _ELSEWHERE:
            assert (await ask(sandbox, account, path, "POST")).status_code == 404, path
    assert (await ask(sandbox, _ONE, f"/v1/disputes/{theirs.dispute}")).json()["status"] == "needs_response"


async def test_the_lists_of_another_account_are_empty(sandbox: Running, theirs: Objects) -> None:
    asked = {
        "setup_intents": theirs.customer,
        "payment_intents": theirs.customer,
        "payment_methods": theirs.customer,
        "charges": theirs.customer,
    }
    for noun, customer in asked.items():
        path = f"/v1/{noun}?customer={customer}"
        assert (await ask(sandbox, _ONE, path)).json()["data"] != []
        for account in _ELSEWHERE:
            assert (await ask(sandbox, account, path)).json()["data"] == []
    for noun in ("refunds", "disputes", "checkout/sessions", "events"):
        for account in _ELSEWHERE:
            ids = [item["id"] for item in (await ask(sandbox, account, f"/v1/{noun}?limit=100")).json()["data"]]
            assert not {theirs.refund, theirs.dispute, theirs.session} & set(ids)


async def test_an_id_of_another_account_as_a_parameter_is_no_such_thing(sandbox: Running, theirs: Objects) -> None:
    v1 = sandbox.stripe.v1
    with pytest.raises(stripe.InvalidRequestError, match="No such customer"):
        await charge(sandbox, theirs.customer, "pm_card_visa")
    customer = await new_customer(sandbox)
    with pytest.raises(stripe.InvalidRequestError, match="No such PaymentMethod"):
        await charge(sandbox, customer, theirs.payment_method)
    with pytest.raises(stripe.InvalidRequestError, match="No such payment_intent"):
        await v1.refunds.create_async({"payment_intent": theirs.payment_intent})
    with pytest.raises(stripe.InvalidRequestError, match="No such PaymentMethod"):
        await v1.setup_intents.create_async({"customer": customer, "payment_method": theirs.payment_method})
    with pytest.raises(stripe.InvalidRequestError, match="No such PaymentMethod"):
        await v1.customers.update_async(
            customer, {"invoice_settings": {"default_payment_method": theirs.payment_method}}
        )


async def test_every_event_and_movement_names_its_account(sandbox: Running, theirs: Objects) -> None:
    await sandbox.receiver.until(lambda: len(sandbox.receiver.about(theirs.dispute)) == 2)
    told = [
        event
        for noun in (theirs.setup_intent, theirs.payment_intent, theirs.refund, theirs.dispute)
        for event in sandbox.receiver.about(noun)
    ]
    assert {event["account"] for event in told} == {"acct_one"}
    assert {line["account"] for line in sandbox.ledger(theirs.payment_intent)} == {"acct_one"}
    listed = await sandbox.stripe.v1.events.list_async({"types": ["charge.dispute.created"]}, _ONE)
    assert listed.data[0].data.object["id"] == theirs.dispute


async def _repeat(sandbox: Running, path: str, form: dict[str, Any], account: str) -> list[Any]:
    headers = {"Authorization": f"Bearer {KEY}", "Stripe-Account": account, "Idempotency-Key": path + str(form)}
    return [await sandbox.http.post(path, data=form, headers=headers) for _ in range(2)]


async def test_a_repeated_post_of_any_kind_gets_its_first_answer(sandbox: Running) -> None:
    account = "acct_twice"
    customer = await new_customer(sandbox, account)

    async def first(path: str, **form: Any) -> Any:
        answers = await _repeat(sandbox, path, form, account)
        assert answers[0].status_code < 500, answers[0].text
        assert (answers[0].status_code, answers[0].content) == (answers[1].status_code, answers[1].content)
        assert answers[1].headers["idempotent-replayed"] == "true"
        other = await sandbox.http.post(
            path,
            data={**form, "metadata[other]": "body"},
            headers={
                "Authorization": f"Bearer {KEY}",
                "Stripe-Account": account,
                "Idempotency-Key": path + str(form),
            },
        )
        assert other.status_code == 400
        return answers[0].json()

    method = (await first("/v1/payment_methods/pm_card_createDispute/attach", customer=customer))["id"]
    setup = await first("/v1/setup_intents", customer=customer, payment_method=method)
    await first(f"/v1/setup_intents/{setup['id']}/confirm", return_url="http://merchant.test/after")
    waiting = await first("/v1/setup_intents", customer=customer)
    await first(f"/v1/setup_intents/{waiting['id']}/cancel", cancellation_reason="abandoned")
    pay = {"amount": "900", "currency": "eur", "customer": customer, "confirm": "true", "off_session": "true"}
    disputed = await first("/v1/payment_intents", **pay, payment_method=method)
    declined = await first("/v1/payment_intents", **pay, payment_method="pm_card_visa_chargeDeclined")
    assert declined["error"]["decline_code"] == "generic_decline"
    paid = await first("/v1/payment_intents", **pay, payment_method="pm_card_visa")
    refund = await first("/v1/refunds", payment_intent=paid["id"], amount="100")
    await first(f"/v1/refunds/{refund['id']}", **{"metadata[a]": "b"})
    listed = await ask(sandbox, {"stripe_account": account}, f"/v1/disputes?payment_intent={disputed['id']}")
    (dispute,) = listed.json()["data"]
    await first(f"/v1/disputes/{dispute['id']}", **{"evidence[uncategorized_text]": "a letter"})
    await first(f"/v1/disputes/{dispute['id']}/close")
    session = await first(
        "/v1/checkout/sessions", mode="setup", currency="eur", customer=customer, success_url="http://merchant.test/"
    )
    await first(f"/v1/checkout/sessions/{session['id']}/expire")
    await first(f"/v1/payment_methods/{method}/detach")
    lines = [line for line in (await sandbox.control("GET", "/ledger"))["lines"] if line["account"] == account]
    assert [(line["kind"], line["amount"]) for line in lines] == [
        ("charge.succeeded", 900),
        ("dispute.funds_withdrawn", 900),
        ("charge.succeeded", 900),
        ("refund.succeeded", 100),
    ]
