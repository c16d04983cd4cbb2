from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

from chassis.database import Database, Row

_PAGE = 500


async def every_row(db: Database, query: str) -> AsyncIterator[Row]:
    """All rows of a query that takes `(after $1, limit $2)` and orders by `id`; no transaction stays open between pages."""
    after = UUID(int=0)
    while True:
        rows = await db.fetch(query, after, _PAGE)
        for row in rows:
            yield row
        if len(rows) < _PAGE:
            return
        after = rows[-1]["id"]
