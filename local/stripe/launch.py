"""Starts the sandbox as a child process, for tests and for the laptop's supervisor."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

_ROOT = Path(__file__).parents[2]
_HEALTHY_WITHIN = 60.0  # seconds; two on an idle machine
_STOPPED_WITHIN = 5.0


async def start(
    data: Path, *, port: int, webhook_url: str, webhook_secret: str, secret_key: str
) -> asyncio.subprocess.Process:
    """Starts the sandbox on `http://127.0.0.1:<port>` and waits until it answers; its log is `data/sandbox.log`.

    Raises:
        RuntimeError: it ended, or did not answer within a minute; the message carries its log.
    """
    log = await asyncio.to_thread(_log_in, data)
    environment = {
        **os.environ,
        "STRIPE_SANDBOX_DATA": str(data),
        "STRIPE_SANDBOX_PORT": str(port),
        "STRIPE_SANDBOX_PUBLIC_URL": f"http://127.0.0.1:{port}",
        "STRIPE_WEBHOOK_URL": webhook_url,
        "STRIPE_WEBHOOK_SECRET": webhook_secret,
        "STRIPE_SECRET_KEY": secret_key,
    }
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "local.stripe", cwd=_ROOT, env=environment, stdout=output, stderr=output
        )
    try:
        await _wait_healthy(process, port, log)
    except BaseException:
        await stop(process)
        raise
    return process


def _log_in(data: Path) -> Path:
    data.mkdir(parents=True, exist_ok=True)
    return data / "sandbox.log"


async def _wait_healthy(process: asyncio.subprocess.Process, port: int, log: Path) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=1.0, trust_env=False) as client:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _HEALTHY_WITHIN
        while process.returncode is None and loop.time() < deadline:
            try:
                if (await client.get("/healthz")).is_success:
                    return
            except httpx.HTTPError:
                await asyncio.sleep(0.05)
    said = await asyncio.to_thread(log.read_text)
    raise RuntimeError(f"the Stripe sandbox did not start:\n{said[-2000:]}")


async def stop(process: asyncio.subprocess.Process, sign: signal.Signals = signal.SIGTERM) -> None:
    """Stops the child (by its pid), gently at first; does nothing when it has ended."""
    if process.returncode is not None:
        return
    process.send_signal(sign)
    try:
        await asyncio.wait_for(process.wait(), _STOPPED_WITHIN)
    except TimeoutError:
        process.kill()
        await process.wait()


@asynccontextmanager
async def running(
    data: Path, *, port: int, webhook_url: str, webhook_secret: str, secret_key: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`start` and `stop` around a block."""
    process = await start(
        data, port=port, webhook_url=webhook_url, webhook_secret=webhook_secret, secret_key=secret_key
    )
    try:
        yield process
    finally:
        await stop(process)
