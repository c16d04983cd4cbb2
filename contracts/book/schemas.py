"""The JSON Schema of every message version."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from contracts import billing, identity, notifications, todos
from contracts.message import EVENTS, REQUESTS, Document, EventEnvelope, ReplyData, Request, RequestEnvelope

OWNERS = (identity, billing, notifications, todos)
"""The modules whose import fills the register."""

ENVELOPES = {"envelope.event": EventEnvelope, "envelope.request": RequestEnvelope, "envelope.reply": ReplyData}

Schema = dict[str, Any]


class Generator(GenerateJsonSchema):
    """pydantic's generator, without titles repeated from names, and with decimals as we write them: strings."""

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        """A decimal string; its limits are numbers, so they stand under names of our own."""
        limits = {"ge": "x-minimum", "gt": "x-exclusive-minimum", "le": "x-maximum", "lt": "x-exclusive-maximum"}
        found: dict[str, Any] = {"type": "string", "format": "decimal"}
        for key, name in limits.items():
            if key in schema:
                found[name] = str(schema[key])  # type: ignore[literal-required]  # the keys above are the dict's own
        if "decimal_places" in schema:
            found["x-decimal-places"] = schema["decimal_places"]
        return found

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        """`title: Due On` says nothing that `due_on` does not."""
        return False


def schema_of(type_: Any, ref_template: str = "#/$defs/{model}") -> Schema:
    """The JSON Schema (2020-12) that a reader of `type_` holds its data against."""
    schema: Schema = json.loads(_schema_text(type_, ref_template))  # a copy of its own for every caller
    return schema


@cache
def _schema_text(type_: Any, ref_template: str) -> str:
    return json.dumps(TypeAdapter(type_).json_schema(schema_generator=Generator, ref_template=ref_template))


def answered_with_json(request: type[Request[Any]]) -> bool:
    """Whether the answer is JSON; a `Document` travels as its own bytes."""
    return request.result_type() is not Document


def is_read_by_others(name: str) -> bool:
    """Whether the owner writes it and others read it (events, answers), rather than the other way round."""
    return name in EVENTS or name.endswith(".result") or name in {"envelope.event", "envelope.reply"}


def every_schema() -> dict[str, Schema]:
    """By name: each event's data and each request's body under its type, answers under `<type>.result`, envelopes."""
    types: dict[str, Any] = {**ENVELOPES, **EVENTS, **REQUESTS}
    for type_, request in REQUESTS.items():
        if answered_with_json(request):
            types[f"{type_}.result"] = request.result_type()
    return {name: schema_of(types[name]) for name in sorted(types)}
