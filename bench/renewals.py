"""A renewal run: `python -m bench.renewals [subscriptions, 10000 unless said]`.

So many monthly subscriptions are due at once. The real billing process renews and charges them at a Stripe in its own
memory, which answers at once and keeps a ledger on disk, so that what is measured is ours: charges a second, statements per
charge, memory. In the middle the process is killed with SIGKILL and started again. At the end each subscription has one
invoice and one charge, in our books and in the ledger, and the numbers have no gap.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import psycopg
from pydantic import TypeAdapter
from pydantic_core import to_json

from bench.counting import counting
from bench.ground import Child, Ground, ground
from chassis.ids import new_id
from chassis.migrations import migrate
from chassis.service import main as serve
from contracts.billing import Interval, LineItem, Subscription
from contracts.identity import Customer, Merchant
from contracts.message import CustomerId, MerchantId
from services.billing import app
from services.billing.domain.subscriptions import Standing
from services.billing.settings import Settings
from services.billing.store.agreements import shown
from services.billing.store.subscriptions import Kept
from services.billing.stripe_gateway import DisputeSeen, Intent, RefundSeen, StripeGateway, intent_of

_MANY = 10_000
_COUNTED = 100
_LEDGER = "BENCH_LEDGER"
_AMOUNT = 1250


_SUBSCRIPTION = "id, merchant_id, customer_id, sequence, kind, status, state, standing, next_turn_at, created_at"
_TABLES = (
    "copy_customer (id, merchant_id, sequence, state)",
    "stripe_customer (merchant_id, customer_id, stripe_id, looked_at)",
    "payment_method (id, merchant_id, customer_id, sequence, stripe_id, is_default, state, created_at)",
    f"subscription ({_SUBSCRIPTION})",
)


class LedgerStripe(StripeGateway):
    """Says yes at once. The ledger has a line per key, written before the answer, and outlives the process."""

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger
        self._made: dict[str, bytes] = {}  # as JSON: the process's memory is what is measured

    async def __aenter__(self) -> Self:
        lines = self._ledger.read_text().splitlines() if self._ledger.exists() else []
        self._made = {line["key"]: to_json(line["intent"]) for line in map(json.loads, lines)}
        self._file = self._ledger.open("ab", buffering=0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._file.close()

    async def charge(self, request: Mapping[str, Any], key: str, account: str | None) -> Intent:  # noqa: ARG002 - as Stripe's
        await asyncio.sleep(0)
        if key not in self._made:
            self._made[key] = to_json(_intent(key, request))
            self._file.write(b'{"key": %b, "intent": %b}\n' % (to_json(key), self._made[key]))
        return intent_of(json.loads(self._made[key]))

    async def now(self) -> datetime:
        return datetime.now(UTC)

    async def intents_since(self, created: int, account: str | None) -> AsyncIterator[Intent]:  # noqa: ARG002 - as Stripe's
        for kept in reversed(self._made.values()):
            await asyncio.sleep(0)
            intent = intent_of(json.loads(kept))
            if intent.created >= created:
                yield intent

    async def refunds_since(self, created: int, account: str | None) -> AsyncIterator[RefundSeen]:  # noqa: ARG002 - as Stripe's
        nothing: tuple[RefundSeen, ...] = ()
        for each in nothing:
            yield each

    async def disputes_since(self, created: int, account: str | None) -> AsyncIterator[DisputeSeen]:  # noqa: ARG002 - as Stripe's
        nothing: tuple[DisputeSeen, ...] = ()
        for each in nothing:
            yield each


def _intent(key: str, request: Mapping[str, Any]) -> dict[str, Any]:
    card = {"type": "card", "card": {"brand": "visa", "last4": "4242"}}
    return {
        "id": f"pi_{key}",
        "status": "succeeded",
        "amount": request["amount"],
        "amount_received": request["amount"],
        "currency": request["currency"],
        "created": int(time.time()),
        "metadata": request["metadata"],
        "latest_charge": {"payment_method_details": card},
        "last_payment_error": None,
    }


def _build() -> Any:
    return app.build(Settings.load("billing"), LedgerStripe(Path(os.environ[_LEDGER])))


def seed(url: str, many: int) -> None:
    """A merchant with `many` customers, each with a card and a monthly subscription that is due today."""
    today, merchant_id = datetime.now(UTC).date(), MerchantId(new_id())
    merchant = Merchant(id=merchant_id, merchant_id=merchant_id, name="Nordlicht", created_at=datetime.now(UTC))
    rows = list(zip(*(_rows(merchant_id, today) for _ in range(many)), strict=True))
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        _insert(
            cursor, "copy_merchant (id, merchant_id, sequence, state)", [(merchant_id, merchant_id, 1, _json(merchant))]
        )
        for table, given in zip(_TABLES, rows, strict=True):
            _insert(cursor, table, given)


def _rows(merchant_id: MerchantId, today: date) -> tuple[tuple[Any, ...], ...]:
    customer_id, method_id, now = CustomerId(new_id()), new_id(), datetime.now(UTC)
    customer = Customer(
        id=customer_id,
        merchant_id=merchant_id,
        name="Ada",
        email="ada@example.test",
        portal_access="none",
        created_at=now,
    )
    kept = _subscription(merchant_id, customer_id, today)
    standing = TypeAdapter(Standing).dump_json(kept.standing).decode()
    method = (method_id, merchant_id, customer_id, 1, f"pm_{method_id}", True, "{}", now)
    state = kept.state
    due = now - timedelta(minutes=1)
    subscription = (state.id, merchant_id, customer_id, 1, "recurring", "active", _json(state), standing, due, now)
    return (
        (customer_id, merchant_id, 1, _json(customer)),
        (merchant_id, customer_id, f"cus_{customer_id}", now),
        method,
        subscription,
    )


def _subscription(merchant_id: MerchantId, customer_id: CustomerId, today: date) -> Kept:
    """Accepted a while ago, charged once since, and due today."""
    line = LineItem(description="Website care", quantity=Decimal(1), unit_amount=_AMOUNT, amount=_AMOUNT)
    state = Subscription(
        id=new_id(),
        merchant_id=merchant_id,
        customer_id=customer_id,
        kind="recurring",
        status="active",
        title=line.description,
        currency="EUR",
        lines=(line,),
        subtotal=_AMOUNT,
        tax=0,
        total=_AMOUNT,
        interval=Interval(unit="day", count=30),
        created_at=datetime.now(UTC),
    )
    begun = today - timedelta(days=30)
    return shown(Kept(state, Standing()), Standing("active", anchor_on=begun, made=1, slot=1, paid=1))


def _insert(cursor: psycopg.Cursor[Any], table: str, rows: Iterable[tuple[Any, ...]]) -> None:
    given = list(rows)
    places = ", ".join(["%s"] * len(given[0]))
    cursor.executemany(f"INSERT INTO {table} VALUES ({places})", given)


def _json(state: Any) -> str:
    return to_json(state).decode()


def measure(servers: Ground, many: int) -> dict[str, Any]:
    """Run it, killed once in the middle. The figures by name."""
    url, ledger = servers.database(), servers.folder / "ledger.jsonl"
    migrate(url, Path(app.__file__).parent / "migrations")
    seed(url, many)
    began = time.monotonic()
    billing = _start(servers, url, ledger)
    peak: list[float] = []
    at_kill = _until(url, many // 2, billing, peak)
    billing.process.kill()
    billing.process.wait()
    killed_after = time.monotonic() - began
    again = time.monotonic()
    billing = _start(servers, url, ledger)
    up_again = time.monotonic() - again
    memory: list[float] = []
    done = _until(url, many, billing, memory)
    took = time.monotonic() - again - up_again
    billing.end()
    figures = {
        "subscriptions": many,
        "stripe": "in the process, no latency",
        "charged before SIGKILL": at_kill,
        "seconds before it": round(killed_after, 1),
        "charges a second after it": round((done - at_kill) / took, 1),
        "memory MB first": memory[min(2, len(memory) - 1)],
        "memory MB last": memory[-1],
        "memory MB most": max([*memory, *peak]),
    }
    return figures | _checked(url, ledger, many) | {"statements per charge": _statements(servers)}


def _start(servers: Ground, url: str, ledger: Path) -> Child:
    stripe = {"STRIPE_SECRET_KEY": "sk_test_bench", "STRIPE_WEBHOOK_SECRET": "whsec_bench", _LEDGER: str(ledger)}
    return servers.service("bench.renewals", "billing", url, "serve", asked=False, **stripe)


def _until(url: str, paid: int, billing: Child, memory: list[float]) -> int:
    """Until so many invoices are paid; the process's memory (MB) is noted once a second. Returns how many are."""
    page = os.sysconf("SC_PAGE_SIZE")
    with psycopg.connect(url, autocommit=True) as connection:
        while True:
            row = connection.execute("SELECT count(*) FROM invoice WHERE status = 'paid'").fetchone()
            pages = Path(f"/proc/{billing.pid}/statm").read_text().split()[1]
            memory.append(round(int(pages) * page / 1e6, 1))
            if row and row[0] >= paid:
                return int(row[0])
            time.sleep(0.25 if paid < _MANY else 1)


