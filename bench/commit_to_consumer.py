"""`commit to consumer`: from a transaction's commit to the handler's hands, at 200 events a second.

Ours: a worker announces, the relay publishes, a fact handler of another service has marked its inbox and begins. Floor: the
same by hand: an outbox row and a NOTIFY in the transaction, a relay that LISTENs and publishes with confirms, a consumer that
marks its inbox in a transaction. Both exchanges feed one stream and two quorum queues.
"""

import asyncio
import json
import os
import time
from datetime import UTC, datetime
from typing import Any

import aio_pika
import asyncpg
from aio_pika.abc import AbstractIncomingMessage

from bench import tiny
from bench.ground import Child, Ground, Json, answer_lines, play, read_line, say
from bench.measure import Row, Sample, alternate, compare, cpu_seconds, cpus, extra, percentile
from bench.serve import open_pool
from chassis.clock import FakeClock
from chassis.database import Tx
from chassis.ids import new_id
from chassis.service import Runtime, main
from chassis.testing import envelope_of
from chassis.topology import consumed_arguments
from contracts.billing import PaymentSucceeded
from tests import builders as make

RATE, SECONDS = 200, 3
TABLES = (
    "CREATE TABLE outbox (position bigserial PRIMARY KEY, id text NOT NULL, body bytea NOT NULL)",
    "CREATE TABLE inbox (event_id text PRIMARY KEY)",
)
PUT = "WITH kept AS (INSERT INTO outbox (id, body) VALUES ($1, $2)) SELECT pg_notify('outbox', '')"


def paid() -> PaymentSucceeded:
    of = make.paid(make.invoice(make.customer(make.merchant())))
    return PaymentSucceeded(state=make.payment(of), invoice=of)


async def at_a_rate(once: Any) -> Json:
    """Call `once` so many times a second; its answers are event ids, kept with the time right after the commit."""
    committed: dict[str, float] = {}

    async def one() -> None:
        id_ = await once()
        committed[id_] = time.time()

    began, tasks = time.monotonic(), []
    for number in range(RATE * SECONDS):
        await asyncio.sleep(max(0, began + number / RATE - time.monotonic()))
        tasks.append(asyncio.create_task(one()))
    await asyncio.gather(*tasks)
    return committed


# --- ours -----------------------------------------------------------------------------------------------------------


async def announce(runtime: Runtime) -> None:
    """The producing service's worker: a line on stdin, then a run."""
    event = paid()

    async def once() -> str:
        state = event.state.model_copy(update={"id": new_id()})
        async with runtime.db.transaction(runtime.system_cause()) as tx:
            tx.announce(PaymentSucceeded(state=state, invoice=event.invoice), sequence=1)
        return tx.announced[0].id

    while await read_line() is not None:
        say(await at_a_rate(once))


handled: dict[str, float] = {}


async def on_payment_succeeded(tx: Tx, _event: PaymentSucceeded) -> None:
    handled[tx.cause.message_id] = time.time()


async def tell(_runtime: Runtime) -> None:
    """The consuming service's worker: what was handled since the last line."""
    while await read_line() is not None:
        say(dict(handled))
        handled.clear()


# --- floor ----------------------------------------------------------------------------------------------------------


async def floor_producer() -> None:
    pool = await open_pool(os.environ["BENCH_DATABASE"])
    event = paid()

    async def once() -> str:
        state = event.state.model_copy(update={"id": new_id()})
        told = PaymentSucceeded(state=state, invoice=event.invoice)
        envelope = envelope_of(told, clock=FakeClock(datetime.now(UTC)))
        async with pool.acquire() as database, database.transaction():
            await database.execute(PUT, envelope.id, envelope.model_dump_json().encode())
        return envelope.id

    relaying = asyncio.create_task(relay())

    async def answer(_: Json) -> Json:
        return await at_a_rate(once)

    await answer_lines(answer)
    relaying.cancel()


