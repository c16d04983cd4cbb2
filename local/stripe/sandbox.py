"""The running sandbox: what requests, pages and the control room share."""

import asyncio
import fcntl
import time
from dataclasses import dataclass, field
from typing import TextIO

from local.stripe.due import happen
from local.stripe.faults import Faults
from local.stripe.ledger import Ledger
from local.stripe.settings import RefusedSettingsError, Settings
from local.stripe.store import Store
from local.stripe.webhooks import Deliverer
from local.stripe.work import WebhookBehaviour, Work


@dataclass
class Sandbox:
    """One sandbox: its store, its faults, its webhooks.

    Attributes:
        lock: held as long as the process lives.
        in_flight: idempotency keys being executed now, per account; in memory, since a crash ends the execution too.
        clock_offset: seconds the sandbox's clock was turned forward, for expiry and idempotency's 24 hours.
    """

    settings: Settings
    store: Store
    ledger: Ledger
    deliverer: Deliverer
    webhooks: WebhookBehaviour
    lock: TextIO
    faults: Faults = field(default_factory=Faults)
    in_flight: set[tuple[str, str]] = field(default_factory=set)
    clock_offset: int = 0

    def now(self) -> int:
        """The sandbox's time, Unix seconds."""
        return int(time.time()) + self.clock_offset

    def work(self, account: str, *, request_id: str | None = None, idempotency_key: str | None = None) -> Work:
        """A unit of work for an account."""
        return Work(self.store, self.settings, self.webhooks, account, self.now(), request_id, idempotency_key)

    def let_happen(self) -> None:
        """Lets everything happen whose time has come. Called before anything looks, and every second.

        The ledger's file follows before any response or webhook tells of it.
        """
        now = self.now()
        sessions = [(account, found, "checkout.session") for account, found in self.store.open_sessions_due(now)]
        for account, object_id, kind in (*sessions, *self.store.things_due(now)):
            work = self.work(account)
            with self.store.transaction():
                happen(work, kind, object_id)
            self.deliverer.wake()

    async def watch_clock(self) -> None:
        """Does so for ever."""
        while True:
            self.let_happen()
            await self.ledger.flush()
            await asyncio.sleep(1.0)

    async def after_commit(self, work: Work) -> None:
        """Everything a commit owes before its response: the ledger's file, and the webhooks' start."""
        await self.ledger.flush()
        if not work.emitted:
            return
        if self.webhooks.before_response:
            await self.deliverer.deliver_due(timeout=5.0)
        else:
            self.deliverer.wake()


def open_sandbox(settings: Settings) -> Sandbox:
    """Opens the data folder, making it when needed.

    Raises:
        RefusedSettingsError: another sandbox has it open; two would deliver every webhook twice.
    """
    settings.data.mkdir(parents=True, exist_ok=True)
    lock = (settings.data / "lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise RefusedSettingsError(f"another sandbox is running on {settings.data}") from None
    store = Store(settings.data / "sandbox.sqlite3")
    webhooks = WebhookBehaviour()
    ledger = Ledger(settings.data / "ledger.jsonl", store)
    return Sandbox(settings, store, ledger, Deliverer(store, ledger, settings, webhooks), webhooks, lock)
