"""Prints the broker's users and permissions for docker-compose.yml, from the contracts.

`python -m local.broker_definitions > deploy/rabbitmq/definitions.json`; a test says when the file is behind.
"""

import json
import sys

from contracts.message import SERVICES
from local.rabbitmq import OPERATOR, definitions, user_of

# Public, like everything in a compose file that runs on one machine's loopback; the file says where to change it.
PASSWORD = "portal-local"  # noqa: S105 - as just said
_SALT = b"port"  # fixed, so that the file changes only when the permissions do


def text() -> str:
    """The file's content."""
    passwords = dict.fromkeys([OPERATOR, *map(user_of, SERVICES)], PASSWORD)
    return json.dumps(definitions(passwords, salt=lambda: _SALT), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