def _checked(url: str, ledger: Path, many: int) -> dict[str, Any]:
    """One invoice and one charge for each, in the books and in the ledger, numbers without a gap; else it fails."""
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    charged = [line["intent"]["metadata"]["invoice_id"] for line in lines]
    with psycopg.connect(url, autocommit=True) as connection:
        query = "SELECT id, number, amount_paid, charge_number FROM invoice WHERE status = 'paid'"
        books = connection.execute(query).fetchall()
        (open_ones,) = connection.execute("SELECT count(*) FROM invoice WHERE status <> 'paid'").fetchone() or (None,)
    numbers = sorted(int(number.removeprefix("INV-")) for _, number, _, _ in books)
    assert numbers == list(range(1, many + 1)), "The numbers have a gap."
    assert open_ones == 0, "Invoices are left open."
    assert sorted(map(UUID, charged)) == sorted(each[0] for each in books), "Somebody was charged twice, or not at all."
    assert sum(each[2] for each in books) == sum(line["intent"]["amount_received"] for line in lines) == many * _AMOUNT
    return {"charged twice": 0, "invoices": len(books), "charges in the ledger": len(charged)}


def _statements(servers: Ground) -> float:
    """Statements of one renewal with its charge, counted on the way to PostgreSQL; the relay's and idle ones left out."""
    url, ledger = servers.database(), servers.folder / "counted.jsonl"
    migrate(url, Path(app.__file__).parent / "migrations")
    with counting(url) as door:
        billing = _start(servers, door.url, ledger)
        time.sleep(3)
        door.reset()
        time.sleep(3)
        idle = door.statements / 3
        seed(url, _COUNTED)
        door.reset()
        began = time.monotonic()
        servers.sql(url, "NOTIFY subscription_due")
        _until(url, _COUNTED, billing, [])
        counted = door.statements - idle * (time.monotonic() - began)
        billing.end()
    return round(counted / _COUNTED, 1)


def main() -> None:
    """The command line: measure, or be the process that is measured."""
    if sys.argv[1:] == ["serve"]:
        serve(_build)
        return
    many = int(sys.argv[1]) if sys.argv[1:] else _MANY
    with ground() as servers:
        for name, value in measure(servers, many).items():
            print(f"{name:28} {value}", flush=True)


if __name__ == "__main__":
    main()
