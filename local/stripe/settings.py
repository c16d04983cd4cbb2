import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self


class RefusedSettingsError(ValueError):
    """The environment asks for something the sandbox must not do; the message is for the person at the terminal."""


@dataclass(frozen=True)
class Settings:
    """What the sandbox reads from its environment. Only the default webhook endpoint may be absent (no URL: none)."""

    data: Path
    port: int = 8020
    secret_key: str = "sk_test_local"  # noqa: S105 - a public test value; live keys are refused below
    webhook_url: str | None = None
    webhook_secret: str = "whsec_local"  # noqa: S105 - the same
    public_url: str = "http://127.0.0.1:8020"
    merchant_name: str = "Sandbox merchant"

    def __post_init__(self) -> None:
        if not self.secret_key.startswith("sk_test_"):
            raise RefusedSettingsError("STRIPE_SECRET_KEY must begin with sk_test_: the sandbox never takes a live key")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Reads `STRIPE_SANDBOX_*`, `STRIPE_WEBHOOK_*` and `STRIPE_SECRET_KEY`.

        Raises:
            RefusedSettingsError: a key that is not a test key, or a port that is not a number.
        """
        port = environment.get("STRIPE_SANDBOX_PORT", "8020")
        if not port.isdigit():
            raise RefusedSettingsError(f"STRIPE_SANDBOX_PORT must be a port number, not {port!r}")
        public_url = environment.get("STRIPE_SANDBOX_PUBLIC_URL") or f"http://127.0.0.1:{port}"
        return cls(
            data=Path(environment.get("STRIPE_SANDBOX_DATA", ".local/stripe")),
            port=int(port),
            secret_key=environment.get("STRIPE_SECRET_KEY") or "sk_test_local",
            webhook_url=environment.get("STRIPE_WEBHOOK_URL") or None,
            webhook_secret=environment.get("STRIPE_WEBHOOK_SECRET") or "whsec_local",
            public_url=public_url.rstrip("/"),
            merchant_name=environment.get("STRIPE_SANDBOX_MERCHANT") or "Sandbox merchant",
        )
