"""The time, injected, so that a test can hold it still."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class Clock:
    """The machine's clock, in UTC."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""
        return datetime.now(UTC)


class FakeClock(Clock):
    """A clock that moves only when told."""

    def __init__(self, start: datetime = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)) -> None:
        self.at = start

    def now(self) -> datetime:
        """The moment that the test set."""
        return self.at

    def advance(self, by: timedelta) -> None:
        """Let `by` pass at once."""
        self.at += by
