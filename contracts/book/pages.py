"""`docs/messages.md`: every message for people to read."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Iterator
from typing import Any, get_args

from pydantic import BaseModel

from contracts.book.examples import event_example, request_example, result_example
from contracts.book.schemas import Schema, answered_with_json, schema_of
from contracts.message import (
    EVENTS,
    NOUNS,
    PUBLIC,
    REQUESTS,
    SERVICES,
    Actor,
    Event,
    EventEnvelope,
    Known,
    Problem,
    ReplyData,
    Request,
    RequestData,
    RequestEnvelope,
    Service,
    State,
    fact_queue,
    follower_queue,
    secret_fields,
)

HEAD = f"""\
# The message book

Written by `python -m contracts.book` out of `contracts/`; change it there. Each message's JSON Schema is
`contracts/schemas/<type>.json`, an answer's `<type>.result.json`; AsyncAPI readers take `asyncapi.json`.

Every event travels as CloudEvents 1.0 structured JSON (`application/cloudevents+json`) with its type as routing key:
*public* ones on the exchange `{PUBLIC}`, which other company systems may subscribe to, *internal* ones on
`portal.internal`, for our services alone. An event carries the whole public state of its noun after the change;
`sequence` counts the noun's changes, so a reader keeps the state with the highest and ignores what comes late or twice.
Commands and questions go through the default exchange to the queue named like them and are answered with a result or
with a named refusal (RFC 9457, `application/problem+json`). A command sent again with its id gets its first reply.

Money is an integer of minor units beside an ISO 4217 currency, a time is UTC, a decimal is a string, ids are UUIDv7.
Readers ignore fields they do not know; commands and questions with unknown fields are refused.
"""


def messages_page() -> str:
    """The whole page."""
    parts = [HEAD, "## What is in it", *_contents(), *_envelopes(), *_refusals("message")]
    for owner in SERVICES:
        if any(noun.owner() == owner for noun in NOUNS.values()):
            parts += _owner(owner)
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _contents() -> Iterator[str]:
    for owner in SERVICES:
        names = [noun.__name__ for noun in NOUNS.values() if noun.owner() == owner]
        asked = [request.__name__ for request in REQUESTS.values() if request.owner() == owner]
        if names:
            links = ", ".join(f"[{name}](#{name.lower()})" for name in [*names, *asked])
            yield f"**[{owner}](#{owner})**: {links}"


def _envelopes() -> Iterator[str]:
    yield "## The envelope"
    yield "What every message has in common, first as an event, whole:"
    yield f"```json\n{_compact(event_example(next(iter(EVENTS.values()))))}\n```"
    for part in (EventEnvelope, RequestEnvelope, RequestData, Known, Actor, ReplyData):
        yield from _part(part)


def _refusals(module: str) -> Iterator[str]:
    """The refusals that a module of the contracts declares."""
    own = [refusal for refusal in Problem.known.values() if refusal.__module__.split(".")[1] == module]
    if own:
        rows = [f"| `{each.__name__}` | {each.status} | `{each.code()}` | {each.title} {_line(each)} |" for each in own]
        yield "### Refusals" if module != "message" else "### Refusals that any request may meet"
        yield "\n".join(["| refusal | status | `type` ends with | meaning |", "| --- | --- | --- | --- |", *rows])


def _line(of: type[Any]) -> str:
    return " ".join(_doc(of).split())


def _owner(owner: Service) -> Iterator[str]:
    yield f"## {owner}"
    nouns = [noun for noun in NOUNS.values() if noun.owner() == owner]
    for noun in nouns:
        yield from _noun(noun)
        for event in EVENTS.values():
            if event.of() is noun:
                yield from _event(event)
    parts = list(_parts([*nouns, *[event for event in EVENTS.values() if event.of().owner() == owner]]))
    for part in parts:
        yield from _part(part)
    requests = [request for request in REQUESTS.values() if request.owner() == owner]
    for request in requests:
        yield from _request(request)
    for part in _parts([*requests, *[request.result_type() for request in requests]]):
        if part not in parts and part not in nouns and part not in requests:
            yield from _part(part)
    yield from _refusals(owner)


def _noun(noun: type[State]) -> Iterator[str]:
    yield f"### {noun.__name__}"
    followers = ", ".join(f"{each} (queue `{follower_queue(each, noun)}`)" for each in noun.followed_by) or "nobody yet"
    yield f"Noun `{noun.noun}`, **{_publicity(noun)}**. Followed by {followers}."
    yield _doc(noun)
    yield _fields(noun)


def _part(part: type[BaseModel]) -> Iterator[str]:
    yield f"### {part.__name__}"
    yield _doc(part)
    yield _fields(part)


def _event(event: type[Event[Any]]) -> Iterator[str]:
    noun = event.of()
    yield f"#### {event.__name__}"
    yield f"Event `{event.wire_type}` (also its routing key), **{_publicity(noun)}**, announced by {noun.owner()}."
    yield f"Sent when: {_doc(event)}"
    listeners = [f"{each} (`{follower_queue(each, noun)}`)" for each in noun.followed_by]
    listeners += [f"{each} (`{fact_queue(each, event)}`)" for each in event.handled_by]
    carried = [
        f"`{name}`: {field.annotation.__name__}" for name, field in event.model_fields.items() if field.annotation
    ]
    yield f"Carries {', '.join(carried)}. Listening: {', '.join(listeners) or 'nobody yet'}."
    yield _folded("Example of its data", event_example(event)["data"])


def _request(request: type[Request[Any]]) -> Iterator[str]:
    kind = "Command" if request.stored else "Question"
    yield f"### {request.__name__}"
    yield f"{kind} `{request.wire_type}`, asked by {' and '.join(request.askers)}, queue `{request.queue()}`."
    yield _doc(request)
    yield _fields(request)
    if answered_with_json(request):
        yield f"Answered with {_type(schema_of(request.result_type()))}."
        result = request.result_type()
        is_noun = isinstance(result, type) and issubclass(result, State)  # nouns have their examples above
        example = {"body": request_example(request)} | ({} if is_noun else {"result": result_example(request)})
        yield _folded("Example", example)
    else:
        yield "Answered with a file: the reply's bytes, under the file's own content type, 5 MB at most."
        yield _folded("Example", {"body": request_example(request)})


def _publicity(noun: type[State]) -> str:
    return "public" if noun.exchange == PUBLIC else "internal"


def _doc(of: type[Any]) -> str:
    return inspect.getdoc(of) or ""


def _fields(model: type[BaseModel]) -> str:
    """A table of the model's fields."""
    schema = schema_of(model)
    # A model that refers to itself stands among the definitions too.
    properties = schema.get("properties") or schema.get("$defs", {}).get(model.__name__, {}).get("properties", {})
    secrets = {path[0] for path in secret_fields(model) if len(path) == 1}
    rows = ["| field | type | meaning |", "| --- | --- | --- |"]
    for name, field in model.model_fields.items():
        needed = "" if field.is_required() else f", optional{_default(properties[name])}"
        secret = ", **secret**" if name in secrets else ""
        rows.append(f"| `{name}` | {_type(properties[name])}{needed}{secret} | {_meaning(model, name)} |")
    return "\n".join(rows) if model.model_fields else "It has no fields."


