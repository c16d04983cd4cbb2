"""What the environment asks of `make up`."""

import pytest

from contracts.message import SERVICES
from local.system import outside
from local.wanted import SettingError, Wanted


def test_an_empty_environment_wants_everything_private() -> None:
    wanted = Wanted.from_environment({})
    assert (wanted.own_postgres, wanted.own_rabbitmq, wanted.own_stripe, wanted.own_mailbox) == (True,) * 4
    assert wanted.replicas == dict.fromkeys(SERVICES, 1)
    assert wanted.demo


def test_a_server_for_every_service_leaves_nothing_to_start() -> None:
    urls = {f"PORTAL_{service.upper()}_DATABASE_URL": "postgresql://elsewhere/x" for service in SERVICES}
    assert not Wanted.from_environment(urls).own_postgres
    del urls["PORTAL_TODOS_DATABASE_URL"]
    assert Wanted.from_environment(urls).own_postgres


def test_an_api_base_alone_leaves_the_sandbox_running() -> None:
    wanted = Wanted.from_environment({"STRIPE_API_BASE": "http://127.0.0.1:9000"})
    assert wanted.own_stripe
    assert wanted.stripe_base == "http://127.0.0.1:9000"


def test_a_stripe_key_without_its_webhook_secret_is_refused() -> None:
    with pytest.raises(SettingError, match=r"^STRIPE_SECRET_KEY is set, STRIPE_WEBHOOK_SECRET is not"):
        Wanted.from_environment({"STRIPE_SECRET_KEY": "sk_test_x"})


@pytest.mark.parametrize("count", ["two", "-1", "21", "1.5"])
def test_a_count_that_is_none_is_refused_by_name(count: str) -> None:
    with pytest.raises(SettingError, match=r"^PORTAL_REPLICAS_BILLING must be a number from 0 to 20"):
        Wanted.from_environment({"PORTAL_REPLICAS_BILLING": count})


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("http://127.0.0.1:9000", 9000),
        ("http://localhost", 80),
        ("https://portal.example.com", None),
        ("", None),
    ],
)
def test_a_loopback_address_promises_its_port(url: str, port: int | None) -> None:
    assert Wanted.from_environment({"PORTAL_PUBLIC_URL": url}).gateway_port == port


def test_children_inherit_settings_and_no_secrets() -> None:
    inherited = outside(
        {
            "PATH": "/bin",
            "PORTAL_LOG_LEVEL": "DEBUG",
            "PORTAL_BILLING_POOL_SIZE": "4",
            "PORTAL_SECRET_KEY": "secret",
            "PORTAL_TODOS_DATABASE_URL": "postgresql://secret",
            "PORTAL_AMQP_URL": "amqp://secret",
            "STRIPE_SECRET_KEY": "sk_live_secret",
            "SMTP_URL": "smtp://secret",
            "PORTAL_GATEWAY_HTTP_PORT": "1",
        }
    )
    assert {name for name in inherited if name.startswith(("PORTAL_", "STRIPE", "SMTP"))} == {
        "PORTAL_LOG_LEVEL",
        "PORTAL_BILLING_POOL_SIZE",
        "PORTAL_LOCAL_RUN",
    }
