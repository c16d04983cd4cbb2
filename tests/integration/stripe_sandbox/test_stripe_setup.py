"""Cards kept for later: SetupIntents, Checkout in setup mode, methods saved while paying."""

from typing import Any

import httpx
import pytest
import stripe

from tests.integration.stripe_sandbox.cards import charge, new_customer
from tests.integration.stripe_sandbox.sandbox import Running
from tests.integration.stripe_sandbox.shapes import misfits


async def setup_session(sandbox: Running, customer: str, **params: Any) -> stripe.checkout.Session:
    setup: Any = {"mode": "setup", "line_items": None, "currency": "eur", "customer": customer, **params}
    return await sandbox.session(**setup)


async def test_a_person_saves_a_card_on_the_hosted_page(sandbox: Running) -> None:
    customer = await new_customer(sandbox)
    data: Any = {"metadata": {"portal": "c1"}, "description": "Card for Ada"}
    session = await setup_session(sandbox, customer, setup_intent_data=data)
    assert (session.payment_status, session.amount_total, session.payment_intent) == ("no_payment_required", None, None)
    page = (await sandbox.http.get(str(session.url))).text
    assert "Nothing is charged now." in page
    assert "Save card</button>" in page
    assert "Pay " not in page
    declined = await sandbox.press_pay(session, "4000000000009995")
    assert declined.status_code == 402
    assert "Your card has insufficient funds." in declined.text

    saved = await sandbox.press_pay(session, "4242424242424242")
    assert (saved.status_code, saved.headers["location"]) == (303, f"http://merchant.test/done?session={session.id}")
    after: Any = await sandbox.stripe.v1.checkout.sessions.retrieve_async(
        session.id, {"expand": ["setup_intent.payment_method"]}
    )
    assert (after.status, after.payment_status) == ("complete", "no_payment_required")
    assert (after.setup_intent.status, after.setup_intent.metadata.to_dict()) == ("succeeded", {"portal": "c1"})
    method = after.setup_intent.payment_method
    assert (method.customer, method.card.last4, method.allow_redisplay) == (customer, "4242", "limited")
    await sandbox.receiver.until_types(
        after.setup_intent.id,
        ["setup_intent.created", "setup_intent.setup_failed", "setup_intent.succeeded", "checkout.session.completed"],
    )
    types = [event["type"] for event in sandbox.receiver.about(customer)]
    assert types[-3:] == ["payment_method.attached", "setup_intent.succeeded", "checkout.session.completed"]
    assert (await charge(sandbox, customer, method.id)).status == "succeeded"


async def test_a_card_that_asks_once_is_charged_without_its_customer_afterwards(sandbox: Running) -> None:
    customer = await new_customer(sandbox)
    session = await setup_session(sandbox, customer)
    asked = await sandbox.press_pay(session, "4000002500003155")
    challenge = asked.headers["location"]
    assert challenge == f"/c/pay/{session.id}/challenge"
    assert "asks to save your card" in (await sandbox.http.get(challenge)).text
    passed = await sandbox.http.post(challenge, data={"answer": "complete"})
    assert passed.headers["location"] == f"http://merchant.test/done?session={session.id}"
    methods = await sandbox.stripe.v1.customers.payment_methods.list_async(customer)
    assert (await charge(sandbox, customer, methods.data[0].id)).status == "succeeded"


