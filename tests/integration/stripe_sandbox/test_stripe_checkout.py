"""The hosted page, pressed like a person's browser presses it; and what the API says afterwards."""

import re
from typing import Any

import httpx
import pytest
import stripe

from tests.integration.stripe_sandbox.sandbox import Running, line_item

_LABELLED = re.compile(r'<label for="(\w+)">([^<]+)</label>')


async def reread(sandbox: Running, session: stripe.checkout.Session) -> Any:
    return await sandbox.stripe.v1.checkout.sessions.retrieve_async(
        session.id, {"expand": ["payment_intent.latest_charge"]}
    )


async def test_the_page_shows_what_is_paid_and_asks_for_a_card(sandbox: Running) -> None:
    branding: Any = {"display_name": "Ada & Söhne"}
    items = [line_item(1000, name="Chair <b>", quantity=2), line_item(250, name="Delivery")]
    session = await sandbox.session(branding_settings=branding, line_items=items)
    assert session.url == f"{sandbox.url}/c/pay/{session.id}"
    page = (await sandbox.http.get(session.url)).text
    assert "Ada &amp; Söhne" in page
    assert "Chair &lt;b&gt;" in page
    assert "€20.00" in page
    assert "Pay €22.50</button>" in page
    assert 'href="http://merchant.test/back"' in page
    assert "4000000000009995" in page
    assert dict(_LABELLED.findall(page)) == {
        "card_number": "Card number",
        "expiry": "Expiry",
        "cvc": "CVC",
        "cardholder": "Name on card",
        "iban": "IBAN",
        "holder": "Account holder",
    }
    assert "<script" not in page


async def test_a_decline_says_why_and_the_same_session_is_paid_after(sandbox: Running) -> None:
    session = await sandbox.session(metadata={"attempt": "7"})
    declined = await sandbox.press_pay(session, "4000 0000 0000 9995")
    assert declined.status_code == 402
    assert "Your card has insufficient funds." in declined.text
    assert "Ending in 9995" in declined.text
    assert 'value="Ada Lovelace"' in declined.text
    assert 'value="12 / 34"' in declined.text
    assert "4000 0000 0000 9995" not in declined.text
    after_decline = await reread(sandbox, session)
    assert (after_decline.status, after_decline.payment_status) == ("open", "unpaid")
    assert after_decline.payment_intent.last_payment_error.decline_code == "insufficient_funds"

    paid = await sandbox.press_pay(session, "4242 4242 4242 4242")
    assert paid.status_code == 303
    assert paid.headers["location"] == f"http://merchant.test/done?session={session.id}"
    after = await reread(sandbox, session)
    assert (after.status, after.payment_status, after.url) == ("complete", "paid", None)
    assert after.metadata.to_dict() == {"attempt": "7"}
    assert after.payment_intent.id == after_decline.payment_intent.id
    assert after.payment_intent.metadata.to_dict() == {}
    assert after.payment_intent.latest_charge.payment_method_details.card.last4 == "4242"
    assert [line["amount"] for line in sandbox.ledger(after.payment_intent.id)] == [1250]


async def test_a_second_press_of_pay_charges_nothing_and_goes_on(sandbox: Running) -> None:
    session = await sandbox.session()
    await sandbox.press_pay(session, "4242424242424242")
    again = await sandbox.press_pay(session, "4242424242424242")
    assert (again.status_code, again.headers["location"]) == (303, f"http://merchant.test/done?session={session.id}")
    assert len(sandbox.ledger((await reread(sandbox, session)).payment_intent.id)) == 1
    assert "all done here" in (await sandbox.http.get(f"/c/pay/{session.id}")).text


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ({"card_number": "4242424242424241"}, "Your card number is invalid."),
        ({"expiry": "01/20"}, "expiration date is in the past"),
        ({"cvc": "1"}, "security code is incomplete"),
    ],
)
async def test_a_mistyped_card_is_no_attempt(sandbox: Running, typed: dict[str, str], says: str) -> None:
    session = await sandbox.session()
    answer = await sandbox.press_pay(session, **{"card": "4242424242424242", **typed})
    assert answer.status_code == 422
    assert says in answer.text.replace("&#39;", "'")
    assert (await reread(sandbox, session)).payment_intent is None


async def test_a_card_that_is_no_test_card_is_declined_and_its_number_not_kept(sandbox: Running) -> None:
    session = await sandbox.session()
    answer = await sandbox.press_pay(session, "4539578763621486")
    assert answer.status_code == 402
    assert "used a non test card" in answer.text
    for file in sandbox.data.iterdir():
        assert b"4539578763621486" not in file.read_bytes()


