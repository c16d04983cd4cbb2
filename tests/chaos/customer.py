"""One customer of the load: what they and their merchant do through the public API, and the record of what they were told."""

import random
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from local.mailbox.store import Store
from local.portal_client import ApiError, Json, Portal, token_in
from tests.chaos.plant import HTTP, Plant, stretched

CARD, DECLINED = "4242424242424242", "4000000000000002"
PATIENCE = 150.0
RESEND_AFTER = 25.0
"""So long somebody waits for an invitation before the merchant sends another: one in doubt is never sent by itself."""

EXPLAINED = {
    # The link was superseded by a later invitation, or used by a try whose answer was lost.
    ("acceptance", 410, None),
    # A try whose answer was lost has deleted it: the gateway looks before it sends, and it is not there any more.
    ("delete", 404, None),
    # Reconciliation ended the attempt whose checkout Stripe had never made: the customer presses Pay again.
    ("pay", 409, "ended"),
}
"""(what was asked, status, the problem's own `why`) of the refusals below 500 that faults explain."""
_BLIND = "The portal cannot read its data right now"
_CATCHES_UP = 10.0
"""Seconds after which the gateway has what it could not write down when its database died: its followers bring it."""


@dataclass
class Record:
    """What clients were told, and what they saw fail. Appended to from several threads."""

    acknowledged: list[tuple[str, str]] = field(default_factory=list)
    """(what, id) of every command that was answered with success."""
    failed: list[tuple[float, str]] = field(default_factory=list)
    """(when, what) of every request that was not; a command is then repeated with its own key."""
    refused: Counter[str] = field(default_factory=Counter)
    """How often which refusal was given: what was asked, status and title."""
    unexplained: Counter[str] = field(default_factory=Counter)
    """Those of them that nothing that went wrong explains."""
    unanswered: list[str] = field(default_factory=list)
    """Commands that nobody acknowledged although everything was healed."""
    broken: list[str] = field(default_factory=list)
    """Customers' journeys that ended with a surprise."""
    paid: set[str] = field(default_factory=set)
    """Invoices whose payment the hosted page confirmed."""

    def tell(self, what: str, id_: str) -> None:
        self.acknowledged.append((what, id_))

    def trouble(self) -> str:
        """What clients saw last, for whoever looks for a cause."""
        lately = [f"{time.monotonic() - at:.0f} s ago: {why[:200]}" for at, why in self.failed[-3:]]
        return f"failed {lately}\nbroken {self.broken[-3:]}\nunexplained {dict(self.unexplained.most_common(5))}"

    def refuse(self, what: str, refused: ApiError) -> None:
        """Count a refusal. Faults explain that something is unavailable or unknown (5xx), and what EXPLAINED lists.

        And that what was just made is not there (404), soon after the gateway's database was away.
        """
        told = f"{what}: {refused.status} {refused.problem.get('title')}"
        self.refused[told] += 1
        explained = refused.status >= 500 or (what, refused.status, refused.problem.get("why")) in EXPLAINED
        if not explained and not (refused.status == 404 and self._was_blind()):
            self.unexplained[f"{told} {refused.problem.get('detail')}"] += 1

    def _was_blind(self) -> bool:
        since = time.monotonic() - _CATCHES_UP
        return any(at >= since and _BLIND in why for at, why in self.failed)


