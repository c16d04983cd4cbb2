"""The only importer of `stripe`: what we ask of it, in our own words, and what its objects say.

Amounts cross this file in our minor units and leave it in Stripe's (see `domain.currencies`). An error is one of three:
`StripeUnavailableError` (nothing was done), `StripeUnknownError` (it may have been done: ask), `StripeRefusedError` (it will not be done).
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self, cast
from uuid import UUID

import httpx
import stripe
from stripe.params import PaymentIntentListParams, PaymentIntentRetrieveParams
from stripe.params.checkout import SessionCreateParams, SessionListParams

from contracts.message import InvoiceId, MerchantId, Money, PaymentId
from services.billing.domain.currencies import from_stripe, to_stripe

BUDGET_SECONDS = 8.0
"""All that one of our calls may take, retries included: below the 10 s deadline of a command."""
_TOLERANCE_SECONDS = 300
_KEY_LASTS = timedelta(hours=23)
"""Stripe forgets an idempotency key after 24 hours; from then on the same request would be a second one."""
_STILL_UNDER_WAY = timedelta(minutes=1)
"""For so long a request without an answer may still have its effect."""


class StripeError(Exception):
    """Stripe did not do what we asked."""


class StripeUnavailableError(StripeError):
    """It was not taken: no connection, rate-limited, or our key is not accepted. Nothing was done."""


class StripeUnknownError(StripeError):
    """No answer, or one that says nothing (a time-out, a 5xx): it may or may not have been done."""


class StripeRefusedError(StripeError):
    """Stripe understood and refused. `code` is Stripe's own."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class NotFromStripeError(ValueError):
    """A webhook that is not signed with our secret, too old, or not an event."""


@dataclass(frozen=True)
class Reference:
    """Which of our attempts an object says it belongs to. A hint: amount, currency and account decide."""

    merchant_id: MerchantId
    invoice_id: InvoiceId
    payment_id: PaymentId

    def metadata(self) -> dict[str, str]:
        """As Stripe keeps it on the session and, separately, on its payment intent."""
        return {
            "merchant_id": str(self.merchant_id),
            "invoice_id": str(self.invoice_id),
            "payment_id": str(self.payment_id),
        }


@dataclass(frozen=True)
class Card:
    """How somebody paid: `visa` and `4242`, or another method without digits."""

    method: str
    last4: str | None


@dataclass(frozen=True)
class Checkout:
    """A Checkout Session. `status` is open, complete or expired; complete is not paid: see `paid`."""

    id: str
    status: str
    paid: bool
    url: str | None
    amount: Money
    intent_id: str | None
    created: int
    metadata: Mapping[str, str]
    raw: Mapping[str, Any] = field(repr=False, compare=False)


@dataclass(frozen=True)
class Refusal:
    """Why a payment did not work: Stripe's decline code and its sentence for the customer."""

    code: str
    message: str


@dataclass(frozen=True)
class Intent:
    """A payment intent. `received` is what was really taken; `card` is known when the charge came with it."""

    id: str
    status: str
    amount: Money
    received: Money
    created: int
    metadata: Mapping[str, str]
    card: Card | None
    refusal: Refusal | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)


@dataclass(frozen=True)
class Charge:
    """A charge, which is where Stripe says which card it was."""

    id: str
    intent_id: str | None
    metadata: Mapping[str, str]
    card: Card | None


@dataclass(frozen=True)
class Event:
    """A webhook that Stripe signed; `account` is the connected account it happened on, None the platform's own."""

    id: str
    type: str
    account: str | None
    created: int
    object: Mapping[str, Any]