async def test_a_failed_challenge_leaves_the_page_open_and_nothing_saved(sandbox: Running) -> None:
    customer = await new_customer(sandbox)
    session = await setup_session(sandbox, customer)
    told = await sandbox.control("POST", f"/sessions/{session.id}/pay", card="4000002760003184", authenticate=False)
    assert (told["outcome"], told["code"]) == ("declined", "setup_intent_authentication_failure")
    setup = await sandbox.stripe.v1.setup_intents.retrieve_async(told["setup_intent"])
    assert setup.status == "requires_payment_method"
    assert (await sandbox.stripe.v1.customers.payment_methods.list_async(customer)).data == []
    with pytest.raises(stripe.InvalidRequestError, match="created by Checkout"):
        await sandbox.stripe.v1.setup_intents.cancel_async(setup.id)
    await sandbox.stripe.v1.checkout.sessions.expire_async(session.id)
    assert (await sandbox.stripe.v1.setup_intents.retrieve_async(setup.id)).status == "canceled"
    assert "Nothing was saved." in (await sandbox.http.get(f"/c/pay/{session.id}")).text


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({"currency": None}, "parameter_missing", "currency"),
        ({"customer": "cus_none"}, "resource_missing", "customer"),
        ({"payment_intent_data": {"description": "x"}}, "sandbox_unplayed", "payment_intent_data"),
        ({"setup_intent_data": {"usage": "x"}}, "parameter_unknown", "setup_intent_data[usage]"),
        ({"allowed_payment_method_types": ["paypal"]}, None, "allowed_payment_method_types"),
    ],
)
async def test_a_wrong_setup_session_is_refused(
    sandbox: Running, params: dict[str, Any], code: str | None, param: str
) -> None:
    customer = await new_customer(sandbox)
    with pytest.raises(stripe.InvalidRequestError) as refused:
        await setup_session(sandbox, **{"customer": customer, **params})
    assert (refused.value.http_status, refused.value.code, refused.value.param) == (400, code, param)


async def test_a_setup_intent_is_confirmed_by_the_api_on_its_challenge_page(sandbox: Running) -> None:
    customer = await new_customer(sandbox)
    setups = sandbox.stripe.v1.setup_intents
    made = await setups.create_async({"customer": customer, "metadata": {"a": "b"}})
    assert (made.status, made.usage) == ("requires_payment_method", "off_session")
    asked: Any = await setups.confirm_async(
        made.id, {"payment_method": "pm_card_authenticationRequired", "return_url": "http://merchant.test/after"}
    )
    assert asked.status == "requires_action"
    page = asked.next_action.redirect_to_url.url
    assert "asks to save your card" in (await sandbox.http.get(page)).text
    back = await sandbox.http.post(page, data={"answer": "complete"})
    assert back.headers["location"].startswith(f"http://merchant.test/after?setup_intent={made.id}&")
    done = await setups.retrieve_async(made.id)
    assert done.status == "succeeded"
    assert [item.id for item in (await setups.list_async({"customer": customer})).data] == [made.id]
    with pytest.raises(stripe.InvalidRequestError) as late:
        await setups.cancel_async(made.id)
    assert late.value.code == "setup_intent_unexpected_state"
    await sandbox.receiver.until_types(
        made.id, ["setup_intent.created", "setup_intent.requires_action", "setup_intent.succeeded"]
    )


async def test_a_declined_setup_is_a_402_and_can_be_tried_again_or_cancelled(sandbox: Running) -> None:
    customer = await new_customer(sandbox)
    setups = sandbox.stripe.v1.setup_intents
    automatic: Any = {"enabled": True, "allow_redirects": "never"}
    request: Any = {
        "customer": customer,
        "payment_method": "pm_card_visa_chargeDeclined",
        "confirm": True,
        "automatic_payment_methods": automatic,
    }
    with pytest.raises(stripe.CardError) as declined:
        await setups.create_async(request)
    error: Any = declined.value.error
    assert (error.decline_code, error.setup_intent.status) == ("generic_decline", "requires_payment_method")
    again = await setups.confirm_async(error.setup_intent.id, {"payment_method": "pm_card_chargeCustomerFail"})
    assert again.status == "succeeded"
    with pytest.raises(stripe.CardError) as later:
        await charge(sandbox, customer, str(again.payment_method))
    assert (later.value.http_status, later.value.code) == (402, "card_declined")
    other = await setups.create_async({"customer": customer})
    gone = await setups.cancel_async(other.id, {"cancellation_reason": "abandoned"})
    assert (gone.status, gone.cancellation_reason) == ("canceled", "abandoned")


