"""The client: our calls, their budget, and what their errors mean."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Self, cast

import httpx
import stripe
from stripe.params import (
    DisputeListParams,
    PaymentIntentCreateParams,
    PaymentIntentListParams,
    PaymentIntentRetrieveParams,
    RefundCreateParams,
    RefundListParams,
)
from stripe.params.checkout import SessionCreateParams, SessionListParams

from chassis import health
from contracts.message import PaymentId, RefundId
from services.billing.stripe_gateway.objects import (
    Checkout,
    Intent,
    NotFromStripeError,
    Refusal,
    checkout_of,
    id_in,
    intent_of,
    refusal_of,
)
from services.billing.stripe_gateway.returns import DisputeSeen, RefundSeen, dispute_of, refund_of

log = logging.getLogger("portal.billing.stripe")

BUDGET_SECONDS = 8.0
"""All that one of our calls may take, retries included: below the 10 s deadline of a command."""
_TOLERANCE_SECONDS = 300
_KEY_LASTS = timedelta(hours=23)
"""Stripe forgets an idempotency key after 24 hours; from then on the same request would be a second one."""
_TROUBLE = "key"
_STILL_UNDER_WAY = timedelta(minutes=1)
"""For so long a request without an answer may still have its effect."""


class StripeError(Exception):
    """Stripe did not do what we asked."""


class StripeUnavailableError(StripeError):
    """It was not taken: no connection, rate-limited, or our key is not accepted. Nothing was done."""


class StripeClosedError(StripeUnavailableError):
    """One account is closed to us, the others are not: a merchant has disconnected it, say."""


class StripeKeyError(StripeUnavailableError):
    """Our key is not accepted, for no account."""


class StripeBusyError(StripeUnavailableError):
    """We are to ask less often."""


class StripeUnknownError(StripeError):
    """No answer, or one that says nothing (a time-out, a 5xx): it may or may not have been done."""


class StripeRefusedError(StripeError):
    """Stripe understood and refused. `code` is Stripe's own."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class StripeDeclinedError(StripeRefusedError):
    """The bank refused the charge: `refusal` says why. `intent_id` is the payment intent that it was tried with."""

    def __init__(self, refusal: Refusal, code: str, intent_id: str | None) -> None:
        super().__init__(code, refusal.message)
        self.refusal = refusal
        self.intent_id = intent_id


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
                found = each.to_dict()
                # Looked at before it is read: pages that only take a card are listed too, and have no amount.
                if (found["metadata"] or {}).get("payment_id") == str(payment_id):
                    return checkout_of(found)
        return None

    async def intent(self, intent_id: str, account: str | None) -> Intent:
        """A payment intent as it is now, with the card of its charge."""
        params: PaymentIntentRetrieveParams = {"expand": ["latest_charge"]}
        async with within_budget():
            found = await self._v1.payment_intents.retrieve_async(_given(intent_id), params, _options(account))
        return intent_of(found.to_dict())

    async def charge(self, request: Mapping[str, Any], key: str, account: str | None) -> Intent:
        """Charge a saved method without the customer, or get what this idempotency key charged.

        `request` is `charge_request`'s. Raises StripeDeclinedError, the first time and each time the key comes again.
        """
        options = _options(account) | {"idempotency_key": key}
        async with within_budget():
            found = await self._v1.payment_intents.create_async(
                cast("PaymentIntentCreateParams", dict(request)), options
            )
        return intent_of(found.to_dict())

    async def join_charge(
        self, request: Mapping[str, Any], key: str, payment_id: PaymentId, age: timedelta, account: str | None
    ) -> Intent | None:
        """What became of an attempt (made `age` ago): charged now unless it was before. None: it never reached Stripe.

        Raises:
            StripeDeclinedError: the bank refused.
            StripeUnknownError: it cannot be told yet; this request, too, may still have its effect.
        """
        if age >= _KEY_LASTS:
            return await self.find_intent(payment_id, age, account)
        try:
            return await self.charge(request, key, account)
        except StripeUnknownError:
            # Not found is no answer: the request is a moment old, however long the attempt has waited for its turn.
            found = await self.find_intent(payment_id, age, account)
            if found is None:
                raise
            return found

    async def find_intent(self, payment_id: PaymentId, age: timedelta, account: str | None) -> Intent | None:
        """The payment intent of an attempt (made `age` ago) whose answer was lost, found by its metadata."""
        since = int((datetime.now(UTC) - age - timedelta(minutes=5)).timestamp())
        async for found in self.intents_since(since, account):
            if found.metadata.get("payment_id") == str(payment_id):
                return found
        return None

    async def now(self) -> datetime:
        """What time it is at Stripe, to the second."""
        params: PaymentIntentListParams = {"limit": 1}
        async with within_budget():
            page = await self._v1.payment_intents.list_async(params)
        return parsedate_to_datetime(page.last_response.headers["date"])

    async def reach(self, account: str | None) -> None:
        """See whether our key may use an account; None is the platform's own. Raises StripeError when it may not, or cannot be asked."""
        params: PaymentIntentListParams = {"limit": 1}
        async with within_budget():
            await self._v1.payment_intents.list_async(params, _options(account))

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

    async def give_back(
        self, request: Mapping[str, Any], key: str, refund_id: RefundId, age: timedelta, account: str | None
    ) -> RefundSeen | None:
        """Make a refund (begun `age` ago), or get the one that was made of it. `request` is `refund_request`'s.

        Never a second one: the same key gives the same refund for a day, after that only asking is safe. None: there is
        none, and there will be none.

        Raises:
            StripeUnknownError: it cannot be told yet.
        """
        if age < _KEY_LASTS:
            try:
                return await self.create_refund(request, key, account)
            except StripeUnknownError:
                # Not found is no answer: the request is a moment old, however long the refund has waited for its turn.
                found = await self.find_refund(str(request["payment_intent"]), refund_id, account)
                if found is None:
                    raise
                return found
        return await self.find_refund(str(request["payment_intent"]), refund_id, account)

    async def create_refund(self, request: Mapping[str, Any], key: str, account: str | None) -> RefundSeen:
        """Make a refund, or get the one that this idempotency key made."""
        options = _options(account) | {"idempotency_key": key}
        async with within_budget():
            made = await self._v1.refunds.create_async(cast("RefundCreateParams", dict(request)), options)
        return refund_of(made.to_dict())

    async def find_refund(self, intent_id: str, refund_id: RefundId, account: str | None) -> RefundSeen | None:
        """The refund whose answer was lost: found by its metadata among those of its payment."""
        params: RefundListParams = {"payment_intent": _given(intent_id), "limit": 100}
        async with within_budget():
            page = await self._v1.refunds.list_async(params, _options(account))
            async for each in page.auto_paging_iter():
                found = refund_of(each.to_dict())
                if found.refund_id == refund_id:
                    return found
        return None

    async def refund(self, stripe_id: str, account: str | None) -> RefundSeen:
        """A refund as it is now."""
        async with within_budget():
            found = await self._v1.refunds.retrieve_async(_given(stripe_id), {}, _options(account))
        return refund_of(found.to_dict())

    async def dispute(self, dispute_id: str, account: str | None) -> DisputeSeen:
        """A dispute as it is now."""
        async with within_budget():
            found = await self._v1.disputes.retrieve_async(_given(dispute_id), {}, _options(account))
        return dispute_of(found.to_dict())

    async def refunds_since(self, created: int, account: str | None) -> AsyncIterator[RefundSeen]:
        """Refunds made at or after a moment (Unix seconds), newest first. Each page has its own budget."""
        params: RefundListParams = {"created": {"gte": created}, "limit": 100}
        async for each in _pages(self._v1.refunds.list_async, params, account):
            yield refund_of(each)

    async def disputes_since(self, created: int, account: str | None) -> AsyncIterator[DisputeSeen]:
        """Disputes begun at or after a moment (Unix seconds), newest first. Each page has its own budget."""
        params: DisputeListParams = {"created": {"gte": created}, "limit": 100}
        async for each in _pages(self._v1.disputes.list_async, params, account):
            yield dispute_of(each)