class StripeGateway:
    """A client in the running loop: enter it as an async context manager before use."""

    def __init__(self, key: str, api_base: str) -> None:
        self._key = key
        self._base = api_base
        self._http: stripe.HTTPXClient | None = None
        self._client: stripe.StripeClient | None = None

    async def __aenter__(self) -> Self:
        # Two retries fit into the budget; our idempotency keys make them safe.
        self._http = stripe.HTTPXClient(timeout=httpx.Timeout(BUDGET_SECONDS, connect=2.0))
        self._client = stripe.StripeClient(
            self._key, http_client=self._http, max_network_retries=2, base_addresses={"api": self._base}
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._http is not None
        await self._http.close_async()  # type: ignore[no-untyped-call]  # the SDK left its annotation out

    @property
    def _v1(self) -> Any:
        assert self._client is not None, "The Stripe client is used before it is opened."
        return self._client.v1

    async def open_checkout(self, request: Mapping[str, Any], key: str, account: str | None) -> Checkout:
        """Create a session, or get the one that this idempotency key created. `request` is `checkout_request`'s."""
        options = _options(account) | {"idempotency_key": key}
        async with within_budget():
            found = await self._v1.checkout.sessions.create_async(cast("SessionCreateParams", dict(request)), options)
        return checkout_of(found.to_dict())

    async def checkout(self, session_id: str, account: str | None) -> Checkout:
        """A session as it is now."""
        async with within_budget():
            found = await self._v1.checkout.sessions.retrieve_async(_given(session_id), {}, _options(account))
        return checkout_of(found.to_dict())

    async def expire_checkout(self, session_id: str, account: str | None) -> Checkout:
        """Close a session, so that nobody can pay it. Returns it as it is then: *complete* when it was too late."""
        try:
            async with within_budget():
                found = await self._v1.checkout.sessions.expire_async(_given(session_id), {}, _options(account))
        except (StripeRefusedError, StripeUnknownError):
            # Only an open session can be expired, and an answer may be lost: what it is now decides.
            now = await self.checkout(session_id, account)
            if now.status == "open":
                raise
            return now
        return checkout_of(found.to_dict())

    async def join_checkout(
        self, request: Mapping[str, Any], key: str, payment_id: PaymentId, age: timedelta, account: str | None
    ) -> Checkout | None:
        """The session of an attempt (made `age` ago) of which we have none stored: the one there is, else a new one.

        Never a second one: the same key gives the same session for a day, after that only asking is safe. None: there is
        none, and nobody can have been shown one.

        Raises:
            StripeUnknownError: it cannot be told yet.
        """
        if age < _KEY_LASTS:
            try:
                return await self.open_checkout(request, key, account)
            except StripeUnknownError:
                # A stored 500 comes again for a day, so ask what became of it.
                found = await self.find_checkout(payment_id, age, account)
                if found is None and age < _STILL_UNDER_WAY:
                    raise
                return found
        return await self.find_checkout(payment_id, age, account)

    async def find_checkout(self, payment_id: PaymentId, age: timedelta, account: str | None) -> Checkout | None:
        """The session of an attempt (made `age` ago) whose answer was lost: found by its metadata among the sessions since."""
        # Clocks may differ by five minutes before we stop charging at all.
        created = {"gte": int((datetime.now(UTC) - age - timedelta(minutes=5)).timestamp())}
        params: SessionListParams = {"created": created, "limit": 100}  # type: ignore[typeddict-item]  # a plain dict
        async with within_budget():
            page = await self._v1.checkout.sessions.list_async(params, _options(account))
            async for each in page.auto_paging_iter():
                found = checkout_of(each.to_dict())
                if found.metadata.get("payment_id") == str(payment_id):
                    return found
        return None

    async def intent(self, intent_id: str, account: str | None) -> Intent:
        """A payment intent as it is now, with the card of its charge."""
        params: PaymentIntentRetrieveParams = {"expand": ["latest_charge"]}
        async with within_budget():
            found = await self._v1.payment_intents.retrieve_async(_given(intent_id), params, _options(account))
        return intent_of(found.to_dict())

    async def intents_since(self, created: int, account: str | None) -> AsyncIterator[Intent]:
        """Payment intents made at or after a moment (Unix seconds), newest first. Each page has its own budget."""
        params: PaymentIntentListParams = {"created": {"gte": created}, "limit": 100}
        while True:
            async with within_budget():
                page = await self._v1.payment_intents.list_async(params, _options(account))
            for each in page.data:
                yield intent_of(each.to_dict())
            if not page.has_more:
                return
            params = {**params, "starting_after": page.data[-1].id}


def checkout_request(
    reference: Reference, amount: Money, title: str, email: str | None, success_url: str, cancel_url: str
) -> dict[str, Any]:
    """The parameters of a session for one payment, in Stripe's words: what is stored with the attempt and sent again."""
    request: dict[str, Any] = {
        "mode": "payment",
        "client_reference_id": str(reference.invoice_id),
        "line_items": [
            {
                "quantity": 1,
                "price_data": {
                    "currency": amount.currency.lower(),
                    "unit_amount": to_stripe(amount.amount, amount.currency),
                    "product_data": {"name": title},
                },
            }
        ],
        "metadata": reference.metadata(),
        # Not copied from the session: without this the payment intent's own events would be foreign to us.
        "payment_intent_data": {"metadata": reference.metadata(), "description": title},
        "success_url": success_url,
        "cancel_url": cancel_url,
    }
    return request | ({"customer_email": email} if email else {})


def checkout_of(source: Mapping[str, Any]) -> Checkout:
    """Read a session object. Raises KeyError or TypeError when it is none."""
    return Checkout(
        id=source["id"],
        status=source["status"],
        paid=source["payment_status"] in ("paid", "no_payment_required"),
        url=source["url"],
        amount=_money(source["amount_total"], source["currency"]),
        intent_id=_id_of(source["payment_intent"]),
        created=source["created"],
        metadata=source["metadata"] or {},
        raw=source,
    )


def intent_of(source: Mapping[str, Any]) -> Intent:
    """Read a payment intent object. Raises KeyError or TypeError when it is none."""
    charge, error = source["latest_charge"], source["last_payment_error"]
    return Intent(
        id=source["id"],
        status=source["status"],
        amount=_money(source["amount"], source["currency"]),
        received=_money(source["amount_received"], source["currency"]),
        created=source["created"],
        metadata=source["metadata"] or {},
        card=_card(charge) if isinstance(charge, Mapping) else None,
        refusal=None if error is None else _refusal(error),
        raw=source,
    )


def charge_of(source: Mapping[str, Any]) -> Charge:
    """Read a charge object. Raises KeyError or TypeError when it is none."""
    return Charge(source["id"], _id_of(source["payment_intent"]), source["metadata"] or {}, _card(source))


def event_of(payload: str | bytes) -> Event:
    """Read an event. Raises NotFromStripeError when the text is none."""
    try:
        source = json.loads(payload)
        account = source.get("account")
        event = Event(source["id"], source["type"], account, int(source.get("created", 0)), source["data"]["object"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as broken:
        raise NotFromStripeError(f"This is no event: {broken!r}") from broken
    texts = (event.id, event.type, event.account or "-")
    if not all(
        isinstance(text, str) and 0 < len(text) <= 255 and text.isascii() and text.isprintable() for text in texts
    ):
        raise NotFromStripeError("This is no event: its names are not names.")
    if not isinstance(event.object, Mapping):
        raise NotFromStripeError("This is no event: its object is none.")
    return event


def found_event(kind: str, source: Mapping[str, Any], account: str | None, now: datetime) -> Event:
    """What we saw at Stripe without being told, as the event that should have told us; the same finding has the same id."""
    state = source.get("payment_status") or source["status"]
    return Event(f"found:{kind}:{source['id']}:{state}", kind, account, int(now.timestamp()), source)


def payload_of(event: Event) -> str:
    """An event's text, as `event_of` reads it."""
    written = {"id": event.id, "type": event.type, "account": event.account, "created": event.created}
    return json.dumps({**written, "object": "event", "data": {"object": event.object}})


def verify(raw: bytes, signature: str | None, secret: str) -> None:
    """Check Stripe's signature over exactly the bytes that came. Raises NotFromStripeError."""
    try:
        stripe.WebhookSignature.verify_header(raw, signature, secret, tolerance=_TOLERANCE_SECONDS)
    except (stripe.SignatureVerificationError, ValueError, TypeError) as wrong:
        # TypeError: a signature with other than ASCII letters cannot be compared in constant time.
        raise NotFromStripeError("The signature is not valid.") from wrong


def reference_of(metadata: Mapping[str, str]) -> Reference | None:
    """Which attempt of ours an object says it belongs to; None: it is not one that we made."""
    try:
        return Reference(
            MerchantId(UUID(metadata["merchant_id"])),
            InvoiceId(UUID(metadata["invoice_id"])),
            PaymentId(UUID(metadata["payment_id"])),
        )
    except (KeyError, ValueError, AttributeError, TypeError):
        return None


def _money(amount: int, currency: str) -> Money:
    code = currency.upper()
    return Money(from_stripe(amount, code), code)


def _card(charge: Mapping[str, Any]) -> Card | None:
    details = charge["payment_method_details"]
    if not details:
        return None
    kind = details["type"]
    if kind != "card":
        return Card(kind, (details.get(kind) or {}).get("last4"))
    return Card(details["card"]["brand"] or "card", details["card"]["last4"])


def _refusal(error: Mapping[str, Any]) -> Refusal:
    code = error.get("decline_code") or error.get("code") or "declined"
    return Refusal(str(code)[:100], str(error.get("message") or "The payment was declined.")[:500])


def _id_of(expandable: Any) -> str | None:
    found = expandable["id"] if isinstance(expandable, Mapping) else expandable
    return None if found is None else str(found)


def _given(identifier: str) -> str:
    if not identifier:
        raise ValueError("An empty id would ask for the whole collection.")
    return identifier


def _options(account: str | None) -> dict[str, Any]:
    return {} if account is None else {"stripe_account": account}


@asynccontextmanager
async def within_budget() -> AsyncIterator[None]:
    """Give up after the budget, and say what a failure means for what was asked.

    Each call has it; a command that makes several puts one more around them all, so that its asker is still there.
    """
    try:
        async with asyncio.timeout(BUDGET_SECONDS):
            yield
    except TimeoutError as late:
        raise StripeUnknownError(f"No answer within {BUDGET_SECONDS:.0f} s.") from late
    except stripe.APIConnectionError as lost:
        if isinstance(lost.__cause__, httpx.ConnectError | httpx.ConnectTimeout):
            raise StripeUnavailableError(str(lost)) from lost
        raise StripeUnknownError(str(lost)) from lost
    except (stripe.RateLimitError, stripe.AuthenticationError, stripe.PermissionError) as closed:
        raise StripeUnavailableError(str(closed)) from closed
    except stripe.IdempotencyError as reused:
        # The key was used with another body: something was done under it, ask what.
        raise StripeUnknownError(str(reused)) from reused
    except (stripe.InvalidRequestError, stripe.CardError) as refused:
        raise StripeRefusedError(refused.code or "invalid_request", str(refused)) from refused
    except stripe.StripeError as other:
        raise StripeUnknownError(str(other)) from other
