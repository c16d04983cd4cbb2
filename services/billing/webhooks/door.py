"""The HTTP door: check the signature, store, say yes. Nothing is decided here but whether it concerns us at all."""

import logging

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from chassis.service import Runtime
from services.billing.store import stripe_events
from services.billing.stripe_gateway import Event, NotFromStripeError, event_of, verify, without_urls
from services.billing.webhooks.news import understand

log = logging.getLogger("portal.billing.webhooks")

_MOST_BYTES = 1_000_000


def build_http(runtime: Runtime, *, secret: str) -> FastAPI:
    """Billing's HTTP door. It needs the database alone: webhooks are taken while RabbitMQ is down."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    async def receive(request: Request) -> Response:
        raw = await _read(request)
        if raw is None:
            return Response("Too large.", 413)
        try:
            verify(raw, request.headers.get("stripe-signature"), secret)
            event = event_of(raw)
        except NotFromStripeError as wrong:
            log.warning("A webhook was refused.", extra={"reason": str(wrong)})
            return Response("This is not a webhook that Stripe signed for us.", 400)
        now = runtime.clock.now()
        payload, outcome = without_urls(raw.decode()), _no_news(event)
        await stripe_events.store(runtime.db, event.id, event.type, event.account, payload, now, outcome=outcome)
        return Response(status_code=200)

    app.add_route("/webhooks/stripe", receive, methods=["POST"])
    return app


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
