"""Billing, whole, as a merchant and a customer use it: the system as `make up` starts it, with Chromium and the sandbox."""

import csv
import io
import re
import secrets
from datetime import UTC, date, datetime, timedelta

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from local.portal_client import Json, Mailbox, Portal, link_in, pay_at_checkout, token_in
from tests.e2e.looks import violations
from tests.e2e.whole_system import PATIENT, WholeSystem

pytestmark = pytest.mark.timeout(700)

FIRST_CARD, SECOND_CARD = "4242 4242 4242 4242", "5555 5555 5555 4444"
PASSWORD = "correct horse battery"


def test_a_small_business_does_its_billing(system: WholeSystem, browser: Browser) -> None:
    acts = Acts(system, browser)
    system.play(
        acts.people_sign_in,
        acts.merchant_offers_a_subscription,
        acts.customer_accepts_it_by_paying,
        acts.customer_adds_a_second_card_and_makes_it_the_default,
        acts.customer_has_the_subscription_charge_the_first_card,
        acts.customer_pauses_until_a_date_and_resumes,
        acts.customer_cancels_at_the_end_of_the_period_and_thinks_again,
        acts.merchant_makes_a_plan_of_three_and_the_first_is_paid,
        acts.merchant_gives_part_of_a_payment_back,
        acts.merchant_renews_a_link_and_the_old_address_says_so,
        acts.whoever_has_the_new_link_pays_a_part,
        acts.merchant_copies_renews_and_withdraws_the_link_of_an_offer,
        acts.the_statement_adds_up,
    )


