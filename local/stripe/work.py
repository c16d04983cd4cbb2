"""One unit of work: the account, the time and the request that an operation runs for, and what it may do with them."""

import secrets
import string
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from local.stripe import API_VERSION
from local.stripe.errors import no_such
from local.stripe.settings import Settings
from local.stripe.store import Store

Json = dict[str, Any]

_ALPHABET = string.ascii_letters + string.digits


def new_id(prefix: str, length: int = 24) -> str:
    """A random id with Stripe's prefix, e.g. `pi_` and 24 letters and digits."""
    return prefix + "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in secrets.token_bytes(length))


@dataclass
class WebhookBehaviour:
    """How webhooks misbehave; set by `/_sandbox/webhooks`, gone after a restart.

    Attributes:
        duplicate: further copies of every delivery, sent at the same moment.
        shuffle: events that arise together are delivered in random order.
        delay: seconds before an event's first delivery.
        drop: so many of the next events are never delivered (until redelivered by hand).
        before_response: a request's events are delivered before its response is sent.
    """

    duplicate: int = 0
    shuffle: bool = False
    delay: float = 0.0
    drop: int = 0
    before_response: bool = False


@dataclass
class Work:
    """What an operation does happens in the transaction that is open around it.

    Attributes:
        account: the `Stripe-Account`, "" for the platform itself.
        now: Unix time in seconds.
    """

    store: Store
    settings: Settings
    webhooks: WebhookBehaviour
    account: str
    now: int
    request_id: str | None = None
    idempotency_key: str | None = None
    emitted: list[str] = field(default_factory=list)

    def fetch(self, kind: str, object_id: str, param: str, *, status: int = 404, noun: str | None = None) -> Json:
        """The object.

        Raises:
            StripeError: `resource_missing`, when this account has no such object of that kind.
        """
        body = self.store.find(self.account, object_id)
        if body is None or body["object"] != kind:
            raise no_such(noun or kind, object_id, param, status=status)
        return body

    def insert(self, body: Json, **private: Any) -> Json:
        """Stores a new object, with what the API never shows of it."""
        self.store.insert(self.account, body, private)
        return body

    def save(self, body: Json) -> Json:
        """Stores an object's new state."""
        self.store.update(self.account, body)
        return body

    def private(self, object_id: str) -> Json:
        """What the API never shows of an object."""
        return self.store.private(self.account, object_id)

    def remember(self, object_id: str, **private: Any) -> None:
        """Adds to what the API never shows of an object."""
        self.store.update_private(self.account, object_id, {**self.private(object_id), **private})

    def emit(self, kind: str, subject: Json, previous: Json | None = None) -> None:
        """Records an event with the subject's state of this moment and queues it for every endpoint that wants it."""
        data: Json = {"object": subject}
        if previous is not None:
            data["previous_attributes"] = previous
        event: Json = {
            "id": new_id("evt_"),
            "object": "event",
            "api_version": API_VERSION,
            "created": self.now,
            "data": data,
            "livemode": False,
            "pending_webhooks": 0,
            "request": {"id": self.request_id, "idempotency_key": self.idempotency_key},
            "type": kind,
        }
        if self.account:
            event["account"] = self.account
        self.insert(event)
        self.emitted.append(event["id"])
        dropped = self.webhooks.drop > 0
        if dropped:
            self.webhooks.drop -= 1
        self.queue(event, state="dropped" if dropped else "pending", delay=self.webhooks.delay)

    def queue(self, event: Json, *, state: str = "pending", delay: float = 0.0) -> None:
        """Queues an event for the default endpoint and every registered one that wants it."""
        # Wall time, not the sandbox's clock: a clock turned forward must not hold deliveries back.
        due = time.time() + delay
        for owner, endpoint in self._endpoints_for(event["type"]):
            self.store.add_delivery(self.account, event["id"], owner, endpoint, due, state=state)

    def _endpoints_for(self, kind: str) -> list[tuple[str, str]]:
        """(owner, id): the account's own endpoints, and the platform's `connect` ones for a connected account."""
        found = [("", "default")] if self.settings.webhook_url else []
        for owner in dict.fromkeys(("", self.account)):
            for endpoint in self.store.page(owner, "webhook_endpoint", [], limit=100, before=None, after=None):
                wanted = "*" in endpoint["enabled_events"] or kind in endpoint["enabled_events"]
                connect = bool(self.store.private(owner, endpoint["id"]).get("connect"))
                if endpoint["status"] == "enabled" and wanted and connect == (owner != self.account):
                    found.append((owner, endpoint["id"]))
        return found

    def record_money(self, kind: str, charge: Json, *, amount: int, about: str | None = None) -> None:
        """Adds a ledger line to the transaction; the file follows before the response.

        `about` is the refund or dispute that moved the money, when it was not the charge itself.
        """
        intent = self.fetch("payment_intent", charge["payment_intent"], "payment_intent")
        private = self.private(intent["id"])
        # Only of the request that asked for this movement: what happens days later, nobody asked for with a key.
        asked_with = private.get("idempotency_key") if kind == "charge.succeeded" else None
        line = {
            "time": datetime.fromtimestamp(self.now, UTC).isoformat(),
            "kind": kind,
            "payment_intent": intent["id"],
            "charge": charge["id"],
            "refund": about if kind.startswith("refund.") else None,
            "dispute": about if kind.startswith("dispute.") else None,
            "checkout_session": private.get("session"),
            "amount": amount,
            "currency": charge["currency"],
            "account": self.account or None,
            "metadata": intent["metadata"],
            "idempotency_key": self.idempotency_key or asked_with,
        }
        self.store.add_ledger_line(line)