def _default(property_: Schema) -> str:
    default = property_.get("default")
    return "" if default in (None, [], {}) else f" (`{json.dumps(default, ensure_ascii=False)}`)"


def _meaning(model: type[BaseModel], name: str) -> str:
    """What the field's docstring says, here or where the field was first declared."""
    for each in model.__mro__:
        field = getattr(each, "__pydantic_fields__", {}).get(name)
        if field is not None and field.description:
            return " ".join(field.description.split()).replace("|", "\\|")
    return ""


def _type(node: Schema) -> str:
    """A schema node in words, fit for a table's cell."""
    if "$ref" in node:
        name = node["$ref"].rsplit("/", 1)[1]
        if name == "JsonValue":
            return "anything"
        return f"[{name}](#{name.lower()})"
    if "title" in node and "properties" in node:
        return f"[{node['title']}](#{node['title'].lower()})"
    if "anyOf" in node:
        return " or ".join(_type(each) for each in node["anyOf"])
    if "const" in node or "enum" in node:
        return " \\| ".join(f"`{word}`" for word in node.get("enum", [node.get("const")]))
    match node.get("type"):
        case "array":
            return f"list of {_type(node['items'])}{_range(node, 'minItems', 'maxItems')}"
        case "object":
            return "object"
        case "integer":
            return f"integer{_range(node, 'minimum', 'maximum')}"
        case "string" if "format" in node:
            words = {"uuid": "UUID", "date-time": "time", "date": "date", "decimal": "decimal string"}
            return words.get(node["format"], str(node["format"])) + _range(node, "x-minimum", "x-maximum")
        case "string":
            pattern = f" like `{node['pattern']}`".replace("|", "\\|") if "pattern" in node else ""
            return f"text{_range(node, 'minLength', 'maxLength')}{pattern}"
        case other:
            return str(other or "anything")


def _range(node: Schema, low: str, high: str) -> str:
    at_least = f"≥ {node[low]}" if low in node else ""
    at_most = f"≤ {node[high]}" if high in node else ""
    return f" {at_least}{', ' if at_least and at_most else ''}{at_most}" if at_least or at_most else ""


def _parts(models: Iterable[Any]) -> Iterator[type[BaseModel]]:
    """The models that the fields of `models` are made of, each once, in the order in which they are met."""
    seen: list[type[BaseModel]] = []

    def walk(annotation: Any) -> None:
        for argument in get_args(annotation):
            walk(argument)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel) and annotation not in seen:
            seen.append(annotation)
            for field in annotation.model_fields.values():
                walk(field.annotation)

    given = list(models)
    for model in given:
        walk(model)
    return (each for each in seen if each not in given or not issubclass(each, State | Event | Request))


def _folded(title: str, value: Any) -> str:
    return f"<details><summary>{title}</summary>\n\n```json\n{_compact(value)}\n```\n\n</details>"


def _compact(value: Any, indent: int = 0) -> str:
    """JSON in which whatever fits on a line stands on one."""
    line = json.dumps(value, ensure_ascii=False)
    if len(line) + indent <= 110 or not isinstance(value, dict | list):
        return line
    space, close = " " * (indent + 2), " " * indent
    if isinstance(value, dict):
        inner = [f"{json.dumps(key)}: {_compact(each, indent + 2)}" for key, each in value.items()]
        return "{\n" + ",\n".join(space + each for each in inner) + f"\n{close}}}"
    return "[\n" + ",\n".join(space + _compact(each, indent + 2) for each in value) + f"\n{close}]"
