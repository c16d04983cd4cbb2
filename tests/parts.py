"""Real PostgreSQL and RabbitMQ for tests: the environment's, else this machine's binaries, else containers."""

import contextlib
import dataclasses
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import psycopg
from psycopg import sql

from contracts.message import SERVICES
from local import install, postgres, rabbitmq
from local.children import free_port
from local.rabbitmq import Management, RabbitMQ, user_of


@dataclasses.dataclass(frozen=True)
class Vhost:
    """A vhost that only one test (or module) uses; every service user and the operator have their permissions in it."""

    name: str
    host: str
    port: int
    passwords: Mapping[str, str]
    management: Management

    def url(self, service: str) -> str:
        """The URL with which a service connects: `vhost.url("billing")` is the user `portal_billing`."""
        return self._url(user_of(service))

    @property
    def operator_url(self) -> str:
        """The URL of the administrator, who may do everything: for tests that look on or forge."""
        return self._url(self.management.user)

    def _url(self, user: str) -> str:
        return f"amqp://{user}:{quote(self.passwords[user], safe='')}@{self.host}:{self.port}/{self.name}"


@dataclasses.dataclass(frozen=True)
class Broker:
    """A RabbitMQ server on which tests make vhosts."""

    host: str
    port: int
    passwords: Mapping[str, str]
    management: Management

    @contextlib.contextmanager
    def fresh_vhost(self) -> Iterator[Vhost]:
        """A vhost with a random name (a name used again can meet a ruined queue of a killed node)."""
        name = f"test-{secrets.token_hex(6)}"
        self.management.add_vhost(name, self.passwords)
        try:
            yield Vhost(name, self.host, self.port, self.passwords, self.management)
        finally:
            self.management.delete_vhost(name)


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """A temporary folder that another user (PostgreSQL's) may pass through, gone afterwards."""
    path = Path(tempfile.mkdtemp(prefix="portal-test-"))
    path.chmod(0o711)
    try:
        yield path
    finally:
        postgres.remove(path / "postgres")
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def private_postgres() -> Iterator[postgres.Postgres]:
    """A PostgreSQL server of the caller alone, from this machine's binaries."""
    with folder() as path:
        server = postgres.start(path / "postgres", free_port(), durable=False)
        try:
            yield server
        finally:
            server.kill9()


@contextlib.contextmanager
def private_rabbitmq() -> Iterator[RabbitMQ]:
    """A RabbitMQ node of the caller alone, from this machine's binaries."""
    with folder() as path:
        node = rabbitmq.start(path / "rabbitmq", free_port())
        try:
            yield node
        finally:
            node.kill9()  # its data is thrown away: no need for the seconds a graceful end takes
            node.stop()


@contextlib.contextmanager
def fresh_database(server_url: str, *, like: str | None = None) -> Iterator[str]:
    """An empty database of the server, or a copy of the one at the URL `like`, dropped afterwards."""
    name = f"test_{secrets.token_hex(6)}"
    try:
        if like is not None:
            copied = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(urlsplit(like).path.removeprefix("/"))
            )
            with psycopg.connect(server_url, autocommit=True) as connection:
                connection.execute(copied)
        yield postgres.create_database(server_url, name)
    finally:
        postgres.drop_database(server_url, name)


@contextlib.contextmanager
def postgres_server() -> Iterator[str]:
    """A server's URL whose role may create databases: $PORTAL_TEST_DATABASE_URL → binaries → a container."""
    given = os.environ.get("PORTAL_TEST_DATABASE_URL")
    if given:
        yield given
    elif _installed("postgresql"):
        with private_postgres() as server:
            yield server.url
    else:
        with _postgres_container() as url:
            yield url


@contextlib.contextmanager
def broker() -> Iterator[Broker]:
    """A broker: $PORTAL_TEST_AMQP_URL (an administrator's) → binaries → a container.

    Vhosts are made through its management API: $PORTAL_TEST_AMQP_MANAGEMENT_URL, by default port 15672 of the same host.
    """
    given = os.environ.get("PORTAL_TEST_AMQP_URL")
    if given:
        url = urlsplit(given)
        management = os.environ.get("PORTAL_TEST_AMQP_MANAGEMENT_URL", f"http://{url.hostname}:15672")
        user, password = unquote(url.username or "guest"), unquote(url.password or "guest")
        yield foreign_broker(str(url.hostname), url.port or 5672, Management(management.rstrip("/"), user, password))
    elif _installed("rabbitmq-server"):
        with private_rabbitmq() as node:
            yield Broker("127.0.0.1", node.port, node.passwords, node.management)
    else:
        with _rabbitmq_container() as container:
            yield container


def foreign_broker(host: str, port: int, management: Management) -> Broker:
    """A broker for tests that somebody else started, known by its administrator.

    The services' users are made on it, or get this password: two test runs at once agree on it, a broker in use would not.
    """
    passwords = dict.fromkeys(map(user_of, SERVICES), "portal-test")
    management.call("POST", "definitions", {"users": rabbitmq.definitions(passwords)["users"]})
    return Broker(host, port, passwords | {management.user: management.password}, management)


def _installed(package: str) -> bool:
    """Whether the package's programs are here; as root on Debian they are installed first."""
    if package not in install.missing():
        return True
    try:
        install.install([package])
    except SystemExit:  # not root, or no apt: containers are next
        return False
    return package not in install.missing()


# Containers. Written from the library's sources; no container engine was at hand to run these two.


@contextlib.contextmanager
def _postgres_container() -> Iterator[str]:
    from testcontainers.community.postgres import PostgresContainer

    with PostgresContainer("postgres:17", driver=None) as container:
        yield container.get_connection_url()


@contextlib.contextmanager
def _rabbitmq_container() -> Iterator[Broker]:
    # The library's own RabbitMqContainer needs pika; a plain container and its start-up line do as well.
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    container = DockerContainer("rabbitmq:4-management").with_exposed_ports(5672, 15672)
    container.with_env("RABBITMQ_DEFAULT_USER", "portal").with_env("RABBITMQ_DEFAULT_PASS", "portal")
    with container.waiting_for(LogMessageWaitStrategy("Server startup complete")) as running:
        host = running.get_container_host_ip()
        management = Management(f"http://{host}:{running.get_exposed_port(15672)}", "portal", "portal")
        yield foreign_broker(host, int(running.get_exposed_port(5672)), management)
