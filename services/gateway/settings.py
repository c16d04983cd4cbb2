"""What the gateway reads from its environment."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from chassis.settings import ServiceSettings

HOSTED_CHECKOUT = "https://checkout.stripe.com"


class Settings(ServiceSettings):
    """The gateway's own variables, beside those of every service.

    `cors_origins`: origins that may use the API from a browser, separated by commas. `stripe_api_base`, when set, is the
    sandbox, whose hosted pages the browser is sent to. `requests_at_once` is how many requests
    that read, and as many that change something, each process has under way; `streams_at_once` how many pages it keeps told;
    `commands_at_once` how much it asks of each other service at once. What is more is refused with 503 and Retry-After.
    """

    cors_origins: str = ""
    stripe_api_base: str = Field(default="", validation_alias="STRIPE_API_BASE")
    requests_at_once: int = Field(default=16, ge=1)
    streams_at_once: int = Field(default=1000, ge=1)
    commands_at_once: int = Field(default=16, ge=1)

    @field_validator("public_url")
    @classmethod
    def _cookies_are_safe(cls, value: str) -> str:
        url = urlsplit(value)
        if url.scheme == "https" or (url.scheme == "http" and _is_loopback(url.hostname or "")):
            return value.rstrip("/")
        raise ValueError(
            f"{value} cannot keep session cookies safe: use an https:// address, or http://127.0.0.1 on this machine alone"
        )

    @property
    def secure(self) -> bool:
        """Whether people reach us over https."""
        return self.public_url.startswith("https://")

    @property
    def allowed_origins(self) -> list[str]:
        """The other origins whose pages may call the API."""
        return [origin.strip().rstrip("/") for origin in self.cors_origins.split(",") if origin.strip()]

    @property
    def checkout_origins(self) -> tuple[str, ...]:
        """Where a form's POST may lead after our redirect: the hosted payment page."""
        base = urlsplit(self.stripe_api_base)
        return (HOSTED_CHECKOUT, f"{base.scheme}://{base.netloc}") if base.netloc else (HOSTED_CHECKOUT,)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
