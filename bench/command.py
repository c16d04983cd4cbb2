"""`command`: ask, store key and reply, answer; 50 at a time, and alone.

Ours: `RpcClient.ask` to the chassis. Floor: aio-pika and asyncpg by hand, confirmed request, the same two statements in one
transaction, the reply on direct reply-to. Stock: FastStream's `broker.request` to a plain subscriber.
"""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import aio_pika
from aio_pika.abc import AbstractIncomingMessage
from faststream.rabbit import RabbitBroker

from bench import tiny
from bench.ground import Ground, Json, answer_lines, play
from bench.measure import Row, alternate, compare, cpus, extra, percentile, rates, timed
from bench.serve import open_pool
from chassis.clock import Clock
from chassis.database import Cause, Tx
from chassis.ids import new_id
from chassis.rpc import RpcClient
from chassis.service import main
from contracts.message import Actor, CustomerId, MerchantId
from contracts.todos import CreateTodo, Todo

SIZE, ALONE = 1500, 150
AT_ONCE = 50
KEY = "INSERT INTO reply (id) VALUES ($1) ON CONFLICT (id) DO NOTHING RETURNING true"
REPLY = "UPDATE reply SET reply = $2 WHERE id = $1"
TABLE = "CREATE TABLE reply (id text PRIMARY KEY, reply bytea)"


