"""What is below a response: its date, and one that never comes since the connection is reset under the client's feet."""

import asyncio
from collections.abc import Callable
from email.utils import formatdate

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Cut(Response):
    """Resets the TCP connection instead of answering."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Aborts the transport under uvicorn's request cycle; ASGI itself has no message for it."""
        cycle = getattr(receive, "__self__", None)
        if cycle is None:
            raise RuntimeError("the server's receive() is not bound to a request cycle: the reset fault needs uvicorn")
        cycle.transport.abort()
        # Else uvicorn complains about, and answers, an application that said nothing.
        async with asyncio.timeout(5):
            while (await receive())["type"] != "http.disconnect":
                pass


class DateHeader:
    """Dates every response by a clock of ours; `receive` stays the server's own, which `Cut` needs."""

    def __init__(self, app: ASGIApp, now: Callable[[], int]) -> None:
        self._app = app
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Adds the header when a response begins."""

        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Date"] = formatdate(self._now(), usegmt=True)
            await send(message)

        await self._app(scope, receive, dated)
