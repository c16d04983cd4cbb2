"""A floor's or peer's HTTP program: uvicorn with uvloop and httptools, as ours has them, and a pool."""

import os
from typing import Any

import asyncpg
import uvicorn

pool: "asyncpg.Pool[Any]"


async def keep(_: Any) -> None:
    """No reset on release: what the chassis leaves out, a floor may leave out too."""


async def open_pool(url: str, size: int = 10) -> "asyncpg.Pool[Any]":
    return await asyncpg.create_pool(url, min_size=size, max_size=size, reset=keep)


async def lifespan(receive: Any, send: Any) -> None:
    """Open the pool; end with the process."""
    global pool  # noqa: PLW0603 - the program's one pool
    await receive()
    pool = await open_pool(os.environ["BENCH_DATABASE"])
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await pool.close()
    await send({"type": "lifespan.shutdown.complete"})


def with_pool(app: Any) -> Any:
    """The application, with the pool opened at its start."""

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
        elif scope["path"] == "/readyz":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})
        else:
            await app(scope, receive, send)

    return wrapped


def run(app: Any) -> None:
    """Serve on $BENCH_PORT."""
    uvicorn.run(with_pool(app), port=int(os.environ["BENCH_PORT"]), log_level="error", access_log=False)