async def relay() -> None:
    database = await asyncpg.connect(os.environ["BENCH_DATABASE"])
    connection = await aio_pika.connect(os.environ["BENCH_AMQP"])
    channel = await connection.channel()
    exchange = await channel.declare_exchange("floor.events", aio_pika.ExchangeType.TOPIC, durable=True)
    log = await channel.declare_queue("floor.log", durable=True, arguments={"x-queue-type": "stream"})
    await log.bind(exchange, "#")
    for name in ("floor.other", "floor.paid"):
        queue = await channel.declare_queue(name, durable=True, arguments=consumed_arguments(name))
        await queue.bind(exchange, "billing.#")
    woken = asyncio.Event()
    await database.add_listener("outbox", lambda *_: woken.set())
    while True:
        woken.clear()
        rows = await database.fetch("SELECT position, id, body FROM outbox ORDER BY position LIMIT 100")
        if not rows:
            await woken.wait()
            continue
        messages = [aio_pika.Message(row["body"], delivery_mode=2, message_id=row["id"]) for row in rows]
        await asyncio.gather(*(exchange.publish(each, "billing.payment.succeeded.v1") for each in messages))
        await database.execute(
            "DELETE FROM outbox WHERE position = ANY($1::bigint[])", [row["position"] for row in rows]
        )


async def floor_consumer() -> None:
    pool = await open_pool(os.environ["BENCH_DATABASE"])
    connection = await aio_pika.connect(os.environ["BENCH_AMQP"])
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=32)
    queue = await channel.declare_queue("floor.paid", durable=True, arguments=consumed_arguments("floor.paid"))

    async def take(message: AbstractIncomingMessage) -> None:
        event = json.loads(message.body)
        async with pool.acquire() as database, database.transaction():
            await database.execute("INSERT INTO inbox VALUES ($1) ON CONFLICT DO NOTHING", event["id"])
            handled[event["id"]] = time.time()
        await message.ack()

    await queue.consume(take)

    async def answer(_: Json) -> Json:
        told = dict(handled)
        handled.clear()
        return told

    await answer_lines(answer)


# --- the figure -----------------------------------------------------------------------------------------------------


def measure(ground: Ground) -> list[Row]:
    module, operator = "bench.commit_to_consumer", ground.vhost.operator_url
    floors = ground.database(*TABLES)
    roles = {"BENCH_AMQP": operator, "BENCH_DATABASE": floors}
    pairs: dict[str, tuple[Child, Child]] = {
        "ours": (
            ground.service(module, "billing", ground.database(), "serve", asked=True, BENCH_ROLE="producer"),
            ground.service(module, "notifications", ground.database(), "serve", asked=True, BENCH_ROLE="consumer"),
        ),
        "floor": (ground.role(module, "floor-producer", **roles), ground.role(module, "floor-consumer", **roles)),
    }

    def run(name: str) -> Sample:
        producer, consumer = pairs[name]
        pids = [producer.pid, consumer.pid, *ground.pids]
        cpu = cpu_seconds(pids)
        committed = producer.ask({})
        seen: dict[str, float] = {}
        while len(seen) < len(committed):
            time.sleep(0.2)
            seen |= consumer.ask({})
        took = [(seen[id_] - at) * 1000 for id_, at in committed.items()]
        latencies = {"p50": percentile(took, 0.5), "p99": percentile(took, 0.99)}
        return Sample(RATE, (cpu_seconds(pids) - cpu) * 1000 / len(took), latencies)

    samples = alternate({"ours": lambda: run("ours"), "floor": lambda: run("floor")})
    middle = compare("commit to consumer", "ms", extra(samples, "p50"), most=1.5)
    return [
        middle,
        compare("commit to consumer p50", "ms", extra(samples, "p50"), most=1.5),
        compare("commit to consumer p99", "ms", extra(samples, "p99"), most=2),
        compare("commit to consumer cpu", "CPU s per 1000", cpus(samples)),
    ]


if __name__ == "__main__":
    import sys

    if sys.argv[1] != "serve":
        play({"floor-producer": floor_producer, "floor-consumer": floor_consumer})
    elif os.environ["BENCH_ROLE"] == "producer":
        main(lambda: tiny.service("billing", workers={"announce": announce}))
    else:
        main(
            lambda: tiny.service(
                "notifications", facts={PaymentSucceeded: on_payment_succeeded}, workers={"tell": tell}
            )
        )
