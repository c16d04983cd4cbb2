"""Logs as JSON lines with the correlation id of the action they belong to, and the numbers that Prometheus reads."""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import Counter, Gauge, Histogram

correlation: ContextVar[str | None] = ContextVar("correlation", default=None)

handled = Counter("portal_messages_handled_total", "Messages handled, by what became of them.", ["handler", "outcome"])
duration = Histogram(
    "portal_handler_seconds",
    "Time a handler took.",
    ["handler"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
relayed = Counter("portal_outbox_relayed_total", "Outbox rows that the broker confirmed.")
outbox_age = Gauge("portal_outbox_oldest_seconds", "Age of the oldest event that waits for the broker.")
relay_active = Gauge("portal_relay_active", "1 while this process is the one that relays the outbox.")

tracer = trace.get_tracer("portal")
_propagator = TraceContextTextMapPropagator()

_STANDARD = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "color_message", "taskName"}


def traceparent() -> str | None:
    """The W3C trace context of the running span, if somebody configured tracing."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return carrier.get("traceparent")


class JsonLines(logging.Formatter):
    """One JSON object per line: `ts level service logger msg correlation_id` and whatever `extra` adds."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self.service = service

    def format(self, record: logging.LogRecord) -> str:
        """The line of one record."""
        line: dict[str, Any] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "service": self.service,
            "logger": record.name,
            "msg": record.getMessage(),
        }
        if (current := correlation.get()) is not None:
            line["correlation_id"] = current
        line.update({key: value for key, value in record.__dict__.items() if key not in _STANDARD})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def configure_logging(service: str, level: str) -> None:
    """Send every log record of this process to stdout as JSON lines."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines(service))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # These say at INFO what our own lines say better, once per message or request.
    for noisy in ("aio_pika", "aiormq", "httpx", "stripe", "uvicorn.access", "uvicorn.error", "yoyo"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