def verify(raw: bytes, signature: str | None, secrets: str) -> None:
    """Check Stripe's signature over exactly the bytes that came. Raises NotFromStripeError.

    `secrets`: one, or several with commas between them, as the platform's endpoint and that of its connected accounts each
    have their own, and one that is being rolled has two.
    """
    wrong: Exception | None = None
    for secret in filter(None, (each.strip() for each in secrets.split(","))):
        try:
            stripe.WebhookSignature.verify_header(raw, signature, secret, tolerance=_TOLERANCE_SECONDS)
        except (stripe.SignatureVerificationError, ValueError, TypeError) as failed:
            # TypeError: a signature with other than ASCII letters cannot be compared in constant time.
            wrong = failed
            if str(failed).startswith("Timestamp outside"):
                # Looked at last: the secret is right, and the operator should look at the clock.
                raise NotFromStripeError("It is signed, and more than five minutes old by our clock.") from failed
        else:
            return
    raise NotFromStripeError("The signature is not valid.") from wrong


async def _pages(ask: Any, params: Any, account: str | None) -> AsyncIterator[Mapping[str, Any]]:
    while True:
        async with within_budget():
            page = await ask(params, _options(account))
        for each in page.data:
            yield each.to_dict()
        if not page.has_more:
            return
        params = {**params, "starting_after": page.data[-1].id}


