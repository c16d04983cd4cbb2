"""All the sandbox's SQL: objects as JSON beside what lists need, idempotency results, deliveries, the ledger's lines.

SQLite is used synchronously on the event loop on purpose: a request's effects are then one atomic step, no other
request can see half of them, and a laptop's sandbox has no load that would notice.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Json = dict[str, Any]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    account TEXT NOT NULL,
    id      TEXT NOT NULL,
    kind    TEXT NOT NULL,
    body    TEXT NOT NULL,
    private TEXT NOT NULL DEFAULT '{}',
    UNIQUE (account, id)
);
CREATE INDEX IF NOT EXISTS objects_by_id ON objects (id);
CREATE INDEX IF NOT EXISTS objects_by_kind ON objects (account, kind, seq);
CREATE INDEX IF NOT EXISTS open_sessions ON objects (seq)
    WHERE kind = 'checkout.session' AND json_extract(body, '$.status') = 'open';
CREATE INDEX IF NOT EXISTS objects_by_customer ON objects (account, kind, json_extract(body, '$.customer'), seq);
CREATE INDEX IF NOT EXISTS objects_by_intent ON objects (account, kind, json_extract(body, '$.payment_intent'), seq);
CREATE INDEX IF NOT EXISTS things_due ON objects (json_extract(private, '$.due_at'))
    WHERE json_extract(private, '$.due_at') IS NOT NULL;
CREATE TABLE IF NOT EXISTS results (
    account     TEXT NOT NULL,
    key         TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    status      INTEGER NOT NULL,
    body        TEXT NOT NULL,
    request_id  TEXT NOT NULL,
    created     INTEGER NOT NULL,
    PRIMARY KEY (account, key)
);
CREATE TABLE IF NOT EXISTS deliveries (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    account  TEXT NOT NULL,
    event    TEXT NOT NULL,
    owner    TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    state    TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due      REAL NOT NULL,
    answer   TEXT
);
CREATE INDEX IF NOT EXISTS deliveries_pending ON deliveries (endpoint, due) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS deliveries_by_event ON deliveries (account, event);
CREATE TABLE IF NOT EXISTS ledger (seq INTEGER PRIMARY KEY AUTOINCREMENT, line TEXT NOT NULL);
"""


@dataclass(frozen=True)
class Result:
    """What an idempotency key keeps."""

    fingerprint: str
    status: int
    body: str
    request_id: str


@dataclass(frozen=True)
class Delivery:
    """One event on its way to one endpoint. `owner` is the account that registered the endpoint ("" = platform)."""

    id: int
    account: str
    event: str
    owner: str
    endpoint: str
    attempts: int


@dataclass(frozen=True)
class Filter:
    """One condition of a list: SQL over `body`, and its arguments."""

    sql: str
    arguments: tuple[Any, ...] = ()


def field_is(path: str, value: Any) -> Filter:
    """Equality with a field of the object, `path` as in `customer` or `customer_details.email`."""
    return Filter(f"json_extract(body, '$.{path}') = ?", (value,))  # our own word: spelt out, an index can serve it


def field_in(path: str, values: list[Any]) -> Filter:
    """A field of the object is one of these."""
    return Filter(f"json_extract(body, '$.{path}') IN ({', '.join('?' for _ in values)})", tuple(values))


