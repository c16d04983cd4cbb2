"""Which addresses the gateway agrees to run under."""

from typing import Any

import pytest
from pydantic import ValidationError

from services.gateway.settings import Settings


def settings(**values: Any) -> Settings:
    return Settings(database_url="postgresql://x", amqp_url="amqp://x", secret_key="k" * 16, **values)


@pytest.mark.parametrize("url", ["https://portal.example", "https://portal.example/"])
def test_https_is_secure(url: str) -> None:
    made = settings(public_url=url)
    assert (made.secure, made.public_url) == (True, "https://portal.example")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000", "http://localhost:8000", "http://[::1]:8000", "http://127.8.9.1"]
)
def test_plain_http_is_for_this_machine_alone(url: str) -> None:
    assert settings(public_url=url).secure is False


@pytest.mark.parametrize(
    "url",
    [
        "http://portal.example",
        "http://10.0.0.1",
        "http://0.0.0.0:8000",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "ftp://127.0.0.1",
        "portal.example",
        "",
    ],
)
def test_any_other_address_is_refused_in_one_clear_line(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(public_url=url)
    (error,) = refused.value.errors()
    assert error["loc"] == ("public_url",)
    assert "https://" in error["msg"]
    assert "\n" not in error["msg"]


def test_a_form_may_lead_to_stripes_page_or_to_the_sandbox_that_stands_in_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("STRIPE_API_BASE", raising=False)
    assert settings().checkout_origins == ("https://checkout.stripe.com",)
    monkeypatch.setenv("STRIPE_API_BASE", "http://127.0.0.1:8020/v1")
    assert settings().checkout_origins == ("https://checkout.stripe.com", "http://127.0.0.1:8020")


def test_origins_are_read_from_a_list_with_commas() -> None:
    assert settings(cors_origins=" https://a.example/, https://b.example ,").allowed_origins == [
        "https://a.example",
        "https://b.example",
    ]
