"""The one way a service runs: settings, migrations, pool, broker, relay, schedules, health, and an orderly end."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import asyncpg
import uvicorn
from pydantic import ValidationError

from chassis import deadletters, health, schedules
from chassis.clock import Clock
from chassis.consumers import Consumers
from chassis.database import Cause, Database, Tx, system_cause
from chassis.listeners import COPY, Facts, Follower
from chassis.migrations import migrate, migrate_aside
from chassis.outbox import Relay
from chassis.republish import CurrentRow, Reader, answer_republish, rebuild_copies
from chassis.requests import Answerer, Commands, Questions, steps
from chassis.rpc import RpcClient
from chassis.schedules import Schedule
from chassis.settings import ServiceSettings
from chassis.tasks import cancelled_by_us, end
from chassis.telemetry import configure_logging, configure_tracing
from chassis.topology import answered_requests, followed_nouns, handled_events
from contracts.message import NOUNS, REQUESTS, MerchantId, Republished
from contracts.message import Service as ServiceName

__all__ = [
    "COPY",
    "Commands",
    "CurrentRow",
    "Facts",
    "Questions",
    "Runtime",
    "Schedule",
    "Service",
    "ServiceSettings",
    "Tx",
    "main",
    "steps",
]

log = logging.getLogger("portal.service")

Asgi = Callable[[Any, Any, Any], Awaitable[None]]


@dataclass
class Service:
    """A service's wiring diagram: which function handles what."""

    name: ServiceName
    settings: ServiceSettings
    migrations: Path
    commands: Commands = field(default_factory=dict)
    questions: Questions = field(default_factory=dict)
    follows: dict[type[Any], Follower] = field(default_factory=dict)
    facts: Facts = field(default_factory=dict)
    nouns: dict[type[Any], Reader] = field(default_factory=dict)
    schedules: Sequence[Schedule] = ()
    workers: dict[str, Callable[[Runtime], Awaitable[None]]] = field(default_factory=dict)
    resources: Sequence[AbstractAsyncContextManager[Any]] = ()
    http: Callable[[Runtime], Asgi] | None = None
    cli: dict[str, Callable[[Runtime, list[str]], Awaitable[int]]] = field(default_factory=dict)
    dead_letters: Sequence[deadletters.Source] = ()

    def __post_init__(self) -> None:
        """Refuse a diagram that is not what the contracts say: a message would wait for ever or never come."""
        wired = {request.wire_type for request in (*self.commands, *self.questions)}
        expected = {name for name in answered_requests(self.name) if REQUESTS[name].result_type() is not Republished}
        _same(self.name, "requests", wired, expected)
        _same(self.name, "follows", {state.noun for state in self.follows}, set(followed_nouns(self.name)))
        _same(self.name, "facts", {event.wire_type for event in self.facts}, set(handled_events(self.name)))
        owned = {name for name, state in NOUNS.items() if state.owner() == self.name}
        _same(self.name, "nouns", {state.noun for state in self.nouns}, owned)


def _same(service: str, what: str, wired: set[str], expected: set[str]) -> None:
    if wired != expected:
        raise TypeError(
            f"{service} {what}: not wired {sorted(expected - wired)}, not in the contracts {sorted(wired - expected)}."
        )


class Runtime:
    """A running service: what workers, schedules and HTTP doors use."""

    def __init__(self, service: Service, clock: Clock | None = None) -> None:
        self.wiring = service
        self.service: ServiceName = service.name
        self.settings = service.settings
        self.clock = clock or Clock()
        self.db = Database(self.settings.database_url, service.name, self.clock, size=self.settings.pool_size)
        self.rpc = RpcClient(self.settings.amqp_url, service.name, self.clock)
        questions = dict(service.questions)
        for request in REQUESTS.values():
            if request.owner() == service.name and request.result_type() is Republished:
                questions[request] = answer_republish(service.name, service.nouns, self.rpc.link)
        self.answerer = Answerer(self.db, self.settings.secret_key, service.commands, questions)
        self.consumers = Consumers(self)
        self.draining = False
        self.when_draining: list[Callable[[], object]] = []
        self._stack = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._consuming: list[asyncio.Task[None]] = []

    @property
    def consuming(self) -> bool:
        """Whether messages reach this process."""
        return self.consumers.started

    def system_cause(self, merchant_id: MerchantId | None = None) -> Cause:
        """The cause of work that nobody asked for at this moment."""
        return system_cause(self.service, merchant_id)

    async def wait(self, channel: str, timeout: float) -> None:
        """Sleep until a transaction notifies `channel`, at most `timeout` seconds. The first call returns at once."""
        await self.db.wait(channel, timeout)

    async def start(self) -> None:
        """Open everything. The broker may be away: what does not need it works, and it is joined when it comes back."""
        for resource in self.wiring.resources:
            await self._stack.enter_async_context(resource)
        await self._stack.enter_async_context(self.db)
        await self._stack.enter_async_context(self.rpc.link)
        declared = self.consumers.declared
        relay = Relay(self.db, self.rpc.link, poll_seconds=self.settings.pick_up_seconds, declared=declared)
        self._go("relay", relay.run)
        self._consuming = [self._go("consumers", self.consumers.run)]
        housekeeping = Schedule("chassis.prune", timedelta(hours=1), schedules.prune)
        for schedule in (*self.wiring.schedules, housekeeping):
            self._go(f"schedule {schedule.name}", partial(schedules.keep, self, schedule))
        for name, work in self.wiring.workers.items():
            self._go(f"worker {name}", partial(work, self))
        log.info("Started.")

    def _go(self, name: str, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        task = asyncio.create_task(self._restarting(name, work), name=name)
        self._tasks.append(task)
        return task

    @staticmethod
    async def _restarting(name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Keep a task going: what crashes is logged and begins again after a breath that grows."""
        pause = 0.2
        while True:
            started = asyncio.get_running_loop().time()
            try:
                # In a task of its own: a TaskGroup that fails cancels the task it is in, and ours would then look like
                # one that is to end. What it did would never be done again.
                return await asyncio.ensure_future(work())
            except (Exception, asyncio.CancelledError):
                if cancelled_by_us():
                    raise
                log.exception("A task crashed and is started again.", extra={"task": name})
            if asyncio.get_running_loop().time() - started > 60:
                pause = 0.2
            await asyncio.sleep(pause)
            pause = min(pause * 2, 10.0)

    def begin_drain(self) -> None:
        """Say that the end has begun. Called in a signal's handler, so what it calls must be safe there."""
        self.draining = True
        for tell in self.when_draining:
            tell()

    async def stop(self) -> None:
        """Stop taking, finish what was taken, then close: consumers first, the outbox' relay and the pool last."""
        self.draining = True
        log.info("Stopping: finishing what was taken.")
        # First: it may be opening what would then be left open.
        await end(self._consuming, patience=1)
        await self.consumers.stop(self.settings.drain_seconds)
        # Some finish what they have begun, for as long.
        await end(self._tasks, patience=self.settings.drain_seconds + 1)
        await self._stack.aclose()
        log.info("Stopped.")


def application(runtime: Runtime) -> Asgi:
    """The process's ASGI application: health paths, then the service's own HTTP door if it has one."""
    inner = runtime.wiring.http(runtime) if runtime.wiring.http else None

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(runtime, receive, send)
        elif scope["type"] == "http" and scope["path"] in health.PATHS and (inner is None or health.from_nearby(scope)):
            status, content_type, body = await health.answer(runtime, scope["path"])
            headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": body})
        elif inner is not None:
            await inner(scope, receive, send)
        elif scope["type"] == "http":
            await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})

    return app


