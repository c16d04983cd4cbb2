"""`event handled`: inbox mark and one INSERT in a transaction per event, then the ack.

Ours: a fact handler of the chassis. Floor: aio-pika and asyncpg by hand, the same two statements, the same kind of queue and
prefetch. Stock: a plain FastStream subscriber. The queue is filled while the consumer stands still; timed is its emptying.
"""

import asyncio
import json
import os
from datetime import UTC, datetime
from typing import Any

import aio_pika
import asyncpg
from aio_pika.abc import AbstractIncomingMessage
from faststream.rabbit import RabbitBroker, RabbitQueue

from bench import tiny
from bench.ground import Child, Ground, Json, answer_lines, fill, play, until
from bench.measure import Row, Sample, alternate, compare, cpus, rates, timed
from bench.serve import open_pool
from chassis.clock import FakeClock
from chassis.database import Tx
from chassis.ids import new_id
from chassis.service import main
from chassis.testing import envelope_of
from chassis.topology import consumed_arguments
from contracts.billing import PaymentSucceeded
from tests import builders as make

SIZE = 1200
OURS, FLOOR, STOCK = "notifications.on_payment_succeeded", "floor.event", "stock.event"
INBOX = "INSERT INTO inbox (handler, event_id) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING true"
EFFECT = "INSERT INTO effect (id) VALUES ($1)"
TABLES = (
    """CREATE TABLE inbox (handler text, event_id text, handled_at timestamptz DEFAULT clock_timestamp(),
        PRIMARY KEY (handler, event_id))""",
    "CREATE INDEX inbox_by_age ON inbox (handled_at)",
    "CREATE TABLE effect (id text PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp())",
)


async def on_payment_succeeded(tx: Tx, _event: PaymentSucceeded) -> None:
    await tx.execute(EFFECT, tx.cause.message_id)


async def handle(pool: "asyncpg.Pool[Any]", event: Json) -> None:
    async with pool.acquire() as database, database.transaction():
        if await database.fetchval(INBOX, "floor", event["id"]):
            await database.execute(EFFECT, event["id"])


async def floor() -> None:
    pool = await open_pool(os.environ["BENCH_DATABASE"])
    connection = await aio_pika.connect(os.environ["BENCH_AMQP"])
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=32)
    queue = await channel.declare_queue(FLOOR, durable=True, arguments=consumed_arguments(FLOOR))

    async def take(message: AbstractIncomingMessage) -> None:
        await handle(pool, json.loads(message.body))
        await message.ack()

    await queue.consume(take)
    await answer_lines(idle)


async def stock() -> None:
    pool = await open_pool(os.environ["BENCH_DATABASE"])
    broker = RabbitBroker(os.environ["BENCH_AMQP"], logger=None)
    queue = RabbitQueue(STOCK, durable=True, arguments=consumed_arguments(STOCK))  # type: ignore[call-overload]  # quorum's typed arguments do not list all that RabbitMQ takes

    @broker.subscriber(queue)
    async def take(event: dict[str, Any]) -> None:
        await handle(pool, event)

    await broker.start()
    await answer_lines(idle)


async def idle(_: Json) -> Json:
    return {}


def emptying(ground: Ground, child: Child, database: str, queue: str, size: int, table: str) -> Sample:
    """Fill while it stands still, then let it go: until `table` has a row for each."""
    of = make.paid(make.invoice(make.customer(make.merchant())))
    events = [PaymentSucceeded(state=make.payment(of, id=new_id()), invoice=of) for _ in range(size)]
    now = FakeClock(datetime.now(UTC))
    bodies = [envelope_of(event, clock=now).model_dump_json().encode() for event in events]
    ground.sql(database, f"TRUNCATE {table}")
    child.pause()
    asyncio.run(fill(ground.vhost.url("billing") if queue == OURS else ground.vhost.operator_url, queue, bodies))

    def work() -> int:
        child.go_on()
        until(database, f"SELECT count(*) = {size} FROM {table}")
        return size

    return timed(work, [child.pid, *ground.pids])


def measure(ground: Ground) -> list[Row]:
    module, operator = "bench.event_handled", ground.vhost.operator_url
    databases = {"ours": ground.database(), "floor": ground.database(*TABLES), "stock": ground.database(*TABLES)}
    children = {
        "ours": ground.service(module, "notifications", databases["ours"], "serve"),
        "floor": ground.role(module, "floor", BENCH_AMQP=operator, BENCH_DATABASE=databases["floor"]),
        "stock": ground.role(module, "stock", BENCH_AMQP=operator, BENCH_DATABASE=databases["stock"]),
    }
    queues = {"ours": OURS, "floor": FLOOR, "stock": STOCK}

    def side(name: str) -> Any:
        return lambda: emptying(ground, children[name], databases[name], queues[name], SIZE, "effect")

    samples = alternate({name: side(name) for name in children})
    return [
        compare("event handled", "1/s", rates(samples), least=0.75),
        compare("event handled cpu", "CPU s per 1000", cpus(samples)),
    ]


if __name__ == "__main__":
    import sys

    if sys.argv[1] == "serve":
        main(lambda: tiny.service("notifications", facts={PaymentSucceeded: on_payment_succeeded}))
    else:
        play({"floor": floor, "stock": stock})
