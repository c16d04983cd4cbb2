"""How much may be under way at once. What is too much is refused early and cheaply, before it has had any effect."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Self

from fastapi import HTTPException, Request
from prometheus_client import Counter
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contracts.message import NotAccepted, Problem
from services.gateway.settings import Settings

log = logging.getLogger("portal.gateway.admission")

PATIENCE = 2.0
"""Seconds that a request may wait for a place: a burst passes, an overload is told so before the reader gives up."""
BODY_WITHIN = 10.0
"""Seconds for a request's body to come. Who sends it a byte a minute must not hold a place that long."""
_SAY_EVERY = 10.0
_WAITING = 4
_PLACE = "portal.place"

refused = Counter("portal_gateway_refused_total", "Requests refused because too much was under way.", ["of"])

Refuse = Callable[[Request, Problem], Awaitable[Response]]


class Overloaded(NotAccepted):
    """More is asked of this process than it can do; `retry_after` in seconds."""

    title = "There is more to do right now than we can. Nothing has been changed."


class Place:
    """A place in a room, for a `with` block; given back once, at its end or before."""

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back: Callable[[], None] | None = give_back

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Give the place to whoever waits for it."""
        give_back, self._give_back = self._give_back, None
        if give_back is not None:
            give_back()


class Room:
    """`most` places for one kind of work. Four times as many may wait for one, `patience` seconds at most."""

    def __init__(self, of: str, most: int, patience: float = 0) -> None:
        self.of = of
        self.most = most
        self._patience = patience
        self._places = asyncio.Semaphore(most)
        self._waiting = 0
        self._said = -_SAY_EVERY

    async def enter(self) -> Place:
        """Take a place. Raises Overloaded when there is none in time."""
        if self._places.locked():
            await self._wait()
        else:
            await self._places.acquire()
        return Place(self._places.release)

    async def _wait(self) -> None:
        if not self._patience or self._waiting >= _WAITING * self.most:
            raise self._full()
        self._waiting += 1
        try:
            async with asyncio.timeout(self._patience):
                await self._places.acquire()
        except TimeoutError:
            raise self._full() from None
        finally:
            self._waiting -= 1

    def _full(self) -> Overloaded:
        refused.labels(self.of).inc()
        # Not a line each: an overload must not become one of the log as well.
        if time.monotonic() - self._said >= _SAY_EVERY:
            self._said = time.monotonic()
            log.warning(
                "More is asked for than can be done at once: refusing.", extra={"of": self.of, "most": self.most}
            )
        return Overloaded(retry_after=2)


def give_place_back(request: Request) -> None:
    """Whoever only waits for another service now, and is counted there, is in nobody's way here any more."""
    place: Place | None = request.scope.get(_PLACE)
    if place is not None:
        place.leave()


class Admission:
    """ASGI middleware: bounds the requests under way, reading ones, changing ones and event streams apart.

    Apart, so that pages still open when more is to be changed than can be. Refused is by `refuse`, without a look at the session: what is short may be the database. Stylesheets and scripts, which come
    out of memory, are never refused; health is answered before any of this.
    """

    def __init__(self, app: ASGIApp, settings: Settings, *, refuse: Refuse) -> None:
        self.app = app
        self._reading = Room("reading", settings.requests_at_once, PATIENCE)
        self._changing = Room("changing", settings.requests_at_once, PATIENCE)
        self._streams = Room("streams", settings.streams_at_once)
        self._refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on once it has a place, or refuse it."""
        room = self._room(scope)
        if room is None:
            await self.app(scope, receive, send)
            return
        try:
            place = await room.enter()
        except Overloaded as overloaded:
            request = Request({**scope, "app": self.app}, receive)
            request.state.session = None
            response = await self._refuse(request, overloaded)
            await response(scope, receive, send)
            return
        with place:
            await self.app({**scope, _PLACE: place}, _in_time(receive), send)

    def _room(self, scope: Scope) -> Room | None:
        if scope["type"] != "http" or scope["path"].startswith("/static/"):
            return None
        if scope["method"] not in {"GET", "HEAD", "OPTIONS"}:
            return self._changing
        return self._streams if scope["path"].endswith("/changes") else self._reading


def _in_time(receive: Receive) -> Receive:
    """`receive`, as long as the body takes no longer than it may. After the body it waits for the client to hang up."""
    end = asyncio.get_running_loop().time() + BODY_WITHIN
    complete = False

    async def limited() -> Message:
        nonlocal complete
        if complete:
            return await receive()
        try:
            async with asyncio.timeout_at(end):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408) from None
        complete = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    return limited
