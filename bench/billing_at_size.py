"""`invoice made`, `invoice settled`: in billing's own books with 2,000,000 paid invoices of one merchant, beside 1,000.

The command and the webhook run through the real handlers on a real database; Stripe is in memory and costs nothing.
"""

import asyncio
import os
import statistics
import time
from contextlib import AsyncExitStack, ExitStack

import psycopg

from bench.ground import Ground
from bench.measure import RUNS, Row, compare
from chassis.ids import new_id
from chassis.testing import known
from local.children import free_port
from services.billing.webhooks.worker import handle_next
from tests import parts
from tests.integration.billing.shop import Shop, opened, payment_link, premises

SMALL, LARGE = 1_000, int(os.environ.get("BENCH_LARGE", "2000000"))
EACH = 60


def _copies(database: str, count: int) -> None:
    """So many copies of the one paid invoice and of its payment, numbered on. Their indexes are made afterwards."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("SET maintenance_work_mem = '256MB'")
        connection.execute("SET synchronous_commit = off")
        indexes = connection.execute(
            """
            SELECT indexname, indexdef FROM pg_indexes WHERE tablename IN ('invoice', 'payment')
            AND indexname NOT IN (SELECT conname FROM pg_constraint)
            """
        ).fetchall()
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}")
        for table, number in (("invoice", "'number', 'INV-' || n"), ("payment", "'receipt_number', 'REC-' || n")):
            # Ids that grow, as UUIDv7 do; a payment's invoice has the same number of its own.
            connection.execute(
                f"""
                INSERT INTO {table}
                SELECT copy.*
                FROM (SELECT {table} AS whole FROM {table} LIMIT 1) AS one,
                     (SELECT n, ('0190' || lpad(to_hex(n), 8, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid AS id
                      FROM generate_series(1000, %s::int + 1000) AS n) AS made,
                     -- Not (...).* in the select list: that makes the row anew for each of its columns.
                     jsonb_populate_record(one.whole, jsonb_build_object('id', made.id, {number})
                        || CASE '{table}' WHEN 'payment' THEN
                           jsonb_build_object('invoice_id', made.id, 'session_id', NULL, 'intent_id', NULL)
                           ELSE '{{}}' END) AS copy
                """,
                (count,),
            )
        for _, definition in indexes:
            connection.execute(definition)
        connection.execute("UPDATE counter SET last = %s", (count + 2000,))
        connection.execute("VACUUM ANALYZE invoice")
        connection.execute("VACUUM ANALYZE payment")


async def _filled(shop: Shop, count: int) -> None:
    invoice = await shop.link()
    await shop.customer_pays(await shop.pay(invoice, shop.contact()))
    await asyncio.to_thread(_copies, shop.h.db.url, count)


async def _turns(shop: Shop) -> tuple[float, float]:
    """Milliseconds per invoice made, and per payment booked: the medians of one run."""
    made, settled = [], []
    for _ in range(EACH):
        message = shop.h.message(
            payment_link(shop), actor=shop.member(), merchant_id=shop.merchant_id, known=[known(shop.customer)]
        )
        began = time.perf_counter()
        await shop.h.runtime.answerer.answer(message)
        made.append((time.perf_counter() - began) * 1000)
    for _ in range(EACH // 4):
        invoice = await shop.link()
        started = await shop.pay(invoice, shop.contact(f"Payer {new_id()}"))
        await shop.till.pays(await shop.session_of(started))
        events = 0
        began = time.perf_counter()
        while await handle_next(shop.h.runtime, shop.stripe):
            events += 1
        settled.append((time.perf_counter() - began) * 1000 / events)
        assert (await shop.invoice(invoice)).status == "paid"
    return statistics.median(made), statistics.median(settled)


async def _measured(urls: dict[str, str]) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    made: dict[str, list[float]] = {name: [] for name in urls}
    settled: dict[str, list[float]] = {name: [] for name in urls}
    async with AsyncExitStack() as stack:
        shops = {}
        for name, count in (("ours", LARGE), ("floor", SMALL)):
            place = await stack.enter_async_context(premises(urls[name], free_port(), None))
            shops[name] = await opened(place)
            await _filled(shops[name], count)
        for run in range(RUNS + 1):
            for name, shop in shops.items():
                one, other = await _turns(shop)
                if run:  # the first warms up
                    made[name].append(one)
                    settled[name].append(other)
    return made, settled


def measure(ground: Ground) -> list[Row]:
    with ExitStack() as stack:
        urls = {name: stack.enter_context(parts.fresh_database(ground.postgres.url)) for name in ("ours", "floor")}
        made, settled = asyncio.run(_measured(urls))
    return [
        compare("invoice made", "ms", made, most=1.5),
        compare("invoice settled", "ms", settled, most=1.5),
    ]
