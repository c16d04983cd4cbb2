from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from chassis.database import Database, Tx


async def lock_bucket(tx: Tx, bucket: str) -> None:
    """Nobody else counts this bucket's attempts until the transaction ends."""
    await tx.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", bucket)


async def attempts_since(tx: Tx, bucket: str, since: datetime) -> list[datetime]:
    """When the bucket's attempts were made."""
    rows = await tx.fetch("SELECT at FROM attempt WHERE bucket = $1 AND at > $2", bucket, since)
    return [row["at"] for row in rows]


async def count_attempt(tx: Tx, attempt_id: UUID, buckets: Sequence[str], at: datetime) -> None:
    """Count one attempt in each bucket."""
    await tx.execute(
        "INSERT INTO attempt (id, bucket, at) SELECT $1, unnest($2::text[]), $3", attempt_id, list(buckets), at
    )


async def forget_attempts(db: Database, attempt_id: UUID, bucket: str) -> None:
    """After a success: this attempt in every bucket, and all of one bucket."""
    await db.execute("DELETE FROM attempt WHERE id = $1 OR bucket = $2", attempt_id, bucket)


async def forget_old_attempts(db: Database, before: datetime) -> None:
    """Attempts that no limit looks at any more."""
    await db.execute("DELETE FROM attempt WHERE at < $1", before)
