import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator

from fastapi import FastAPI, Request
from starlette.responses import Response

import local.stripe.resources  # noqa: F401 - fills the table of operations
from local.stripe.api import answer_api
from local.stripe.bank_acts import bank_acts, dispute_acts
from local.stripe.challenge_page import intent_challenge_routes, session_challenge_routes
from local.stripe.checkout_page import checkout_routes
from local.stripe.connections import DateHeader
from local.stripe.control import control_room
from local.stripe.customer_acts import customer_acts
from local.stripe.sandbox import open_sandbox
from local.stripe.settings import Settings

_log = logging.getLogger("stripe.api")


def make_app(settings: Settings) -> FastAPI:
    """The sandbox as an ASGI application; everything it keeps lies in `settings.data`."""
    sandbox = open_sandbox(settings)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await sandbox.ledger.flush()  # what a kill kept from the file
        tasks = [asyncio.create_task(sandbox.deliverer.run()), asyncio.create_task(sandbox.watch_clock())]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await sandbox.deliverer.close()
        sandbox.store.close()

    app = FastAPI(title="Stripe sandbox", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)

    app.add_middleware(DateHeader, now=sandbox.now)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.api_route("/v1/{path:path}", methods=["GET", "POST", "DELETE", "PUT", "PATCH"])
    async def api(request: Request) -> Response:
        started = time.perf_counter()
        response = await answer_api(sandbox, request)
        took = (time.perf_counter() - started) * 1000
        _log.info("%s %s -> %s (%.0f ms)", request.method, request.url.path, response.status_code, took)
        return response

    for routes in (control_room, customer_acts, bank_acts, dispute_acts):
        app.include_router(routes(sandbox))
    for pages in (checkout_routes, session_challenge_routes, intent_challenge_routes):
        app.include_router(pages(sandbox))
    return app
