"""Fixtures for every test: real servers, started when first asked for; unit tests cannot open a socket."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest
import pytest_socket
from hypothesis import HealthCheck, settings

from chassis.migrations import migrate
from local.folder import ROOT
from local.postgres import Postgres
from local.rabbitmq import RabbitMQ
from tests import parts

_UNIT = Path(__file__).parent / "unit"

# A busy machine is not a wrong sum.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")


@pytest.fixture(autouse=True)
def closed_sockets(request: pytest.FixtureRequest) -> Iterator[None]:
    """In tests/unit any network socket is an error (Unix sockets stay: an event loop wakes itself with one)."""
    if not request.path.is_relative_to(_UNIT):
        yield
        return
    pytest_socket.disable_socket(allow_unix_socket=True)
    yield
    pytest_socket.enable_socket()


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server whose role may create databases; use `database` for one of your own."""
    with parts.postgres_server() as url:
        yield url


@pytest.fixture(scope="session")
def migrated(postgres_url: str) -> Iterator[Callable[[str], str]]:
    """Call it with a service: the URL of a database as its migrations leave it, made once, to be copied and not used."""
    with ExitStack() as stack:

        @cache
        def made(service: str) -> str:
            url = stack.enter_context(parts.fresh_database(postgres_url))
            migrate(url, ROOT / "services" / service / "migrations")
            return url

        yield made


@pytest.fixture
def database(postgres_url: str) -> Iterator[str]:
    """The URL of an empty database for this test."""
    with parts.fresh_database(postgres_url) as url:
        yield url


@pytest.fixture(scope="module")
def module_database(postgres_url: str) -> Iterator[str]:
    """The URL of an empty database for this module."""
    with parts.fresh_database(postgres_url) as url:
        yield url


@pytest.fixture
def make_database(postgres_url: str) -> Iterator[Callable[[], str]]:
    """Call it for each further database (one per service, say); all are dropped after the test."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(parts.fresh_database(postgres_url))


@pytest.fixture(scope="session")
def amqp() -> Iterator[parts.Broker]:
    """A RabbitMQ server; use `vhost` for one of your own."""
    with parts.broker() as server:
        yield server


@pytest.fixture
def vhost(amqp: parts.Broker) -> Iterator[parts.Vhost]:
    """An empty vhost for this test, every service's user permitted in it."""
    with amqp.fresh_vhost() as fresh:
        yield fresh


@pytest.fixture(scope="module")
def module_vhost(amqp: parts.Broker) -> Iterator[parts.Vhost]:
    """An empty vhost for this module, every service's user permitted in it."""
    with amqp.fresh_vhost() as fresh:
        yield fresh


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[Postgres]:
    """A server of this module alone, to be killed and restarted (needs PostgreSQL's binaries on this machine)."""
    with parts.private_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def own_rabbitmq() -> Iterator[RabbitMQ]:
    """A node of this module alone, to be killed and restarted (needs RabbitMQ's binaries on this machine)."""
    with parts.private_rabbitmq() as node:
        yield node
