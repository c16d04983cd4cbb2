"""The product's main story in a real browser, as the people in it would click through it."""

import re
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from playwright.sync_api import Browser, Locator, Page, expect

from local.portal_client import Mailbox, link_in
from tests.e2e.whole_system import PATIENT

GOOD_CARD, DECLINED_CARD = "4242 4242 4242 4242", "4000 0000 0000 0002"


def play(browser: Browser, state: dict[str, Any]) -> None:
    """All seven steps of the story, each looking at what its person would look at."""
    Acts(browser, state).all()


class Acts:
    def __init__(self, browser: Browser, state: dict[str, Any]) -> None:
        self.gateway = state["urls"]["gateway"]
        self.mailbox = Mailbox(state["urls"]["mailbox"])
        self.admin = state["credentials"]["admin"]
        mark = secrets.token_hex(3)
        self.first, self.second = f"ada.{mark}@example.com", f"grace.{mark}@example.com"
        self.name, self.other = f"Ada {mark}", f"Grace {mark}"
        self.due = (datetime.now(UTC).date() + timedelta(days=14)).isoformat()
        self.console = self._person(browser, 1280)
        self.portal = self._person(browser, 390)
        self.stranger = self._person(browser, 390)

    @staticmethod
    def _person(browser: Browser, width: int) -> Page:
        page = browser.new_context(viewport={"width": width, "height": 850}, locale="en-GB").new_page()
        page.set_default_timeout(PATIENT)
        return page

    def all(self) -> None:
        self.merchant_invites()
        self.customer_signs_up()
        mailed, saved = self.merchant_makes_links()
        self.stranger_signs_up_and_pays()
        self.customer_pays(mailed, saved)
        self.todos()

    def merchant_invites(self) -> None:
        page = self.console
        page.goto(f"{self.gateway}/sign-in")
        page.get_by_label("E-mail address").fill(self.admin["email"])
        page.get_by_label("Password").fill(self.admin["password"])
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("link", name="Customers").click()
        self._add_customer(self.name, self.first)
        page.get_by_role("button", name="Send Invite").click()
        # The mail's delivery shows up beside the invitation, without a reload.
        expect(page.get_by_text("Mail sent")).to_be_visible()

    def _add_customer(self, name: str, email: str) -> None:
        page = self.console
        page.goto(f"{self.gateway}/console/customers")
        page.get_by_role("link", name="Add a customer").click()
        page.get_by_label("Name", exact=True).fill(name)
        page.get_by_label("E-mail address").fill(email)
        page.get_by_role("button", name="Add customer").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text(name)

    def customer_signs_up(self) -> None:
        link = link_in(self.mailbox.wait(self.first, "/invitations/"), "/invitations/")
        for _ in range(3):  # as mail scanners do
            assert httpx.get(link, timeout=10).status_code == 200
        page = self.portal
        page.goto(link)
        page.get_by_label("Your name").fill(self.name)
        page.get_by_label("Choose a password").fill("correct horse battery")
        page.get_by_role("button", name="Create my account").click()
        expect(page).to_have_url(re.compile(r"/portal(\?|$)"))
        self.console.reload()
        expect(self.console.get_by_text(self.first).first).to_be_visible()

    def merchant_makes_links(self) -> tuple[str, str]:
        mailed = self._new_link("Coffee beans", "2", "28.90", "Save And Email Payment Link")
        saved = self._new_link("Barista course", "1", "149", "Save Payment Link")
        page = self.console
        page.get_by_role("link", name="Payments").click()
        page.get_by_role("row", name=re.compile(saved)).get_by_role("link", name="Copy link").click()
        url = page.get_by_label("Address of the payment page").input_value()
        assert httpx.get(url, timeout=10).status_code == 200
        assert self.mailbox.wait(self.first, mailed)["subject"]
        return mailed, saved

    def _new_link(self, text: str, quantity: str, price: str, press: str) -> str:
        page = self.console
        page.goto(f"{self.gateway}/console/customers?q={self.name}")
        page.get_by_role("link", name=self.name).click()
        page.get_by_role("link", name="Payments").click()
        page.get_by_role("link", name="Create new Payment Link").click()
        line = page.get_by_role("group", name="Line 1")
        line.get_by_label("Description").fill(text)
        line.get_by_label("Quantity").fill(quantity)
        line.get_by_label("Unit price").fill(price)
        line.get_by_label("Tax in percent").fill("19")
        page.locator("#due-on").fill(self.due)
        page.get_by_role("button", name=press).click()
        shown = page.get_by_text(re.compile(r"INV-\d+")).first
        expect(shown).to_be_visible()
        found = re.search(r"INV-\d+", shown.inner_text())
        assert found is not None
        number = found.group()
        expect(page.get_by_text("Tax 19%")).to_be_visible()
        page.goto(f"{self.gateway}/console/customers?q={self.name}")
        page.get_by_role("link", name=self.name).click()
        return number

    def stranger_signs_up_and_pays(self) -> None:
        self._add_customer(self.other, self.second)
        name, self.name = self.name, self.other
        number = self._new_link("Catering", "1", "320", "Save And Email Payment Link")
        self.name = name
        page = self.stranger
        page.goto(link_in(self.mailbox.wait(self.second, number), "/pay/"))
        page.get_by_role("button", name="Sign up for the portal").click()
        page.goto(link_in(self.mailbox.wait(self.second, "/invitations/"), "/invitations/"))
        page.get_by_label("Your name").fill("Grace Hopper")
        page.get_by_label("Choose a password").fill("a nanosecond of wire")
        page.get_by_role("button", name="Create my account").click()
        expect(page.get_by_text(number).first).to_be_visible()
        self._open_and_pay(page, number)
        self._card(page, GOOD_CARD)
        expect(page.get_by_text("Paid", exact=True).first).to_be_visible()

    def customer_pays(self, mailed: str, saved: str) -> None:
        page = self.portal
        page.goto(f"{self.gateway}/portal")
        for number in (mailed, saved):
            expect(page.get_by_role("link", name=re.compile(rf"^Pay {number} \("))).to_be_visible()
        watching = page.context.new_page()  # the second tab, left open on the invoice
        watching.goto(f"{self.gateway}/portal/payments")
        watching.get_by_role("link", name=mailed, exact=True).click()
        page.get_by_role("link", name="Payments", exact=True).click()
        self._open_and_pay(page, mailed)
        self._card(page, DECLINED_CARD)
        expect(page.get_by_role("alert")).to_contain_text("declined")
        self._card(page, GOOD_CARD)
        expect(watching.get_by_text("Paid", exact=True).first).to_be_visible()
        expect(page.get_by_text("Paid", exact=True).first).to_be_visible()
        for name in ("receipt", "invoice"):
            with page.expect_download() as started:
                page.get_by_role("link", name=f"Download {name} (PDF)").click()
            assert started.value.path().read_bytes().startswith(b"%PDF-")
        assert "REC-" in str(self.mailbox.wait(self.first, "REC-")["text"])
        page.goto(f"{self.gateway}/portal/todos")
        done = page.get_by_role("region", name="Done")
        expect(done.get_by_text(f"Pay {mailed}")).to_be_visible()
        self.console.goto(f"{self.gateway}/console")
        expect(self.console.get_by_text("Received today").first).to_be_visible()
        expect(self.console.get_by_text(f"Invoice {mailed}").first).to_be_visible()

    @staticmethod
    def _open_and_pay(page: Page, number: str) -> None:
        page.get_by_role("link", name=number, exact=True).first.click()
        page.get_by_role("button", name=re.compile("^Pay ")).click()
        expect(page.get_by_label("Card number")).to_be_visible()
        expect(page.get_by_text("Café Nord").first).to_be_visible()  # whom one pays, on Stripe's page too

    @staticmethod
    def _card(page: Page, number: str) -> None:
        page.get_by_label("Card number").fill(number)
        page.get_by_label("Expiry").fill("12 / 34")
        page.get_by_label("CVC").fill("123")
        page.get_by_label("Name on card").fill("Ada Lovelace")
        page.get_by_role("button", name=re.compile("^Pay ")).click()

    def todos(self) -> None:
        page, console = self.portal, self.console
        page.goto(f"{self.gateway}/portal/todos")
        adding = page.get_by_role("region", name="Add a to-do")
        adding.get_by_label("What is to be done?").fill("Compare grinders")
        adding.get_by_role("button", name="Add").click()
        expect(self._item(page, "Compare grinders")).to_be_visible()
        console.goto(f"{self.gateway}/console/customers?q={self.name}")
        console.get_by_role("link", name=self.name).click()
        console.get_by_role("link", name="To-dos").click()
        expect(self._item(console, "Compare grinders")).to_have_count(0)  # it is private
        console.get_by_label("What is to be done?").fill("Send the guest list")
        console.get_by_role("button", name="Assign").click()
        expect(self._item(console, "Send the guest list")).to_be_visible()
        # The customer's open page learns of it by itself.
        expect(self._item(page, "Send the guest list")).to_be_visible()
        page.get_by_role("button", name="Complete: Send the guest list").click()
        done = page.get_by_role("region", name="Done")
        expect(done.get_by_role("listitem").filter(has_text="Send the guest list")).to_be_visible()
        expect(self._item(console, "Send the guest list")).to_contain_text(f"done by {self.name}")

    @staticmethod
    def _item(page: Page, title: str) -> Locator:
        return page.get_by_role("main").get_by_role("listitem").filter(has_text=title)
