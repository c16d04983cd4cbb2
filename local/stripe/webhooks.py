"""Delivers events to endpoints: signed over the exact bytes, outside any request, again and again until 2xx."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import logging
import random
import time
from functools import partial

import httpx

from local.stripe import API_VERSION
from local.stripe.ledger import Ledger
from local.stripe.settings import Settings
from local.stripe.store import Delivery, Store
from local.stripe.work import WebhookBehaviour

_log = logging.getLogger("stripe.webhooks")

_FIRST_RETRY = 0.5  # seconds; Stripe's own schedule spans three days, a laptop's must be seen
_LONGEST_RETRY = 60.0
# Tries, about three days of them: an event's age says nothing here, its time is that of a clock that tests turn.
_GIVE_UP_AFTER = 4320
_POLL = 1.0


def sign(payload: bytes, secret: str, timestamp: int) -> str:
    """The `Stripe-Signature` header: HMAC-SHA256 of `"{timestamp}.{payload}"`."""
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + payload, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"


def retry_delay(attempts: int) -> float:
    """Seconds until the next try after `attempts` failed ones: 0.5, 1, 2, … 60."""
    return float(min(_FIRST_RETRY * 2 ** max(attempts - 1, 0), _LONGEST_RETRY))


class Deliverer:
    """Sends due deliveries, one at a time per endpoint so that events arrive in order until something fails."""

    def __init__(self, store: Store, ledger: Ledger, settings: Settings, behaviour: WebhookBehaviour) -> None:
        self._store = store
        self._ledger = ledger
        self._settings = settings
        self._behaviour = behaviour
        self._client = httpx.AsyncClient(timeout=10.0, trust_env=False)
        self._awake = asyncio.Event()
        self._serving: dict[str, asyncio.Task[None]] = {}

    def wake(self) -> None:
        """There is something to deliver."""
        self._awake.set()

    async def run(self) -> None:
        """Delivers for ever, beginning with what is pending in the database.

        Failed deliveries are tried at once: their endpoint has most likely been restarted together with the sandbox.
        """
        with self._store.transaction():
            self._store.hasten_retries(time.time())
        while True:
            self._awake.clear()
            now = time.time()
            self._serve_due(now)
            upcoming = self._store.next_delivery_due(now)
            pause = _POLL if upcoming is None else min(upcoming - now, _POLL)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._awake.wait(), pause)

    async def close(self) -> None:
        """Stops delivering; what is pending stays in the database."""
        for task in self._serving.values():
            task.cancel()
        await asyncio.gather(*self._serving.values(), return_exceptions=True)
        await self._client.aclose()

    async def deliver_due(self, timeout: float) -> None:
        """Delivers what is due now and waits for it, at most `timeout` seconds."""
        tasks = self._serve_due(time.time())
        if tasks:
            await asyncio.wait(tasks, timeout=timeout)

    def _serve_due(self, now: float) -> list[asyncio.Task[None]]:
        """Endpoints are served side by side: one that hangs does not hold up the others."""
        for endpoint in self._store.endpoints_due(now):
            if endpoint not in self._serving:
                task = asyncio.create_task(self._serve(endpoint))
                self._serving[endpoint] = task
                task.add_done_callback(partial(self._served, endpoint))
        return list(self._serving.values())

    def _served(self, endpoint: str, task: asyncio.Task[None]) -> None:
        del self._serving[endpoint]
        if not task.cancelled() and (problem := task.exception()):
            _log.error("delivery to %s broke", endpoint, exc_info=problem)  # tried again at the next poll
        else:
            self.wake()  # for what became due meanwhile

    async def _serve(self, endpoint: str) -> None:
        if self._behaviour.shuffle:
            await asyncio.sleep(0.05)  # let the events that belong together arrive
        deliveries = self._store.due_deliveries(endpoint, time.time())
        await self._ledger.flush()  # whoever hears of a movement finds it there
        if self._behaviour.shuffle:
            random.shuffle(deliveries)
        for delivery in deliveries:
            copies = 1 + self._behaviour.duplicate
            answers = await asyncio.gather(*(self._send(delivery) for _ in range(copies)))
            accepted = [answer for ok, answer in answers if ok]
            self._settle(delivery, (accepted or [answer for _, answer in answers])[0], delivered=bool(accepted))

    async def _send(self, delivery: Delivery) -> tuple[bool, str]:
        event = self._store.find(delivery.account, delivery.event)
        target = self._target(delivery)
        if event is None or target is None:
            return True, "the endpoint is gone"
        url, secret = target
        event["pending_webhooks"] = self._store.pending_webhooks(delivery.account, delivery.event)
        payload = json.dumps(event, indent=2).encode()
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": sign(payload, secret, int(time.time())),
            "User-Agent": f"Stripe/1.0 (sandbox; {API_VERSION})",
        }
        try:
            response = await self._client.post(url, content=payload, headers=headers)
        except httpx.HTTPError as problem:
            return False, type(problem).__name__
        return response.is_success, str(response.status_code)

    def _target(self, delivery: Delivery) -> tuple[str, str] | None:
        """(URL, secret), read at the time of sending: endpoints move and ports change between two starts."""
        if delivery.endpoint == "default":
            url = self._settings.webhook_url
            return (url, self._settings.webhook_secret) if url else None
        endpoint = self._store.find(delivery.owner, delivery.endpoint)
        if endpoint is None or endpoint.get("deleted") or endpoint["status"] != "enabled":
            return None
        return endpoint["url"], self._store.private(delivery.owner, delivery.endpoint)["secret"]

    def _settle(self, delivery: Delivery, answer: str, *, delivered: bool) -> None:
        attempts = delivery.attempts + 1
        now = time.time()
        event = self._store.find(delivery.account, delivery.event)
        with self._store.transaction():
            if delivered:
                self._store.settle_delivery(delivery.id, "delivered", answer, now)
            elif attempts >= _GIVE_UP_AFTER:
                self._store.settle_delivery(delivery.id, "failed", answer, now)
            else:
                self._store.settle_delivery(delivery.id, "pending", answer, now + retry_delay(attempts))
        kind = event["type"] if event else "?"
        _log.info("webhook %s %s -> %s: %s", kind, delivery.event, delivery.endpoint, answer)
