"""A response that never comes: the connection is reset under the client's feet."""

import asyncio

from starlette.responses import Response
from starlette.types import Receive, Scope, Send


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
