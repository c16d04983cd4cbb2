"""`python -m local.mailbox`: SMTP and the inbox in one process, set by environment alone."""

from pathlib import Path

import uvicorn
from pydantic_settings import BaseSettings, SettingsConfigDict

from local.mailbox.smtp import Door
from local.mailbox.store import Store
from local.mailbox.web import application


class Settings(BaseSettings):
    """MAILBOX_HOST, MAILBOX_SMTP_PORT, MAILBOX_HTTP_PORT, MAILBOX_DIR."""

    model_config = SettingsConfigDict(env_prefix="MAILBOX_")
    host: str = "127.0.0.1"
    smtp_port: int = 8025
    http_port: int = 8030
    dir: Path = Path(".local/mailbox")


def main() -> None:
    """Serves until SIGTERM or SIGINT."""
    settings = Settings()
    store = Store(settings.dir)
    app = application(store, Door(store, settings.host, settings.smtp_port))
    # A browser's open connection must not hold up `make up`'s end.
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.http_port,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=2,
    )


if __name__ == "__main__":
    main()