async def test_an_expired_session_cannot_be_paid(sandbox: Running) -> None:
    session = await sandbox.session()
    await sandbox.press_pay(session, "4000000000000002")
    expired = await sandbox.stripe.v1.checkout.sessions.expire_async(session.id)
    assert (expired.status, expired.url) == ("expired", None)
    answer = await sandbox.press_pay(session, "4242424242424242")
    page = await sandbox.http.get(answer.headers["location"])
    assert page.status_code == 410
    assert "This page has expired" in page.text
    assert 'href="http://merchant.test/back"' in page.text
    after = await reread(sandbox, session)
    assert after.payment_intent.status == "canceled"
    assert sandbox.ledger(after.payment_intent.id) == []
    with pytest.raises(stripe.InvalidRequestError, match="can be expired"):
        await sandbox.stripe.v1.checkout.sessions.expire_async(session.id)


async def test_a_session_expires_at_its_time(sandbox: Running) -> None:
    session = await sandbox.session()
    turned = await sandbox.control("POST", "/clock", advance=24 * 3600 - 60)
    assert (await reread(sandbox, session)).status == "open"
    assert turned["now"] < session.expires_at
    await sandbox.control("POST", "/clock", advance=61)
    assert (await reread(sandbox, session)).status == "expired"
    await sandbox.receiver.until_types(session.id, ["checkout.session.expired"])


async def test_authentication_passed_completes_the_session(sandbox: Running) -> None:
    session = await sandbox.session()
    asked = await sandbox.press_pay(session, "4000002760003184")
    assert (asked.status_code, asked.headers["location"]) == (303, f"/c/pay/{session.id}/challenge")
    page = (await sandbox.http.get(asked.headers["location"])).text
    assert "Complete authentication" in page
    assert "€12.50" in page
    assert (await reread(sandbox, session)).payment_intent.status == "requires_action"
    passed = await sandbox.http.post(asked.headers["location"], data={"answer": "complete"})
    assert passed.headers["location"] == f"http://merchant.test/done?session={session.id}"
    assert (await reread(sandbox, session)).payment_status == "paid"


async def test_authentication_failed_leaves_the_session_open_without_a_charge(sandbox: Running) -> None:
    session = await sandbox.session()
    await sandbox.press_pay(session, "4000002500003155")
    failed = await sandbox.http.post(f"/c/pay/{session.id}/challenge", data={"answer": "fail"})
    assert failed.status_code == 402
    assert "unable to authenticate your payment method" in failed.text
    after = await reread(sandbox, session)
    assert after.status == "open"
    assert after.payment_intent.last_payment_error.code == "payment_intent_authentication_failure"
    assert after.payment_intent.latest_charge is None


async def test_a_test_without_a_browser_pays_as_the_page_does(sandbox: Running) -> None:
    session = await sandbox.session()
    declined = await sandbox.control("POST", f"/sessions/{session.id}/pay", card="4000000000000002")
    assert (declined["outcome"], declined["decline_code"]) == ("declined", "generic_decline")
    asked = await sandbox.control("POST", f"/sessions/{session.id}/pay", card="4000002760003184")
    assert asked["outcome"] == "requires_action"
    paid = await sandbox.control("POST", f"/sessions/{session.id}/pay", card="4000002760003184", authenticate=True)
    assert (paid["outcome"], paid["redirect"]) == ("succeeded", f"http://merchant.test/done?session={session.id}")
    with pytest.raises(httpx.HTTPStatusError, match="409"):
        await sandbox.control("POST", f"/sessions/{session.id}/pay", card="4242424242424242")


@pytest.mark.parametrize(
    ("currency", "amount", "shown"), [("jpy", 1250, "¥1,250"), ("kwd", 12500, "KWD12.500"), ("usd", 1250, "$12.50")]
)
async def test_amounts_follow_the_currencys_decimals(sandbox: Running, currency: str, amount: int, shown: str) -> None:
    session = await sandbox.session(line_items=[line_item(amount, currency)])
    assert f"Pay {shown}</button>" in (await sandbox.http.get(str(session.url))).text.replace("\xa0", "")


async def test_a_page_of_no_session_is_a_404(sandbox: Running) -> None:
    assert (await sandbox.http.get("/c/pay/cs_test_none")).status_code == 404
    assert (await sandbox.http.get("/c/pay/cs_test_none/challenge")).status_code == 303


async def test_sessions_are_listed_by_customer_and_status(sandbox: Running) -> None:
    customer = await sandbox.stripe.v1.customers.create_async({})
    first, second = await sandbox.session(customer=customer.id), await sandbox.session(customer=customer.id)
    await sandbox.press_pay(first, "4242424242424242")
    sessions = sandbox.stripe.v1.checkout.sessions
    assert [s.id for s in (await sessions.list_async({"customer": customer.id})).data] == [second.id, first.id]
    still_open = await sessions.list_async({"customer": customer.id, "status": "open"})
    assert [s.id for s in still_open.data] == [second.id]
    intent = str((await sessions.retrieve_async(first.id)).payment_intent)
    assert [s.id for s in (await sessions.list_async({"payment_intent": intent})).data] == [first.id]
