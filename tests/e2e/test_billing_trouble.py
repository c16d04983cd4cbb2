"""When paying does not go smoothly: declined, to be confirmed, late, twice, disputed. In a browser, on the whole system."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from local.portal_client import Json, Mailbox, Portal, link_in, token_in
from tests.e2e.looks import violations
from tests.e2e.whole_system import PATIENT, WholeSystem

pytestmark = pytest.mark.timeout(700)

VISA, MASTERCARD, DECLINED = "4242 4242 4242 4242", "5555 5555 5555 4444", "4000 0000 0000 0002"
ALWAYS_ASKS = "4000 0027 6000 3184"
NO_FUNDS, EXPIRED = "4000000000009995", "4000000000000069"
IBAN = "DE89 3704 0044 0532 0130 00"
PASSWORD = "correct horse battery"


def test_money_that_does_not_come_smoothly(system: WholeSystem, browser: Browser) -> None:
    acts = Acts(system, browser)
    system.play(
        acts.people_sign_in,
        acts.a_declined_card_and_a_second_tab,
        acts.money_that_arrives_twice_is_seen_and_given_back,
        acts.a_debit_takes_days_and_fails,
        acts.the_bank_asks_the_customer_who_is_there,
        acts.a_renewal_is_to_be_confirmed,
        acts.a_renewal_is_declined,
        acts.the_second_try_is_declined_for_good,
        acts.a_new_card_settles_the_old_debt,
        acts.after_the_last_try_it_is_cancelled,
        acts.a_dispute_is_won_and_another_lost,
    )


class Acts:
    """One merchant and one customer. Time passes by moving the dates in billing's books into the past."""

    def __init__(self, system: WholeSystem, browser: Browser) -> None:
        self.state = system.state
        self.gateway = system.gateway
        self.mailbox = Mailbox(self.state["urls"]["mailbox"])
        self.mark = secrets.token_hex(3)
        self.email = f"tom.{self.mark}@example.com"
        self.admin = Portal(self.gateway).sign_in(**self.state["credentials"]["admin"])
        self.customer: Json = self.admin.call(
            "POST", "/customers", {"name": "Tom Falk", "email": self.email}, key=f"customer-{self.mark}"
        )
        self.console, self.portal, self.stranger = (self._person(browser, width) for width in (1280, 390, 390))

    @staticmethod
    def _person(browser: Browser, width: int) -> Page:
        # Without motion: axe must not measure colours that are on their way to others.
        context = browser.new_context(viewport={"width": width, "height": 850}, locale="en-GB", reduced_motion="reduce")
        page = context.new_page()
        page.set_default_timeout(PATIENT)
        return page

    def people_sign_in(self) -> None:
        self.admin.call("POST", f"/customers/{self.customer['id']}/invitations", {}, key=f"invite-{self.mark}")
        invitation = link_in(self.mailbox.wait(self.email, "/invitations/"), "/invitations/")
        Portal(self.gateway).accept(token_in(invitation), "Tom Falk", PASSWORD)
        admin = self.state["credentials"]["admin"]
        for page, email, password in (
            (self.console, admin["email"], admin["password"]),
            (self.portal, self.email, PASSWORD),
        ):
            page.goto(f"{self.gateway}/sign-in")
            page.get_by_label("E-mail address").fill(email)
            page.get_by_label("Password").fill(password)
            page.get_by_role("button", name="Sign in").click()
            expect(page.get_by_role("navigation", name="Main")).to_be_visible()

    # --- at the till ----------------------------------------------------------------------------------------------

    def a_declined_card_and_a_second_tab(self) -> None:
        invoice = self._link("Bookshelf")
        page, other = self.portal, self.portal.context.new_page()
        other.set_default_timeout(PATIENT)
        self._open(page, invoice)
        self._open(other, invoice)
        page.get_by_role("button", name="Pay €119.00").click()
        self._sees(other, re.compile(r"^Being paid since \d{1,2}:\d\d\s[AP]M\.$"))
        self._sees(other, "Started by Tom Falk. You can go on with it.")
        expect(page.get_by_label("Card number")).to_be_visible()
        checkout = page.url
        self._card(page, DECLINED)
        expect(page.get_by_role("alert")).to_contain_text("Your card was declined.")
        self._sees(other, "The last attempt did not go through.")
        self._is_clean(other)
        other.get_by_role("button", name="Go on with the payment").click()
        expect(other).to_have_url(checkout)
        self._card(page, VISA)
        self._sees(page, "Paid, thank you.")
        self._sees(page, "Paid with the card ending in 4242.")
        self._is_clean(page)
        other.reload()
        self._sees(other, "You're all done here")
        other.close()
        self.bookshelf = invoice

    def money_that_arrives_twice_is_seen_and_given_back(self) -> None:
        """Somebody charges the same payment again at Stripe."""
        (paid,) = self._intents(self.bookshelf)
        again = {"amount": paid["amount"], "currency": paid["currency"], "payment_method": "pm_card_visa"}
        said = {f"metadata[{name}]": value for name, value in paid["metadata"].items()}
        self._stripe("POST", "/v1/payment_intents", again | said | {"confirm": "true"} | _NO_REDIRECTS)
        page = self.console
        page.goto(f"{self.gateway}/console/invoices/{self.bookshelf['id']}")
        self._sees(page, "this money is to be given back")
        self._is_clean(page)
        page.get_by_role("link", name="Give money back").click()
        assert "came on top of what was due" in page.get_by_label("Payment", exact=True).inner_text()
        expect(page.get_by_label("Amount (EUR)")).to_have_value("119.00")
        page.get_by_label("Yes, give this money back").check()
        self._is_clean(page)
        page.get_by_role("button", name="Give it back").click()
        self._sees(page, "Given back", exact=True)
        after = self.admin.call("GET", f"/invoices/{self.bookshelf['id']}")
        assert (after["status"], after["amount_paid"], after["amount_refunded"]) == ("paid", 11900, 0)

    def a_debit_takes_days_and_fails(self) -> None:
        invoice = self._link("Desk")
        page = self.portal
        self._open(page, invoice)
        page.get_by_role("button", name="Pay €119.00").click()
        page.get_by_text("By bank debit").click()
        page.get_by_label("IBAN").fill(IBAN)
        page.get_by_label("Account holder").fill("Tom Falk")
        page.get_by_role("button", name="Debit €119.00").click()
        self._sees(page, "is being processed. Nothing more has to be done.")
        expect(page.get_by_role("button", name=re.compile("^Pay"))).to_have_count(0)
        self._is_clean(page)
        (intent,) = self._intents(invoice)
        assert intent["status"] == "processing"
        self._sandbox(f"/payment_intents/{intent['id']}/settle", outcome="failed")
        expect(page.get_by_role("button", name="Pay €119.00")).to_be_visible()
        self._sees(page, "The last attempt did not go through.")
        self._is_clean(page)
        page.get_by_role("button", name="Pay €119.00").click()
        self._card(page, VISA)
        self._sees(page, "Paid, thank you.")

    # --- a subscription -------------------------------------------------------------------------------------------

    def the_bank_asks_the_customer_who_is_there(self) -> None:
        self.box = self._link("Vegetable box", kind="recurring", interval={"unit": "month", "count": 3})
        page = self.portal
        self._open(page, {"id": self.box["first_invoice_id"]})
        page.get_by_role("button", name="Pay €119.00").click()
        self._card(page, ALWAYS_ASKS)
        page.get_by_role("button", name="Fail authentication").click()
        expect(page.get_by_role("alert")).to_contain_text("unable to authenticate")
        self._card(page, ALWAYS_ASKS)
        self._is_clean(page)
        page.get_by_role("button", name="Complete authentication").click()
        self._sees(page, "Paid, thank you.")
        page.goto(f"{self.gateway}/portal/subscriptions/{self.box['id']}")
        self._sees(page, "Active", exact=True)

    def a_renewal_is_to_be_confirmed(self) -> None:
        self._days_pass(_A_QUARTER)
        mail = self.mailbox.wait(self.email, "Please confirm the payment")
        page = self.stranger
        page.goto(link_in(mail, "/pay/"))
        self._is_clean(page)
        page.get_by_role("button", name="Pay €119.00").click()
        self._card(page, ALWAYS_ASKS)
        page.get_by_role("button", name="Complete authentication").click()
        self._sees(page, "Paid, thank you.")
        self._is_clean(page)
        assert self._agreed() == ("active", 2)

    def a_renewal_is_declined(self) -> None:
        self._bank_says(NO_FUNDS)
        self._days_pass(_A_QUARTER)
        self.debt = self._last_invoice(failures=1)
        mail = self.mailbox.wait(self.email, f"The charge for invoice {self.debt['number']} failed")
        assert link_in(mail, "/pay/")
        page = self.portal
        self._open(page, self.debt)
        self._sees(page, "The last attempt did not go through.")
        self._is_clean(page)
        page.goto(f"{self.gateway}/portal/todos")
        expect(page.get_by_role("link", name=re.compile(f"^Pay {self.debt['number']}"))).to_be_visible()
        expect(page.get_by_text("Replace the card")).to_have_count(0)

    def the_second_try_is_declined_for_good(self) -> None:
        self._bank_says(EXPIRED)
        self._days_pass(3)
        assert self._last_invoice(failures=2)["id"] == self.debt["id"]
        self.mailbox.wait(self.email, f"The charge for invoice {self.debt['number']} failed", newer_than=1)
        page = self.portal
        page.goto(f"{self.gateway}/portal/todos")
        expect(page.get_by_role("link", name="Replace the card ending in 3184")).to_be_visible()
        self._is_clean(page)
        self.console.goto(f"{self.gateway}/console/customers/{self.customer['id']}/subscriptions")
        self._is_clean(self.console)
        self.console.goto(f"{self.gateway}/console/subscriptions/{self.box['id']}")
        self._is_clean(self.console)

    def a_new_card_settles_the_old_debt(self) -> None:
        page = self.portal
        page.get_by_role("link", name="Replace the card ending in 3184").click()
        self._is_clean(page)
        page.goto(f"{self.gateway}/portal/payment-methods")
        self._is_clean(page)
        page.get_by_role("button", name="Add a payment method").click()
        self._card(page, MASTERCARD, "^Save card$")
        expect(page.get_by_role("heading", name="Payment method saved")).to_be_visible()
        self._open(page, self.debt)
        self._sees(page, "Paid with the card ending in 4444.")
        page.goto(f"{self.gateway}/portal/todos")
        done = page.get_by_role("region", name="Done")
        expect(done).to_contain_text("Replace the card ending in 3184")
        expect(done).to_contain_text(self.debt["number"])
        assert self._agreed() == ("active", 3)

    def after_the_last_try_it_is_cancelled(self) -> None:
        self._bank_says(NO_FUNDS)
        self._days_pass(_A_QUARTER)
        owed = self._last_invoice(failures=1)
        for failures, days in ((2, 3), (3, 5), (4, 7), (5, 7)):
            self._days_pass(days)
            assert self._last_invoice(failures=failures)["id"] == owed["id"]
        assert self._agreed() == ("cancelled", 3)
        mail = self.mailbox.wait(self.email, "Vegetable box is cancelled")
        assert mail["html"]
        for page, base in ((self.portal, "portal"), (self.console, "console")):
            page.goto(f"{self.gateway}/{base}/subscriptions/{self.box['id']}")
            self._sees(page, "Cancelled", exact=True)
            self._is_clean(page)
        self._open(self.portal, owed)
        expect(self.portal.get_by_role("button", name="Pay €119.00")).to_be_visible()

    # --- disputes -------------------------------------------------------------------------------------------------

    def a_dispute_is_won_and_another_lost(self) -> None:
        page = self.console
        page.goto(f"{self.gateway}/console/invoices/{self.debt['id']}")
        disputes = page.get_by_role("region", name="Disputes")
        (intent,) = [each for each in self._intents(self.debt) if each["status"] == "succeeded"]
        for outcome, shown, amount in (("won", "Won", 5000), ("lost", "Lost", 11900)):
            opened = self._sandbox("/disputes", payment_intent=intent["id"], amount=amount)
            expect(disputes.get_by_text("Open", exact=True)).to_be_visible()
            self._is_clean(page)
            self._sandbox(f"/disputes/{opened['id']}/close", outcome=outcome)
            expect(disputes.get_by_text(shown, exact=True)).to_be_visible()
            if outcome == "won":
                (intent,) = self._intents(self.bookshelf)[-1:]
                page.goto(f"{self.gateway}/console/invoices/{self.bookshelf['id']}")
        self._is_clean(page)
        mails = self.mailbox.wait(self.state["credentials"]["admin"]["email"], "disput", newer_than=1)
        assert "119.00" in mails["text"]

    # --- what they have in common ---------------------------------------------------------------------------------

    def _link(self, what: str, **more: object) -> Json:
        line = {"description": what, "quantity": "1", "unit_amount": 10000, "tax_rate": "19"}
        body: Json = {"currency": "EUR", "lines": [line], "send_email": False, **more}
        where, key = f"/customers/{self.customer['id']}/payment-links", f"{what}-{self.mark}".replace(" ", "-")
        made: Json = self.admin.call("POST", where, body, key=key)
        return made

    def _open(self, page: Page, invoice: Json) -> None:
        page.goto(f"{self.gateway}/portal/payments/{invoice['id']}")

    @staticmethod
    def _card(page: Page, number: str, press: str = "^Pay ") -> None:
        page.get_by_label("Card number").fill(number)
        page.get_by_label("Expiry").fill("12 / 34")
        page.get_by_label("CVC").fill("123")
        page.get_by_label("Name on card").fill("Tom Falk")
        page.get_by_role("button", name=re.compile(press)).click()

    @staticmethod
    def _sees(page: Page, text: str | re.Pattern[str], *, exact: bool = False) -> None:
        """In the page itself: what changes on it is said to screen readers a second time, beside it."""
        expect(page.get_by_role("main").get_by_text(text, exact=exact).first).to_be_visible()

    @staticmethod
    def _is_clean(page: Page) -> None:
        """Axe finds nothing on the page as it stands, by day; and by night no colour that cannot be read."""
        found = violations(page)
        page.emulate_media(color_scheme="dark")
        found += violations(page, "color-contrast", "link-in-text-block")
        page.emulate_media(color_scheme="light")
        assert found == [], page.url

    def _agreed(self) -> tuple[str, int]:
        found = self.admin.call("GET", f"/subscriptions/{self.box['id']}")
        return found["status"], found["charges_paid"]

    def _last_invoice(self, *, failures: int) -> Json:
        """The subscription's newest invoice, once so many charges of it have failed."""
        end = time.monotonic() + PATIENT / 1000
        while time.monotonic() < end:
            rows = self._books(_LAST_INVOICE, self.box["id"])
            if rows and rows[0]["failures"] == failures:
                found: Json = self.admin.call("GET", f"/invoices/{rows[0]['id']}")
                return found
            time.sleep(0.1)
        raise TimeoutError(f"No {failures} failures: {rows}")

    # --- Stripe and the books -------------------------------------------------------------------------------------

    def _stripe(self, method: str, path: str, data: Json | None = None) -> Any:
        headers = {"Authorization": f"Bearer {self.state['stripe']['secret_key']}"}
        url = f"{self.state['urls']['stripe']}{path}"
        return httpx.request(method, url, data=data, headers=headers, timeout=20).raise_for_status().json()

    def _sandbox(self, path: str, **body: object) -> Json:
        url = f"{self.state['urls']['stripe']}/_sandbox{path}"
        said: Json = httpx.post(url, json=body, timeout=20).raise_for_status().json()
        return said

    def _intents(self, invoice: Json) -> list[Json]:
        """The invoice's payments at Stripe, the newest first."""
        intents = self._stripe("GET", "/v1/payment_intents?limit=100")["data"]
        return [each for each in intents if each["metadata"].get("invoice_id") == invoice["id"]]

    def _bank_says(self, card: str) -> None:
        """The bank of the default card answers like this test card's from now on."""
        (row,) = self._books(_DEFAULT_CARD, self.customer["id"])
        self._sandbox(f"/payment_methods/{row['stripe_id']}", behaves_like=card)

    def _books(self, sql: str, *values: Any) -> list[Any]:
        return _apart(self.state["databases"]["billing"], sql, values)

    def _days_pass(self, days: int) -> None:
        """Everything that billing knows of the subscription was `days` earlier, so what was to come then comes now."""
        (row,) = self._books("SELECT state::text, standing::text FROM subscription WHERE id = $1", self.box["id"])
        earlier = [_earlier(row[name], days) for name in ("state", "standing")]
        self._books(_MOVE_SUBSCRIPTION, self.box["id"], *earlier, timedelta(days=days))
        for invoice in self._books(_COLLECTIONS, self.box["id"]):
            self._books(_MOVE_COLLECTION, invoice["id"], _earlier(invoice["collection"], days), timedelta(days=days))
        self._books("SELECT pg_notify('subscription_due', '')")


