"""The way of one API request: key, account, fault, idempotency, parameters, handler, expand, response."""

import asyncio
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.responses import Response

from local.stripe import API_VERSION
from local.stripe.connections import Cut
from local.stripe.errors import CardError, InvalidParameterError, StripeError, unplayed_parameters, unrecognized_url
from local.stripe.expand import expand
from local.stripe.faults import Fault
from local.stripe.forms import Tree, decode_form
from local.stripe.operations import Call, Operation, find_operation
from local.stripe.params import Params, check_params
from local.stripe.sandbox import Sandbox
from local.stripe.store import Result
from local.stripe.work import Work, new_id

Json = dict[str, Any]

_DAY = 24 * 3600


@dataclass(frozen=True)
class Answer:
    """A response before it is bytes on the wire."""

    status: int
    body: str
    request_id: str
    original_request: str | None = None


async def answer_api(sandbox: Sandbox, request: Request) -> Response:
    """Answers any request below `/v1/`."""
    request_id = new_id("req_", 14)
    fault = sandbox.faults.take(request.method, request.url.path)
    if fault is not None and fault.kind == "reset":
        return Cut()
    try:
        answer = await _run(sandbox, request, request_id, fault)
    except StripeError as refusal:
        answer = Answer(refusal.status, json.dumps(refusal.body), request_id)
    if fault is not None and fault.kind == "drop_response_after_effect":
        return Cut()
    headers = {"Request-Id": answer.request_id, "Stripe-Version": API_VERSION}
    if key := request.headers.get("Idempotency-Key"):
        headers["Idempotency-Key"] = key
        headers["Original-Request"] = answer.original_request or answer.request_id
    if answer.original_request is not None:
        headers["Idempotent-Replayed"] = "true"
    if answer.status >= 500:  # the key would only replay it
        headers["Stripe-Should-Retry"] = "false"
    return Response(answer.body, answer.status, headers, media_type="application/json")


async def _run(sandbox: Sandbox, request: Request, request_id: str, fault: Fault | None) -> Answer:
    _check_key(sandbox, request)
    account = _read_account(request)
    if fault is not None and fault.kind == "rate_limit_429":
        raise StripeError(
            429, "Request rate limit exceeded. Learn more: https://stripe.com/docs/rate-limits.", code="rate_limit"
        )
    found = find_operation(request.method, request.url.path)
    if found is None:
        raise unrecognized_url(request.method, request.url.path)
    encoded = (await request.body()).decode(errors="replace") if request.method == "POST" else request.url.query
    tree = decode_form(encoded)
    key = request.headers.get("Idempotency-Key") if request.method == "POST" else None
    sandbox.let_happen()
    work = sandbox.work(account, request_id=request_id, idempotency_key=key)
    run = _Run(sandbox, work, *found, tree, request.url.path)
    if key is None:
        await _wait(fault)
        answer = run.once(fault, None)
    else:
        answer = await run.once_per_key(fault, key)
    await sandbox.after_commit(work)
    return answer


async def _wait(fault: Fault | None) -> None:
    if fault is not None and fault.kind == "hang":
        await asyncio.sleep(fault.seconds)


def _check_key(sandbox: Sandbox, request: Request) -> None:
    key = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if not key:
        raise StripeError(
            401,
            "You did not provide an API key. You need to provide your API key in the Authorization header, using "
            "Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').",
        )
    if not key.startswith("sk_test_") or key != sandbox.settings.secret_key:
        shown = f"{key[:8]}{'*' * max(len(key) - 12, 4)}{key[-4:]}"
        raise StripeError(401, f"Invalid API Key provided: {shown}")
    version = request.headers.get("Stripe-Version", API_VERSION)
    if version != API_VERSION:
        raise StripeError(400, f"Invalid Stripe API version: {version}. The sandbox plays {API_VERSION} only.")


def _read_account(request: Request) -> str:
    account = request.headers.get("Stripe-Account", "")
    if account and not account.startswith("acct_"):
        raise StripeError(
            403,
            f"The provided key does not have access to account '{account}' (or that account does not exist). "
            "Application access may have been revoked.",
            code="account_invalid",
        )
    return account


@dataclass
class _Run:
    """One request that reached its operation."""

    sandbox: Sandbox
    work: Work
    operation: Operation
    ids: dict[str, str]
    tree: dict[str, Tree]
    path: str

    async def once_per_key(self, fault: Fault | None, key: str) -> Answer:
        """The stored result of the key, or this run's result, stored.

        Raises:
            StripeError: the key came with another request (400) or is being used at this moment (409).
        """
        if len(key) > 255:
            raise InvalidParameterError("The `Idempotency-Key` header is limited to 255 characters.")
        account, flight = self.work.account, (self.work.account, key)
        if flight in self.sandbox.in_flight:
            raise StripeError(
                409,
                "There is currently another in-progress request using this Idempotent Key (that probably means you "
                f"submitted twice, and the other request is still going through): {key}. Please try again later.",
                code="idempotency_key_in_use",
            )
        fingerprint = self._fingerprint()
        stored = self.work.store.find_result(account, key, self.work.now - _DAY)
        self.sandbox.in_flight.add(flight)
        try:
            await _wait(fault)
            if stored is None:
                return self.once(fault, fingerprint)
        finally:
            self.sandbox.in_flight.discard(flight)
        if stored.fingerprint != fingerprint:
            raise StripeError(
                400,
                "Keys for idempotent requests can only be used with the same parameters they were first used with. "
                f"Try using a key other than '{key}' if you meant to execute a different request.",
                type="idempotency_error",
            )
        request_id = self.work.request_id or stored.request_id
        return Answer(stored.status, stored.body, request_id, original_request=stored.request_id)

    def once(self, fault: Fault | None, fingerprint: str | None) -> Answer:
        """Runs the operation in one transaction, its result stored in the same one when there is a key."""

        def handle() -> Answer:
            if fault is not None and fault.kind == "error_500":
                raise StripeError(500, "An unknown error occurred", type="api_error")
            return self._answer(200, self._handle())

        def transact(produce: Callable[[], Answer]) -> Answer:
            with self.work.store.transaction():
                try:
                    answer = produce()
                except CardError as declined:
                    answer = self._answer(402, declined.body)
                self._keep(answer, fingerprint)
            return answer

        try:
            return transact(handle)
        except StripeError as refusal:
            if not refusal.stored:
                raise
            refused = self._answer(refusal.status, refusal.body)
        return transact(lambda: refused)

    def _handle(self) -> Json:
        params = Params(check_params(self.operation.fields, self.tree))
        paths = params.take("expand", [])
        body = self.operation.handler(Call(self.work, params, self.path, self.ids))
        if unread := params.unread():
            raise unplayed_parameters(unread)
        # A copy: expanding must not reach into what the handler stored or announced.
        return expand(self.work, json.loads(json.dumps(body)), paths)

    def _answer(self, status: int, body: Json) -> Answer:
        return Answer(status, json.dumps(body), self.work.request_id or "")

    def _keep(self, answer: Answer, fingerprint: str | None) -> None:
        key = self.work.idempotency_key
        if key is not None and fingerprint is not None:
            result = Result(fingerprint, answer.status, answer.body, answer.request_id)
            self.work.store.keep_result(self.work.account, key, result, self.work.now)

    def _fingerprint(self) -> str:
        request = json.dumps([self.operation.method, self.path, self.tree], sort_keys=True)
        return hashlib.sha256(request.encode()).hexdigest()
