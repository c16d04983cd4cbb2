"""The customers of FakeStripe, with what they pay with and the pages on which they give it."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from services.billing.domain.methods import Wallet
from services.billing.stripe_gateway import SetupPage, StripeRefusedError, setup_of
from services.billing.stripe_gateway.wallets import method_of
from tests.fake_part import FakePart, Json

FINGERPRINTS = {"4242": "print-visa", "4444": "print-mastercard", "0341": "print-declines", "3155": "print-3ds"}


class FakeWallets(FakePart):
    """A part of FakeStripe: what billing asks about customers and methods, and what customers do with them."""

    def __init__(self) -> None:
        super().__init__()
        self.customers: dict[str, Json] = {}
        self.methods: dict[str, Json] = {}
        self.pages: dict[str, Json] = {}
        self.given: dict[str, str] = {}

    # --- what billing asks --------------------------------------------------------------------------------------------

    async def create_customer(self, request: Mapping[str, Any], key: str, account: str | None) -> str:
        self._take("create_customer", self.fails)
        # Each account has its own idempotency keys, as it has its own customers.
        key = key if account is None else f"{account}:{key}"
        if key not in self.keys:
            self.keys[key] = f"cus_{next(self._numbers)}"
            customer = {"id": self.keys[key], "object": "customer", "metadata": dict(request["metadata"])}
            self.customers[self.keys[key]] = customer | {"invoice_settings": {"default_payment_method": None}}
            self.owners[self.keys[key]] = account
        self._take("create_customer", self.lost, note=False)
        return self.keys[key]

    async def wallet(self, customer: str, account: str | None) -> Wallet:
        self._take("wallet", self.fails)
        self.own(customer, account)
        theirs = [each for each in self.methods.values() if each["customer"] == customer]
        default = self.customers[customer]["invoice_settings"]["default_payment_method"]
        return Wallet(default, tuple(method_of(copy.deepcopy(each)) for each in reversed(theirs)))

    async def set_default(self, customer: str, method: str, account: str | None) -> None:
        self._take("set_default", self.fails)
        self.own(customer, account)
        if self.methods[method]["customer"] != customer:
            raise StripeRefusedError("resource_missing", "The customer does not have this payment method.")
        self.makes_default(customer, method)
        self._take("set_default", self.lost, note=False)

    async def update_method(self, method: str, changes: Mapping[str, Any], account: str | None) -> None:
        self._take("update_method", self.fails)
        self.own(method, account)
        if changes.get("card", {}).get("exp_year", 0) > 2099:
            raise StripeRefusedError("invalid_expiry_year", "Your card's expiration year is invalid.")
        self.changes_method(method, changes)
        self._take("update_method", self.lost, note=False)

    async def detach_method(self, method: str, account: str | None) -> None:
        self._take("detach_method", self.fails)
        self.own(method, account)
        if self.methods[method]["customer"] is not None:
            self.detaches(method)
        self._take("detach_method", self.lost, note=False)

    async def setup_page(self, session_id: str, account: str | None) -> SetupPage:
        self._take("setup_page", self.fails)
        self.own(session_id, account)
        return self._page(session_id, whole=True)

    async def open_setup(self, request: Mapping[str, Any], key: str, account: str | None) -> SetupPage:
        self._take("open_setup", self.fails)
        if key not in self.keys:
            self.own(request["customer"], account)
            session_id = f"cs_{next(self._numbers)}"
            self.keys[key] = session_id
            self.owners[session_id] = account
            self.pages[session_id] = {
                "id": session_id,
                "object": "checkout.session",
                "mode": "setup",
                "status": "open",
                "payment_status": "no_payment_required",
                "url": f"https://checkout.test/{session_id}",
                "customer": request["customer"],
                "setup_intent": f"seti_{session_id}",
                "metadata": dict(request["metadata"]),
                "request": dict(request),
            }
        elif self.pages[self.keys[key]]["request"] != dict(request):
            raise StripeRefusedError("idempotency_error", "The key came with another body.")
        self._take("open_setup", self.lost, note=False)
        return self._page(self.keys[key])

    async def find_setup(self, customer: str, setup_id: UUID, account: str | None) -> SetupPage | None:
        self._take("find_setup", self.fails)
        for page in self.pages.values():
            ours = page["customer"] == customer and self.owners[page["id"]] == account
            if ours and page["metadata"]["setup_id"] == str(setup_id):
                return self._page(page["id"], whole=True)
        return None

    def _page(self, session_id: str, *, whole: bool = False) -> SetupPage:
        found = copy.deepcopy(self.pages[session_id])
        found.pop("request")
        if whole:
            found["setup_intent"] = {"id": found["setup_intent"], "payment_method": self.given.get(session_id)}
        return setup_of(found)

    # --- what customers, banks and people at Stripe do -----------------------------------------------------------------

    def gives(self, session_id: str, last4: str = "4242", expiry: tuple[int, int] = (12, 2034)) -> str:
        """The customer types a card into the setup's page; Stripe tells it in its order. Returns the method's id."""
        page = self.pages[session_id]
        method = self.given[session_id] = self.attaches(page["customer"], last4, expiry)
        intent = {"id": page["setup_intent"], "object": "setup_intent", "customer": page["customer"]}
        account = self.owners[session_id]
        self.tell("setup_intent.succeeded", intent | {"payment_method": method, "metadata": page["metadata"]}, account)
        page.update(status="complete", url=None)
        self.tell("checkout.session.completed", page, account)
        return method

    def attaches(self, customer: str, last4: str = "4242", expiry: tuple[int, int] = (12, 2034)) -> str:
        """A card is tied to a customer, by whatever way."""
        method_id = f"pm_{next(self._numbers)}"
        self.methods[method_id] = {
            "id": method_id,
            "object": "payment_method",
            "type": "card",
            "created": int(time.time()) + len(self.methods),
            "customer": customer,
            "card": {
                "brand": "visa",
                "last4": last4,
                "exp_month": expiry[0],
                "exp_year": expiry[1],
                "fingerprint": FINGERPRINTS.get(last4, f"print-{last4}"),
            },
            "billing_details": {"name": "Ada Lovelace", "email": None, "address": None},
        }
        self.owners[method_id] = self.owners.get(customer)
        self.tell("payment_method.attached", self.methods[method_id], self.owners[method_id])
        return method_id

    def detaches(self, method: str) -> None:
        """A method is taken away; a default that is gone is none."""
        customer = self.customers[self.methods[method]["customer"]]
        if customer["invoice_settings"]["default_payment_method"] == method:
            customer["invoice_settings"]["default_payment_method"] = None
            self.tell("customer.updated", customer, self.owners.get(method))
        self.methods[method]["customer"] = None
        self.tell("payment_method.detached", self.methods[method], self.owners.get(method))

    def makes_default(self, customer: str, method: str) -> None:
        """Somebody chooses the default."""
        settings = self.customers[customer]["invoice_settings"]
        if settings["default_payment_method"] != method:
            settings["default_payment_method"] = method
            self.tell("customer.updated", self.customers[customer], self.owners.get(customer))

    def changes_method(self, method: str, changes: Mapping[str, Any]) -> None:
        """Expiry or billing details change."""
        known = self.methods[method]
        known["card"].update(changes.get("card", {}))
        billing = {name: value or None for name, value in changes.get("billing_details", {}).items()}
        known["billing_details"].update(billing)
        self.tell("payment_method.updated", known, self.owners.get(method))

    def expires_page(self, session_id: str) -> None:
        """Nobody gave a card for a day."""
        self.pages[session_id].update(status="expired", url=None)
        self.tell("checkout.session.expired", self.pages[session_id], self.owners[session_id])