_A_QUARTER = 93
"""Days, a little more than three months have: the calendar is then late, never early."""
_NO_REDIRECTS = {"automatic_payment_methods[enabled]": "true", "automatic_payment_methods[allow_redirects]": "never"}
_LAST_INVOICE = """
SELECT id::text, coalesce((collection->>'failures')::int, 0) AS failures FROM invoice
WHERE subscription_id = $1 ORDER BY id DESC LIMIT 1
"""
_DEFAULT_CARD = "SELECT stripe_id FROM payment_method WHERE customer_id = $1 AND is_default"
_MOVE_SUBSCRIPTION = """
UPDATE subscription SET state = $2, standing = $3, next_turn_at = next_turn_at - $4::interval WHERE id = $1
"""
_COLLECTIONS = "SELECT id, collection::text FROM invoice WHERE subscription_id = $1 AND next_try_at IS NOT NULL"
_MOVE_COLLECTION = "UPDATE invoice SET collection = $2, next_try_at = next_try_at - $3::interval WHERE id = $1"


def _earlier(text: str, days: int) -> str:
    """JSON with every date and time in it so many days earlier."""
    json.loads(text)
    moved = re.compile(r'"(\d{4}-\d\d-\d\d)(?=["T])')
    return moved.sub(lambda found: f'"{date.fromisoformat(found[1]) - timedelta(days=days)}', text)


def _apart(url: str, sql: str, values: tuple[Any, ...]) -> list[Any]:
    """One statement, in a thread of its own: Playwright's event loop runs in this one."""

    async def asked() -> list[Any]:
        connection = await asyncpg.connect(url)
        try:
            return list(await connection.fetch(sql, *values))
        finally:
            await connection.close()

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(asked())).result()
