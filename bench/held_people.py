"""What people do with the portal, one action at a time, and the record of what each was told."""

import asyncio
import json
import os
import random
import re
import secrets
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from bench.held_http import Answer, Cut, Host
from local.mailbox.store import Mail
from local.portal_client import token_in

CARD = "4242424242424242"
FINE = {"GET": {200}, "POST": {200, 201, 303}, "PATCH": {200}}
RECEIPT_AFTER = 20.0
"""Seconds after a payment that somebody looks for its receipt."""
MAIL_WITHIN = 30.0

Json = dict[str, Any]


class Stopped(Exception):  # noqa: N818 - somebody gave up, which is no error of ours
    """The action cannot go on: a request of it was refused, or not answered."""


@dataclass
class Said:
    """What one phase saw: answers by kind and status, and seconds from when each was wanted, with their moments."""

    statuses: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    moments: list[tuple[float, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    actions: int = 0
    completed: int = 0
    unsent: int = 0
    without_retry_after: int = 0


@dataclass
class Record:
    """What clients were told about commands, to be compared with the databases in the end."""

    done: list[tuple[str, str]] = field(default_factory=list)
    """(what, id) answered with success."""
    shed: list[tuple[str, str]] = field(default_factory=list)
    """(what, mark) refused with 503: nothing may have come of them."""
    unknown: list[tuple[str, str]] = field(default_factory=list)
    """(what, mark) answered with 504, or not at all: either may be."""
    paid: list[str] = field(default_factory=list)
    """Invoices whose payment the hosted page confirmed."""


@dataclass
class Person:
    """Somebody signed in. `address` is where they sit: limits are counted by it."""

    token: str
    address: str
    customer_id: str = ""
    email: str = ""
    password: str = ""
    csrf: str = ""
    unpaid: list[str] = field(default_factory=list)
    paid: list[tuple[float, str]] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    todos: list[str] = field(default_factory=list)


class Mails:
    """The mailbox' folder, read as it grows: only what is waited for is parsed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: set[str] = set()
        self._awaited: dict[str, asyncio.Future[Mail]] = {}

    async def wait(self, to: str) -> Mail:
        """The next mail to somebody. Raises TimeoutError."""
        self._awaited[to] = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(MAIL_WITHIN):
            return await self._awaited[to]

    async def watch(self) -> None:
        while True:
            for entry in [each.name for each in os.scandir(self._folder) if each.name.endswith(".eml")]:
                if entry not in self._seen:
                    self._seen.add(entry)
                    self._look(entry)
            await asyncio.sleep(0.3)

    def _look(self, name: str) -> None:
        raw = (self._folder / name).read_bytes()
        found = re.search(rb"X-Envelope-To: (.*?)\r\n", raw)
        waiting = self._awaited.pop(found[1].decode() if found else "", None)
        if waiting is not None and not waiting.done():
            waiting.set_result(Mail(name.removesuffix(".eml"), raw))


class Crowd:
    """The merchant's people and the customers, and all that they do."""

    def __init__(self, state: Json, seed: int) -> None:
        self.rng = random.Random(seed)
        ports = state["ports"]
        doors = sorted(name for name in ports if name.split("-")[0] == "gateway")
        self.gateways = [Host(f"http://127.0.0.1:{ports[name]}") for name in doors]
        self.stripe = Host(state["urls"]["stripe"])
        self.mails = Mails(Path(state["mail"]["dir"]))
        self.credentials: dict[str, str] = state["credentials"]["admin"]
        self.members: list[Person] = []
        self.contacts: list[Person] = []
        self.record = Record()
        self.said = Said()
        self.streams: set[asyncio.Task[None]] = set()
        self.told = 0
        """Changes that open pages were told of."""
        self._stylesheets = ("/static/portal.css", "/static/live.js", "/static/icon.svg")

    # --- one request ------------------------------------------------------------------------------------------------

    async def _send(
        self,
        kind: str,
        method: str,
        path: str,
        who: Person | None = None,
        body: Any = None,
        *,
        form: dict[str, str] | None = None,
        cookies: str = "",
        key: str = "",
        what: tuple[str, str] = ("", ""),
        since: float = 0,
    ) -> Answer:
        """One request to one of the gateways; counted. `what` is the command and its mark. Raises Stopped."""
        headers = {
            "x-forwarded-for": who.address if who else f"10.9.{self.rng.randrange(256)}.{self.rng.randrange(256)}"
        }
        if path.startswith("/api/"):
            if who:
                headers["authorization"] = f"Bearer {who.token}"
        else:
            headers["accept-language"] = "en"
            jar = "; ".join(filter(None, (cookies, f"portal={who.token}" if who else "")))
            if jar:
                headers["cookie"] = jar
        content = b""
        if form is not None:
            content, headers["content-type"] = urlencode(form).encode(), "application/x-www-form-urlencoded"
        elif body is not None:
            content, headers["content-type"] = json.dumps(body).encode(), "application/json"
        if key:
            headers["idempotency-key"] = key
        wanted = since or time.monotonic()
        said = self.said
        try:
            answer = await self.rng.choice(self.gateways).send(method, path, headers, content)
        except Cut as cut:
            self._count(said, kind, "cut", wanted, f"{kind} {method} {path[:60]}: {cut}")
            if what[0]:
                self.record.unknown.append(what)
            raise Stopped from cut
        self._judge(said, kind, (method, path[:60]), answer, wanted, what)
        return answer

    def _judge(
        self, said: Said, kind: str, asked: tuple[str, str], answer: Answer, wanted: float, what: tuple[str, str]
    ) -> None:
        fine = answer.status in FINE[asked[0]]
        wrong = "" if fine or answer.status == 503 else f"{kind} {asked}: {answer.status} {answer.body[:300]!r}"
        self._count(said, kind, str(answer.status), wanted, wrong)
        if answer.status == 503:
            said.without_retry_after += "retry-after" not in answer.headers
            if what[0]:
                self.record.shed.append(what)
        elif answer.status == 504 and what[0]:
            self.record.unknown.append(what)
        if not fine:
            raise Stopped

    @staticmethod
    def _count(said: Said, kind: str, status: str, wanted: float, wrong: str) -> None:
        now = time.monotonic()
        said.statuses[kind][status] += 1
        said.seconds[f"{kind} {'shed' if status == '503' else 'served'}"].append(now - wanted)
        said.moments.append((now, status))
        if wrong and len(said.wrong) < 200:
            said.wrong.append(wrong)

    async def _api(self, kind: str, method: str, path: str, who: Person, body: Any = None, **more: Any) -> Any:
        answer = await self._send(kind, method, f"/api/v1{path}", who, body, **more)
        return json.loads(answer.body) if answer.body[:1] in (b"{", b"[") else answer.body

    # --- who is there ------------------------------------------------------------------------------------------------

    async def gather(self, customers: int) -> None:
        """Sign the members in and let so many customers sign up, each with a few invoices and to-dos."""
        for number in range(3):
            self.members.append(await self._member(number))
        left = iter(range(customers))
        await asyncio.gather(*(self._bring(left) for _ in range(4)))

    async def _bring(self, left: Iterator[int]) -> None:
        for _ in left:
            person = await self.sign_up(0)
            for _ in range(3):
                await self._link(person, send_email=False)
            await self._own_todo(person)

    async def _member(self, number: int) -> Person:
        who = Person("", f"10.1.0.{number}")
        session = await self._api("sign-in", "POST", "/session", who, self.credentials)
        who.token = session["token"]
        return who

    def member(self) -> Person:
        return self.rng.choice(self.members)

    def contact(self) -> Person:
        return self.rng.choice(self.contacts)

    def keep_told(self, count: int) -> None:
        """So many of the customers have a page open all the time."""
        for who in self.contacts[:count]:
            self._stream(who, 1e9)

    def _stream(self, who: Person, seconds: float) -> None:
        task = asyncio.create_task(self._listen(who, seconds))
        self.streams.add(task)
        task.add_done_callback(self.streams.discard)

    async def _listen(self, who: Person, seconds: float) -> None:
        """An open page: comes back when its stream ends or is refused, as a browser does."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            wanted, said = time.monotonic(), self.said
            try:
                host = self.rng.choice(self.gateways)
                headers = {"authorization": f"Bearer {who.token}", "x-forwarded-for": who.address}
                async with host.stream("/api/v1/changes", headers) as (status, reader):
                    self._count(
                        said, "stream", str(status), wanted, "" if status in (200, 503) else f"stream: {status}"
                    )
                    if status == 200:
                        async with asyncio.timeout_at(asyncio.get_running_loop().time() + end - time.monotonic()):
                            while line := await reader.readline():
                                self.told += line.startswith(b"event: change")
            except TimeoutError:
                return
            except (Cut, OSError) as cut:
                self._count(said, "stream", "cut", wanted, f"stream: {cut!r}")
            await asyncio.sleep(2)

    # --- what they do ---------------------------------------------------------------------------------------------------

    async def sign_up(self, since: float) -> Person:
        """A customer is added and invited, follows the mailed link and is in the portal."""
        mark = secrets.token_hex(8)
        email, member = f"c.{mark}@example.com", self.member()
        customer = await self._api(
            "command",
            "POST",
            "/customers",
            member,
            {"name": f"Customer {mark}", "email": email},
            key=mark,
            what=("customer", mark),
            since=since,
        )
        self.record.done.append(("customer", customer["id"]))
        coming = asyncio.ensure_future(self.mails.wait(email))
        try:
            path = f"/customers/{customer['id']}/invitations"
            invited = await self._api(
                "command", "POST", path, member, {}, key=mark, what=("invitation", customer["id"])
            )
            self.record.done.append(("invitation", invited["id"]))
            mail = await coming
        except TimeoutError:
            self.said.wrong.append(f"no invitation within {MAIL_WITHIN:.0f} s")
            raise Stopped from None
        finally:
            coming.cancel()
        link = next(each for each in mail.links if "/invitations/" in each)
        await self._send("public page", "GET", urlsplit(link).path)
        who = Person("", f"10.2.{self.rng.randrange(256)}.{self.rng.randrange(256)}", customer["id"], email)
        who.password = f"correct horse {mark}"
        body = {"token": token_in(link), "name": f"Customer {mark}", "password": who.password}
        session = await self._api(
            "sign-in", "POST", "/invitations/accept", who, body, key=mark, what=("contact", customer["id"])
        )
        self.record.done.append(("contact", customer["id"]))
        who.token = session["token"]
        await self._at_home(who)
        self.contacts.append(who)
        return who

    async def _at_home(self, who: Person) -> None:
        who.csrf = (await self._api("API read", "GET", "/session", who))["csrf"]
        await self._send("page", "GET", "/portal", who)

    async def sign_in(self, since: float) -> None:
        """The sign-in form, the home page, and out again."""
        who = self.contact()
        away = Person("", who.address)
        page = await self._send("public page", "GET", "/sign-in", away, since=since)
        csrf = re.search(rb'name="csrf" value="([^"]+)"', page.body)
        assert csrf is not None, page.body
        form = {"csrf": csrf[1].decode(), "email": who.email, "password": who.password}
        cookies = "; ".join(f"{name}={value}" for name, value in page.cookies.items())
        answer = await self._send("sign-in", "POST", "/sign-in", away, form=form, cookies=cookies)
        away.token = answer.cookies.get("portal", "")
        if not away.token:
            self.said.wrong.append(f"sign-in: no session, {answer.status}")
            raise Stopped
        await self._at_home(away)
        await self._send("page", "POST", "/sign-out", away, form={"csrf": away.csrf})

    async def portal_page(self, since: float) -> None:
        paths = ("/portal", "/portal", "/portal/payments", "/portal/todos", "/portal/profile")
        await self._send("page", "GET", self.rng.choice(paths), self.contact(), since=since)

    async def console_page(self, since: float) -> None:
        customer = self.contact().customer_id
        tabs = [f"/console/customers/{customer}{tab}" for tab in ("", "/payments", "/todos", "/activity")]
        path = self.rng.choice(("/console", "/console", "/console/customers", *tabs))
        await self._send("page", "GET", path, self.member(), since=since)

    async def api_read(self, since: float) -> None:
        who = self.contact()
        paths = ["/session", "/invoices", "/invoices?status=open", "/todos", "/todos"]
        paths += [f"/invoices/{each}" for each in who.unpaid[-1:]]
        if self.rng.random() < 0.3:
            who, paths = self.member(), ["/customers", "/invoices", "/todos", f"/customers/{who.customer_id}"]
        await self._api("API read", "GET", self.rng.choice(paths), who, since=since)

    async def stylesheet(self, since: float) -> None:
        await self._send("static", "GET", self.rng.choice(self._stylesheets), since=since)

    async def pdf(self, since: float) -> None:
        who = self.contact()
        receipts = [id_ for at, id_ in who.paid if at < time.monotonic() - RECEIPT_AFTER]
        if receipts and self.rng.random() < 0.5:
            path = f"/invoices/{self.rng.choice(receipts)}/receipt.pdf"
        elif who.unpaid:
            path = f"/invoices/{self.rng.choice(who.unpaid)}/invoice.pdf"
        else:
            return
        content = await self._api("PDF", "GET", path, who, since=since)
        if not isinstance(content, bytes) or not content.startswith(b"%PDF-"):
            self.said.wrong.append(f"PDF: {content!r}"[:200])

    async def link_page(self, since: float) -> None:
        """Somebody opens a payment link without signing in; whoever has none yet gets its address from the merchant."""
        who = self.contact()
        if who.links:
            await self._send("public page", "GET", self.rng.choice(who.links), since=since)
        elif who.unpaid:
            # A question: it changes nothing, and what it answers is a secret.
            url = (await self._api("question", "POST", f"/invoices/{who.unpaid[-1]}/link", self.member(), since=since))[
                "url"
            ]
            who.links.append(urlsplit(url).path)

    async def own_todo(self, since: float) -> None:
        await self._own_todo(self.contact(), since)

    async def _own_todo(self, who: Person, since: float = 0) -> None:
        """Through the page's form."""
        mark = secrets.token_hex(8)
        form = {"csrf": who.csrf, "command_id": mark, "title": f"Own {mark}", "priority": "normal"}
        await self._send(
            "command", "POST", "/portal/todos", who, form=form, what=("todo title", f"Own {mark}"), since=since
        )
        self.record.done.append(("todo title", f"Own {mark}"))

    async def assigned_todo(self, since: float) -> None:
        mark, who = secrets.token_hex(8), self.contact()
        body = {"customer_id": who.customer_id, "title": f"Assigned {mark}"}
        made = await self._api(
            "command", "POST", "/todos", self.member(), body, key=mark, what=("todo title", body["title"]), since=since
        )
        self.record.done.append(("todo", made["id"]))
        who.todos.append(made["id"])

    async def tick(self, since: float) -> None:
        """The customer completes what was assigned."""
        who = next((each for each in self.rng.sample(self.contacts, min(10, len(self.contacts))) if each.todos), None)
        if who is None:
            await self.assigned_todo(since)
            return
        id_ = who.todos.pop()
        await self._api(
            "command", "PATCH", f"/todos/{id_}", who, {"status": "done"}, what=("todo done", id_), since=since
        )
        self.record.done.append(("todo done", id_))

    async def new_link(self, since: float) -> None:
        await self._link(self.contact(), send_email=self.rng.random() < 0.4, since=since)

    async def _link(self, who: Person, *, send_email: bool, since: float = 0) -> str:
        mark = secrets.token_hex(8)
        line = {"description": f"Coffee {mark}", "quantity": "1", "unit_amount": self.rng.randrange(100, 90_000)}
        due = (datetime.now(UTC).date() + timedelta(days=14)).isoformat()
        body = {"kind": "one_time", "currency": "EUR", "lines": [line], "due_on": due, "send_email": send_email}
        path = f"/customers/{who.customer_id}/payment-links"
        made = await self._api(
            "command", "POST", path, self.member(), body, key=mark, what=("invoice", f"Coffee {mark}"), since=since
        )
        self.record.done.append(("invoice", made["id"]))
        who.unpaid.append(made["id"])
        return str(made["id"])

    async def pay(self, since: float) -> None:
        """Pay, the hosted page, and back to the page that says "confirming" or already "paid"."""
        who = self.contact()
        invoice = who.unpaid.pop(0) if who.unpaid else None
        if invoice is None:
            invoice, since = await self._link(who, send_email=False, since=since), 0
            who.unpaid.remove(invoice)
        opened = await self._api(
            "command", "POST", f"/invoices/{invoice}/pay", who, {}, key=invoice, what=("checkout", invoice), since=since
        )
        form = {"card_number": CARD, "expiry": "12/34", "cvc": "123", "cardholder": "Held"}
        headers = {"content-type": "application/x-www-form-urlencoded"}
        try:
            path = urlsplit(opened["checkout_url"]).path
            paid = await self.stripe.send("POST", path, headers, urlencode(form).encode())
        except Cut as cut:
            self.said.wrong.append(f"hosted page: {cut}")
            raise Stopped from cut
        if paid.status != 303:
            self.said.wrong.append(f"hosted page: {paid.status}")
            raise Stopped
        self.record.paid.append(invoice)
        who.paid.append((time.monotonic(), invoice))
        await self._send("page", "GET", f"/portal/payments/{invoice}", who)

    async def open_page(self, since: float) -> None:
        """A page with live updates for a while."""
        who = self.contact()
        await self._send("page", "GET", "/portal", who, since=since)
        self._stream(who, 20)

    def actions(self) -> tuple[list[Callable[[float], Awaitable[Any]]], list[int]]:
        """What is done, and how often of a thousand."""
        table: dict[Callable[[float], Awaitable[Any]], int] = {
            self.portal_page: 300,
            self.console_page: 150,
            self.api_read: 230,
            self.stylesheet: 60,
            self.link_page: 40,
            self.pdf: 20,
            self.own_todo: 50,
            self.assigned_todo: 30,
            self.tick: 40,
            self.new_link: 35,
            self.pay: 20,
            self.sign_in: 9,
            self.sign_up: 6,
            self.open_page: 10,
        }
        return list(table), list(table.values())
