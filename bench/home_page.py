"""`home page`: the customer's home as HTML, signed in, 10 connections.

Ours: the gateway as it runs. Floor: one bare ASGI process that reads the same rows by the same statements and renders the
same template, without framework, chassis, broker or headers.
"""

import asyncio
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

from fastapi import FastAPI, Request

from bench import serve
from bench.ground import Ground
from bench.load import wrk
from bench.measure import Row, Sample, alternate, compare, cpu_seconds, cpus, extra, rates
from chassis.migrations import migrate
from local.folder import ROOT
from services.gateway import readmodel
from services.gateway.pages import install
from services.gateway.pages.activity import happenings, news
from services.gateway.pages.language import Reader
from services.gateway.pages.page import Brand, Page
from services.gateway.pages.rendering import environment
from services.gateway.security.sessions import find_session
from tests.e2e.seed import Seed

SECONDS = 4
pages = FastAPI()
"""What the template asks of the application: the navigation, and the texts that pages bring."""


async def floor(scope: Any, _receive: Any, send: Any) -> None:
    cookie = next(value for name, value in scope["headers"] if name == b"cookie").decode()
    now = datetime.now(UTC)
    session = await find_session(serve.pool, cookie.removeprefix("portal="), now)
    assert session is not None
    assert session.viewer is not None
    assert session.merchant is not None
    reader = Reader.choose([session.locale], session.time_zone, now)
    request = SimpleNamespace(url=SimpleNamespace(path="/portal"), query_params={}, app=pages)
    merchant = Brand.of(session.merchant, session.logo_version)
    page = Page(cast("Request", request), reader, session, merchant, session.csrf)
    home = await readmodel.portal_home(serve.pool, session.viewer, today=page.merchants_day, news=news(session.viewer))
    html = (
        environment(reader.language)
        .get_template("portal_home.html")
        .render(
            page=page,
            reader=reader,
            session=session,
            merchant=merchant,
            home=home,
            open_count=sum(each.invoices for each in home.due),
            overdue_count=home.overdue,
            activity=happenings(home.lately, session.viewer, reader)[:8],
        )
        .encode()
    )
    headers = [(b"content-type", b"text/html; charset=utf-8"), (b"content-length", str(len(html)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": html})


def seeded(ground: Ground) -> tuple[str, Seed]:
    """A read model with something in every state, and both people signed in."""
    database, seed = ground.database(), Seed()
    seed.full()
    migrate(database, ROOT / "services/gateway/migrations")
    asyncio.run(seed.write(database))
    ground.sql(database, "VACUUM ANALYZE")
    return database, seed


def measure(ground: Ground) -> list[Row]:
    database, seed = seeded(ground)
    children = {
        "ours": ground.service("services.gateway", "gateway", database),
        "floor": ground.web("bench.home_page", "floor", database),
    }

    def run(name: str) -> Sample:
        pids = [children[name].pid, *ground.pids]
        cpu = cpu_seconds(pids)
        url = f"http://127.0.0.1:{children[name].port}/portal"
        said = wrk(url, 10, SECONDS, cookie=f"portal={seed.tokens['contact']}")
        return Sample(said.rate, (cpu_seconds(pids) - cpu) * 1000 / said.requests, {"p50": said.p50, "p99": said.p99})

    samples = alternate({"ours": lambda: run("ours"), "floor": lambda: run("floor")})
    return [
        compare("home page", "1/s", rates(samples), least=0.8),
        compare("home page cpu", "CPU s per 1000", cpus(samples), most=1.3),
        compare("home page p50", "ms", extra(samples, "p50")),
        compare("home page p99", "ms", extra(samples, "p99")),
    ]


if __name__ == "__main__":
    install(pages)
    serve.run(floor)
