"""The table of operations the sandbox plays: method and path → params type and handler."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from local.stripe.params import Fields, Params, fields_of
from local.stripe.work import Work

Json = dict[str, Any]


@dataclass
class Call:
    """One API call, checked and ready to run: `ids` are the path's ids by name, in order."""

    work: Work
    params: Params
    path: str
    ids: dict[str, str]


@dataclass(frozen=True)
class Operation:
    """One row of the table."""

    method: str
    template: str
    pattern: re.Pattern[str]
    fields: Fields
    handler: Callable[[Call], Json]


TABLE: list[Operation] = []


def operation(method: str, template: str, params: type) -> Callable[[Callable[[Call], Json]], Callable[[Call], Json]]:
    """Adds a handler for a path like `/v1/customers/{customer}`; `params` is the SDK's TypedDict for that call."""
    pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", template) + "$")

    def register(handler: Callable[[Call], Json]) -> Callable[[Call], Json]:
        TABLE.append(Operation(method, template, pattern, fields_of(params), handler))
        return handler

    return register


def find_operation(method: str, path: str) -> tuple[Operation, dict[str, str]] | None:
    """The operation for a request line, and its path's ids."""
    for row in TABLE:
        matched = row.pattern.match(path)
        if row.method == method and matched is not None:
            return row, matched.groupdict()
    return None
