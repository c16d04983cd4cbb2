"""`projection`: events into a read model.

Ours: a follower of the chassis that keeps copies. Floor: aio-pika and asyncpg by hand, up to 100 events upserted by one
statement in a transaction, one ack for all of them, the same table, kind of queue and prefetch.
"""

import asyncio
import json
import os
import uuid
from datetime import timedelta
from typing import Any

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

from bench import tiny
from bench.event_handled import idle
from bench.ground import Child, Ground, answer_lines, fill, play, until
from bench.measure import Row, Sample, alternate, compare, cpus, rates, timed
from bench.serve import open_pool
from chassis.ids import new_id
from chassis.service import main
from chassis.testing import envelope_of
from chassis.topology import consumed_arguments
from contracts.billing import InvoicePaid
from tests import builders as make

SIZE, BATCH = 6000, 100
OURS, FLOOR = "gateway.invoice", "floor.invoice"
UPSERT = """
    INSERT INTO copy_invoice AS kept (id, merchant_id, sequence, deleted, state)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::boolean[], $5::jsonb[])
    ON CONFLICT (id) DO UPDATE
    SET merchant_id = excluded.merchant_id, sequence = excluded.sequence, deleted = excluded.deleted, state = excluded.state
    WHERE kept.sequence <= excluded.sequence
"""
TABLE = (
    "CREATE TABLE copy_invoice (id uuid PRIMARY KEY, merchant_id uuid, sequence bigint NOT NULL,"
    " deleted boolean NOT NULL DEFAULT false, state jsonb NOT NULL)"
)


async def floor() -> None:
    pool = await open_pool(os.environ["BENCH_DATABASE"], 2)
    connection = await aio_pika.connect(os.environ["BENCH_AMQP"])
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=200)
    queue = await channel.declare_queue(FLOOR, durable=True, arguments=consumed_arguments(FLOOR))
    waiting: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    await queue.consume(waiting.put)

    async def work() -> None:
        while True:
            batch = [await waiting.get()]
            while len(batch) < BATCH and not waiting.empty():
                batch.append(waiting.get_nowait())
            events = [json.loads(message.body) for message in batch]
            columns = zip(*(_row(event) for event in events), strict=True)
            async with pool.acquire() as database, database.transaction():
                await database.execute(UPSERT, *map(list, columns))
            await batch[-1].ack(multiple=True)

    working = asyncio.create_task(work())
    await answer_lines(idle)
    working.cancel()


def _row(event: dict[str, Any]) -> tuple[Any, ...]:
    state = event["data"]["state"]
    merchant = uuid.UUID(event["merchantid"])
    return uuid.UUID(event["subject"]), merchant, event["sequence"], state["deleted"], json.dumps(state)


def bodies(size: int) -> list[bytes]:
    """So many invoices paid, each another one."""
    of = make.paid(make.invoice(make.customer(make.merchant())))
    found = []
    for number in range(size):
        state = of.model_copy(update={"id": new_id(), "created_at": of.created_at + timedelta(seconds=number)})
        found.append(envelope_of(InvoicePaid(state=state)).model_dump_json().encode())
    return found


def measure(ground: Ground) -> list[Row]:
    module, operator = "bench.projection", ground.vhost.operator_url
    databases = {"ours": ground.database(), "floor": ground.database(TABLE)}
    children: dict[str, Child] = {
        "ours": ground.service(module, "gateway", databases["ours"], "serve"),
        "floor": ground.role(module, "floor", BENCH_AMQP=operator, BENCH_DATABASE=databases["floor"]),
    }
    events = bodies(SIZE)

    def run(name: str) -> Sample:
        child, database = children[name], databases[name]
        ground.sql(database, "TRUNCATE copy_invoice")
        child.pause()
        sender = ground.vhost.url("billing") if name == "ours" else operator
        asyncio.run(fill(sender, OURS if name == "ours" else FLOOR, events))

        def work() -> int:
            child.go_on()
            until(database, f"SELECT count(*) = {SIZE} FROM copy_invoice")
            return SIZE

        return timed(work, [child.pid, *ground.pids])

    samples = alternate({"ours": lambda: run("ours"), "floor": lambda: run("floor")})
    return [
        compare("projection", "1/s", rates(samples), least=0.6),
        compare("projection cpu", "CPU s per 1000", cpus(samples)),
    ]


if __name__ == "__main__":
    import sys

    if sys.argv[1] == "serve":
        main(lambda: tiny.service("gateway"))
    else:
        play({"floor": floor})
