"""Everything that goes wrong becomes an RFC 9457 problem document (in the API) or a page (elsewhere)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

import asyncpg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.database import transient
from chassis.ids import new_id
from contracts.message import FieldError, Incident, InvalidInput, NotAccepted, NotFound, Problem

log = logging.getLogger("portal.gateway.api")

ProblemPage = Callable[[Request, Problem], Awaitable[Response]]
Refuse = Callable[[Request, Problem], Awaitable[Response]]

API = "/api/"
ALTERNATIVE = "~"
"""How the name of one of a body's alternative shapes begins: pydantic adds it to the place of an error; it is no field."""
_UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})


UNREADABLE = "Input contains characters that cannot be shown"
PATTERNS = {
    r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029\u202d\u202e]*$": UNREADABLE,
    r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202d\u202e]*$": UNREADABLE,
    r"^[^\x00-\x1f\x7f]*$": UNREADABLE,
    r"^[A-Z]{3}$": "Input should be a currency code such as 'EUR'",
    r"^[A-Z]{2}$": "Input should be a country code such as 'DE'",
    r"^([A-Z]{2})?$": "Input should be a country code such as 'DE', or empty",
    r"^[^@\s]+@[^@\s]+\.[^@\s]+$": "Input should be an e-mail address",
    r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$": "Input should be a language tag such as 'de' or 'en-GB'",
    r"^[A-Za-z0-9_+\-/]+$": "Input should be the name of a time zone such as 'Europe/Berlin'",
    r"^#[0-9a-f]{6}$": "Input should be a colour such as '#0a7f5c'",
    r"^/[A-Za-z0-9_\-/.?=&]*$": "Input should be a path that begins with '/', of letters, digits and _ - / . ? = &",
    r"^[\x21-\x7e]+$": "Input should be visible ASCII characters without spaces",
}
"""What each pattern of the API's fields asks for, in the tone of pydantic's own messages: those recite the pattern."""


class MalformedBody(InvalidInput):
    """The body is not JSON."""

    status = 400
    title = "The body could not be read as JSON."


class UnsupportedMediaType(Problem):
    """The body is of a kind that this operation does not take."""

    status = 415
    title = "The body must be JSON (Content-Type: application/json)."


class MethodNotAllowed(Problem):
    """There is such a path, but not for this method; the header Allow lists those there are."""

    status = 405
    title = "This cannot be done here."


class TooLarge(Problem):
    """The body is longer than anything that we take."""

    status = 413
    title = "This is too large."


_BY_STATUS: dict[int, type[Problem]] = {404: NotFound, 405: MethodNotAllowed, 413: TooLarge, 400: MalformedBody}


class Unexpected(Problem):
    """An HTTP error without a name of its own."""

    status: ClassVar[int] = 400


class BodyLimit:
    """ASGI middleware: reading more of a body than `most` bytes fails, so that the refusal looks like every other.

    (FastAPI's own limit answers in plain text before anybody is asked how a refusal looks.)
    """

    def __init__(self, app: ASGIApp, *, most: int) -> None:
        self.app = app
        self.most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a body that ends the request once it is too long."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        left = -1 if declared.isdigit() and int(declared) > self.most else self.most

        async def limited() -> Message:
            nonlocal left
            message = await receive() if left >= 0 else {"type": "http.request"}
            left -= len(message.get("body", b""))
            if left < 0 and message["type"] == "http.request":
                raise HTTPException(413)
            return message

        await self.app(scope, limited, send)


async def check_content_type(request: Request) -> None:
    """Refuse a body that says it is something else than JSON; operations that take files check for themselves."""
    if request.method not in _UNSAFE or not request.url.path.startswith(API) or request.url.path.endswith("/logo"):
        return
    has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if has_body and kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise UnsupportedMediaType


def install_errors(http: FastAPI, problem_page: ProblemPage) -> Refuse:
    """Answer every refusal and surprise of this application. Returns how, for what is refused before it gets here."""

    async def respond(request: Request, problem: Problem, headers: dict[str, str] | None = None) -> Response:
        if not request.url.path.startswith(API):
            response = await problem_page(request, problem)
            response.headers.update(_headers(problem, None))
            return response
        return JSONResponse(
            problem.document(),
            status_code=problem.status,
            media_type="application/problem+json",
            headers=_headers(problem, headers),
        )

    async def refused(request: Request, problem: Exception) -> Response:
        assert isinstance(problem, Problem)
        return await respond(request, problem)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return await respond(request, _invalid(error))

    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        problem = _BY_STATUS.get(error.status_code, Unexpected)()
        return await respond(request, problem, dict(error.headers or {}))

    async def database(request: Request, error: Exception) -> Response:
        if transient(error) or isinstance(error, OSError):
            log.warning("The database does not answer.", extra={"error": repr(error)})
            return await respond(request, NotAccepted("The portal cannot read its data right now."))
        return await surprise(request, error)

    async def surprise(request: Request, error: Exception) -> Response:
        incident = str(new_id())
        log.error("A request failed.", exc_info=error, extra={"incident": incident, "path": _route(request)})
        return await respond(request, Incident(f"Something went wrong. It is noted as {incident}.", incident=incident))

    http.add_exception_handler(Problem, refused)
    http.add_exception_handler(RequestValidationError, invalid)
    http.add_exception_handler(HTTPException, http_error)
    for kind in (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        http.add_exception_handler(kind, database)
    http.add_exception_handler(Exception, surprise)
    return respond


def _headers(problem: Problem, more: dict[str, str] | None) -> dict[str, str]:
    headers = dict(more or {})
    if problem.status in {429, 503}:
        headers["Retry-After"] = str(problem.members.get("retry_after", 2))
    if problem.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return headers


def _route(request: Request) -> str:
    """The route's pattern: a path may hold a secret."""
    return str(getattr(request.scope.get("route"), "path", "unknown"))


def _invalid(error: RequestValidationError) -> Problem:
    """What FastAPI found wrong. What was sent is never repeated: it may be a password."""
    found: list[dict[str, Any]] = list(error.errors())
    if any(each["type"] == "json_invalid" for each in found):
        return MalformedBody()
    if any(each["loc"][0] == "path" for each in found):
        return NotFound()  # an id that cannot be one
    errors = tuple(FieldError(field=_field(each["loc"]), message=_message(each)) for each in found)
    return InvalidInput(errors[0].message if len(errors) == 1 else "", errors=errors)


def _message(error: dict[str, Any]) -> str:
    if error["type"] == "string_pattern_mismatch":
        return PATTERNS.get(error["ctx"]["pattern"], "Input is not of the form that is asked for here")
    return str(error["msg"])


def _field(place: tuple[str | int, ...]) -> str:
    names = [str(part) for part in place[1:] if not str(part).startswith(ALTERNATIVE)]
    return ".".join(names) or str(place[0])
