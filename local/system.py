"""What `make up` runs, as data: every child with its environment, and the state that is told to the outside."""

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

from contracts.message import SERVICES
from local import postgres, rabbitmq
from local.children import LOOPBACK, with_parent
from local.folder import MARK, ROOT, Folder
from local.ports import Ports
from local.supervisor import Child, answers
from local.wanted import Wanted

WEBHOOK_PATH = "/webhooks/stripe"
ADMIN = "admin@example.com"
CUSTOMER = "customer@example.com"
# Services that listen for people or for Stripe serve their health on the same port; the others have one for health alone.
_DOORS = {"gateway": "gateway", "billing": "webhooks"}
# Who may know what: a service gets its own URLs and no other's, and Stripe's secrets are billing's.
_SECRETS = ("STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "STRIPE_API_BASE", "SMTP_URL")


@dataclasses.dataclass(frozen=True)
class Programs:
    """The command lines; tests put tiny stand-ins here."""

    service: Callable[[str], list[str]] = lambda name: [sys.executable, "-m", f"services.{name}"]
    sandbox: tuple[str, ...] = (sys.executable, "-m", "local.stripe")
    mailbox: tuple[str, ...] = (sys.executable, "-m", "local.mailbox")
    demo_data: tuple[str, ...] | None = (
        (sys.executable, "-m", "local.demo_data") if (ROOT / "local" / "demo_data.py").exists() else None
    )


class System:
    """Every part of one run: its URL, private or given, and the child that serves it."""

    def __init__(self, folder: Folder, wanted: Wanted, ports: Ports, programs: Programs) -> None:
        self.folder, self.wanted, self.ports, self.programs = folder, wanted, ports, programs
        self._outside = outside(os.environ)
        self.secret_key = wanted.secret_key or folder.secret("secret_key")
        self.stripe_key = wanted.stripe_key or f"sk_test_{folder.secret('stripe_key', 18)}"
        self.webhook_secret = wanted.webhook_secret or f"whsec_{folder.secret('webhook_secret', 24)}"
        self.password = {who: folder.secret(f"{who}_password", 12) for who in ("admin", "customer")}
        gateway = ports.choose("gateway", promised=wanted.gateway_port)
        self.gateway_url = (wanted.public_url or f"http://{LOOPBACK}:{gateway}").rstrip("/")
        self.webhook_url = f"http://{LOOPBACK}:{ports.choose('webhooks')}{WEBHOOK_PATH}"
        self.stripe_url: str | None = f"http://{LOOPBACK}:{ports.choose('stripe')}" if wanted.own_stripe else None
        self.mailbox_url: str | None = f"http://{LOOPBACK}:{ports.choose('mailbox')}" if wanted.own_mailbox else None
        self.smtp_url = wanted.smtp or f"smtp://{LOOPBACK}:{ports.choose('smtp')}"

    # The private parts.

    def prepare(self) -> None:
        """Makes the folders of the private servers. Takes a second at the first run; may run in any thread."""
        if self.wanted.own_postgres:
            postgres.initialise(self.folder.postgres)
        if self.wanted.own_rabbitmq:
            rabbitmq.prepare(self.folder.rabbitmq)

    def postgres(self) -> list[Child]:
        """The private PostgreSQL, if one is needed."""
        if not self.wanted.own_postgres:
            return []
        data, port = self.folder.postgres, self.ports.choose("postgres")
        return [
            Child(
                "postgres",
                lambda: postgres.launch(data, port),
                lambda: postgres.answers(postgres.url(data, port)),
                last_signal=signal.SIGINT,
                hint=str(data / "log"),
            )
        ]

    def rabbitmq(self) -> list[Child]:
        """The private RabbitMQ and its name server, if needed."""
        if not self.wanted.own_rabbitmq:
            return []
        data, port = self.folder.rabbitmq, self.ports.choose("amqp")
        return [
            Child(
                "epmd",
                lambda: rabbitmq.launch_epmd(data),
                lambda: True,
                last_signal=signal.SIGKILL,  # it keeps nothing, and refuses to go while its node is known
                hint=str(data / "log"),
            ),
            Child(
                "rabbitmq",
                lambda: rabbitmq.launch_node(data, port),
                lambda: rabbitmq.answers(data, port),
                grace=7.5,  # it closes its queues at once, and its management plugin needs six seconds to stop
                hint=str(data / "log"),
            ),
        ]

    def stand_ins(self) -> list[Child]:
        """The Stripe sandbox and the mailbox, those that are needed."""
        children = []
        if self.stripe_url:
            port = self.ports.choose("stripe")
            environment = {
                "STRIPE_SANDBOX_PORT": str(port),
                "STRIPE_SANDBOX_DATA": str(self.folder.stripe),
                "STRIPE_SANDBOX_PUBLIC_URL": self.stripe_url,
                "STRIPE_WEBHOOK_URL": self.webhook_url,
                "STRIPE_WEBHOOK_SECRET": self.webhook_secret,
                "STRIPE_SECRET_KEY": self.stripe_key,
            }
            children.append(self._child("stripe", [*self.programs.sandbox], environment, f"{self.stripe_url}/healthz"))
        if self.mailbox_url:
            environment = {
                "MAILBOX_SMTP_PORT": str(self.ports.choose("smtp")),
                "MAILBOX_HTTP_PORT": str(self.ports.choose("mailbox")),
                "MAILBOX_DIR": str(self.folder.mails),
            }
            children.append(
                self._child("mailbox", [*self.programs.mailbox], environment, f"{self.mailbox_url}/healthz")
            )
        return children

    # The services.

    def services(self) -> list[Child]:
        """Every replica of every service."""
        children = []
        for service in SERVICES:
            for number in range(1, self.wanted.replicas[service] + 1):
                name = service if number == 1 else f"{service}-{number}"
                door = _DOORS.get(service)
                port = self.ports.choose(door if door and number == 1 else name)
                environment = self.environment(service)
                environment["PORTAL_HTTP_PORT" if door else "PORTAL_HEALTH_PORT"] = str(port)
                ready = f"http://{LOOPBACK}:{port}/readyz"
                children.append(self._child(name, self.programs.service(service), environment, ready))
        return children

    def environment(self, service: str) -> dict[str, str]:
        """The environment of a service's process, apart from its port."""
        return self._outside | self.variables(service)

    def variables(self, service: str) -> dict[str, str]:
        """All that a service reads, apart from its port."""
        variables = {
            f"PORTAL_{service.upper()}_DATABASE_URL": self.database_url(service),
            f"PORTAL_{service.upper()}_AMQP_URL": self.amqp_url(service),
            "PORTAL_SECRET_KEY": self.secret_key,
            "PORTAL_PUBLIC_URL": self.gateway_url,
            "PORTAL_DRAIN_SECONDS": "4",  # `make up` ends within 15 seconds, RabbitMQ's own included
            "SMTP_URL": self.smtp_url,
        }
        if service == "billing":
            variables |= {"STRIPE_SECRET_KEY": self.stripe_key, "STRIPE_WEBHOOK_SECRET": self.webhook_secret}
        # Billing's calls may go through somebody's proxy; the gateway must know whose payment pages people are sent to.
        redirected = self.wanted.stripe_base if service == "billing" or not self.stripe_url else None
        base = redirected or self.stripe_url
        if base:
            variables["STRIPE_API_BASE"] = base
        return variables

    def database_url(self, service: str) -> str:
        """Where a service's database is."""
        own = self.wanted.databases.get(service)
        return own or postgres.in_database(self.database_server(), f"portal_{service}")

    def database_server(self) -> str:
        """The server on which the services' databases are made."""
        given = self.wanted.database_server
        return given or postgres.url(self.folder.postgres, self.ports.choose("postgres"))

    def amqp_url(self, service: str) -> str:
        """How a service signs in to the broker."""
        given = self.wanted.amqp_of.get(service) or self.wanted.amqp
        return given or self._broker_url(rabbitmq.user_of(service))

    def _broker_url(self, user: str) -> str:
        return rabbitmq.url(self.folder.rabbitmq, self.ports.choose("amqp"), user)

    def _child(self, name: str, command: list[str], environment: dict[str, str], ready: str) -> Child:
        def launch() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                with_parent(command, signal.SIGTERM),
                cwd=ROOT,
                env=self._outside | environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C on the terminal must reach the supervisor alone
            )

        return Child(name, launch, answers(ready))

    def state(self, pids: Mapping[str, int], credentials: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
        """The content of `state.json`."""
        wanted = self.wanted
        any_amqp = wanted.amqp or next(iter(wanted.amqp_of.values()), "")
        return {
            "urls": {
                "gateway": self.gateway_url,
                "webhooks": self.webhook_url,
                "stripe": self.stripe_url or wanted.stripe_base or "https://api.stripe.com",
                "mailbox": self.mailbox_url,
            },
            "ports": self.ports.chosen,
            "databases": {service: self.database_url(service) for service in SERVICES},
            "amqp": self._broker_url(rabbitmq.OPERATOR) if wanted.own_rabbitmq else any_amqp,
            "stripe": {
                "secret_key": self.stripe_key,
                "webhook_secret": self.webhook_secret,
                "ledger": str(self.folder.stripe / "ledger.jsonl") if self.stripe_url else None,
            },
            "mail": {"dir": str(self.folder.mails) if self.mailbox_url else None, "smtp": self.smtp_url},
            "credentials": credentials,
            "pids": pids,
        }


def outside(environment: Mapping[str, str]) -> dict[str, str]:
    """What every child may know of our own environment: all but the secrets and addresses given to each by name."""
    names = ("_DATABASE_URL", "_AMQP_URL", "_SECRET_KEY", "_HTTP_PORT", "_HEALTH_PORT")
    kept = {
        name: value
        for name, value in environment.items()
        if name not in _SECRETS and not (name.startswith("PORTAL") and f"_{name}".endswith(names))
    }
    return kept | {"PYTHONUNBUFFERED": "1", MARK: environment.get(MARK, "")}
