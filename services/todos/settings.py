from __future__ import annotations

from chassis.settings import ServiceSettings


class Settings(ServiceSettings):
    """todos needs nothing but what every service reads."""
