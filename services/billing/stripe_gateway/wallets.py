"""Customers at Stripe, the payment methods they have there, and the hosted page on which they give another one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID

from stripe.params import CustomerCreateParams, PaymentMethodUpdateParams
from stripe.params.checkout import SessionCreateParams, SessionListParams, SessionRetrieveParams

from contracts.message import CustomerId, MerchantId
from services.billing.domain.methods import Seen, Wallet
from services.billing.stripe_gateway import client
from services.billing.stripe_gateway.client import (
    StripeRefusedError,
    StripeUnknownError,
    _given,
    _options,
    within_budget,
)
from services.billing.stripe_gateway.objects import id_in, kept_debit

_KEY_LASTS = timedelta(hours=23)
"""Stripe forgets an idempotency key after 24 hours; from then on the same request would be a second one."""
_STILL_UNDER_WAY = timedelta(minutes=1)
"""For so long a request without an answer may still have its effect."""


@dataclass(frozen=True)
class SetupReference:
    """Which of our setups an object says it belongs to. A hint: account and customer decide."""

    merchant_id: MerchantId
    customer_id: CustomerId
    setup_id: UUID

    def metadata(self) -> dict[str, str]:
        """As Stripe keeps it on the session and, separately, on its setup intent."""
        return {
            "merchant_id": str(self.merchant_id),
            "customer_id": str(self.customer_id),
            "setup_id": str(self.setup_id),
        }


@dataclass(frozen=True)
class SetupPage:
    """A Checkout Session that gives us a payment method. `status` is open, complete or expired.

    `method` is Stripe's id of what was given, known when the setup intent came with it.
    """

    id: str
    status: str
    url: str | None
    customer: str | None
    metadata: Mapping[str, str]
    raw: Mapping[str, Any] = field(repr=False, compare=False)
    method: str | None = None


def setup_request(
    reference: SetupReference, customer: str, currency: str, success_url: str, cancel_url: str, merchant_name: str
) -> dict[str, Any]:
    """The parameters of a session that gives us a payment method: what is stored with the setup and sent again.

    `currency` decides which kinds of method the page offers.
    """
    return {
        "mode": "setup",
        "customer": customer,
        "currency": currency.lower(),
        "client_reference_id": str(reference.customer_id),
        "metadata": reference.metadata(),
        # Not copied from the session: without this the setup intent's own events would be foreign to us.
        "setup_intent_data": {"metadata": reference.metadata()},
        "success_url": success_url,
        "cancel_url": cancel_url,
        "branding_settings": {"display_name": merchant_name},
    }


def setup_reference_of(metadata: Mapping[str, str]) -> SetupReference | None:
    """Which setup of ours an object says it belongs to; None: it is not one that we made."""
    try:
        return SetupReference(
            MerchantId(UUID(metadata["merchant_id"])),
            CustomerId(UUID(metadata["customer_id"])),
            UUID(metadata["setup_id"]),
        )
    except (KeyError, ValueError, AttributeError, TypeError):
        return None


def setup_of(source: Mapping[str, Any]) -> SetupPage:
    """Read the session object of a setup. Raises KeyError or TypeError when it is none."""
    intent = source.get("setup_intent")
    return SetupPage(
        id=source["id"],
        status=source["status"],
        url=source["url"],
        customer=id_in(source["customer"]),
        metadata=source["metadata"] or {},
        raw=source,
        method=_given_in(intent) if isinstance(intent, Mapping) else None,
    )


def _given_in(intent: Mapping[str, Any]) -> str | None:
    attempt = intent.get("latest_attempt")
    details = attempt["payment_method_details"] if isinstance(attempt, Mapping) else None
    return (kept_debit(details) if details else None) or id_in(intent["payment_method"])


def method_of(source: Mapping[str, Any]) -> Seen:
    """Read a payment method object. Raises KeyError or TypeError when it is none."""
    kind = source["type"]
    details = source.get(kind) or {}
    billing = source["billing_details"]
    return Seen(
        stripe_id=source["id"],
        kind=kind,
        created=source["created"],
        fingerprint=details.get("fingerprint"),
        brand=details.get("brand") or details.get("bank_code"),
        last4=details.get("last4"),
        exp_month=details.get("exp_month"),
        exp_year=details.get("exp_year"),
        name=billing["name"],
        email=billing["email"],
        country=(billing["address"] or {}).get("country"),
    )


class StripeGateway(client.StripeGateway):
    """The client, with what concerns customers and their payment methods."""

    async def create_customer(self, request: Mapping[str, Any], key: str, account: str | None) -> str:
        """Make a customer, or get the one that this idempotency key made. Returns Stripe's id for them."""
        options = _options(account) | {"idempotency_key": key}
        async with within_budget():
            made = await self._v1.customers.create_async(cast("CustomerCreateParams", dict(request)), options)
        return str(made.id)

    async def wallet(self, customer: str, account: str | None) -> Wallet:
        """All that a customer can be charged with, as it is now; nothing of one that was deleted at Stripe."""
        options = _options(account)
        async with within_budget():
            found = await self._v1.customers.retrieve_async(_given(customer), {}, options)
            known = found.to_dict()
            if known.get("deleted"):
                return Wallet(None, ())
            page = await self._v1.customers.payment_methods.list_async(customer, {"limit": 100}, options)
            methods = tuple([method_of(each.to_dict()) async for each in page.auto_paging_iter()])
        return Wallet(id_in(known["invoice_settings"]["default_payment_method"]), methods)

    async def set_default(self, customer: str, method: str, account: str | None) -> None:
        """Have Stripe call this method the customer's default, too."""
        change = {"invoice_settings": {"default_payment_method": _given(method)}}
        async with within_budget():
            await self._v1.customers.update_async(_given(customer), change, _options(account))

    async def update_method(self, method: str, changes: Mapping[str, Any], account: str | None) -> None:
        """Change a card's expiry or the billing details, in Stripe's words; an empty text unsets."""
        change = cast("PaymentMethodUpdateParams", dict(changes))
        async with within_budget():
            await self._v1.payment_methods.update_async(_given(method), change, _options(account))

    async def detach_method(self, method: str, account: str | None) -> None:
        """Take a method away for good. One that is away already is no error."""
        try:
            async with within_budget():
                await self._v1.payment_methods.detach_async(_given(method), {}, _options(account))
        except StripeRefusedError:
            async with within_budget():
                now = await self._v1.payment_methods.retrieve_async(method, {}, _options(account))
            if now.to_dict()["customer"] is not None:
                raise

    async def setup_page(self, session_id: str, account: str | None) -> SetupPage:
        """A setup's session as it is now, with the method that was given."""
        params: SessionRetrieveParams = {"expand": ["setup_intent.latest_attempt"]}
        async with within_budget():
            found = await self._v1.checkout.sessions.retrieve_async(_given(session_id), params, _options(account))
        return setup_of(found.to_dict())

    async def join_setup(
        self, request: Mapping[str, Any], setup_id: UUID, age: timedelta, account: str | None
    ) -> SetupPage | None:
        """The session of a setup (made `age` ago) of which we have none stored: the one there is, else a new one.

        None: there is none, and nobody can have been shown one.

        Raises:
            StripeUnknownError: it cannot be told yet.
        """
        if age < _KEY_LASTS:
            try:
                return await self.open_setup(request, f"setup:{setup_id}", account)
            except StripeUnknownError:
                # A stored 500 comes again for a day, so ask what became of it.
                found = await self.find_setup(str(request["customer"]), setup_id, account)
                if found is None and age < _STILL_UNDER_WAY:
                    raise
                return found
        return await self.find_setup(str(request["customer"]), setup_id, account)

    async def open_setup(self, request: Mapping[str, Any], key: str, account: str | None) -> SetupPage:
        """Create a setup's session, or get the one that this idempotency key created."""
        options = _options(account) | {"idempotency_key": key}
        async with within_budget():
            made = await self._v1.checkout.sessions.create_async(cast("SessionCreateParams", dict(request)), options)
        return setup_of(made.to_dict())

    async def find_setup(self, customer: str, setup_id: UUID, account: str | None) -> SetupPage | None:
        """The session of a setup whose answer was lost: found by its metadata among the customer's of the last two days."""
        since = int((datetime.now(UTC) - timedelta(days=2)).timestamp())
        asked = {"customer": _given(customer), "created": {"gte": since}, "limit": 100, "expand": ["data.setup_intent"]}
        params = cast("SessionListParams", asked)
        async with within_budget():
            page = await self._v1.checkout.sessions.list_async(params, _options(account))
            async for each in page.auto_paging_iter():
                if each.to_dict()["mode"] == "setup":
                    found = setup_of(each.to_dict())
                    if found.metadata.get("setup_id") == str(setup_id):
                        return found
        return None