def _given(identifier: str) -> str:
    if not identifier:
        raise ValueError("An empty id would ask for the whole collection.")
    return identifier


def _options(account: str | None) -> dict[str, Any]:
    return {} if account is None else {"stripe_account": account}


def _declined(declined: stripe.CardError) -> StripeDeclinedError:
    said: Any = declined.json_body or {}
    body: Mapping[str, Any] = said.get("error") or {}
    return StripeDeclinedError(refusal_of(body), declined.code or "card_declined", id_in(body.get("payment_intent")))


@asynccontextmanager
async def within_budget() -> AsyncIterator[None]:
    """Give up after the budget, and say what a failure means for what was asked.

    Each call has it; a command that makes several puts one more around them all, so that its asker is still there.
    """
    try:
        async with asyncio.timeout(BUDGET_SECONDS):
            yield
    except TimeoutError as late:
        log.warning("Stripe did not answer.", extra={"seconds": BUDGET_SECONDS})
        raise StripeUnknownError(f"No answer within {BUDGET_SECONDS:.0f} s.") from late
    except stripe.APIConnectionError as lost:
        log.warning("Stripe did not answer.", extra={"reason": str(lost)})
        if isinstance(lost.__cause__, httpx.ConnectError | httpx.ConnectTimeout):
            raise StripeUnavailableError(str(lost)) from lost
        raise StripeUnknownError(str(lost)) from lost
    except stripe.PermissionError as closed:
        raise StripeClosedError(str(closed)) from closed
    except stripe.AuthenticationError as wrong:
        log.error("Stripe does not take our key.", extra={"reason": str(wrong)})  # noqa: TRY400 - its way here says nothing
        health.trouble[_TROUBLE] = "Stripe does not take our key: no payment, refund or renewal goes through."
        raise StripeKeyError(str(wrong)) from wrong
    except stripe.RateLimitError as away:
        log.warning("Stripe asks for fewer requests.", extra={"request": away.request_id})
        raise StripeBusyError(str(away)) from away
    except stripe.IdempotencyError as reused:
        # The key was used with another body: something was done under it, ask what.
        raise StripeUnknownError(str(reused)) from reused
    except stripe.CardError as declined:
        raise _declined(declined) from declined
    except stripe.InvalidRequestError as refused:
        # Without its message, which repeats what was sent; Stripe's log has it under the request's id.
        extra = {"code": refused.code, "param": refused.param, "request": refused.request_id}
        log.info("Stripe refused a request.", extra=extra)
        raise StripeRefusedError(refused.code or "invalid_request", str(refused)) from refused
    except stripe.StripeError as other:
        log.warning("Stripe failed.", extra={"reason": str(other), "request": other.request_id})
        raise StripeUnknownError(str(other)) from other
    else:
        health.trouble.pop(_TROUBLE, None)
