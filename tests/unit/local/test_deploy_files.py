"""docker-compose.yml and deploy/, checked as files: no container engine is at hand."""

import base64
import importlib
import json
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml  # type: ignore[import-untyped]  # its stubs are not among our tools

from chassis.settings import ServiceSettings
from contracts.message import SERVICES, Service
from local import broker_definitions
from local.rabbitmq import VHOST, password_hash
from local.system import WEBHOOK_PATH

ROOT = Path(__file__).parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
PARTS: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
DEFINITIONS: dict[str, Any] = json.loads((ROOT / "deploy" / "rabbitmq" / "definitions.json").read_text())


def environment(part: str) -> dict[str, str]:
    """What the container gets when nobody sets anything: `${NAME:-default}`, or without the colon, is its default."""
    given: dict[str, str] = PARTS[part]["environment"]
    return {name: re.sub(r"\$\{\w+:?-(.*)\}", r"\1", value) for name, value in given.items()}


def settings_class(service: str) -> type[ServiceSettings]:
    found: type[ServiceSettings] = importlib.import_module(f"services.{service}.settings").Settings
    return found


def in_container(service: Service, monkeypatch: pytest.MonkeyPatch) -> ServiceSettings:
    """The service's settings as it reads them in its container: compose's environment over the image's."""
    for name in list(os.environ):
        if name.startswith(("PORTAL_", "STRIPE_", "SMTP_")):
            monkeypatch.delenv(name)
    image = re.search(r"^ENV SERVICE=\S+ (.*)$", DOCKERFILE, re.MULTILINE)
    assert image is not None
    for name, value in (dict(pair.split("=") for pair in image[1].split()) | environment(service)).items():
        monkeypatch.setenv(name, value)
    return settings_class(service).load(service)


def test_the_whole_system_is_there() -> None:
    assert set(PARTS) == {*SERVICES, "postgres", "rabbitmq", "stripe", "mailbox"}


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_starts_with_what_compose_gives_it(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = in_container(service, monkeypatch)
    assert urlsplit(settings.database_url).path == f"/portal_{service}"
    assert urlsplit(settings.amqp_url).username == f"portal_{service}"
    assert settings.host == "0.0.0.0"
    assert settings.http_port == settings.health_port == 8000
    assert PARTS[service]["build"] == {
        "context": ".",
        "dockerfile": "deploy/Dockerfile",
        "target": "service",
        "args": {"SERVICE": service},
    }


@pytest.mark.parametrize("service", SERVICES)
def test_variables_outside_our_prefix_are_set_where_they_are_read(service: Service) -> None:
    aliases = [str(field.validation_alias or "") for field in settings_class(service).model_fields.values()]
    read = {name for alias in aliases for name in re.findall(r"\b(?:STRIPE|SMTP)_[A-Z_]+", alias)}
    assert read == {name for name in environment(service) if name.startswith(("STRIPE_", "SMTP_"))}


@pytest.mark.parametrize("service", SERVICES)
def test_each_services_broker_user_and_database_exist(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = in_container(service, monkeypatch)
    url = urlsplit(settings.amqp_url)
    [user] = [user for user in DEFINITIONS["users"] if user["name"] == url.username]
    salt = base64.b64decode(user["password_hash"])[:4]
    assert user["password_hash"] == password_hash(str(url.password), salt)
    assert url.path == f"/{VHOST}"
    assert (url.hostname, urlsplit(settings.database_url).hostname) == ("rabbitmq", "postgres")
    databases = (ROOT / "deploy" / "postgres" / "databases.sql").read_text()
    assert f"CREATE DATABASE portal_{service};" in databases


def test_the_brokers_permissions_are_what_the_contracts_give() -> None:
    assert (ROOT / "deploy" / "rabbitmq" / "definitions.json").read_text() == broker_definitions.text(), (
        "write it again: python -m local.broker_definitions > deploy/rabbitmq/definitions.json"
    )


def test_everything_says_whether_it_is_well_and_is_waited_for() -> None:
    for name, part in PARTS.items():
        if name in SERVICES:
            assert {"postgres", "rabbitmq"} <= set(part["depends_on"])
            assert all(wait["condition"] == "service_healthy" for wait in part["depends_on"].values())
        else:
            assert part["healthcheck"]["test"][0] == "CMD"
    assert "HEALTHCHECK" in DOCKERFILE.partition("AS service")[2]


def test_nothing_is_published_beyond_this_machine() -> None:
    ports = [port for part in PARTS.values() for port in part.get("ports", [])]
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []
    assert "127.0.0.1:8000:8000" in ports


def test_the_stand_ins_and_billing_agree() -> None:
    sandbox, billing = environment("stripe"), environment("billing")
    for name in ("STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET"):
        assert sandbox[name] == billing[name]
    assert sandbox["STRIPE_WEBHOOK_URL"] == f"http://billing:8000{WEBHOOK_PATH}"
    assert billing["STRIPE_API_BASE"] == f"http://stripe:{sandbox['STRIPE_SANDBOX_PORT']}"
    assert environment("gateway")["STRIPE_API_BASE"] == sandbox["STRIPE_SANDBOX_PUBLIC_URL"]
    assert environment("notifications")["SMTP_URL"] == f"smtp://mailbox:{environment('mailbox')['MAILBOX_SMTP_PORT']}"


def test_mounted_files_are_there() -> None:
    mounts = [mount for part in PARTS.values() for mount in part.get("volumes", [])]
    sources = [mount.split(":")[0] for mount in mounts]
    assert [source for source in sources if source.startswith("./") and not (ROOT / source).is_file()] == []
    assert {source for source in sources if not source.startswith("./")} == set(COMPOSE["volumes"])


def test_images_run_as_nobody_in_particular_with_locked_libraries() -> None:
    assert "--require-hashes" in DOCKERFILE
    runtime = DOCKERFILE.partition("AS runtime")[2]
    assert re.findall(r"^USER (.+)$", runtime, re.MULTILINE) == ["10001"]
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) == [
        "python:3.11-slim-bookworm",
        "python:3.11-slim-bookworm",
        "runtime",
        "runtime",
    ]


def test_what_images_copy_reaches_the_builder() -> None:
    ignored = (ROOT / ".dockerignore").read_text()
    copied = re.findall(r"^COPY (?!--from)(\S+)", DOCKERFILE, re.MULTILINE)
    for source in copied:
        assert (ROOT / source.replace("${SERVICE}", "billing")).exists()
        assert f"!{source.split('/')[0]}\n" in ignored


def test_with_a_stripe_account_of_ones_own_nothing_leads_to_the_sandbox() -> None:
    """`STRIPE_API_BASE=` empty must count: `${NAME:-default}` would put the sandbox back."""
    for part in ("gateway", "billing"):
        assert PARTS[part]["environment"]["STRIPE_API_BASE"].startswith("${STRIPE_API_BASE-")
    assert PARTS["billing"]["depends_on"]["stripe"]["required"] is False
