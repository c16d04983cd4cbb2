"""Logs as JSON lines with the correlation id of the action they belong to, and the numbers that Prometheus reads."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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

_propagator = TraceContextTextMapPropagator()
# Off unless an exporter is configured: a span that nobody records still costs every message its share.
_tracing = False

_STANDARD = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "color_message", "taskName"}


def configure_tracing(service: str) -> None:
    """Export spans over OTLP/HTTP when `OTEL_EXPORTER_OTLP_ENDPOINT` is set; OpenTelemetry's own variables do the rest.

    `OTEL_TRACES_SAMPLER=parentbased_traceidratio` and its `…_ARG` decide how many. Needs the extra `telemetry`.
    """
    if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - slow to import
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - likewise
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - likewise
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - likewise

    provider = TracerProvider(resource=Resource.create({"service.name": f"portal-{service}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    start_tracing(provider)


def start_tracing(provider: trace.TracerProvider) -> None:
    """Record spans with `provider` from now on."""
    global _tracing  # noqa: PLW0603 - set once, when the process starts
    trace.set_tracer_provider(provider)
    _tracing = True


@contextmanager
def span(name: str, parent: str | None) -> Iterator[None]:
    """A span of the trace that `parent`, a W3C traceparent, names; nothing at all while tracing is off."""
    if not _tracing:
        yield
        return
    context = _propagator.extract({"traceparent": parent}) if parent else None
    with trace.get_tracer("portal").start_as_current_span(name, context=context):
        yield


def traceparent() -> str | None:
    """The W3C trace context of the running span, if somebody configured tracing."""
    if not _tracing:
        return None
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