async def test_paying_keeps_the_card_when_the_merchant_asks(sandbox: Running) -> None:
    customer = await new_customer(sandbox)
    data: Any = {"setup_future_usage": "off_session"}
    session = await sandbox.session(customer=customer, payment_intent_data=data)
    await sandbox.press_pay(session, "5555555555554444")
    methods = (await sandbox.stripe.v1.customers.payment_methods.list_async(customer)).data
    assert [(m.card.last4 if m.card else None, m.allow_redisplay) for m in methods] == [("4444", "limited")]
    assert (await charge(sandbox, customer, methods[0].id)).status == "succeeded"


async def test_a_saved_card_is_offered_on_the_page_and_pays(sandbox: Running) -> None:
    customer = await new_customer(sandbox)
    options: Any = {"payment_method_save": "enabled"}
    first = await sandbox.session(customer=customer, saved_payment_method_options=options)
    page = (await sandbox.http.get(str(first.url))).text
    assert "Save it for next time" in page
    assert "Saved payment methods" not in page
    await sandbox.press_pay(first, "4242424242424242", save="true")
    (method,) = (await sandbox.stripe.v1.customers.payment_methods.list_async(customer)).data
    assert method.allow_redisplay == "always"

    second = await sandbox.session(customer=customer)
    page = (await sandbox.http.get(str(second.url))).text
    assert "Use visa ending in 4242" in " ".join(page.split())
    paid = await sandbox.http.post(f"/c/pay/{second.id}", data={"saved": method.id})
    assert paid.status_code == 303
    assert (await sandbox.stripe.v1.checkout.sessions.retrieve_async(second.id)).payment_status == "paid"
    stranger = await sandbox.session(customer=await new_customer(sandbox))
    refused = await sandbox.http.post(f"/c/pay/{stranger.id}", data={"saved": method.id})
    assert refused.status_code == 422
    with pytest.raises(httpx.HTTPStatusError, match="409"):
        await sandbox.control("POST", f"/sessions/{stranger.id}/pay", saved=method.id)


async def test_checkout_makes_the_customer_of_a_guest_who_keeps_the_card(sandbox: Running) -> None:
    data: Any = {"setup_future_usage": "off_session"}
    session = await sandbox.session(
        customer_creation="always", customer_email="guest@example.org", payment_intent_data=data
    )
    assert session.customer is None
    await sandbox.press_pay(session, "4242424242424242")
    after = await sandbox.stripe.v1.checkout.sessions.retrieve_async(session.id)
    customer = await sandbox.stripe.v1.customers.retrieve_async(str(after.customer))
    assert customer.email == "guest@example.org"
    assert len((await sandbox.stripe.v1.customers.payment_methods.list_async(customer.id)).data) == 1


async def test_setup_intents_have_the_shape_of_the_sdks_class(sandbox: Running) -> None:
    customer = await new_customer(sandbox)
    session = await setup_session(sandbox, customer)
    await sandbox.press_pay(session, "4000000000000002")
    await sandbox.press_pay(session, "4000002500003155")
    setups = sandbox.stripe.v1.setup_intents
    seen = [await setups.retrieve_async(str(session.setup_intent))]
    await sandbox.http.post(f"/c/pay/{session.id}/challenge", data={"answer": "complete"})
    seen.append(await setups.retrieve_async(str(session.setup_intent)))
    assert [setup.status for setup in seen] == ["requires_action", "succeeded"]
    for setup in seen:
        assert misfits(setup.to_dict(), stripe.SetupIntent, "SetupIntent") == []
    assert (
        misfits(
            (await sandbox.stripe.v1.checkout.sessions.retrieve_async(session.id)).to_dict(), stripe.checkout.Session
        )
        == []
    )
