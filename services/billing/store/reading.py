"""Rows of many owners, read one by one: one that can no longer be read is logged, counted and passed over."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

from chassis.database import Row
from chassis.telemetry import handled

log = logging.getLogger("portal.billing.store")

T = TypeVar("T")


@dataclass(frozen=True)
class Page(Generic[T]):
    """Part of a listing in id order, without what cannot be read. `after` is where the next begins; None: it was the last."""

    found: list[T]
    after: UUID | None


def page_of(what: str, rows: Sequence[Row], read: Callable[[Row], T | None], limit: int) -> Page[T]:
    """The page that these rows are; a full one has another after it."""
    return Page(list(readable(what, rows, read)), rows[-1]["id"] if len(rows) == limit else None)


def readable(what: str, rows: Iterable[Row], read: Callable[[Row], T | None]) -> Iterator[T]:
    """What each row says. One that cannot be read is named in the log by its `id`, and keeps none of the others waiting.

    Counted as `portal_messages_handled_total{handler="each <what>", outcome="failed"}`.
    """
    for row in rows:
        try:
            found = read(row)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            handled.labels(f"each {what}", "failed").inc()
            extra = {"what": what, what: str(row["id"])}
            log.error("A row cannot be read; the others are.", extra=extra, exc_info=error)  # noqa: TRY400 - with its traceback
        else:
            if found is not None:
                yield found