class Store:
    """One SQLite file. Every write happens inside `transaction`."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        # NORMAL: a commit outlives the process however it ends. Only a power cut could undo the last ones, and waiting
        # for the disk here would stop every other request and webhook meanwhile: we are on the event loop.
        self._db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;" + _SCHEMA)

    def close(self) -> None:
        """Closes the file."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commits at the end, rolls back on any exception."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def insert(self, account: str, body: Json, private: Json) -> None:
        """A new object."""
        self._db.execute(
            "INSERT INTO objects (account, id, kind, body, private) VALUES (?, ?, ?, ?, ?)",
            (account, body["id"], body["object"], json.dumps(body), json.dumps(private)),
        )

    def update(self, account: str, body: Json) -> None:
        """Replaces an object's public state."""
        self._db.execute(
            "UPDATE objects SET body = ? WHERE account = ? AND id = ?", (json.dumps(body), account, body["id"])
        )

    def update_private(self, account: str, object_id: str, private: Json) -> None:
        """Replaces what the API never shows of an object."""
        self._db.execute(
            "UPDATE objects SET private = ? WHERE account = ? AND id = ?", (json.dumps(private), account, object_id)
        )

    def find(self, account: str, object_id: str) -> Json | None:
        """An object by id."""
        row = self._db.execute("SELECT body FROM objects WHERE account = ? AND id = ?", (account, object_id)).fetchone()
        return json.loads(row["body"]) if row else None

    def private(self, account: str, object_id: str) -> Json:
        """What the API never shows: secrets, card numbers of test cards, the key a session was asked for with."""
        row = self._db.execute(
            "SELECT private FROM objects WHERE account = ? AND id = ?", (account, object_id)
        ).fetchone()
        return json.loads(row["private"]) if row else {}

    def position(self, account: str, object_id: str) -> int | None:
        """Where an object stands in its lists."""
        row = self._db.execute("SELECT seq FROM objects WHERE account = ? AND id = ?", (account, object_id)).fetchone()
        return row["seq"] if row else None

    def page(
        self, account: str, kind: str, filters: list[Filter], *, limit: int, before: int | None, after: int | None
    ) -> list[Json]:
        """Objects newest first, at most `limit`: those older than position `before`, or just newer than `after`."""
        conditions = ["account = ?", "kind = ?", *(condition.sql for condition in filters)]
        arguments: list[Any] = [account, kind, *(value for condition in filters for value in condition.arguments)]
        order = "DESC"
        if before is not None:
            conditions.append("seq < ?")
            arguments.append(before)
        if after is not None:
            conditions.append("seq > ?")
            arguments.append(after)
            order = "ASC"
        rows = self._db.execute(
            # The conditions are constants of this package; every value of a request is an argument.
            f"SELECT body FROM objects WHERE {' AND '.join(conditions)} ORDER BY seq {order} LIMIT ?",  # noqa: S608 - conditions and order are our own words, values are parameters
            [*arguments, limit],
        ).fetchall()
        return [json.loads(row["body"]) for row in (rows if order == "DESC" else reversed(rows))]

    def open_sessions_due(self, now: int) -> list[tuple[str, str]]:
        """(account, id) of Checkout Sessions that are open past their time."""
        rows = self._db.execute(
            "SELECT account, id FROM objects WHERE kind = 'checkout.session' AND json_extract(body, '$.status') = 'open'"
            " AND json_extract(body, '$.expires_at') <= ? ORDER BY seq",
            (now,),
        ).fetchall()
        return [(row["account"], row["id"]) for row in rows]

    def things_due(self, now: int) -> list[tuple[str, str, str]]:
        """(account, id, kind) of objects to which something happens by itself, and whose time has come."""
        rows = self._db.execute(
            "SELECT account, id, kind FROM objects WHERE json_extract(private, '$.due_at') IS NOT NULL"
            " AND json_extract(private, '$.due_at') <= ? ORDER BY json_extract(private, '$.due_at'), seq",
            (now,),
        ).fetchall()
        return [(row["account"], row["id"], row["kind"]) for row in rows]

    def find_owner(self, object_id: str) -> str | None:
        """The account an object belongs to, for pages whose URL carries only its id."""
        row = self._db.execute("SELECT account FROM objects WHERE id = ?", (object_id,)).fetchone()
        return row["account"] if row else None

    def find_result(self, account: str, key: str, not_before: int) -> Result | None:
        """The stored result of an idempotency key, when it is younger than `not_before`."""
        row = self._db.execute(
            "SELECT fingerprint, status, body, request_id FROM results WHERE account = ? AND key = ? AND created >= ?",
            (account, key, not_before),
        ).fetchone()
        return Result(row["fingerprint"], row["status"], row["body"], row["request_id"]) if row else None

    def keep_result(self, account: str, key: str, result: Result, now: int) -> None:
        """Stores a key's result, over one that is too old to count."""
        self._db.execute(
            "INSERT OR REPLACE INTO results (account, key, fingerprint, status, body, request_id, created)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (account, key, result.fingerprint, result.status, result.body, result.request_id, now),
        )

    def add_delivery(self, account: str, event: str, owner: str, endpoint: str, due: float, *, state: str) -> None:
        """Queues an event for an endpoint; `due` is Unix time in seconds; state *pending* or *dropped*."""
        self._db.execute(
            "INSERT INTO deliveries (account, event, owner, endpoint, state, due) VALUES (?, ?, ?, ?, ?, ?)",
            (account, event, owner, endpoint, state, due),
        )

    def endpoints_due(self, now: float) -> list[str]:
        """Endpoints with a pending delivery whose time has come."""
        rows = self._db.execute(
            "SELECT DISTINCT endpoint FROM deliveries WHERE state = 'pending' AND due <= ?", (now,)
        ).fetchall()
        return [row["endpoint"] for row in rows]

    def due_deliveries(self, endpoint: str, now: float) -> list[Delivery]:
        """An endpoint's pending deliveries whose time has come, oldest first."""
        rows = self._db.execute(
            "SELECT id, account, event, owner, endpoint, attempts FROM deliveries"
            " WHERE state = 'pending' AND endpoint = ? AND due <= ? ORDER BY due, id LIMIT 1000",
            (endpoint, now),
        ).fetchall()
        return [Delivery(**dict(row)) for row in rows]

    def next_delivery_due(self, after: float) -> float | None:
        """When the next pending delivery after a moment is due, Unix time."""
        row = self._db.execute(
            "SELECT min(due) AS due FROM deliveries WHERE state = 'pending' AND due > ?", (after,)
        ).fetchone()
        due: float | None = row["due"]
        return due

    def hasten_retries(self, now: float) -> None:
        """Makes every failed delivery due at once."""
        self._db.execute(
            "UPDATE deliveries SET due = ? WHERE state = 'pending' AND attempts > 0 AND due > ?", (now, now)
        )

    def settle_delivery(self, delivery_id: int, state: str, answer: str, due: float) -> None:
        """Counts an attempt: state *delivered*, *failed*, or *pending* again at `due`."""
        self._db.execute(
            "UPDATE deliveries SET state = ?, answer = ?, due = ?, attempts = attempts + 1 WHERE id = ?",
            (state, answer, due, delivery_id),
        )

    def deliveries_of(self, account: str, event: str) -> list[Json]:
        """What became of an event's deliveries."""
        rows = self._db.execute(
            "SELECT endpoint, state, attempts, answer FROM deliveries WHERE account = ? AND event = ? ORDER BY id",
            (account, event),
        ).fetchall()
        return [dict(row) for row in rows]

    def pending_webhooks(self, account: str, event: str) -> int:
        """How many endpoints have not acknowledged the event."""
        row = self._db.execute(
            "SELECT count(DISTINCT endpoint) AS n FROM deliveries d WHERE account = ? AND event = ? AND NOT EXISTS"
            " (SELECT 1 FROM deliveries WHERE account = d.account AND event = d.event AND endpoint = d.endpoint"
            " AND state = 'delivered')",
            (account, event),
        ).fetchone()
        return int(row["n"])

    def add_ledger_line(self, line: Json) -> int:
        """Reserves the next ledger line inside the transaction of the money movement; its number."""
        cursor = self._db.execute("INSERT INTO ledger (line) VALUES (?)", (json.dumps(line),))
        return int(cursor.lastrowid or 0)

    def ledger_after(self, seq: int) -> list[Json]:
        """Committed ledger lines with a number above `seq`."""
        rows = self._db.execute("SELECT seq, line FROM ledger WHERE seq > ? ORDER BY seq", (seq,)).fetchall()
        return [{"seq": row["seq"], **json.loads(row["line"])} for row in rows]
