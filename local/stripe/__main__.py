import logging
import sys

import uvicorn

from local.stripe.app import make_app
from local.stripe.settings import RefusedSettingsError, Settings


def main() -> None:
    """Runs the sandbox on loopback until SIGTERM or Ctrl-C."""
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        settings = Settings.from_environment()
        app = make_app(settings)
    except RefusedSettingsError as refused:
        sys.exit(f"stripe sandbox: {refused}")
    uvicorn.run(
        app,
        host="127.0.0.1",  # never reachable from outside: it would take anybody's test card as money
        port=settings.port,
        log_level="warning",
        access_log=False,
        date_header=False,  # the sandbox's own clock says the date
        timeout_graceful_shutdown=2,
    )


if __name__ == "__main__":
    main()