class Customer:
    """One customer's journey, step by step, each command repeated with the same key until it is acknowledged."""

    def __init__(self, plant: Plant, admin: Portal, record: Record, rng: random.Random) -> None:
        self.plant, self.admin, self.record, self.rng = plant, admin, record, rng
        self.mark = f"{rng.getrandbits(48):012x}"
        self.email = f"customer.{self.mark}@example.com"
        self.me = Portal(plant.gateway)
        self.customer: Json = {}

    def insist(self, what: str, call: Callable[[str], Any], fine: tuple[int, ...] = ()) -> Any:
        """Call with one key until it succeeds. A refusal in `fine` ends it with None."""
        key = self._key()
        began = time.monotonic()
        while True:
            try:
                return call(key)
            except ApiError as refused:
                self.record.refuse(what, refused)
                if refused.status in fine:
                    return None
                if refused.status == 409 and refused.problem.get("why") == "ended":
                    key = self._key()
                why = f"{what}: {refused}"
            except httpx.HTTPError as cut:
                why = f"{what}: {cut!r}"
            self.record.failed.append((time.monotonic(), why))
            if time.monotonic() - began > stretched(PATIENCE):
                self.record.unanswered.append(why)
                raise TimeoutError(why)
            time.sleep(self.rng.uniform(0.1, 0.3))

    def _key(self) -> str:
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    def register(self) -> None:
        """The merchant adds the customer."""
        body = {"name": f"Customer {self.mark}", "email": self.email}
        self.customer = self.insist("customer", lambda key: self.admin.call("POST", "/customers", body, key=key))
        self.record.tell("customer", self.customer["id"])

    def sign_up(self) -> None:
        """The merchant adds and invites; the customer accepts."""
        self.register()
        path = f"/customers/{self.customer['id']}/invitations"
        invited = self.insist("invitation", lambda key: self.admin.call("POST", path, {}, key=key))
        self.record.tell("invitation", invited["id"])
        while self.me.token is None:
            self._accept()
        self.record.tell("contact", self.customer["id"])

    def _accept(self) -> None:
        """Use the newest link; when none comes or it is no longer good, a merchant invites again."""
        token = self._mailed_token()
        session = None
        if token is not None:
            body = {"token": token, "name": f"Customer {self.mark}", "password": f"correct horse {self.mark}"}
            call = lambda key: self.me.call("POST", "/invitations/accept", body, key=key)  # noqa: E731 - one use
            session = self.insist("acceptance", call, fine=(410,))
        if session is not None:
            self.me.token = session["token"]
            return
        path = f"/customers/{self.customer['id']}/invitations"
        again = self.insist("invitation", lambda key: self.admin.call("POST", path, {}, key=key))
        self.record.tell("invitation", again["id"])

    def _mailed_token(self) -> str | None:
        store = Store(self.plant.folder / "mails")
        end = time.monotonic() + stretched(RESEND_AFTER)
        while time.monotonic() < end:
            for mail in store.all(self.email):
                for link in mail.links:
                    if "/invitations/" in link:
                        return token_in(link)
            time.sleep(0.1)
        return None

    def link(self, *, send_email: bool) -> Json:
        """The merchant makes a payment link."""
        line = {"description": "Coffee", "quantity": "1", "unit_amount": self.rng.randrange(100, 90_000)}
        due = (datetime.now(UTC).date() + timedelta(days=14)).isoformat()
        body = {"kind": "one_time", "currency": "EUR", "lines": [line], "due_on": due, "send_email": send_email}
        path = f"/customers/{self.customer['id']}/payment-links"
        invoice: Json = self.insist("invoice", lambda key: self.admin.call("POST", path, body, key=key))
        self.record.tell("invoice", invoice["id"])
        return invoice

    def pay(self, invoice: Json, *, decline_first: bool = False) -> str:
        """Press Pay until there is a checkout, then pay it on the hosted page as a browser does.

        Returns the name of the payment intent at Stripe.
        """
        path = f"/invoices/{invoice['id']}/pay"
        opened = self.insist("pay", lambda key: self.me.call("POST", path, {}, key=key))
        session = opened["checkout_url"].rstrip("/").rsplit("/", 1)[-1].split("?")[0].split("#")[0]
        self.record.tell("checkout", session)
        for card in [DECLINED, CARD] if decline_first else [CARD]:
            self.at_hosted_page(session, card)
        self.record.paid.add(str(invoice["id"]))
        return str(self.at_stripe(f"checkout/sessions/{session}")["payment_intent"])

    def at_hosted_page(self, session: str, card: str) -> None:
        """Give the card until the page has taken it or says that it did before."""
        self.at_bank(f"sessions/{session}/pay", {"card": card})

    def at_bank(self, path: str, body: Json) -> Json | None:
        """What is done at Stripe without its API. None: it had been done before, and the answer was lost."""
        answers: list[Json] = []

        def done() -> bool:
            answer = HTTP.post(f"{self.plant.stripe}/_sandbox/{path}", json=body)
            if answer.status_code == httpx.codes.OK:
                answers.append(answer.json())
            return answer.status_code in (httpx.codes.OK, httpx.codes.CONFLICT)

        self.wait(path, done)
        return answers[0] if answers else None

    def at_stripe(self, path: str) -> Json:
        """What Stripe's own API answers."""
        headers = {"Authorization": f"Bearer {self.plant.stripe_key}"}
        answers: list[Json] = []

        def answered() -> bool:
            answer = HTTP.get(f"{self.plant.stripe}/v1/{path}", headers=headers)
            if answer.status_code == httpx.codes.OK:
                answers.append(answer.json())
            return bool(answers)

        self.wait(path, answered)
        return answers[0]

    def see(self, path: str, fits: Callable[[Json], object]) -> None:
        """Look until the portal says so."""
        self.wait(path, lambda: bool(fits(self.me.call("GET", path))))

    def wait(self, what: str, holds: Callable[[], bool]) -> None:
        """Until it holds; whoever does not answer is asked again."""
        end = time.monotonic() + stretched(PATIENCE)
        while True:
            with suppress(ApiError, httpx.HTTPError):
                if holds():
                    return
            if time.monotonic() > end:
                raise TimeoutError(what)
            time.sleep(0.15)

    def todos(self) -> None:
        """One of the customer's own, completed; one that the merchant assigns."""
        body = {"customer_id": self.customer["id"], "title": f"Own {self.mark}"}
        mine = self.insist("to-do", lambda key: self.me.call("POST", "/todos", body, key=key))
        self.record.tell("todo", mine["id"])
        given = body | {"title": f"Assigned {self.mark}"}
        assigned = self.insist("to-do", lambda key: self.admin.call("POST", "/todos", given, key=key))
        self.record.tell("todo", assigned["id"])
        path = f"/todos/{mine['id']}"
        self.insist("done", lambda key: self.me.call("PATCH", path, {"status": "done"}, key=key))
        self.record.tell("todo done", mine["id"])

    def office(self, logo: bytes) -> None:
        """What a merchant does now and then: another logo, an address, a wrong invoice withdrawn, a to-do deleted."""
        self.insist("logo", lambda key: self.admin.upload("/merchant/logo", logo, "image/png", key=key))
        path = f"/customers/{self.customer['id']}"
        self.insist("change", lambda key: self.admin.call("PATCH", path, {"phone": "+49 30 123456"}, key=key))
        wrong = self.link(send_email=False)
        self.insist("void", lambda key: self.admin.call("POST", f"/invoices/{wrong['id']}/void", {}, key=key))
        body = {"customer_id": self.customer["id"], "title": f"Never mind {self.mark}"}
        todo = self.insist("to-do", lambda key: self.admin.call("POST", "/todos", body, key=key))
        self.insist("delete", lambda key: self.admin.call("DELETE", f"/todos/{todo['id']}", key=key), fine=(404,))
