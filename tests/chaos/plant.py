"""Private everything for chaos: servers, stand-ins, two of each service behind a balancer, wires that can be cut.

Each plant is started and tended from one thread, by `Plant.tend`, which every wait calls: what died is started again.
"""

import json
import os
import secrets
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg

from contracts.message import SERVICES, Service
from local import postgres, rabbitmq
from local.children import free_port, with_parent
from local.folder import ROOT
from local.rabbitmq import RabbitMQ, user_of
from tests import parts
from tests.chaos import points
from tests.chaos.wires import Balancer, Loop, Proxy

ADMIN = {"email": "admin@example.com", "password": "a long enough password"}
TIME_ZONE = f"Etc/GMT{datetime.now(UTC).hour - 14:+d}"
"""A zone in which it is past two in the afternoon: renewals are charged from nine o'clock. (Its sign is POSIX's.)"""
WEBHOOK_PATH = "/webhooks/stripe"
HTTP = httpx.Client(timeout=20, verify=False, limits=httpx.Limits(max_keepalive_connections=0))
SLOW = 60.0
"""Seconds that anything may take; nothing waits so long on a quiet machine, and `stretched` allows for a busy one."""
_AT_ONCE = 0.3
"""Seconds that a process is given before it is started again."""
_WITNESS = """
CREATE TABLE chaos_announced (id text PRIMARY KEY, type text NOT NULL, subject text NOT NULL, sequence bigint NOT NULL,
    state jsonb NOT NULL);
CREATE TABLE chaos_effect (handler text NOT NULL, message text NOT NULL);
"""


def stretched(seconds: float) -> float:
    """A deadline for a quiet machine as one for this machine now: with thrice the work it can do, it takes thrice as long.

    Our own load is about what the machine can do, so only what goes beyond twice its cores stretches.
    """
    return seconds * max(1.0, os.getloadavg()[0] / (2 * (os.cpu_count() or 1)))


