"""`list page`: a page of invoices through the API, from the middle of 2,000,000 of one merchant, beside one of 1,000."""

import base64
import json
import os
import statistics
import time
from uuid import UUID

import httpx
import psycopg

from bench.ground import Child, Ground
from bench.home_page import seeded
from bench.measure import RUNS, Row, compare, percentile
from tests import builders as make

SMALL, LARGE = 1_000, int(os.environ.get("BENCH_LARGE", "2000000"))
PAGES = 60


def invoices(database: str, merchant_id: UUID, count: int) -> str:
    """Fill the read model with so many invoices of a merchant; returns the id in their middle.

    Their indexes are made afterwards, as a restore would, and their triggers are left out: sums and live news are not
    what is measured.
    """
    of = make.customer(make.merchant(id=merchant_id))
    state = make.invoice(of, 4_500, number="INV-1").model_dump_json()
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("SET maintenance_work_mem = '256MB'")
        connection.execute("SET synchronous_commit = off")
        indexes = connection.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'copy_invoice' AND indexname <> 'copy_invoice_pkey'"
        ).fetchall()
        for name, _ in indexes:
            connection.execute(f"DROP INDEX {name}")
        # Ids that grow, as UUIDv7 do: text order is time order.
        connection.execute(
            """
            INSERT INTO copy_invoice (id, merchant_id, sequence, state)
            SELECT id, %(merchant)s, 1, %(state)s::jsonb || jsonb_build_object('id', id, 'number', 'INV-' || n)
            FROM (SELECT n, ('0198' || lpad(to_hex(n), 8, '0') || '70008000' || left(%(mark)s, 12))::uuid AS id
                  FROM generate_series(1, %(count)s) AS n) AS made
            """,
            {"merchant": merchant_id, "state": state, "mark": merchant_id.hex, "count": count},
        )
        for _, definition in indexes:
            connection.execute(definition)
        connection.execute("VACUUM ANALYZE copy_invoice")
        middle = connection.execute(
            "SELECT id FROM copy_invoice WHERE merchant_id = %s ORDER BY id OFFSET %s LIMIT 1",
            (merchant_id, count // 2),
        ).fetchone()
    assert middle is not None
    return str(middle[0])


def measure(ground: Ground) -> list[Row]:
    sides: dict[str, tuple[Child, str, str]] = {}
    for name, count in (("ours", LARGE), ("floor", SMALL)):
        database, seed = seeded(ground)
        assert seed.merchant.merchant_id is not None
        middle = invoices(database, seed.merchant.merchant_id, count)
        gateway = ground.service("services.gateway", "gateway", database)
        text = json.dumps(["invoices", middle]).encode()
        sides[name] = gateway, seed.tokens["member"], base64.urlsafe_b64encode(text).rstrip(b"=").decode()

    took: dict[str, list[float]] = {"ours": [], "floor": []}
    slow: dict[str, list[float]] = {"ours": [], "floor": []}
    with httpx.Client(timeout=30) as browser:

        def pages(name: str) -> list[float]:
            gateway, token, cursor = sides[name]
            url = f"http://127.0.0.1:{gateway.port}/api/v1/invoices"
            times = []
            for turn in range(PAGES):
                # The first page and one from the middle in turn.
                given = {"cursor": cursor} if turn % 2 else {}
                began = time.perf_counter()
                answer = browser.get(url, params=given, headers={"Authorization": f"Bearer {token}"})
                times.append((time.perf_counter() - began) * 1000)
                assert answer.status_code == 200, answer.text
                assert len(answer.json()["items"]) == 25
            return times

        for run in range(RUNS + 1):
            for name in sides:
                times = pages(name)
                if run:  # the first warms up
                    took[name].append(statistics.median(times))
                    slow[name].append(percentile(times, 0.99))
    return [
        compare("list page", "ms", took, most=1.5),
        compare("list page p50", "ms", took, most=1.5),
        compare("list page p99", "ms", slow),
    ]
