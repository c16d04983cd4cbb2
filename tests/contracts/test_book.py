"""The generated documents: nothing missing, nothing dangling, valid AsyncAPI 3."""

import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from faststream.specification.asyncapi.v3_0_0.schema import ApplicationSchema

from contracts.book.asyncapi import asyncapi_document
from contracts.book.pages import messages_page
from contracts.message import EVENTS, NOUNS, REQUESTS, fact_queue, follower_queue


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return asyncapi_document()


@pytest.fixture(scope="module")
def page() -> str:
    return messages_page()


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for each in node.values():
            yield from references(each)
    elif isinstance(node, list):
        for each in node:
            yield from references(each)


def resolve(document: Any, reference: str) -> Any:
    assert reference.startswith("#/")
    for step in reference[2:].split("/"):
        document = document[step]
    return document


def section(page: str, heading: str) -> str:
    """What stands under a heading, up to the next of any level."""
    return page.split(f"# {heading}\n", 1)[1].split("\n#", 1)[0]


def test_the_document_fits_the_models_of_asyncapi_3(document: dict[str, Any]) -> None:
    # The JSON schema that AsyncAPI publishes is no package's; FastStream's models of version 3 are what is installed.
    parsed = ApplicationSchema.model_validate(document)
    assert parsed.asyncapi == "3.0.0"
    assert len(parsed.channels) == len(EVENTS) + 2 * len(REQUESTS)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    found = list(references(document))
    assert len(found) > 500
    for each in found:
        resolve(document, each)


def test_an_operations_messages_are_its_channels(document: dict[str, Any]) -> None:
    # AsyncAPI 3.0, Operation Object: every message must be one of the channel's, by reference into the channel.
    for operation in document["operations"].values():
        for part in (operation, operation.get("reply", operation)):
            channel = part["channel"]["$ref"]
            assert all(each["$ref"].startswith(f"{channel}/messages/") for each in part["messages"])


def test_names_of_components_are_ones_that_asyncapi_allows(document: dict[str, Any]) -> None:
    # AsyncAPI 3.0, Components Object.
    for names in document["components"].values():
        assert [name for name in names if not re.fullmatch(r"[a-zA-Z0-9._-]+", name)] == []


def test_every_event_example_fits_its_payload(document: dict[str, Any]) -> None:
    for type_ in EVENTS:
        message = document["components"]["messages"][type_]
        schema = {**message["payload"], "components": document["components"]}
        jsonschema.Draft202012Validator(schema).validate(message["examples"][0]["payload"])


def test_an_event_of_another_type_does_not_fit(document: dict[str, Any]) -> None:
    message = document["components"]["messages"]["billing.invoice.paid.v1"]
    schema = {**message["payload"], "components": document["components"]}
    example = message["examples"][0]["payload"]
    for wrong in ({**example, "type": "billing.invoice.voided.v1"}, {**example, "data": {"state": {}}}):
        assert not jsonschema.Draft202012Validator(schema).is_valid(wrong)


def test_the_events_of_public_nouns_stand_on_the_public_exchange(document: dict[str, Any]) -> None:
    def exchange(type_: str) -> str:
        return str(document["channels"][type_]["bindings"]["amqp"]["exchange"]["name"])

    assert exchange("billing.invoice.paid.v1") == "portal.events"
    assert exchange("todos.todo.done.v1") == "portal.internal"


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_the_page_says_of_an_event_who_listens_where(page: str, event: Any) -> None:
    text = section(page, event.__name__)
    assert f"`{event.wire_type}`" in text
    assert f"announced by {event.of().owner()}" in text
    assert ("**public**" in text) == (event.of().exchange == "portal.events")
    for service in event.of().followed_by:
        assert f"{service} (`{follower_queue(service, event.of())}`)" in text
    for service in event.handled_by:
        assert f"{service} (`{fact_queue(service, event)}`)" in text
    assert "```json" in text


@pytest.mark.parametrize("request_type", REQUESTS.values(), ids=REQUESTS)
def test_the_page_says_of_a_request_who_asks_and_what_it_holds(page: str, request_type: Any) -> None:
    text = section(page, request_type.__name__)
    assert f"asked by {' and '.join(request_type.askers)}, queue `{request_type.queue()}`" in text
    for name in request_type.model_fields:
        assert f"| `{name}` |" in text
    assert "Answered with" in text


@pytest.mark.parametrize("noun", NOUNS.values(), ids=NOUNS)
def test_the_page_lists_a_nouns_fields(page: str, noun: Any) -> None:
    text = section(page, noun.__name__)
    for name in noun.model_fields:
        assert f"| `{name}` |" in text


@pytest.mark.parametrize("noun", NOUNS.values(), ids=NOUNS)
def test_the_page_says_of_a_nouns_every_field_what_it_means(page: str, noun: Any) -> None:
    rows = [line for line in section(page, noun.__name__).splitlines() if line.startswith("| `")]
    assert len(rows) == len(noun.model_fields)
    assert [row for row in rows if not row.split(" | ")[-1].rstrip(" |")] == []


def test_the_page_marks_secrets(page: str) -> None:
    assert "| `password` | text, **secret** |" in section(page, "SignIn")


def test_every_link_within_the_page_leads_to_a_heading(page: str) -> None:
    headings = {heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", page, re.MULTILINE)}
    targets = set(re.findall(r"\]\(#([^)]*)\)", page))
    assert len(targets) > 40
    assert targets - headings == set()


def test_the_page_writes_a_refusal_down(page: str) -> None:
    assert "| `InvoiceAlreadyPaid` | 409 | `invoice-already-paid` |" in page
