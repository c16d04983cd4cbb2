"""The gateway alone: a real process on a real PostgreSQL with a seeded read model, and no broker anywhere.

Questions that only another service can answer, and without which a page could not be seen at all, are answered here by
the token's name; every command meets the broker that is not there.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from chassis.clock import Clock
from chassis.database import Database, system_cause
from chassis.ids import new_id
from chassis.migrations import migrate
from contracts.billing import (
    AccountStatement,
    CurrencyStatement,
    Invoice,
    MovedCharge,
    PlannedCharge,
    PreviewSubscription,
    Statement,
    StatementEntry,
    SubscriptionPreview,
)
from contracts.identity import Customer, InvitationView, Merchant
from contracts.message import EventEnvelope, FieldError, InvalidInput, MailFacts
from local.children import free_port
from services.gateway import readmodel
from tests import builders as make
from tests.e2e.seed import Seed, pages_of

ROOT = Path(__file__).parents[2]


@dataclasses.dataclass
class World:
    """What was seeded: session tokens by role, and addresses by what they show."""

    url: str
    sessions: dict[str, str]
    pages: dict[str, list[str]]
    """Pages per session; those of *visitor* need none."""
    merchant: Merchant
    customer: Customer
    open_invoice: Invoice
    database: str


def bring(database: str, *events: EventEnvelope) -> None:
    """Let something happen now: open pages hear of it as they would of a follower's upsert."""

    async def write() -> None:
        async with Database(database, "gateway", Clock()) as db, db.transaction(system_cause("gateway")) as tx:
            await readmodel.apply(tx, events)

    with ThreadPoolExecutor(1) as aside:
        aside.submit(asyncio.run, write()).result()


@contextlib.contextmanager
def running(database: str, seed: Seed | None = None, *, full: bool = True) -> Iterator[World]:
    """A gateway process on a seeded database, until the block ends."""
    seed = seed or Seed()
    invoice = seed.full() if full else make.invoice(seed.customer)
    migrate(database, ROOT / "services/gateway/migrations")
    with ThreadPoolExecutor(1) as aside:  # Playwright's own event loop runs in this thread
        aside.submit(asyncio.run, seed.write(database)).result()
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    ids = {
        "merchant_id": str(seed.merchant.id),
        "merchant_name": seed.merchant.name,
        "customer_id": str(seed.customer.id),
        "customer_name": seed.customer.company,
        "email": "sam@okafor.example",
    }
    environment = os.environ | {
        "PORTAL_DATABASE_URL": database,
        "PORTAL_AMQP_URL": f"amqp://portal_gateway:x@127.0.0.1:{free_port()}/",
        "PORTAL_SECRET_KEY": "a secret for tests alone",
        "PORTAL_PUBLIC_URL": url,
        "PORTAL_GATEWAY_HTTP_PORT": str(port),
        "PORTAL_TEST_WORLD": json.dumps(ids),
        "PORTAL_LOG_LEVEL": "CRITICAL",
    }
    process = subprocess.Popen([sys.executable, "-m", "tests.e2e.seeded_gateway"], cwd=ROOT, env=environment)
    try:
        _until_it_answers(url, process)
        yield World(url, seed.tokens, pages_of(seed, full=full), seed.merchant, seed.customer, invoice, database)
    finally:
        process.terminate()
        process.wait(60)


def _until_it_answers(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert process.poll() is None, "The gateway ended."
        try:
            urllib.request.urlopen(f"{url}/sign-in", timeout=5).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
        else:
            return
    raise AssertionError("The gateway did not start.")


# --- the process ----------------------------------------------------------------------------------------------------


def _statement(asked: AccountStatement) -> Statement:
    """An account of two currencies: a paid invoice, a refund, and what is owed in yen."""
    rows = (
        ("invoice", "INV-97", 32_000),
        ("payment", "R-2041", -32_000),
        ("credit_note", "CN-3", -5_000),
        ("refund", "CN-3", 5_000),
    )
    balance, entries = 4_500, []
    for kind, reference, amount in rows:
        balance += amount
        told = {"on": asked.from_on, "kind": kind, "reference": reference, "amount": amount, "balance": balance}
        entries.append(StatementEntry.model_validate(told))
    euro = CurrencyStatement(currency="EUR", opening=4_500, entries=tuple(entries), closing=balance)
    yen = CurrencyStatement(currency="JPY", opening=99_900, entries=(), closing=99_900)
    return Statement(customer_id=asked.customer_id, from_on=asked.from_on, to_on=asked.to_on, currencies=(euro, yen))


def _preview(request: PreviewSubscription) -> SubscriptionPreview:
    """A cancellation takes away, a resumption moves, and a pause is refused."""
    planned = [PlannedCharge(on=make.due(30 * n), amount=30_000, instalment=n) for n in range(2, 10)]
    match request.action:
        case "cancel":
            return SubscriptionPreview(
                allowed=True, disappear=tuple(planned), effective_on=make.due(20), status="active"
            )
        case "resume":
            moved = tuple(
                MovedCharge(old=each, new=each.model_copy(update={"on": make.due(25 * (each.instalment or 1))}))
                for each in planned[:2]
            )
            return SubscriptionPreview(allowed=True, move=moved, status="active", next_charge=moved[0].new)
        case _:
            return SubscriptionPreview(allowed=False, why_not="pause-not-allowed", ask=True, status="active")


def _serve() -> None:
    import uvicorn

    from chassis.service import Runtime, application
    from chassis.telemetry import configure_logging
    from contracts.billing import PayLinkUrl, ReadStripeAccount, StripeAccount, SubscriptionLinkUrl
    from contracts.identity import InvitationNotUsable, ViewInvitation
    from contracts.message import Reply
    from services.gateway.app import build

    configure_logging("gateway", "ERROR")
    for noisy in ("aiormq", "aio_pika", "uvicorn.error"):  # the broker that is not there, the streams that we cut
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    world = json.loads(os.environ["PORTAL_TEST_WORLD"])
    service = build()
    runtime = Runtime(service)
    asked = runtime.rpc.ask

    async def ask(request: Any, cause: Any, **more: Any) -> Any:
        if isinstance(request, ViewInvitation):
            kind = request.token.split("-")[0]
            if kind not in {"live", "known"}:
                raise InvitationNotUsable(why=kind)
            view = world | {"invitation_id": str(new_id()), "name": "", "has_account": kind == "known"}
            return Reply(InvitationView.model_validate(view), ())
        if isinstance(request, AccountStatement) and request.to_on >= request.from_on:
            return Reply(_statement(request), ())
        if isinstance(request, AccountStatement):
            wrong = FieldError(field="to_on", message="", code="statement-period")
            raise InvalidInput(errors=(wrong,))
        if isinstance(request, PayLinkUrl | SubscriptionLinkUrl):
            return Reply(MailFacts(still_true=True, path="/pay/" + "open" * 10), ())
        if isinstance(request, ReadStripeAccount):
            connected = StripeAccount(account="acct_1NorthwindStudio", mode="test", since=make.NOW)
            return Reply(connected, ())
        if isinstance(request, PreviewSubscription):
            return Reply(_preview(request), ())
        return await asked(request, cause, **more)

    runtime.rpc.ask = ask  # type: ignore[method-assign]  # the one seam of this process
    port = service.settings.http_port or 0
    config = uvicorn.Config(
        application(runtime), port=port, lifespan="on", log_config=None, access_log=False, timeout_graceful_shutdown=1
    )
    uvicorn.Server(config).run()


if __name__ == "__main__":
    _serve()
