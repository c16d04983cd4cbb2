"""What every service reads from its environment. A service adds its own by subclassing."""

from __future__ import annotations

from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts.message import Service


class ServiceSettings(BaseSettings):
    """Environment variables `PORTAL_…`. Those of one service alone carry its name: `PORTAL_BILLING_DATABASE_URL`.

    `trusted_proxies`, addresses or networks with commas between, are those whose `X-Forwarded-For` is believed: without it
    everybody behind a proxy shares the proxy's address, and so its limits. `broker_users` says which broker user each service signs in as, `billing=portal_billing,…`; by default every service
    is `portal_<name>`, unless this service's own URL names another user: then all are taken to share that one.
    """

    model_config = SettingsConfigDict(env_prefix="PORTAL_", extra="ignore", frozen=True)

    database_url: str
    amqp_url: str
    secret_key: str = Field(repr=False, min_length=16)
    public_url: str = "http://127.0.0.1:8000"
    host: str = "127.0.0.1"
    http_port: int | None = None
    health_port: int = 0
    log_level: str = "INFO"
    trusted_proxies: str = ""
    broker_users: str = ""
    pool_size: int = Field(default=10, ge=2, le=100)
    pick_up_seconds: float = Field(default=0.25, gt=0, description="How long the polling fallback of LISTEN waits.")
    drain_seconds: float = Field(default=10, gt=0)

    @classmethod
    def load(cls, service: Service) -> Self:
        """Read the environment; `PORTAL_<SERVICE>_X` beats `PORTAL_X`."""
        own = _Own.read(service)
        return cls(**own)

    def broker_user(self, service: str) -> str:
        """The broker user that messages from `service` must carry."""
        named = dict(pair.split("=", 1) for pair in self.broker_users.split(",") if "=" in pair)
        mine = urlsplit(self.amqp_url).username or "guest"
        if service in named:
            return named[service]
        return f"portal_{service}" if mine.startswith("portal_") else mine


class _Own:
    """Values that stand in the environment under one service's name."""

    @staticmethod
    def read(service: Service) -> dict[str, Any]:
        import os  # noqa: PLC0415 - the one place that looks at the environment by hand

        prefix = f"PORTAL_{service.upper()}_"
        return {
            name.removeprefix(prefix).lower(): value for name, value in os.environ.items() if name.startswith(prefix)
        }
