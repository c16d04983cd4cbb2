"""The HTTP door: check the signature, store, say yes. Nothing is decided here but whether it concerns us at all.

Plain Starlette, since one route needs none of FastAPI; and events that come together are stored together.
"""

import logging
from functools import partial

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router

from chassis.service import Asgi, Runtime
from services.billing.store import stripe_events
from services.billing.store.stripe_events import NewEvent
from services.billing.stripe_gateway import Event, NotFromStripeError, event_of, verify, without_secrets
from services.billing.webhooks.group_commit import GroupCommit, TooManyWaitError, unavailable
from services.billing.webhooks.news import understand

log = logging.getLogger("portal.billing.webhooks")

_MOST_BYTES = 1_000_000


def build_http(runtime: Runtime, *, secret: str) -> Asgi:
    """Billing's HTTP door. It needs the database alone: webhooks are taken while RabbitMQ is down."""
    commits = GroupCommit(partial(stripe_events.store, runtime.db))

    async def receive(request: Request) -> Response:
        raw = await _read(request)
        if raw is None:
            return _problem(413, "Content Too Large", f"A webhook has at most {_MOST_BYTES} bytes.")
        try:
            verify(raw, request.headers.get("stripe-signature"), secret)
            event = event_of(raw)
        except NotFromStripeError as wrong:
            log.warning("A webhook was refused.", extra={"reason": str(wrong)})
            return _problem(400, "Bad Request", "This is not a webhook that Stripe signed for us.")
        payload, now = without_secrets(raw.decode()), runtime.clock.now()
        try:
            await commits.keep(NewEvent(event.id, event.type, event.account, payload, now, _no_news(event)))
        except Exception as failed:
            if not (unavailable(failed) or isinstance(failed, TooManyWaitError)):
                raise
            log.warning("A webhook could not be stored.", extra={"event": event.id, "error": repr(failed)})
            return _problem(503, "Service Unavailable", "It could not be stored now. Send it again.")
        return Response(status_code=200)

    return Router([Route("/webhooks/stripe", receive, methods=["POST"])])


def _no_news(event: Event) -> str | None:
    """Why an event says nothing to us, as most do; None: the worker must look at it."""
    try:
        told = understand(event)
    except (KeyError, TypeError, ValueError, AttributeError):
        # Broken: the worker tries it, and a person looks at it in the end.
        return None
    return told if isinstance(told, str) else None


async def _read(request: Request) -> bytes | None:
    """The body's bytes; None as soon as there are too many of them."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > _MOST_BYTES:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def _problem(status: int, title: str, detail: str) -> Response:
    """An RFC 9457 problem document."""
    document = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    # Stripe comes back by its own timetable; whoever else posts webhooks to us may want to know.
    headers = {"retry-after": "5"} if status == 503 else None
    return JSONResponse(document, status, headers, media_type="application/problem+json")
