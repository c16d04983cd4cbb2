"""Stripe's lists: newest first, `limit` 1 to 100, `starting_after` / `ending_before` cursors, `has_more`."""

from typing import Any

from local.stripe.errors import InvalidParameterError, no_such
from local.stripe.operations import Call
from local.stripe.store import Filter, field_is

Json = dict[str, Any]

_COMPARISONS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def list_of(data: list[Json], url: str, *, has_more: bool = False) -> Json:
    """The list envelope."""
    return {"object": "list", "data": data, "has_more": has_more, "url": url}


def read_limit(call: Call) -> int:
    """The page size.

    Raises:
        InvalidParameterError: outside 1 … 100.
    """
    limit = int(call.params.take("limit", 10))
    if limit > 100:
        raise InvalidParameterError(
            "Invalid integer: limit must be at most 100", code="parameter_invalid_integer", param="limit"
        )
    if limit < 1:
        raise InvalidParameterError(
            "This value must be greater than or equal to 1.", code="parameter_invalid_integer", param="limit"
        )
    return limit


def page(call: Call, kind: str, filters: list[Filter]) -> Json:
    """One page of the account's objects of a kind.

    Raises:
        StripeError: a cursor that names no object, or both cursors at once.
    """
    limit = read_limit(call)
    older, newer = call.params.take("starting_after"), call.params.take("ending_before")
    if older and newer:
        raise InvalidParameterError("You can only specify one of these parameters: starting_after, ending_before.")
    found = call.work.store.page(
        call.work.account,
        kind,
        filters,
        limit=limit + 1,
        before=_position(call, kind, older, "starting_after"),
        after=_position(call, kind, newer, "ending_before"),
    )
    # One more than asked for tells whether there is more; walking towards newer ones, the surplus is the newest.
    data = found[-limit:] if newer else found[:limit]
    return list_of(data, call.path, has_more=len(found) > limit)


def _position(call: Call, kind: str, cursor: str | None, param: str) -> int | None:
    if cursor is None:
        return None
    body = call.work.store.find(call.work.account, cursor)
    if body is None or body["object"] != kind:
        raise no_such(kind, cursor, param, status=400)
    return call.work.store.position(call.work.account, cursor)


def equal_filters(call: Call, **paths: str) -> list[Filter]:
    """`customer="customer"`: each parameter that is given must equal the object's field."""
    return [field_is(path, call.params.take(name)) for name, path in paths.items() if name in call.params]


def created_filters(call: Call) -> list[Filter]:
    """`created`, as an exact second or a range `{gt, gte, lt, lte}`."""
    created = call.params.take("created")
    if created is None:
        return []
    if isinstance(created, int):
        return [field_is("created", created)]
    return [
        Filter(f"json_extract(body, '$.created') {_COMPARISONS[name]} ?", (value,)) for name, value in created.items()
    ]
