"""What the environment asks of `make up`: which real parts stand in for private ones, and how many of each service."""

import dataclasses
from collections.abc import Mapping
from urllib.parse import urlsplit

from contracts.message import SERVICES


class SettingError(ValueError):
    """A variable says something that cannot be meant; the message names it in one line."""


@dataclasses.dataclass(frozen=True)
class Wanted:
    """None (or no entry) means: start a private one."""

    database_server: str | None
    """PORTAL_DATABASE_URL: a server whose role may create `portal_<service>`."""
    databases: Mapping[str, str]
    """PORTAL_<SERVICE>_DATABASE_URL by service: used as it is."""
    amqp: str | None
    """PORTAL_AMQP_URL: for every service that has none of its own."""
    amqp_of: Mapping[str, str]
    """PORTAL_<SERVICE>_AMQP_URL by service."""
    stripe_key: str | None
    webhook_secret: str | None
    stripe_base: str | None
    """STRIPE_API_BASE: where billing's calls go. Alone it does not replace the sandbox."""
    smtp: str | None
    public_url: str | None
    secret_key: str | None
    replicas: Mapping[str, int]
    demo: bool
    """Whether demo data are made at the first run; PORTAL_DEMO=0 leaves the installation empty."""

    @property
    def own_postgres(self) -> bool:
        """Whether a private PostgreSQL is needed."""
        return self.database_server is None and any(service not in self.databases for service in SERVICES)

    @property
    def own_rabbitmq(self) -> bool:
        """Whether a private RabbitMQ is needed."""
        return self.amqp is None and any(service not in self.amqp_of for service in SERVICES)

    @property
    def own_stripe(self) -> bool:
        """Whether the sandbox is needed."""
        return self.stripe_key is None

    @property
    def own_mailbox(self) -> bool:
        """Whether the mailbox is needed."""
        return self.smtp is None

    @property
    def gateway_port(self) -> int | None:
        """The port that a loopback PORTAL_PUBLIC_URL promises; None when any will do."""
        url = urlsplit(self.public_url or "")
        return (url.port or 80) if url.scheme == "http" and url.hostname in {"127.0.0.1", "localhost"} else None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Wanted":
        """Reads the variables; an empty one counts as not set.

        Raises:
            SettingError: STRIPE_SECRET_KEY without STRIPE_WEBHOOK_SECRET, a count that is no number.
        """

        def given(name: str) -> str | None:
            return environment.get(name) or None

        def by_service(suffix: str) -> dict[str, str]:
            urls = {service: given(f"PORTAL_{service.upper()}_{suffix}") for service in SERVICES}
            return {service: url for service, url in urls.items() if url}

        if given("STRIPE_SECRET_KEY") and not given("STRIPE_WEBHOOK_SECRET"):
            raise SettingError("STRIPE_SECRET_KEY is set, STRIPE_WEBHOOK_SECRET is not: Stripe's webhooks need it.")
        return cls(
            database_server=given("PORTAL_DATABASE_URL"),
            databases=by_service("DATABASE_URL"),
            amqp=given("PORTAL_AMQP_URL"),
            amqp_of=by_service("AMQP_URL"),
            stripe_key=given("STRIPE_SECRET_KEY"),
            webhook_secret=given("STRIPE_WEBHOOK_SECRET"),
            stripe_base=given("STRIPE_API_BASE"),
            smtp=given("SMTP_URL"),
            public_url=given("PORTAL_PUBLIC_URL"),
            secret_key=given("PORTAL_SECRET_KEY"),
            replicas={service: _count(environment, f"PORTAL_REPLICAS_{service.upper()}") for service in SERVICES},
            demo=environment.get("PORTAL_DEMO", "1") not in {"0", "no", "false"},
        )


def _count(environment: Mapping[str, str], name: str) -> int:
    """How many; 0 leaves a service out, for somebody who runs it in a debugger."""
    text = environment.get(name) or "1"
    if not text.isdigit() or int(text) > 20:
        raise SettingError(f"{name} must be a number from 0 to 20, not {text!r}.")
    return int(text)
