"""Asks what no journey asks: every other command and question, with a body made up from its schema.

Most are refused, for nobody has heard of what they name. That is enough to die at: a refusal is decided, stored and
answered on the same way as a success. What succeeds is a command like any other. So a new command has its kill points
struck without anybody doing anything; to have its success struck, give it a step in `load`.
"""

import asyncio
import re
from collections.abc import Iterable
from contextlib import AsyncExitStack, suppress
from typing import Any
from uuid import UUID, uuid4

import psycopg

from chassis.clock import Clock
from chassis.database import Cause
from chassis.rpc import RpcClient
from contracts.message import NOUNS, REQUESTS, Actor, MerchantId, Problem, Request, Service, follower_queue
from local.rabbitmq import user_of
from tests.chaos.plant import Plant, stretched

_DATES = {"date": "2030-01-31", "date-time": "2030-01-31T12:00:00Z"}
_ANSWERED_WITHIN = 5.0
"""Seconds, on a quiet machine: long enough for those to ask anew who die of it one after another."""


def ask_all(plant: Plant, requests: list[Request[Any]]) -> None:
    """Ask each once, as one that may; what is answered does not matter."""
    asyncio.run(_ask_all(plant, requests))


async def _ask_all(plant: Plant, requests: list[Request[Any]]) -> None:
    with psycopg.connect(plant.database("identity")) as connection:
        row = connection.execute("SELECT id FROM merchant").fetchone()
    assert row is not None, "The plant makes its merchant."
    async with AsyncExitStack() as stack:
        clients: dict[Service, RpcClient] = {}
        for asker in {request.askers[0] for request in requests}:
            clients[asker] = RpcClient(plant.broker(user_of(asker)), asker, Clock())
            await stack.enter_async_context(clients[asker].link)
        await asyncio.gather(*(_ask(clients[each.askers[0]], each, MerchantId(row[0])) for each in requests))


async def _ask(client: RpcClient, request: Request[Any], merchant_id: MerchantId) -> None:
    actor = Actor(kind="member", id=UUID(int=1), name="Nobody", role="owner", merchant_id=merchant_id)
    cause = Cause(actor, merchant_id, str(uuid4()), str(uuid4()))
    with suppress(Problem):
        await client.ask(request, cause, timeout=stretched(_ANSWERED_WITHIN))


def made_up(schema: dict[str, Any], whole: dict[str, Any] | None = None) -> Any:
    """A value that fits a JSON schema as pydantic writes it, with no more than it demands."""
    whole = whole or schema
    if "$ref" in schema:
        return made_up(whole["$defs"][schema["$ref"].rsplit("/", 1)[-1]], whole)
    for value in (schema.get("const"), schema.get("default"), *schema.get("enum", ()), *schema.get("examples", ())):
        if value is not None:
            return value
    for other in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        return made_up(other, whole)
    match schema.get("type"):
        case "object":
            return {name: made_up(schema["properties"][name], whole) for name in schema.get("required", ())}
        case "array":
            return [made_up(schema["items"], whole) for _ in range(schema.get("minItems", 0))]
        case "integer" | "number":
            return max(schema.get("minimum", 1), schema.get("exclusiveMinimum", 0) + 1)
        case "boolean":
            return False
        case "string":
            return _string(schema)
    return None


def _string(schema: dict[str, Any]) -> str:
    if schema.get("format") == "uuid":
        return str(uuid4())
    if schema.get("format") in _DATES:
        return _DATES[schema["format"]]
    long_enough = "1" * max(schema.get("minLength", 1), 1)
    words = (long_enough, "EUR", "/", "DE", "en", "Europe/Berlin", "#112233", f"nobody.{uuid4().hex}@example.com")
    return next(word for word in words if re.search(schema.get("pattern", ""), word))


def asked_at(points: Iterable[str]) -> list[Request[Any]]:
    """What leads to these points: the commands and questions themselves; for a follower, its noun's rows once more."""
    queues = {point.split(":", 2)[2].partition("#")[0] for point in points}
    kinds = [kind for kind in REQUESTS.values() if kind.queue() in queues]
    requests = [kind.model_validate(made_up(kind.model_json_schema())) for kind in kinds]
    for state in NOUNS.values():
        republish = REQUESTS.get(f"{state.owner()}.republish.v1")
        if republish is not None:
            followers = [each for each in state.followed_by if follower_queue(each, state) in queues]
            requests += [republish.model_validate({"noun": state.short_name(), "to": each}) for each in followers]
    return requests