class Acts:
    """One merchant and one customer, over HTTP where a program would be asked and in a browser where a person clicks."""

    def __init__(self, system: WholeSystem, browser: Browser) -> None:
        self.state = system.state
        self.gateway = system.gateway
        self.mailbox = Mailbox(self.state["urls"]["mailbox"])
        self.mark = secrets.token_hex(3)
        self.email = f"lina.{self.mark}@example.com"
        self.admin = Portal(self.gateway).sign_in(**self.state["credentials"]["admin"])
        self.customer: Json = self.admin.call(
            "POST", "/customers", {"name": "Lina Berg", "email": self.email}, key=f"customer-{self.mark}"
        )
        self.console, self.portal, self.stranger = (self._person(browser, width) for width in (1280, 390, 390))
        self.charged: list[Json] = []

    @staticmethod
    def _person(browser: Browser, width: int) -> Page:
        page = browser.new_context(viewport={"width": width, "height": 850}, locale="en-GB").new_page()
        page.set_default_timeout(PATIENT)
        return page

    def _sign_in(self, page: Page, email: str, password: str) -> None:
        page.goto(f"{self.gateway}/sign-in")
        page.get_by_label("E-mail address").fill(email)
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("navigation", name="Main")).to_be_visible()

    @staticmethod
    def _card(page: Page, number: str, press: str) -> None:
        page.get_by_label("Card number").fill(number)
        page.get_by_label("Expiry").fill("12 / 34")
        page.get_by_label("CVC").fill("123")
        page.get_by_label("Name on card").fill("Lina Berg")
        page.get_by_role("button", name=re.compile(press)).click()

    def _link(self, what: str, **more: object) -> Json:
        line = {"description": what, "quantity": "1", "unit_amount": 10000, "tax_rate": "19"}
        body: Json = {"currency": "EUR", "lines": [line], "send_email": False, **more}
        made: Json = self.admin.call(
            "POST", f"/customers/{self.customer['id']}/payment-links", body, key=f"{what}-{self.mark}".replace(" ", "-")
        )
        return made

    def people_sign_in(self) -> None:
        self.admin.call("POST", f"/customers/{self.customer['id']}/invitations", {}, key=f"invite-{self.mark}")
        invitation = link_in(self.mailbox.wait(self.email, "/invitations/"), "/invitations/")
        self.contact = Portal(self.gateway).accept(token_in(invitation), "Lina Berg", PASSWORD)
        self._sign_in(self.console, **self.state["credentials"]["admin"])
        self._sign_in(self.portal, self.email, PASSWORD)

    # --- a subscription -------------------------------------------------------------------------------------------

    def merchant_offers_a_subscription(self) -> None:
        page = self.console
        page.goto(f"{self.gateway}/console/customers/{self.customer['id']}/payment-links/new")
        page.get_by_label("Again and again").check()
        line = page.get_by_role("group", name="Line 1")
        line.get_by_label("Description").fill("Coffee club")
        line.get_by_label("Unit price").fill("56")
        line.get_by_label("Tax in percent").fill("19")
        page.get_by_label(re.compile("^Every")).fill("1")
        page.get_by_label("Unit", exact=True).select_option("month")
        page.get_by_label("Allow customer to cancel subscription").check()
        page.get_by_label("Allow customer to pause subscription").check()
        page.get_by_role("button", name="Save And Email Payment Link").click()
        expect(page.get_by_text("Not accepted yet")).to_be_visible()
        assert link_in(self.mailbox.wait(self.email, "Coffee club"), "/pay/")

    def customer_accepts_it_by_paying(self) -> None:
        page = self.portal
        page.get_by_role("link", name="Subscriptions", exact=True).click()
        page.get_by_role("link", name="Coffee club").click()
        expect(page).to_have_url(re.compile("/portal/subscriptions/[^/]+$"))
        self.subscription = page.url.partition("?")[0]
        page.get_by_role("link", name="To the first invoice").click()
        page.get_by_role("button", name="Pay €66.64").click()
        self._card(page, FIRST_CARD, "^Pay ")
        expect(page.get_by_text("Paid", exact=True).first).to_be_visible()
        page.goto(self.subscription)
        expect(page.get_by_text("Active", exact=True)).to_be_visible()
        assert (self._agreed()["status"], self._agreed()["charges_paid"]) == ("active", 1)
        page.get_by_role("link", name="Payment methods", exact=True).click()
        expect(self._method("4242")).to_contain_text("Default")
        expect(self._method("4242")).to_contain_text("used by a subscription")
        expect(self.console.get_by_text("Active", exact=True)).to_be_visible()  # without a reload

    def _agreed(self) -> Json:
        found: Json = self.contact.call("GET", f"/subscriptions/{self.subscription.rsplit('/', 1)[-1]}")
        return found

    def _method(self, last4: str) -> Locator:
        return self.portal.get_by_role("main").get_by_role("listitem").filter(has_text=last4)

    def customer_adds_a_second_card_and_makes_it_the_default(self) -> None:
        page = self.portal
        page.get_by_role("button", name="Add a payment method").click()
        self._card(page, SECOND_CARD, "^Save card$")
        expect(page.get_by_role("heading", name="Payment method saved")).to_be_visible()
        page.get_by_role("link", name="To the payment methods").click()
        expect(self._method("4242")).to_contain_text("Default")
        self._method("4444").get_by_role("button", name="Make default").click()
        expect(self._method("4444")).to_contain_text("Default")
        expect(self._method("4242")).not_to_contain_text("Default")

    def customer_has_the_subscription_charge_the_first_card(self) -> None:
        page = self.portal
        page.goto(self.subscription)
        expect(page.get_by_role("definition").filter(has_text="Mastercard •••• 4444")).to_be_visible()
        page.get_by_text("Pay with another payment method").click()
        assert violations(page) == []
        page.get_by_label("Pay with").select_option(label="Visa •••• 4242")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("chosen for this subscription")).to_be_visible()
        expect(self.console.get_by_text("chosen for this subscription")).to_be_visible()
        (visa,) = [each for each in self.contact.call("GET", "/payment-methods")["items"] if each["last4"] == "4242"]
        assert (self._agreed()["payment_method_id"], visa["in_use"], visa["is_default"]) == (visa["id"], True, False)
        page.goto(f"{self.gateway}/portal/payment-methods")
        self._method("4242").get_by_role("link", name="Remove").click()
        expect(page.get_by_text("A subscription uses this payment method. Choose which one")).to_be_visible()

    def customer_pauses_until_a_date_and_resumes(self) -> None:
        page, until = self.portal, datetime.now(UTC).date() + timedelta(days=75)
        page.goto(self.subscription)
        planned = self._agreed()["next_charge"]
        page.get_by_role("link", name="Pause", exact=True).click()
        page.get_by_label("Until").fill(until.isoformat())
        page.get_by_role("button", name="Show what changes").click()
        promised = page.get_by_text("The next charge is then").inner_text()
        page.get_by_role("button", name="Pause it").click()
        expect(page.get_by_text("Paused", exact=True)).to_be_visible()
        paused = self._agreed()
        assert (paused["status"], paused["resumes_on"]) == ("paused", until.isoformat())
        assert _written(paused["next_charge"]["on"]) in promised
        assert date.fromisoformat(paused["next_charge"]["on"]) >= until
        page.get_by_role("link", name="Resume", exact=True).click()
        page.get_by_role("button", name="Resume it").click()
        expect(page.get_by_text("Active", exact=True)).to_be_visible()
        assert self._agreed()["next_charge"] == planned

    def customer_cancels_at_the_end_of_the_period_and_thinks_again(self) -> None:
        page, before = self.portal, self._agreed()
        page.get_by_role("link", name=re.compile("^Cancel")).click()
        expect(page.get_by_label("When")).to_have_value("period_end")
        page.get_by_label("Reason").fill("We move house")
        page.get_by_role("button", name="Cancel it").click()
        ends = before["next_charge"]["on"]
        expect(page.get_by_text(f"It is going to be cancelled on {_written(ends)}.")).to_be_visible()
        assert (self._agreed()["status"], self._agreed()["cancel_on"]) == ("active", ends)
        page.get_by_role("link", name="Do not cancel").click()
        page.get_by_role("button", name="Take the cancellation back").click()
        expect(page.get_by_text("It is not cancelled after all.")).to_be_visible()
        assert self._agreed()["cancel_on"] is None
        assert self._agreed()["next_charge"] == before["next_charge"]

    # --- a payment plan -------------------------------------------------------------------------------------------

    def merchant_makes_a_plan_of_three_and_the_first_is_paid(self) -> None:
        monthly = {"unit": "month", "count": 1}
        plan = self._link("Coffee machine", kind="payment_plan", instalments={"count": 3, "interval": monthly})
        assert [each["amount"] for each in plan["instalments"]] == [3966, 3966, 3968]
        first = plan["first_invoice_id"]
        checkout = self.contact.call("POST", f"/invoices/{first}/pay", {}, key=f"plan-{self.mark}")
        assert pay_at_checkout(checkout["checkout_url"], "4242424242424242").status_code == 303
        page = self.portal
        page.goto(f"{self.gateway}/portal/subscriptions/{plan['id']}")
        expect(page.get_by_text("Active", exact=True)).to_be_visible()
        instalments = page.get_by_role("region", name="Instalments").get_by_role("row")
        expect(instalments.nth(1)).to_contain_text("Paid")
        expect(instalments.nth(3)).to_contain_text("Planned")
        expect(instalments.nth(3)).to_contain_text("€39.68")

    # --- money back, links, parts ---------------------------------------------------------------------------------

    def merchant_gives_part_of_a_payment_back(self) -> None:
        invoice = self._agreed()["first_invoice_id"]
        page = self.console
        page.goto(f"{self.gateway}/console/invoices/{invoice}")
        page.get_by_role("link", name="Give money back").click()
        page.get_by_label("Amount (EUR)").fill("11.90")
        page.get_by_label("Reason").fill("One bag was torn")
        page.get_by_label("Yes, give this money back").check()
        page.get_by_role("button", name="Give it back").click()
        expect(page.get_by_text("Given back", exact=True)).to_be_visible()
        self._downloads(page, "Credit note")
        self.portal.goto(f"{self.gateway}/portal/payments/{invoice}")
        refunds = self.portal.get_by_role("region", name="Refunds")
        expect(refunds).to_contain_text("€11.90")
        expect(refunds).to_contain_text("One bag was torn")
        self._downloads(self.portal, "Credit note")
        assert "11.90" in self.mailbox.wait(self.email, "One bag was torn")["text"]

    @staticmethod
    def _downloads(page: Page, name: str) -> None:
        with page.expect_download() as started:
            page.get_by_role("link", name=re.compile(f"^{name}")).click()
        assert started.value.path().read_bytes().startswith(b"%PDF-")

    def merchant_renews_a_link_and_the_old_address_says_so(self) -> None:
        invoice = self._link("Terrace furniture", partial=True)
        old = self._address(invoice)
        page = self.console
        page.goto(f"{self.gateway}/console/invoices/{invoice['id']}")
        page.get_by_text("Change the link").click()
        page.get_by_role("button", name="Make a new link").click()
        expect(page.get_by_text("the one before no longer works")).to_be_visible()
        self.address = self._address(invoice)
        assert self.address != old
        self.stranger.goto(old)
        expect(self.stranger.get_by_role("heading", name="There is a newer payment link")).to_be_visible()
        assert httpx.get(old, timeout=10).status_code == 410
        self.in_parts = invoice

    def _address(self, invoice: Json) -> str:
        return str(self.admin.call("POST", f"/invoices/{invoice['id']}/link", {})["url"])

    def whoever_has_the_new_link_pays_a_part(self) -> None:
        page = self.stranger
        page.goto(self.address)
        page.get_by_label("Amount to pay").fill("20")
        page.get_by_role("button", name="Pay", exact=True).click()
        self._card(page, FIRST_CARD, "^Pay €20.00")
        expect(page.get_by_text("€99.00").first).to_be_visible()
        after = self.admin.call("GET", f"/invoices/{self.in_parts['id']}")
        assert (after["status"], after["amount_paid"], after["amount_due"]) == ("open", 2000, 9900)

    def merchant_copies_renews_and_withdraws_the_link_of_an_offer(self) -> None:
        offer = self._link("Beans on trial", kind="recurring", interval={"unit": "month"}, trial_days=14)
        here, page = f"{self.gateway}/console/subscriptions/{offer['id']}", self.console
        first = self._copied(here)
        page.goto(here)
        page.get_by_text("Change the link").click()
        assert violations(page) == []
        page.get_by_role("button", name="Make a new link").click()
        expect(page.get_by_text("the one before no longer works")).to_be_visible()
        second = self._copied(here)
        assert second != first
        self.stranger.goto(first)
        expect(self.stranger.get_by_text("has been replaced by a newer one")).to_be_visible()
        assert violations(self.stranger) == []
        self.stranger.goto(second)
        expect(self.stranger.get_by_role("button", name="Accept")).to_be_visible()
        page.goto(here)
        page.get_by_text("Change the link").click()
        page.get_by_role("button", name="Withdraw the link").click()
        expect(page.get_by_text("The payment link has been withdrawn.")).to_be_visible()
        self.stranger.reload()
        expect(self.stranger.get_by_text("The link to this offer has been withdrawn")).to_be_visible()
        assert self.admin.call("GET", f"/subscriptions/{offer['id']}")["status"] == "pending"

    def _copied(self, here: str) -> str:
        """The address that the page of an offer's link shows to be copied."""
        self.console.goto(here)
        self.console.get_by_role("link", name="Copy link").click()
        return self.console.get_by_label("Address of the offer").input_value()

    def the_statement_adds_up(self) -> None:
        page = self.portal
        page.goto(f"{self.gateway}/portal/payments")
        page.get_by_role("link", name="Account statement").click()
        expect(page.get_by_role("row", name=re.compile("Balance after"))).to_contain_text("€99.00")
        with page.expect_download() as started:
            page.get_by_role("link", name="Download (CSV)").click()
        rows = list(csv.DictReader(io.StringIO(started.value.path().read_text("utf-8-sig"))))
        assert (rows[0]["kind"], rows[0]["balance"]) == ("opening", "0.00")
        assert (rows[-1]["kind"], rows[-1]["balance"]) == ("closing", "99.00")
        counted = 0
        for row in rows[1:-1]:
            counted += _cents(row["amount"])
            assert _cents(row["balance"]) == counted, rows
        kinds = sorted(row["kind"] for row in rows[1:-1])
        assert kinds == ["credit_note", *["invoice"] * 3, *["payment"] * 3, "refund"]
        self._downloads(page, r"Download \(PDF\)")


def _written(day: str) -> str:
    """A date as the pages write it in English."""
    given = date.fromisoformat(day)
    return f"{given:%b} {given.day}, {given.year}"


def _cents(amount: str) -> int:
    return int(amount.replace(".", ""))
