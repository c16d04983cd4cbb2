"""`second start`, `memory`, `paid on the page` and `receipt at SMTP`: the whole system as `make up` starts it.

A customer with their page open pays at the sandbox's hosted page. The clock starts with billing's own record of when the
webhook that brings the money came in, and stops when the page's event stream tells of the invoice, and when the mailbox has
the receipt. All on one machine's clock.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg

from bench.ground import Ground
from bench.measure import RUNS, Row, absolute, percentile
from contracts.message import SERVICES
from local.folder import ROOT
from local.portal_client import Mailbox, Portal, pay_at_checkout

PAYMENTS = 8
"""In each of the runs."""


class Up:
    """`make up` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "state.json").read_text())
        return found

    def start(self) -> float:
        """Seconds until everything is healthy."""
        clean = {
            name: value for name, value in os.environ.items() if not name.startswith(("PORTAL_", "STRIPE_", "SMTP_"))
        }
        began = time.monotonic()
        with (self.folder.parent / "up.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "local", "up"],
                cwd=ROOT,
                env=clean | {"PORTAL_LOCAL_DIR": str(self.folder)},
                stdout=log,
                stderr=log,
            )
        while not (self.folder / "state.json").exists():
            if self.process.poll() is not None or time.monotonic() - began > 180:
                raise RuntimeError((self.folder.parent / "up.log").read_text()[-3000:])
            time.sleep(0.02)
        return time.monotonic() - began

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)


class OpenPage:
    """A page's event stream: when each invoice was told of."""

    def __init__(self, portal: Portal) -> None:
        self.told: dict[str, list[float]] = {}
        self._portal = portal
        self.open = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        headers = {"Authorization": f"Bearer {self._portal.token}"}
        try:
            with httpx.stream("GET", f"{self._portal.base}/api/v1/changes", headers=headers, timeout=60) as answer:
                for line in answer.iter_lines():
                    self.open.set()
                    if line.startswith("data: ") and '"invoice"' in line:
                        self.told.setdefault(json.loads(line[6:])["id"], []).append(time.time())
        except httpx.HTTPError:
            # The system was stopped.
            return


def memory(state: dict[str, Any]) -> Iterator[float]:
    """Resident megabytes of each service's process."""
    for service in SERVICES:
        status = Path(f"/proc/{state['pids'][service]}/status").read_text()
        yield int(status.split("VmRSS:")[1].split()[0]) / 1024


def pay(
    admin: Portal, customer: Portal, customer_id: str, page: OpenPage, state: dict[str, Any]
) -> tuple[float, float]:
    """One invoice paid; milliseconds from its webhook until the page was told and until the receipt was mailed."""
    due = (datetime.now(UTC).date() + timedelta(days=14)).isoformat()
    line = {"description": "Coffee beans", "quantity": "1", "unit_amount": 2890}
    body = {"kind": "one_time", "currency": "EUR", "lines": [line], "due_on": due, "send_email": False}
    invoice = admin.call("POST", f"/customers/{customer_id}/payment-links", body)
    mailbox, to = Mailbox(state["urls"]["mailbox"]), state["credentials"]["customer"]["email"]
    checkout = customer.call("POST", f"/invoices/{invoice['id']}/pay", {})["checkout_url"]
    time.sleep(0.3)  # what paying itself tells the page has been told
    assert pay_at_checkout(checkout, "4242424242424242").status_code == 303
    end = time.monotonic() + 20
    while True:
        paid = customer.call("GET", f"/invoices/{invoice['id']}")
        if paid["status"] == "paid":
            break
        assert time.monotonic() < end, "The invoice was not paid."
        time.sleep(0.1)
    mail = mailbox.wait(to, paid["receipts"][0]["number"])
    with psycopg.connect(state["databases"]["billing"]) as database:
        row = database.execute(
            "SELECT min(received_at) FROM stripe_event WHERE payload LIKE %s"
            " AND type IN ('payment_intent.succeeded', 'checkout.session.completed')",
            (f"%{invoice['id']}%",),
        ).fetchone()
    assert row is not None
    came = row[0].timestamp()
    told = next(at for at in page.told[invoice["id"]] if at > came)
    mailed = datetime.fromisoformat(mail["received_at"]).timestamp()
    return (told - came) * 1000, (mailed - came) * 1000


def payments(state: dict[str, Any]) -> list[Row]:
    base = state["urls"]["gateway"]
    admin = Portal(base).sign_in(**state["credentials"]["admin"])
    customer = Portal(base).sign_in(**state["credentials"]["customer"])
    customer_id = customer.call("GET", "/session")["account"]["id"]
    page = OpenPage(customer)
    page.open.wait(10)
    pay(admin, customer, customer_id, page, state)
    runs = [[pay(admin, customer, customer_id, page, state) for _ in range(PAYMENTS)] for _ in range(RUNS)]
    rows = []
    for place, name, middle, slow in ((0, "paid on the page", 60, 250), (1, "receipt at SMTP", None, 1000)):
        each = [[took[place] for took in run] for run in runs]
        medians = [statistics.median(run) for run in each]
        rows.append(absolute(name, "ms", medians, middle))
        rows.append(absolute(f"{name} p50", "ms", medians, middle))
        worst = percentile([took for run in each for took in run], 0.99)
        rows.append(absolute(f"{name} p99", "ms", [max(run) for run in each], slow, ours=worst))
    return rows


@contextmanager
def system(folder: Path) -> Iterator[Up]:
    folder.mkdir()
    folder.chmod(0o711)
    up = Up(folder / "local")
    try:
        yield up
    finally:
        up.stop()


def measure(ground: Ground) -> list[Row]:
    with system(ground.folder / "whole") as up:
        up.start()
        starts = []
        for _ in range(RUNS):
            up.stop()
            starts.append(up.start())
        rows = [absolute("second start", "s", starts, 15)]
        time.sleep(10)
        used = list(memory(up.state))
        rows.append(absolute("memory", "MB", used, 100, ours=max(used)))
        return rows + payments(up.state)
