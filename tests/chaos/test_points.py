"""Every external effect has a kill point: read from the wiring of the services and from who imports what."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from chassis.service import Service
from contracts.message import REQUESTS, SERVICES
from local.folder import ROOT
from tests.chaos import points
from tests.chaos.made_up import made_up

OUTSIDE = {"aio_pika", "aiohttp", "aiormq", "aiosmtplib", "asyncpg", "faststream", "httpx", "psycopg", "requests"}
OUTSIDE |= {"smtplib", "socket", "stripe", "urllib.request", "urllib3", "yoyo"}

WRAPPED = {
    # What run_service.py puts its hands on, or what imports names and types alone. A new line here needs a new point.
    "chassis/amqp.py": "Link.publish, Link.publish_fast",
    "chassis/consumers.py": "IncomingMessage.ack",
    "chassis/database.py": "Database.transaction and its four statements",
    "chassis/deadletters.py": "an operator's tool, run by hand",
    "chassis/deliveries.py": "publishes through Link, acks by IncomingMessage",
    "chassis/health.py": "names asyncpg's errors",
    "chassis/listeners.py": "names aiormq's errors",
    "chassis/migrations.py": "before a service serves",
    "chassis/outbox.py": "publishes through Link; its DELETE follows the point after-publish",
    "chassis/rpc.py": "asks through Link",
    "chassis/service.py": "names asyncpg's errors",
    "chassis/testing.py": "tests alone",
    "chassis/topology.py": "names aiormq's types",
    "services/billing/stripe_gateway": "HTTPXClient.request_async",
    "services/gateway/api/errors.py": "names asyncpg's errors",
    "services/gateway/commands.py": "names asyncpg's errors",
    "services/gateway/live.py": "listens only",
    "services/identity/cli.py": "names asyncpg's errors",
    "services/identity/store/customers.py": "names asyncpg's errors",
    "services/notifications/mailer.py": "Mailer._envelope, _body",
}


@pytest.fixture(params=SERVICES)
def wiring(request: pytest.FixtureRequest) -> Service:
    return points.wiring(request.param)


def test_every_handler_of_every_service_has_a_point_before_and_after_its_effects(wiring: Service) -> None:
    wired = points.wired(wiring)
    handlers = [request.queue() for request in wiring.commands]
    for queue in handlers:
        for point in (
            f"before-commit:{queue}#*",
            f"after-commit:{queue}#*",
            f"after-reply:{queue}",
            f"after-ack:{queue}",
        ):
            assert f"{wiring.name}:{point}" in wired
    assert len(wired) >= 4 * len(wiring.commands) + 3 * (len(wiring.follows) + len(wiring.facts)) + 2 * len(
        wiring.schedules
    )
    assert {point.replace(":before-", ":after-") for point in wired} <= wired


def test_every_command_and_question_can_be_made_up() -> None:
    for name, kind in REQUESTS.items():
        assert kind.model_validate(made_up(kind.model_json_schema())).wire_type == name


def test_nothing_reaches_outside_except_where_a_point_is() -> None:
    found = {name for path in sorted(_sources()) if (name := _room(path)) and _imports(path) & OUTSIDE}
    assert found <= WRAPPED.keys(), f"{sorted(found - WRAPPED.keys())} reach outside without a kill point"


def _sources() -> Iterator[Path]:
    for room in ("chassis", "services"):
        yield from (ROOT / room).rglob("*.py")


def _room(path: Path) -> str:
    name = path.relative_to(ROOT).as_posix()
    return next((room for room in WRAPPED if name.startswith(f"{room}/")), name)


def _imports(path: Path) -> set[str]:
    """Whole and top names of everything that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names | {name.partition(".")[0] for name in names}