async def load(ask: Callable[[], Awaitable[Any]], count: int, at_once: int) -> Json:
    """Ask `count` times, so many at once; the milliseconds of each."""
    took: list[float] = []

    async def one_after_another(share: int) -> None:
        for _ in range(share):
            began = time.perf_counter()
            await ask()
            took.append((time.perf_counter() - began) * 1000)

    await asyncio.gather(*(one_after_another(count // at_once) for _ in range(at_once)))
    return {"p50": percentile(took, 0.5), "p99": percentile(took, 0.99), "count": len(took)}


async def asking(ask: Callable[[], Awaitable[Any]]) -> None:
    async def answer(question: Json) -> Json:
        return await load(ask, question["count"], question["at_once"])

    await answer_lines(answer)


# --- ours -----------------------------------------------------------------------------------------------------------

MERCHANT, CUSTOMER = MerchantId(new_id()), CustomerId(new_id())


def todo(title: str) -> Todo:
    return Todo(
        id=new_id(),
        merchant_id=MERCHANT,
        customer_id=CUSTOMER,
        origin="own",
        title=title,
        status="open",
        created_by="Ada",
        created_at=datetime.now(UTC),
    )


async def create_todo(_tx: Tx, command: CreateTodo) -> Todo:
    return todo(command.title)


async def our_asker() -> None:
    clock = Clock()
    rpc = RpcClient(os.environ["BENCH_AMQP"], "gateway", clock)
    actor = Actor(kind="contact", id=new_id(), name="Ada", merchant_id=MERCHANT, customer_id=CUSTOMER)
    async with rpc.link:
        await rpc.link.until_connected(10)

        async def ask() -> None:
            cause = Cause(actor, MERCHANT, str(new_id()), str(new_id()))
            await rpc.ask(CreateTodo(customer_id=CUSTOMER, title="Compare grinders"), cause)

        await asking(ask)


# --- floor ----------------------------------------------------------------------------------------------------------


async def floor_answerer() -> None:
    pool = await open_pool(os.environ["BENCH_DATABASE"])
    connection = await aio_pika.connect(os.environ["BENCH_AMQP"])
    channel = await connection.channel(publisher_confirms=False)
    await channel.set_qos(prefetch_count=64)
    queue = await channel.declare_queue("floor.command")

    async def take(message: AbstractIncomingMessage) -> None:
        asked = json.loads(message.body)
        reply = todo(asked["title"]).model_dump_json().encode()
        async with pool.acquire() as database, database.transaction():
            if await database.fetchval(KEY, asked["id"]):
                await database.execute(REPLY, asked["id"], reply)
        assert message.reply_to is not None
        answer = aio_pika.Message(reply, correlation_id=message.correlation_id)
        await channel.default_exchange.publish(answer, message.reply_to, mandatory=False)
        await message.ack()

    await queue.consume(take)

    async def idle(_: Json) -> Json:
        return {}

    await answer_lines(idle)


async def floor_asker() -> None:
    connection = await aio_pika.connect(os.environ["BENCH_AMQP"])
    channel = await connection.channel()
    waiting: dict[str, asyncio.Future[bytes]] = {}

    async def receive(message: AbstractIncomingMessage) -> None:
        waiting.pop(str(message.correlation_id)).set_result(message.body)

    replies = await channel.get_queue("amq.rabbitmq.reply-to", ensure=False)
    await replies.consume(receive, no_ack=True)

    async def ask() -> None:
        id_ = str(new_id())
        waiting[id_] = asyncio.get_running_loop().create_future()
        answer = waiting[id_]
        body = json.dumps({"id": id_, "title": "Compare grinders", "customer_id": str(CUSTOMER)}).encode()
        message = aio_pika.Message(body, correlation_id=id_, reply_to="amq.rabbitmq.reply-to")
        await channel.default_exchange.publish(message, "floor.command")
        Todo.model_validate_json(await answer)

    await asking(ask)


# --- stock ----------------------------------------------------------------------------------------------------------


async def stock_answerer() -> None:
    pool = await open_pool(os.environ["BENCH_DATABASE"])
    broker = RabbitBroker(os.environ["BENCH_AMQP"], logger=None)

    @broker.subscriber("stock.command")
    async def answer(asked: dict[str, str]) -> str:
        reply = todo(asked["title"]).model_dump_json()
        async with pool.acquire() as database, database.transaction():
            if await database.fetchval(KEY, asked["id"]):
                await database.execute(REPLY, asked["id"], reply.encode())
        return reply

    await broker.start()

    async def idle(_: Json) -> Json:
        return {}

    await answer_lines(idle)


async def stock_asker() -> None:
    broker = RabbitBroker(os.environ["BENCH_AMQP"], logger=None)
    await broker.start()

    async def ask() -> None:
        asked = {"id": str(new_id()), "title": "Compare grinders", "customer_id": str(CUSTOMER)}
        answer = await broker.request(asked, "stock.command", timeout=30)
        Todo.model_validate_json(answer.body)

    await asking(ask)


# --- the figure -----------------------------------------------------------------------------------------------------


def measure(ground: Ground) -> list[Row]:
    module, operator = "bench.command", ground.vhost.operator_url
    database = ground.database(TABLE)
    pairs = {
        "ours": (
            ground.service(module, "todos", ground.database(), "answerer"),
            ground.role(module, "asker", BENCH_AMQP=ground.vhost.url("gateway")),
        ),
        "floor": (
            ground.role(module, "floor-answerer", BENCH_AMQP=operator, BENCH_DATABASE=database),
            ground.role(module, "floor-asker", BENCH_AMQP=operator),
        ),
        "stock": (
            ground.role(module, "stock-answerer", BENCH_AMQP=operator, BENCH_DATABASE=database),
            ground.role(module, "stock-asker", BENCH_AMQP=operator),
        ),
    }

    def side(name: str) -> Callable[[], Any]:
        answerer, asker = pairs[name]
        count = SIZE if name != "stock" else SIZE // 5

        def run() -> Any:
            said: Json = {}

            def work() -> int:
                said.update(asker.ask({"count": count, "at_once": AT_ONCE}))
                return int(said["count"])

            sample = timed(work, [answerer.pid, asker.pid, *ground.pids])
            alone = asker.ask({"count": ALONE, "at_once": 1})
            sample.more = {"p50": alone["p50"], "p99": said["p99"]}
            return sample

        return run

    samples = alternate({name: side(name) for name in pairs})
    return [
        compare("command", "1/s", rates(samples), least=0.7),
        compare("command cpu", "CPU s per 1000", cpus(samples)),
        compare("command p50", "ms, alone", extra(samples, "p50"), most=1.4),
        compare("command p99", "ms, 50 at once", extra(samples, "p99")),
    ]


if __name__ == "__main__":
    import sys

    if sys.argv[1] == "answerer":
        sys.argv[1:] = ["serve"]
        main(lambda: tiny.service("todos", commands={CreateTodo: create_todo}))
    else:
        play(
            {
                "asker": our_asker,
                "floor-answerer": floor_answerer,
                "floor-asker": floor_asker,
                "stock-answerer": stock_answerer,
                "stock-asker": stock_asker,
            }
        )
