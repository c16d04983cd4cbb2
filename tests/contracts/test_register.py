"""The register of messages: names that cannot collide, owners that are who they say, secrets that do not travel."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from contracts.book.examples import CHANGES, FURTHER_DATA, STATES, event_example, request_example, result_example
from contracts.book.schemas import OWNERS, answered_with_json
from contracts.message import (
    EVENTS,
    INTERNAL,
    NOUNS,
    PUBLIC,
    REQUESTS,
    SERVICES,
    Event,
    EventEnvelope,
    Problem,
    Request,
    State,
    fact_queue,
    follower_queue,
    republished_type,
    secret_fields,
)

every_event = pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
every_noun = pytest.mark.parametrize("noun", NOUNS.values(), ids=NOUNS)
every_request = pytest.mark.parametrize("request_type", REQUESTS.values(), ids=REQUESTS)


def repeated(names: list[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


def test_no_two_queues_have_one_name() -> None:
    followers = [follower_queue(service, noun) for noun in NOUNS.values() for service in noun.followed_by]
    facts = [fact_queue(service, event) for event in EVENTS.values() for service in event.handled_by]
    asked = [request.queue() for request in REQUESTS.values()]
    dead = [f"{service}.dead" for service in SERVICES]
    assert repeated([*followers, *facts, *asked, *dead]) == []


def test_no_two_messages_have_one_type_or_one_class_name() -> None:
    republished = [republished_type(noun) for noun in NOUNS.values()]
    assert repeated([*EVENTS, *REQUESTS, *republished]) == []
    assert repeated([each.__name__ for each in (*NOUNS.values(), *EVENTS.values(), *REQUESTS.values())]) == []


def test_no_two_refusals_have_one_name() -> None:
    def subclasses(of: type[Problem]) -> list[type[Problem]]:
        return [each for child in of.__subclasses__() for each in (child, *subclasses(child))]

    ours = [each for each in subclasses(Problem) if each.__module__.startswith("contracts.")]
    assert repeated([each.code() for each in ours]) == []
    assert {each.code(): each for each in ours}.items() <= Problem.known.items()


@every_event
def test_an_events_noun_is_its_types_prefix_and_its_owner_the_room_it_stands_in(event: type[Event[Any]]) -> None:
    owner, noun, _fact, _version = event.wire_type.split(".")
    assert event.of().noun == f"{owner}.{noun}"
    assert event.__module__.split(".")[1] == owner
    assert event.of().exchange in {PUBLIC, INTERNAL}


@every_event
def test_every_promised_event_is_sent_by_its_owner(event: type[Event[Any]]) -> None:
    sources = (Path(__file__).parents[2] / "services" / event.of().owner()).rglob("*.py")
    assert any(re.search(rf"\b{event.__name__}\b", source.read_text()) for source in sources)


@every_request
def test_a_request_stands_in_its_owners_room_and_is_not_asked_by_its_owner(request_type: type[Request[Any]]) -> None:
    assert request_type.__module__.split(".")[1] == request_type.owner()
    assert request_type.askers
    assert request_type.owner() not in request_type.askers


@every_noun
def test_an_owner_does_not_follow_itself_and_every_follower_may_ask_for_the_noun_again(noun: type[State]) -> None:
    assert noun.owner() not in noun.followed_by
    republish = REQUESTS[f"{noun.owner()}.republish.v1"]
    assert set(noun.followed_by) <= set(republish.askers)
    republish.model_validate({"noun": noun.short_name(), "to": "gateway"})


def test_no_two_nouns_that_one_service_follows_share_a_copy() -> None:
    for service in SERVICES:
        assert repeated([noun.short_name() for noun in NOUNS.values() if service in noun.followed_by]) == []


@every_event
def test_no_event_carries_a_secret(event: type[Event[Any]]) -> None:
    assert list(secret_fields(event)) == []


@every_request
def test_no_stored_reply_holds_a_secret(request_type: type[Request[Any]]) -> None:
    if request_type.stored:
        assert list(secret_fields(request_type.result_type())) == []


@pytest.mark.parametrize("owner", OWNERS, ids=lambda owner: owner.__name__)
def test_every_message_says_what_it_is(owner: Any) -> None:
    declared = [each for each in vars(owner).values() if getattr(each, "__module__", "").startswith(owner.__name__)]
    silent = [each.__name__ for each in declared if isinstance(each, type) and "__doc__" not in vars(each)]
    assert silent == []


@every_event
def test_an_events_example_is_one(event: type[Event[Any]]) -> None:
    example = event_example(event)
    envelope = EventEnvelope.model_validate(example)
    parsed = event.model_validate(envelope.data)
    assert (envelope.type, envelope.sender) == (event.wire_type, event.of().owner())
    assert (envelope.subject, envelope.merchantid) == (str(parsed.state.id), parsed.state.merchant_id)
    assert example == event_example(event)


@every_request
def test_a_requests_example_is_one(request_type: type[Request[Any]]) -> None:
    request_type.model_validate(request_example(request_type))
    if answered_with_json(request_type):
        TypeAdapter(request_type.result_type()).validate_python(result_example(request_type))


def test_no_example_is_left_over_from_a_message_that_is_gone() -> None:
    assert set(STATES) <= set(NOUNS)
    assert set(CHANGES) | set(FURTHER_DATA) <= set(EVENTS)


def test_the_example_of_a_paid_invoice_adds_up() -> None:
    invoice = event_example(EVENTS["billing.invoice.paid.v1"])["data"]["state"]
    line = invoice["lines"][0]
    assert float(line["quantity"]) * line["unit_amount"] == line["amount"] == invoice["subtotal"] == 20000
    assert invoice["subtotal"] + invoice["tax"] == invoice["total"] == invoice["amount_paid"] == 23800
    assert (invoice["status"], invoice["amount_due"]) == ("paid", 0)
