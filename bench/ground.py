"""Private PostgreSQL and RabbitMQ for measuring, and the processes that are measured."""

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import aiormq
import psycopg
import uvloop

from local import postgres
from local.children import free_port, with_parent
from local.folder import ROOT
from tests import parts

Json = dict[str, Any]


@dataclass
class Child:
    """A measured process. Roles that read lines answer `ask`; services are ready when `/readyz` says so."""

    process: subprocess.Popen[str]
    port: int = 0

    @property
    def pid(self) -> int:
        return self.process.pid

    def ask(self, question: Json | None = None) -> Json:
        """One line of JSON in, one out."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        if question is not None:
            self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()
        while line := self.process.stdout.readline():
            if line.startswith('{"bench":'):
                answer: Json = json.loads(line)["bench"]
                return answer
        raise RuntimeError(f"{self.process.args!r} ended.")

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def until_ready(self, seconds: float = 60) -> None:
        """Until a service's health door says that it works."""
        end = time.monotonic() + seconds
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5).close()
            except (urllib.error.URLError, OSError):
                if self.process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"{self.process.args!r} did not become ready.") from None
                time.sleep(0.1)
            else:
                return

    def end(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@dataclass
class Ground:
    """The servers, with a vhost of this figure alone."""

    postgres: postgres.Postgres
    broker: parts.Broker
    vhost: parts.Vhost
    pids: list[int]
    folder: Path
    stack: ExitStack = field(repr=False)

    def database(self, *sql: str) -> str:
        """The URL of a new database."""
        url = postgres.create_database(self.postgres.url, f"bench_{secrets.token_hex(4)}")
        self.sql(url, *sql)
        return url

    @staticmethod
    def sql(url: str, *statements: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            for each in statements:
                connection.execute(each)

    def role(self, module: str, role: str, *arguments: str, **environment: str) -> Child:
        """A program of ours that reads lines; it has said that it is ready."""
        child = self._start([sys.executable, "-m", module, role, *arguments], environment)
        child.ask()
        return child

    def service(
        self, module: str, name: str, database: str, *arguments: str, asked: bool = False, **environment: str
    ) -> Child:
        """A service as a real process, ready. `module` is `services.<name>`, or one with a wiring for measuring.

        `asked`: it answers lines, so its output is read.
        """
        port = free_port()
        given = {
            "PORTAL_DATABASE_URL": database,
            "PORTAL_AMQP_URL": self.vhost.url(name),
            "PORTAL_SECRET_KEY": "a secret key for measuring",
            f"PORTAL_{name.upper()}_HTTP_PORT": str(port),
            "PORTAL_HEALTH_PORT": str(port),
            "PORTAL_PUBLIC_URL": f"http://127.0.0.1:{port}",
            "PORTAL_LOG_LEVEL": "ERROR",
        }
        # To a file and not a pipe that nobody reads: full of complaints it would stop the service that is measured.
        with (self.folder / f"{name}-{port}.log").open("ab") as log:
            output = subprocess.PIPE if asked else log
            child = self._start([sys.executable, "-m", module, *arguments], given | environment, output)
        child.port = port
        child.until_ready()
        return child

    def web(self, module: str, role: str, database: str) -> Child:
        """A floor's or peer's HTTP program, ready."""
        port = free_port()
        child = self._start([sys.executable, "-m", module, role], {"BENCH_DATABASE": database, "BENCH_PORT": str(port)})
        child.port = port
        child.until_ready()
        return child

    def _start(
        self, command: Sequence[str], environment: dict[str, str], output: IO[bytes] | int = subprocess.PIPE
    ) -> Child:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PORTAL_")}
        process = subprocess.Popen(
            with_parent(list(command), signal.SIGKILL),
            cwd=ROOT,
            env=clean | environment,
            stdin=subprocess.PIPE,
            stdout=output,
            text=True,
        )
        child = Child(process)
        self.stack.callback(child.end)
        return child


@contextmanager
def ground() -> Iterator[Ground]:
    """Servers of this run alone. PostgreSQL waits for its disk, as in production."""
    with parts.folder() as path, ExitStack() as servers:
        database = postgres.start(path / "postgres", free_port(), durable=True)
        servers.callback(database.kill9)
        node = servers.enter_context(parts.private_rabbitmq())
        broker = parts.Broker("127.0.0.1", node.port, node.passwords, node.management)
        vhost = servers.enter_context(broker.fresh_vhost())
        with ExitStack() as stack:
            yield Ground(database, broker, vhost, [database.process.pid, node.process.pid], path, stack)


async def fill(url: str, queue: str, bodies: Sequence[bytes]) -> None:
    """Publish to a queue, confirmed, 500 under way at a time."""
    connection = await aiormq.connect(url)
    channel = await connection.channel()
    properties = aiormq.spec.Basic.Properties(
        content_type="application/json", delivery_mode=2, user_id=connection.url.user
    )
    for begin in range(0, len(bodies), 500):
        sent = [
            channel.basic_publish(body, routing_key=queue, properties=properties)
            for body in bodies[begin : begin + 500]
        ]
        await asyncio.gather(*sent)
    await connection.close()


def until(url: str, sql: str, seconds: float = 60) -> None:
    """Until a query's first value is true."""
    end = time.monotonic() + seconds
    with psycopg.connect(url, autocommit=True) as connection:
        while True:
            row = connection.execute(sql).fetchone()
            if row and row[0]:
                return
            if time.monotonic() > end:
                raise RuntimeError(f"Not so after {seconds} s: {sql}")
            time.sleep(0.02)


def say(answer: Json) -> None:
    print(json.dumps({"bench": answer}), flush=True)


async def read_line() -> Json | None:
    """The next question on stdin; None at its end."""
    line = await asyncio.to_thread(sys.stdin.readline)
    return json.loads(line) if line else None


async def answer_lines(answer: Callable[[Json], Awaitable[Json]]) -> None:
    """Say ready, then answer until stdin ends."""
    say({})
    while (question := await read_line()) is not None:
        say(await answer(question))


def play(roles: dict[str, Callable[[], Awaitable[None]]]) -> None:
    """The main function of a module with roles: `python -m bench.<figure> <role>`."""
    uvloop.run(roles[sys.argv[1]]())  # type: ignore[arg-type]  # they are coroutine functions
