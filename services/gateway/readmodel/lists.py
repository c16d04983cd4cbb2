"""Pages of a list by keyset: the next page begins behind the last row shown, whatever was added meanwhile."""

from __future__ import annotations

import binascii
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

from contracts.message import FieldError, InvalidInput, NotFound, State

T = TypeVar("T")
StateT = TypeVar("StateT", bound=State)
PAGE = 25
LAST = UUID(int=2**128 - 1)
"""Greater than any id: where a list of the newest begins."""
FIRST = UUID(int=0)


class Reader(Protocol):
    """What both the pool and an open transaction offer for reading."""

    async def fetch(self, sql: str, *parameters: Any) -> list[Any]: ...  # noqa: D102 - asyncpg's
    async def fetchrow(self, sql: str, *parameters: Any) -> Any: ...  # noqa: D102 - asyncpg's
    async def fetchval(self, sql: str, *parameters: Any) -> Any: ...  # noqa: D102 - asyncpg's


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some rows of a list; `next_cursor` is None on the last page."""

    items: tuple[T, ...]
    next_cursor: str | None = None


def cut(
    rows: Sequence[Any], limit: int, parse: Callable[[Any], T], order: str, key: Callable[[Any], list[Any]]
) -> Page[T]:
    """The page of `limit` rows out of `limit + 1` fetched; the one too many only says that there is more."""
    more = len(rows) > limit
    shown = rows[:limit]
    cursor = to_cursor(order, key(shown[-1])) if more else None
    return Page(tuple(parse(row) for row in shown), cursor)


def newest(rows: Sequence[Any], limit: int, of: type[StateT], order: str) -> Page[StateT]:
    """`cut` of a list of states whose key is their id."""
    return cut(rows, limit, lambda row: state_in(row, of), order, lambda row: [row["id"]])


def state_in(row: Any, of: type[StateT]) -> StateT:
    """The state that a copy's row holds. Raises NotFound when there is no row."""
    if row is None:
        raise NotFound
    return of.model_validate_json(row["state"])


def to_cursor(order: str, key: list[Any]) -> str:
    """An opaque cursor: the order's name and the last row's key."""
    text = json.dumps([order, *(each.isoformat() if isinstance(each, date) else str(each) for each in key)])
    return urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def from_cursor(cursor: str | None, order: str, *kinds: type) -> list[Any] | None:
    """The key in a cursor of the same order, each part parsed as its kind; None without a cursor.

    Raises:
        InvalidInput: it is not a cursor that we made for this list. Keys are values, never SQL, so it needs no signature.
    """
    if not cursor:
        return None
    try:
        name, *key = json.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if name != order or len(key) != len(kinds):
            raise ValueError(cursor)
        return [_PARSE[kind](part) for kind, part in zip(kinds, key, strict=True)]
    except (ValueError, TypeError, KeyError, AttributeError, binascii.Error) as error:
        message = "This is not a cursor of this list."
        raise InvalidInput(message, errors=(FieldError(field="cursor", message=message),)) from error


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment


_PARSE: dict[type, Callable[[str], Any]] = {
    UUID: UUID,
    date: date.fromisoformat,
    datetime: _moment,
    str: lambda text: text if isinstance(text, str) and "\x00" not in text else _refuse(text),
}


def _refuse(text: object) -> str:
    raise ValueError(text)
