"""`webhook`: a Stripe event until its durable 2xx, 20 connections.

Ours: billing as it runs, whose workers handle the stored events meanwhile. Floor: bare ASGI, one HMAC, one INSERT. Stock:
FastAPI with `stripe.Webhook.construct_event` and the same INSERT. Bodies are signed beforehand, each another event.
"""

import hashlib
import hmac
import json
import os
import time
from pathlib import Path
from typing import Any

import psycopg
import stripe
from fastapi import FastAPI, Request, Response

from bench import serve
from bench.ground import Child, Ground
from bench.load import wrk
from bench.measure import Row, Sample, alternate, compare, cpu_seconds, cpus, extra, rates
from local.children import free_port

SECRET = "whsec_for_measuring"
SECONDS, EVENTS = 3, 40_000
TABLE = (
    "CREATE TABLE stripe_event (id text PRIMARY KEY, payload text NOT NULL,"
    " received_at timestamptz NOT NULL DEFAULT clock_timestamp())"
)
INSERT = "INSERT INTO stripe_event (id, payload) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING"
SCRIPT = """
local bodies, signatures, at = {}, {}, 0
for line in io.lines(os.getenv("BENCH_BODIES")) do
  local signature, body = line:match("^(%S+) (.*)$")
  signatures[#signatures + 1] = signature
  bodies[#bodies + 1] = body
end
request = function()
  at = at % #bodies + 1
  return wrk.format("POST", nil, {["Stripe-Signature"] = signatures[at], ["Content-Type"] = "application/json"}, bodies[at])
end
"""


def write_bodies(path: Path, count: int) -> None:
    """Signed events of a type that every payment brings and that is no news to us."""
    now, mark = int(time.time()), os.urandom(6).hex()
    intent = {
        "id": "pi_3Ozk5t2eZvKYlo2C1fGq9x0a",
        "object": "payment_intent",
        "amount": 129_090,
        "amount_received": 0,
        "currency": "eur",
        "customer": "cus_PqXyZ0123456789",
        "description": "INV-101",
        "latest_charge": None,
        "livemode": False,
        "metadata": dict.fromkeys(("merchant_id", "invoice_id", "payment_id"), "0198c5d2-7c3e-7d5a-9f5e-0d4c1c1a2b3c"),
        "payment_method_types": ["card", "link"],
        "status": "requires_payment_method",
    }
    event = {
        "id": "EVENT",
        "object": "event",
        "api_version": "2026-01-28",
        "created": now,
        "data": {"object": intent},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": "9f5e0d4c1c1a2b3c"},
        "type": "payment_intent.created",
    }
    text = json.dumps(event)
    with path.open("w") as lines:
        for number in range(count):
            body = text.replace("EVENT", f"evt_{mark}{number:012d}", 1)
            signature = hmac.digest(SECRET.encode(), f"{now}.{body}".encode(), "sha256").hex()
            lines.write(f"t={now},v1={signature} {body}\n")


# --- floor and stock ------------------------------------------------------------------------------------------------


async def floor(scope: Any, receive: Any, send: Any) -> None:
    body = (await receive())["body"]
    sent = next(value for name, value in scope["headers"] if name == b"stripe-signature").decode()
    moment, _, signature = sent.partition(",v1=")
    expected = hmac.new(SECRET.encode(), moment[2:].encode() + b"." + body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, signature):
        await send({"type": "http.response.start", "status": 400, "headers": []})
    else:
        await serve.pool.execute(INSERT, json.loads(body)["id"], body.decode())
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


stock = FastAPI()


@stock.post("/webhooks/stripe")
async def receive_event(request: Request) -> Response:
    payload = await request.body()
    event = stripe.Webhook.construct_event(payload, request.headers["stripe-signature"], SECRET)
    await serve.pool.execute(INSERT, event.id, payload.decode())
    return Response(status_code=200)


# --- the figure -----------------------------------------------------------------------------------------------------


def _check_stored(database: str, answered: int) -> None:
    """Every answer was for an event that is stored: none was a repeat, which costs nothing, and none was lost."""
    with psycopg.connect(database) as connection:
        row = connection.execute("SELECT count(*) FROM stripe_event").fetchone()
    assert row is not None
    if row[0] < answered:
        raise RuntimeError(f"{answered} events were answered, {row[0]} are stored.")


def measure(ground: Ground) -> list[Row]:
    databases = {"ours": ground.database(), "floor": ground.database(TABLE), "stock": ground.database(TABLE)}
    children: dict[str, Child] = {
        "ours": ground.service(
            "services.billing",
            "billing",
            databases["ours"],
            STRIPE_SECRET_KEY="sk_test_for_measuring",
            STRIPE_WEBHOOK_SECRET=SECRET,
            STRIPE_API_BASE=f"http://127.0.0.1:{free_port()}",
        )
    }
    for name in ("floor", "stock"):
        children[name] = ground.web("bench.webhook", name, databases[name])
    script, bodies = ground.folder / "webhook.lua", ground.folder / "bodies"
    script.write_text(SCRIPT)

    def run(name: str) -> Sample:
        ground.sql(databases[name], "TRUNCATE stripe_event")
        write_bodies(bodies, EVENTS)
        pids = [children[name].pid, *ground.pids]
        cpu = cpu_seconds(pids)
        url = f"http://127.0.0.1:{children[name].port}/webhooks/stripe"
        said = wrk(url, 20, SECONDS, script=script, BENCH_BODIES=str(bodies))
        _check_stored(databases[name], said.requests)
        sample = Sample(said.rate, (cpu_seconds(pids) - cpu) * 1000 / said.requests, {"p50": said.p50, "p99": said.p99})
        # What is still to be handled would be in the next one's way.
        ground.sql(databases[name], "TRUNCATE stripe_event")
        return sample

    samples = alternate({"ours": lambda: run("ours"), "floor": lambda: run("floor"), "stock": lambda: run("stock")})
    return [
        compare("webhook", "1/s", rates(samples), least=0.8),
        compare("webhook cpu", "CPU s per 1000", cpus(samples)),
        compare("webhook p50", "ms", extra(samples, "p50")),
        compare("webhook p99", "ms", extra(samples, "p99")),
    ]


if __name__ == "__main__":
    import sys

    serve.run({"floor": floor, "stock": stock}[sys.argv[1]])
