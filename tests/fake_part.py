"""What every part of FakeStripe goes by: keys, ids, what was asked and is to fail, what is told, and whose an object is."""

from __future__ import annotations

import copy
import itertools
import time
from typing import Any

from services.billing.stripe_gateway import StripeGateway, StripeRefusedError

Json = dict[str, Any]


class FakePart(StripeGateway):
    """What was asked is in `asked`; `fails` and `lost` hold what the next calls raise, by method name."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.fails: dict[str, list[Exception]] = {}
        self.lost: dict[str, list[Exception]] = {}
        self.told: list[Json] = []
        self.keys: dict[str, str] = {}
        self.owners: dict[str, str | None] = {}
        """Which account an object is at; None: the platform's own."""
        self.intents: dict[str, Json] = {}
        self._numbers = itertools.count(1)

    def own(self, object_id: str, account: str | None) -> None:
        """Raise what Stripe says to one who asks for an object of another account."""
        if self.owners.get(object_id) != account:
            raise StripeRefusedError("resource_missing", f"No such object: '{object_id}'")

    def tell(self, kind: str, thing: Json, account: str | None = None) -> Json:
        """An event happens; its webhook is on its way (see `told`)."""
        known = {name: value for name, value in thing.items() if name != "request"}
        event = {
            "id": f"evt_{next(self._numbers)}",
            "object": "event",
            "type": kind,
            "account": account,
            "created": int(time.time()),
            "data": {"object": copy.deepcopy(known)},
        }
        self.told.append(event)
        return event

    def _take(self, name: str, waiting: dict[str, list[Exception]], *, note: bool = True) -> None:
        if note:
            self.asked.append(name)
        if waiting.get(name):
            raise waiting[name].pop(0)
