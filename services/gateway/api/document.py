"""The OpenAPI document: problem documents for errors, two ways to say who one is, an example for each operation."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.openapi.utils import get_openapi

from services.gateway.api.errors import BodyLimit, check_content_type
from services.gateway.api.shapes import EmptyIsAbsent
from services.gateway.security import check_csrf

MOST_BYTES = 2_000_000
"""What any request's body may have; a logo, the largest thing sent to us, has half."""

_PROBLEM: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "Why something was refused (RFC 9457). Further members depend on `type`.",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string", "description": "The refusal's name as a path.", "examples": ["/problems/not-found"]},
        "title": {"type": "string", "description": "The same for every refusal of this type."},
        "status": {"type": "integer", "examples": [404]},
        "detail": {"type": "string", "description": "A sentence for a person."},
        "errors": {
            "type": "array",
            "description": "What is wrong with which field, `lines.0.quantity`.",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {
                    "field": {"type": "string"},
                    "message": {"type": "string"},
                    "code": {"type": "string", "description": "Names the sentence for whoever words it themselves."},
                    "values": {"type": "object", "description": "What the sentence names: amounts, days, texts."},
                },
            },
        },
    },
    "additionalProperties": True,
}

_ABOUT = """\
Ids are strings (UUIDv7). Amounts are integers of the currency's minor units, currencies ISO 4217 codes in capitals,
quantities and rates decimal strings, times ISO 8601 in UTC.

Lists answer `{"items": [...], "next_cursor": ...}`: pass `next_cursor` as `cursor` to go on; null is the end. What is added
meanwhile neither repeats nor hides an item.

Sign in with `POST /api/v1/session` and send its token as `Authorization: Bearer ...`. In a browser on the portal's own
origin the session cookie works too; unsafe requests then need the header `X-CSRF-Token` (from `GET /api/v1/session`).

Every POST takes an `Idempotency-Key`: the same key with the same body gets the first answer again for 7 days, with another
body a 422. Keys are yours alone. A 503 means that nothing was done; after a 504 repeat with the same key.
"""

_REFUSALS = {
    400: "The body is not JSON.",
    401: "Not signed in, or the session has ended.",
    403: "Yours, but not permitted: `detail` says why. Also a missing CSRF token.",
    404: "No such thing, or not yours.",
    409: "Not in the state that this needs.",
    410: "The link is dead; `why` says how.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    422: "Some of the input is not valid: `errors` names each field.",
    429: "Too many attempts; wait for `Retry-After` seconds.",
    500: "A surprise on our side: `incident` is what its operator finds it by.",
    503: "Not taken, nothing has been done; try again after `Retry-After` seconds.",
    504: "Taken, but not answered in time; repeat with the same `Idempotency-Key`.",
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documented refusals of an operation, beside those that each one has."""
    return {
        status: {
            "description": _REFUSALS[status],
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


def file(kind: str, description: str = "The file.") -> dict[int | str, dict[str, Any]]:
    """The documented answer of an operation that gives a file of this media type."""
    schema = {"type": "string", "format": "binary"}
    return {200: {"description": description, "content": {kind: {"schema": schema}}}}


COMMAND = (400, 401, 403, 413, 415, 422, 429, 503, 504)
"""What any operation that changes something may answer."""


def describe() -> FastAPI:
    """An empty application that will describe what is added to it."""
    http = FastAPI(
        title="Customer portal",
        version="1",
        description=_ABOUT,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        # Of every route there will ever be: one without its CSRF token cannot be added by mistake.
        dependencies=[Depends(check_csrf), Depends(check_content_type)],
        redirect_slashes=False,
    )
    http.add_middleware(BodyLimit, most=MOST_BYTES)
    http.add_middleware(EmptyIsAbsent)

    def document() -> dict[str, Any]:
        if http.openapi_schema is None:
            made = get_openapi(title=http.title, version=http.version, description=_ABOUT, routes=http.routes)
            http.openapi_schema = _finished(made)
        return http.openapi_schema

    http.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way to extend the document
    return http


def _finished(document: dict[str, Any]) -> dict[str, Any]:
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas["Problem"] = _PROBLEM
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer"},
        "cookie": {"type": "apiKey", "in": "cookie", "name": "__Host-portal"},
    }
    for path in document["paths"].values():
        for operation in path.values():
            operation.setdefault("security", [{"token": []}, {"cookie": []}])
            responses = operation["responses"]
            always = (401, 403, 422, 500, 503) if operation["security"] else (422, 500, 503)
            responses |= {str(status): response for status, response in refusals(*always).items()}
            operation["responses"] = {key: responses[key] for key in sorted(responses)}
            for key, response in responses.items():
                response.setdefault("description", HTTPStatus(int(key)).phrase)
    return document
