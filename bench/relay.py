"""`relay`: rows from the outbox to the broker, each confirmed before it is deleted.

Ours: the chassis' relay. Floor: aio-pika by hand, 100 rows read, published at once, confirmed, deleted, under the same lock.
Both publish to the same exchange and key, with one quorum queue behind it.
"""

import asyncio
import os

import aio_pika
import asyncpg

from bench import tiny
from bench.ground import Ground, Json, answer_lines, play, until
from bench.measure import Row, Sample, alternate, compare, cpus, rates, timed
from chassis.service import main
from chassis.testing import envelope_of
from contracts.message import INTERNAL
from contracts.todos import TodoCreated
from tests import builders as make

SIZE, BATCH = 5000, 100
TABLE = (
    "CREATE TABLE outbox (position bigserial PRIMARY KEY, exchange text NOT NULL, routing_key text NOT NULL,"
    " subject text NOT NULL, message_id text NOT NULL, body bytea NOT NULL,"
    " created_at timestamptz NOT NULL DEFAULT clock_timestamp())"
)
NEXT = "SELECT position, exchange, routing_key, message_id, body FROM outbox ORDER BY position LIMIT $1"


async def floor() -> None:
    database = await asyncpg.connect(os.environ["BENCH_DATABASE"])
    connection = await aio_pika.connect(os.environ["BENCH_AMQP"])
    channel = await connection.channel()
    exchange = await channel.get_exchange(INTERNAL, ensure=False)
    await database.execute("SELECT pg_advisory_lock(1)")

    async def work() -> None:
        while True:
            rows = await database.fetch(NEXT, BATCH)
            if not rows:
                await asyncio.sleep(0.05)
                continue
            messages = [
                (aio_pika.Message(row["body"], delivery_mode=2, message_id=row["message_id"]), row["routing_key"])
                for row in rows
            ]
            await asyncio.gather(*(exchange.publish(message, key) for message, key in messages))
            await database.execute(
                "DELETE FROM outbox WHERE position = ANY($1::bigint[])", [row["position"] for row in rows]
            )

    working = asyncio.create_task(work())

    async def idle(_: Json) -> Json:
        return {}

    await answer_lines(idle)
    working.cancel()


def measure(ground: Ground) -> list[Row]:
    module = "bench.relay"
    databases = {"ours": ground.database(), "floor": ground.database(TABLE)}
    ours = ground.service(module, "todos", databases["ours"], "serve")
    floor = ground.role(module, "floor", BENCH_AMQP=ground.vhost.operator_url, BENCH_DATABASE=databases["floor"])
    children = {"ours": ours, "floor": floor}
    body = envelope_of(TodoCreated(state=make.todo(make.customer(make.merchant())))).model_dump_json()

    def run(name: str) -> Sample:
        child, database = children[name], databases[name]
        ground.vhost.management.call("DELETE", f"queues/{ground.vhost.name}/gateway.todo/contents")
        child.pause()
        ground.sql(
            database,
            "INSERT INTO outbox (exchange, routing_key, subject, message_id, body)"
            f" SELECT '{INTERNAL}', 'todos.todo.created.v1', gen_random_uuid(), gen_random_uuid(), $b${body}$b$::bytea"
            f" FROM generate_series(1, {SIZE})",
            "VACUUM ANALYZE outbox",
        )

        def work() -> int:
            child.go_on()
            until(database, "SELECT NOT EXISTS (SELECT FROM outbox)")
            return SIZE

        return timed(work, [child.pid, *ground.pids])

    samples = alternate({"ours": lambda: run("ours"), "floor": lambda: run("floor")})
    return [
        compare("relay", "1/s", rates(samples), least=0.8),
        compare("relay cpu", "CPU s per 1000", cpus(samples)),
    ]


if __name__ == "__main__":
    import sys

    if sys.argv[1] == "serve":
        main(lambda: tiny.service("todos"))
    else:
        play({"floor": floor})