class Nursery:
    """The forking process (see `nursery.py`)."""

    def __init__(self, folder: Path) -> None:
        command = with_parent([sys.executable, "-m", "tests.chaos.nursery"], signal.SIGKILL)
        clean = {n: v for n, v in os.environ.items() if not n.startswith(("PORTAL_", "STRIPE_", "SMTP_", "MAILBOX_"))}
        self.environment = clean | {"PYTHONUNBUFFERED": "1"}
        self._turn = threading.Lock()
        with (folder / "nursery.log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )

    def bear(self, module: str, environment: dict[str, str], log: Path, *arguments: str, given: str = "") -> int:
        """Start a module as a process; returns a pidfd of it."""
        wanted: dict[str, Any] = {"module": module, "arguments": arguments, "log": str(log), "input": given}
        wanted["environment"] = self.environment | environment
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._turn:
            self._process.stdin.write(json.dumps(wanted) + "\n")
            self._process.stdin.flush()
            said = self._process.stdout.readline().strip()
            if said == "ready":
                said = self._process.stdout.readline().strip()
        return int(said)

    def close(self) -> None:
        """End it; whatever it bore dies with it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


@dataclass
class Process:
    """One process of the plant: how it is started, and whether it should run."""

    name: str
    module: str
    environment: dict[str, str]
    arguments: tuple[str, ...] = ()
    port: int = 0
    wanted: bool = True
    pid: int = 0
    pidfd: int = -1
    starts: int = 0
    started_at: float = 0.0

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        return self.pidfd >= 0 and not select.select([self.pidfd], [], [], 0)[0]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.alive:
            signal.pidfd_send_signal(self.pidfd, number)


class Ground:
    """The servers that several plants can stand on, one after another."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        # The nursery imports for seconds: it does so while the servers start.
        self.nursery = Nursery(folder)
        stack.callback(self.nursery.close)
        self.postgres = stack.enter_context(parts.private_postgres())
        self.rabbitmq: RabbitMQ = stack.enter_context(parts.private_rabbitmq())
        self.loop = Loop()
        stack.callback(self.loop.close)


@contextmanager
def ground() -> Iterator[Ground]:
    """Private servers, ended afterwards."""
    with parts.folder() as folder, ExitStack() as stack:
        yield Ground(folder, stack)


@dataclass
class Plant:
    """The running system: `replicas` of each service, on databases and a vhost of its own."""

    ground: Ground
    replicas: int = 2
    sabotage: str = ""
    only: tuple[Service, ...] = SERVICES
    mark: str = field(default_factory=lambda: secrets.token_hex(4))

    def __post_init__(self) -> None:
        self.folder = self.ground.folder / self.mark
        self.folder.mkdir()
        self.marks = self.folder / "marks"
        self.marks.mkdir()
        self.vhost = f"chaos-{self.mark}"
        self.processes: dict[str, Process] = {}
        self.proxies: dict[str, Proxy] = {}
        self.ports = {name: free_port() for name in ("stripe", "smtp", "mailbox")}
        self.doors: dict[Service, Balancer] = {name: Balancer(self.ground.loop) for name in ("gateway", "billing")}
        self.stripe_key, self.webhook_secret = f"sk_test_{secrets.token_hex(9)}", f"whsec_{secrets.token_hex(12)}"
        self.secret_key = secrets.token_hex(16)
        self._tending = threading.Lock()

    # --- where things are -----------------------------------------------------------------------------------------

    @property
    def gateway(self) -> str:
        """The address that clients use: the balancer's."""
        return f"http://127.0.0.1:{self.doors['gateway'].port}"

    @property
    def stripe(self) -> str:
        """The sandbox."""
        return f"http://127.0.0.1:{self.ports['stripe']}"

    @property
    def mailbox(self) -> str:
        """The mailbox' web side."""
        return f"http://127.0.0.1:{self.ports['mailbox']}"

    @property
    def webhooks(self) -> str:
        """Billing's HTTP door, behind a balancer of its own."""
        return f"http://127.0.0.1:{self.doors['billing'].port}{WEBHOOK_PATH}"

    def database(self, service: str) -> str:
        """The real address of a service's database."""
        return self.ground.postgres.database_url(f"{service}_{self.mark}")

    def broker(self, user: str = rabbitmq.OPERATOR) -> str:
        """The real address of the broker."""
        return self.ground.rabbitmq.url(user, self.vhost)

    def replicas_of(self, service: str) -> list[Process]:
        """Both processes of a service."""
        return [each for name, each in self.processes.items() if name.split("-")[0] == service]

    # --- start and stop -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Databases, vhost, stand-ins, merchant, services; returns when all are ready."""
        for service in SERVICES:
            url = postgres.create_database(self.ground.postgres.url, f"{service}_{self.mark}")
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(_WITNESS)
        users = [rabbitmq.OPERATOR, *map(user_of, SERVICES)]
        self.ground.rabbitmq.management.add_vhost(self.vhost, users)
        self._stand_ins()
        for service in self.only:
            for number in range(1, self.replicas + 1):
                self._add_service(service, number)
        self._merchant()
        for service, door in self.doors.items():
            door.targets = [each.port for each in self.replicas_of(service)]
        self.wait_ready()

    def _stand_ins(self) -> None:
        sandbox = {
            "STRIPE_SANDBOX_PORT": str(self.ports["stripe"]),
            "STRIPE_SANDBOX_DATA": str(self.folder / "stripe"),
            "STRIPE_SANDBOX_PUBLIC_URL": self.stripe,
            "STRIPE_WEBHOOK_URL": self.webhooks,
            "STRIPE_WEBHOOK_SECRET": self.webhook_secret,
            "STRIPE_SECRET_KEY": self.stripe_key,
        }
        mailbox = {
            "MAILBOX_SMTP_PORT": str(self.ports["smtp"]),
            "MAILBOX_HTTP_PORT": str(self.ports["mailbox"]),
            "MAILBOX_DIR": str(self.folder / "mails"),
        }
        self._add(Process("stripe", "local.stripe", sandbox, port=self.ports["stripe"]))
        self._add(Process("mailbox", "local.mailbox", mailbox, port=self.ports["mailbox"]))

    def _add_service(self, service: str, number: int) -> None:
        environment = self._environment(service)
        port = free_port()
        environment["PORTAL_HTTP_PORT" if service in ("gateway", "billing") else "PORTAL_HEALTH_PORT"] = str(port)
        if number == 1:
            # The first of each talks through wires that can be cut, the second does not.
            wires = {"DATABASE": self.ground.postgres.port, "AMQP": self.ground.rabbitmq.port}
            for what, target in wires.items():
                proxy = Proxy(self.ground.loop, target)
                self.proxies[f"{service} {what.lower()}"] = proxy
                name = f"PORTAL_{service.upper()}_{what}_URL"
                environment[name] = environment[name].replace(f":{target}/", f":{proxy.port}/")
        name = f"{service}-{number}"
        self._add(Process(name, "tests.chaos.run_service", environment, (service,), port))

    def _environment(self, service: str) -> dict[str, str]:
        own = f"PORTAL_{service.upper()}"
        variables = {
            f"{own}_DATABASE_URL": self.database(service),
            f"{own}_AMQP_URL": self.broker(user_of(service)) + "?heartbeat=4",
            "PORTAL_SECRET_KEY": self.secret_key,
            "PORTAL_PUBLIC_URL": self.gateway,
            "PORTAL_DRAIN_SECONDS": f"{stretched(5):.0f}",
            "SMTP_URL": f"smtp://127.0.0.1:{self.ports['smtp']}",
            "STRIPE_API_BASE": self.stripe,
            "PORTAL_TEST_MARKS": str(self.marks),
            "PORTAL_TEST_HASTE": "1",
            "PORTAL_TEST_SABOTAGE": self.sabotage,
        }
        if service == "billing":
            variables |= {"STRIPE_SECRET_KEY": self.stripe_key, "STRIPE_WEBHOOK_SECRET": self.webhook_secret}
        return variables

    def _merchant(self) -> None:
        password = self.folder / "password"
        password.write_text(ADMIN["password"] + "\n")
        log = self.folder / "merchant.log"
        words = ["create-merchant", "--name", "Café Nord", "--person", "Anna Nord", "--email", ADMIN["email"]]
        words += ["--time-zone", TIME_ZONE, "--password-stdin"]
        environment = self._environment("identity")
        # The tables are made when the service first serves; this does it before.
        for arguments, given in ((["migrate"], ""), (words, str(password))):
            pid = self.ground.nursery.bear(
                "tests.chaos.run_service", environment, log, "identity", *arguments, given=given
            )
            self._await_end(pid)
        assert "merchant_id" in log.read_text(), log.read_text()

    @staticmethod
    def _await_end(pid: int) -> None:
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        ended = select.select([pidfd], [], [], stretched(SLOW))[0]
        os.close(pidfd)
        assert ended, f"process {pid} did not end"

    def _add(self, process: Process) -> None:
        self.processes[process.name] = process
        self._launch(process)

    def _launch(self, process: Process) -> None:
        if process.pidfd >= 0:
            os.close(process.pidfd)
            process.pidfd = -1
        log = self.folder / f"{process.name}.log"
        process.pid = self.ground.nursery.bear(process.module, process.environment, log, *process.arguments)
        try:
            process.pidfd = os.pidfd_open(process.pid)
        except ProcessLookupError:
            process.pidfd = -1
        process.starts += 1
        process.started_at = time.monotonic()

    def tend(self) -> None:
        """Start again what died although it should run. Faults that happen together wait in threads: one of them tends."""
        if not self._tending.acquire(blocking=False):
            return
        try:
            for process in self.processes.values():
                if process.wanted and not process.alive and time.monotonic() - process.started_at > _AT_ONCE:
                    self._launch(process)
        finally:
            self._tending.release()

    def stop(self) -> None:
        """End it all. Nothing here is kept, so nobody is asked politely."""
        for process in self.processes.values():
            process.wanted = False
            process.signal(signal.SIGKILL)
        for process in self.processes.values():
            if process.pidfd >= 0:
                select.select([process.pidfd], [], [], 10)
                os.close(process.pidfd)
                process.pidfd = -1
        for proxy in self.proxies.values():
            proxy.close()
        for balancer in self.doors.values():
            balancer.close()
        self.ground.rabbitmq.management.delete_vhost(self.vhost)

    # --- waiting --------------------------------------------------------------------------------------------------

    def until(self, what: str, holds: Callable[[], object], seconds: float = SLOW) -> float:
        """Tend until it holds; returns the seconds it took. Ends on the condition, never on the clock alone."""
        began = time.monotonic()
        while not holds():
            self.tend()
            if time.monotonic() - began > stretched(seconds):
                raise AssertionError(f"waited {time.monotonic() - began:.0f} s for {what}")
            time.sleep(0.05)
        return time.monotonic() - began

    def let_run(self, seconds: float) -> None:
        """Tend for a while: a fault needs time to meet the load. Proves nothing by itself."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.tend()
            time.sleep(0.05)

    def wait_ready(self) -> float:
        """Until every process that should run answers that it is ready."""
        waiting = {name for name, each in self.processes.items() if each.wanted}

        def all_ready() -> bool:
            for name in list(waiting):
                if self.ready(self.processes[name]):
                    waiting.discard(name)
            return not waiting

        try:
            return self.until("readiness", all_ready)
        except AssertionError as late:
            late.add_note(f"not ready: {waiting}")
            raise

    @staticmethod
    def ready(process: Process) -> bool:
        """Whether a process does its work now."""
        path = "/healthz" if process.module.startswith("local.") else "/readyz"
        try:
            return HTTP.get(f"http://127.0.0.1:{process.port}{path}", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def tails(self, lines: int = 6) -> str:
        """The end of every log that speaks of an error."""
        found = []
        for log in sorted(self.folder.glob("*.log")):
            bad = [x for x in log.read_text(errors="replace").splitlines() if '"ERROR"' in x or "Error" in x]
            found += [f"{log.stem}: {line[:600]}" for line in bad[-lines:]]
        return "\n".join(found)

    # --- killing --------------------------------------------------------------------------------------------------

    def kill(self, name: str) -> None:
        """kill -9; `tend` starts it again."""
        self.processes[name].signal(signal.SIGKILL)

    def arm(self, *patterns: str) -> None:
        """Let processes die at these points, each point once."""
        whole = self.marks / f".{points.ARMED}"
        whole.write_text("\n".join(patterns))
        whole.rename(self.marks / points.ARMED)

    def struck(self) -> list[str]:
        """Points at which a process has died."""
        return points.struck(self.marks)
