from __future__ import annotations

from chassis.settings import ServiceSettings


class Settings(ServiceSettings):
    """identity needs nothing but what every service reads; `secret_key` is what its links' tokens are derived from."""
