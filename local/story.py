"""`make demo`: the product's main story against the running system, over public HTTP, one line per step with its time.

Every step checks what it names; the first that does not hold ends the run with a non-zero exit code.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from local.portal_client import Json, Mailbox, Portal, link_in, pay_at_checkout, token_in

GOOD_CARD, DECLINED_CARD = "4242424242424242", "4000000000000002"


class Story:
    """The people of the story, and what they hold in their hands."""

    def __init__(self, state: Json) -> None:
        self.gateway = str(state["urls"]["gateway"])
        self.mailbox = Mailbox(state["urls"]["mailbox"])
        self.admin_credentials = state["credentials"]["admin"]
        self.mark = secrets.token_hex(3)
        self.due = (datetime.now(UTC).date() + timedelta(days=14)).isoformat()
        self.admin = self.first = self.second = Portal(self.gateway)
        self.first_customer: Json = {}
        self.second_customer: Json = {}
        self.mailed: Json = {}
        self.saved: Json = {}
        self.paid: Json = {}

    def steps(self) -> tuple[Callable[[], str], ...]:
        """The story in order; each step returns what it saw and raises when something does not hold."""
        return (
            self.merchant_invites,
            self.customer_accepts,
            self.merchant_makes_links,
            self.stranger_signs_up_and_pays,
            self.customer_sees_and_pays,
            self.everything_follows,
            self.todos,
        )

    # 1
    def merchant_invites(self) -> str:
        """The merchant signs in, adds a customer and presses Send Invite."""
        self.admin = Portal(self.gateway).sign_in(**self.admin_credentials)
        self.first_customer = self._customer("Ada Lovelace", f"ada.{self.mark}@example.com")
        self.admin.call("POST", f"/customers/{self.first_customer['id']}/invitations", {})
        return f"invited {self.first_customer['email']}"

    # 2
    def customer_accepts(self) -> str:
        """Opening the mailed link three times consumes nothing; the customer sets a password and is in."""
        mail = self.mailbox.wait(self.first_customer["email"], "/invitations/")
        link = link_in(mail, "/invitations/")
        for _ in range(3):
            page = httpx.get(link, timeout=10)
            expect(page.status_code == 200, f"the invitation's page answered {page.status_code}")
        self.first = Portal(self.gateway).accept(token_in(link), "Ada Lovelace", f"correct horse {self.mark}")
        session = self.first.call("GET", "/session")
        expect(session["account"]["kind"] == "customer", f"the session's account is {session['account']}")
        return f"signed up as {session['account']['name']}"

    # 3
    def merchant_makes_links(self) -> str:
        """Save And Email, and Save with its URL copied."""
        self.mailed = self._link(self.first_customer, "Coffee beans", 2890, send_email=True)
        self.saved = self._link(self.first_customer, "Barista course", 14900, send_email=False)
        url = self.admin.call("POST", f"/invoices/{self.saved['id']}/link")["url"]
        page = httpx.get(url, timeout=10)
        expect(page.status_code == 200, f"the copied link answered {page.status_code}")
        expect(self.saved["number"] in page.text, "the copied link does not show its invoice")
        mail = self.mailbox.wait(self.first_customer["email"], str(self.mailed["number"]))
        return f"{self.mailed['number']} mailed ({mail['subject']!r}), {self.saved['number']} saved, its link works"

    # 4
    def stranger_signs_up_and_pays(self) -> str:
        """Somebody who was never invited signs up through the payment link in their mail, and pays."""
        self.second_customer = self._customer("Grace Hopper", f"grace.{self.mark}@example.com")
        invoice = self._link(self.second_customer, "Catering", 32000, send_email=True)
        mail = self.mailbox.wait(self.second_customer["email"], str(invoice["number"]))
        pay_page = link_in(mail, "/pay/")
        with httpx.Client(timeout=10, follow_redirects=True) as browser:
            page = browser.get(pay_page)
            action = re.search(r'action="([^"]*sign-up[^"]*)"', page.text)
            expect(action is not None, "the payment page offers no sign-up")
            assert action is not None
            fields = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page.text))
            sent = browser.post(f"{self.gateway}{urlsplit(action.group(1)).path}", data=fields)
            expect(sent.status_code == 200, f"signing up answered {sent.status_code}")
        invitation = self.mailbox.wait(self.second_customer["email"], "/invitations/")
        token = token_in(link_in(invitation, "/invitations/"))
        self.second = Portal(self.gateway).accept(token, "Grace Hopper", f"nanoseconds {self.mark}")
        self._pay(self.second, invoice, GOOD_CARD)
        took = self._until_paid(self.second, invoice)
        return f"{invoice['number']} paid by {self.second_customer['email']}, settled after {took:.2f} s"

    # 5
    def customer_sees_and_pays(self) -> str:
        """Both links are open invoices and to-dos; a declined card says why; another card pays."""
        opened = {each["id"] for each in self.first.everything("/invoices", status="open")}
        expect({self.mailed["id"], self.saved["id"]} <= opened, f"open invoices are {opened}")
        self._until("to-dos for both", lambda: len(self._bills("open")) == 2)
        checkout = self.first.call("POST", f"/invoices/{self.mailed['id']}/pay", {})["checkout_url"]
        declined = pay_at_checkout(checkout, DECLINED_CARD)
        expect(declined.status_code == 402, f"the declined card was answered with {declined.status_code}")
        self._until("the reason", lambda: self._invoice(self.first, self.mailed).get("last_decline") is not None)
        why = self._invoice(self.first, self.mailed)["last_decline"]["message"]
        expect(self._invoice(self.first, self.mailed)["status"] == "open", "a declined card closed the invoice")
        settled = pay_at_checkout(checkout, GOOD_CARD)
        expect(settled.status_code == 303, f"the good card was answered with {settled.status_code}")
        return f"declined first ({why}), then paid {self.mailed['number']}"

    # 6
    def everything_follows(self) -> str:
        """Paid within a second, receipt in the mailbox, PDFs, to-do closed, the console shows the money."""
        took = self._until_paid(self.first, self.mailed)
        mail = self.mailbox.wait(self.first_customer["email"], "REC-")
        for name in ("invoice.pdf", "receipt.pdf"):
            pdf = self.first.call("GET", f"/invoices/{self.mailed['id']}/{name}")
            expect(isinstance(pdf, bytes) and pdf.startswith(b"%PDF-"), f"{name} is no PDF")
        self._until("the to-do to close", lambda: len(self._bills("done")) == 1)
        expect(took <= 1, f"the page was told after {took:.2f} s, a second is promised")
        expect(str(self.mailed["number"]) in self._console(), "the console's home does not show the payment")
        seen = self._invoice(self.admin, self.mailed)
        expect(
            seen["status"] == "paid" and seen["amount_paid"] == self.mailed["total"],
            f"the console sees {seen['status']}",
        )
        return f"page told after {took:.2f} s; mail {mail['subject']!r}; both PDFs; the to-do is closed"

    # 7
    def todos(self) -> str:
        """The customer writes a to-do, the merchant assigns one, the customer completes it."""
        mine = self.first.call(
            "POST", "/todos", {"customer_id": self.first_customer["id"], "title": "Compare grinders"}
        )
        given = self.admin.call(
            "POST",
            "/todos",
            {"customer_id": self.first_customer["id"], "title": "Send the guest list", "due_on": self.due},
        )
        self._until(
            "the assigned to-do", lambda: given["id"] in {each["id"] for each in self.first.everything("/todos")}
        )
        done = self.first.call("PATCH", f"/todos/{given['id']}", {"status": "done"})
        expect(done["status"] == "done", f"the to-do is {done['status']}")
        private = mine["id"] in {
            each["id"] for each in self.admin.everything("/todos", customer_id=self.first_customer["id"])
        }
        expect(not private, "the merchant sees a private to-do")
        self._until("the console", lambda: self.admin.call("GET", f"/todos/{given['id']}")["status"] == "done")
        return "own one written, assigned one completed"

    # --- helpers ------------------------------------------------------------------------------------------------------

    def _console(self) -> str:
        """The console's home page, signed in as a browser would."""
        with httpx.Client(base_url=self.gateway, timeout=10, follow_redirects=True) as browser:
            page = browser.get("/sign-in").text
            hidden = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page))
            return browser.post("/sign-in", data=hidden | self.admin_credentials).text

    def _customer(self, name: str, email: str) -> Json:
        made: Json = self.admin.call("POST", "/customers", {"name": name, "email": email})
        return made

    def _link(self, customer: Json, text: str, amount: int, *, send_email: bool) -> Json:
        line = {"description": text, "quantity": "1", "unit_amount": amount}
        body = {"kind": "one_time", "currency": "EUR", "lines": [line], "due_on": self.due, "send_email": send_email}
        made: Json = self.admin.call("POST", f"/customers/{customer['id']}/payment-links", body)
        return made

    @staticmethod
    def _invoice(portal: Portal, invoice: Json) -> Json:
        seen: Json = portal.call("GET", f"/invoices/{invoice['id']}")
        return seen

    @staticmethod
    def _pay(portal: Portal, invoice: Json, card: str) -> None:
        checkout = portal.call("POST", f"/invoices/{invoice['id']}/pay", {})["checkout_url"]
        answer = pay_at_checkout(checkout, card)
        expect(answer.status_code == 303, f"the hosted page answered {answer.status_code}")

    def _bills(self, status: str) -> list[Json]:
        todos = self.first.everything("/todos")
        return [each for each in todos if each["origin"] == "billing" and each["status"] == status]

    def _until_paid(self, portal: Portal, invoice: Json) -> float:
        return self._until("the invoice to be paid", lambda: self._invoice(portal, invoice)["status"] == "paid")

    @staticmethod
    def _until(what: str, holds: Callable[[], object], seconds: float = 30) -> float:
        started = time.monotonic()
        while not holds():
            expect(time.monotonic() - started < seconds, f"waited {seconds} s for {what}")
            time.sleep(0.05)
        return time.monotonic() - started


def expect(holds: object, otherwise: str) -> None:
    """Raise with a sentence when the story does not hold."""
    if not holds:
        raise AssertionError(otherwise)


def main() -> int:
    """Play the story; returns the exit code."""
    path = Path(os.environ.get("PORTAL_STATE", ".local/state.json"))
    if not path.exists():
        print("Nothing is running here: start it with `make up`.", file=sys.stderr)
        return 1
    story = Story(json.loads(path.read_text()))
    for number, step in enumerate(story.steps(), 1):
        started = time.monotonic()
        name = step.__name__.replace("_", " ")
        try:
            told = step()
        except Exception as failed:  # noqa: BLE001 - whatever it was, the story ends here and says so in one line
            print(f"✗ {number} {name}: {type(failed).__name__}: {failed}", flush=True)
            return 1
        print(f"✓ {number} {name} ({time.monotonic() - started:.2f} s): {told}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