async def _lifespan(runtime: Runtime, receive: Any, send: Any) -> None:
    await receive()
    try:
        await runtime.start()
    except Exception as failed:
        log.exception("The service could not start.")
        await send({"type": "lifespan.startup.failed", "message": str(failed)})
        return
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await runtime.stop()
    await send({"type": "lifespan.shutdown.complete"})


def main(build: Callable[[], Service]) -> None:
    """`python -m services.<name> [serve | migrate | dead-letters … | <the service's own commands>]`."""
    try:
        service = build()
    except ValidationError as unset:
        names = ", ".join(
            f"PORTAL_{str(error['loc'][0]).upper()} ({error['msg']})" if error["loc"] else error["msg"]
            for error in unset.errors()
        )
        sys.exit(f"The environment is not complete: {names}")
    except ValueError as wrong:
        sys.exit(str(wrong))
    choices = ["serve", "migrate", "dead-letters", "rebuild-copy", *service.cli]
    parser = argparse.ArgumentParser(prog=f"python -m services.{service.name}", add_help=False)
    parser.add_argument("task", nargs="?", default="serve", choices=choices)
    task, rest = parser.parse_known_args()
    configure_logging(service.name, service.settings.log_level if task.task == "serve" else "WARNING")
    if task.task == "serve":
        _serve(service)
    elif task.task == "migrate":
        for name in migrate(service.settings.database_url, service.migrations):
            print(name)  # noqa: T201 - a command's output
    else:
        sys.exit(asyncio.run(_command(service, task.task, rest)))


def _serve(service: Service) -> None:
    migrate_aside(service.settings.database_url, service.migrations)
    configure_tracing(service.name)
    runtime = Runtime(service)
    port = service.settings.http_port if service.http else service.settings.health_port
    config = uvicorn.Config(
        application(runtime),
        host=service.settings.host,
        port=port or service.settings.health_port,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(service.settings.trusted_proxies),
        forwarded_allow_ips=service.settings.trusted_proxies or None,
        # For a client that does not take its answer.
        timeout_graceful_shutdown=3,
    )
    _Server(config, runtime).run()


class _Server(uvicorn.Server):
    """Tells the runtime of the signal at once: uvicorn waits for open responses first, and a stream has no end."""

    def __init__(self, config: uvicorn.Config, runtime: Runtime) -> None:
        super().__init__(config)
        self._runtime = runtime

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Uvicorn's own handler of SIGINT and SIGTERM, after ours."""
        self._runtime.begin_drain()
        super().handle_exit(sig, frame)


async def _command(service: Service, task: str, arguments: list[str]) -> int:
    """Run a command-line task: the database is open, the broker only when the task reaches for it."""
    runtime = Runtime(service)
    try:
        if task == "dead-letters":
            async with AsyncExitStack() as stack:
                if service.dead_letters:
                    await stack.enter_async_context(runtime.db)
                return await deadletters.run(runtime, arguments)
        if task == "rebuild-copy":
            return await rebuild_copies(runtime, arguments)
        async with runtime.db:
            return await service.cli[task](runtime, arguments)
    except (OSError, asyncpg.PostgresError) as down:
        print(f"The database cannot be used: {down}", file=sys.stderr)  # noqa: T201 - a command's output
        return 1
