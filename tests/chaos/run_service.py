"""`python -m tests.chaos.run_service <service>`: the real service, with a hand on every way in which it acts on the world.

Nothing here exists in production: each choke point of chassis, stripe_gateway and mailer is wrapped before the service's
own `main` runs. $PORTAL_TEST_MARKS is the folder of marks, $PORTAL_TEST_KILL_AT names kill points (see `points`),
$PORTAL_TEST_SABOTAGE switches one safeguard off, $PORTAL_TEST_HASTE=1 shortens what an hour-long fault would need.
"""

import os
import re
import runpy
import signal
import sys
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import aio_pika
from pydantic_core import to_json

from chassis import amqp, consumers, database, deliveries, listeners, requests, topology
from chassis import schedules as chassis_schedules
from chassis.service import Runtime
from contracts.message import INTERNAL, PUBLIC
from tests.chaos import points, sabotage

_WRITES = re.compile(r"\s*(INSERT|UPDATE|DELETE)\b|\s*WITH\b.*\b(INSERT INTO|UPDATE|DELETE FROM)\b", re.DOTALL)
_ID = re.compile(r"/(cs|pi|cus|ch|evt)_\w+")


def main(service: str) -> None:
    """Wrap, then run the service as `python -m services.<service>` would."""
    killer = points.Killer(service, Path(os.environ["PORTAL_TEST_MARKS"]), os.environ.get("PORTAL_TEST_KILL_AT", ""))
    _label(killer)
    _wrap_database(killer)
    _wrap_witness()
    _wrap_broker(killer)
    _wrap_killer_message()
    _wrap_deliveries(killer)
    if service == "billing":
        _wrap_stripe(killer)
    if service == "notifications":
        _wrap_smtp(killer)
    if os.environ.get("PORTAL_TEST_HASTE"):
        _make_haste(service)
    if off := os.environ.get("PORTAL_TEST_SABOTAGE"):
        sabotage.SWITCHES[off]()
    runpy.run_module(f"services.{service}", run_name="__main__", alter_sys=False)


def _around(killer: points.Killer, owner: Any, name: str, moment: str, what: Callable[..., str | None]) -> None:
    """Put a pair of points around an async method; `what` names it from its arguments, None: nothing of interest."""
    original = getattr(owner, name)

    async def wrapped(*args: Any, **kwargs: Any) -> Any:
        named = what(*args, **kwargs)
        if named is None:
            return await original(*args, **kwargs)
        killer.passing(f"before-{moment}", named)
        result = await original(*args, **kwargs)
        killer.passing(f"after-{moment}", named)
        return result

    setattr(owner, name, wrapped)


def _label(killer: points.Killer) -> None:
    """Say what is under way: a message by its queue, a schedule and a worker by its name."""

    def labelled(owner: Any, name: str, what: Callable[..., str]) -> None:
        original = getattr(owner, name)

        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            with points.handling(what(*args, **kwargs)):
                return await original(*args, **kwargs)

        setattr(owner, name, wrapped)

    labelled(consumers.Consumers, "_answer", lambda _self, delivery: delivery.queue)
    labelled(listeners.FactListener, "take", lambda _self, delivery: delivery.queue)
    labelled(listeners.FollowerListener, "take", lambda _self, delivery: delivery.queue)
    labelled(listeners.FollowerListener, "_batch", lambda _self, batch: batch[0][0].queue)
    restarting = Runtime._restarting

    async def named(name: str, work: Any) -> None:
        with points.handling(name):
            await restarting(name, work)

    Runtime._restarting = staticmethod(named)  # type: ignore[method-assign]  # that is what a launcher for tests is for


def _wrap_database(killer: points.Killer) -> None:
    transaction = database.Database.transaction

    @asynccontextmanager
    async def dangerous(self: database.Database, cause: database.Cause) -> AsyncIterator[database.Tx]:
        what = points.numbered()
        async with transaction(self, cause) as tx:
            yield tx
            killer.passing("before-commit", what)
        killer.passing("after-commit", what)

    database.Database.transaction = dangerous  # type: ignore[method-assign]  # as above

    def statement(_self: Any, sql: str, *_: Any) -> str | None:
        if not _WRITES.match(sql):
            return None
        # 0 is this function, 1 `wrapped`, 2 the function of the store that wrote the statement.
        return f"{points.current()} {sys._getframe(2).f_code.co_name}"

    for name in ("fetch", "fetchrow", "fetchval", "execute"):
        _around(killer, database.Database, name, "write", statement)


def _wrap_witness() -> None:
    """Write down, in the same transaction, what each transaction announced and which effects it had: a second opinion."""
    flush = database.Tx.flush

    async def witnessed(self: database.Tx) -> None:
        if self.announced:
            await self.executemany(
                "INSERT INTO chaos_announced (id, type, subject, sequence, state) VALUES ($1, $2, $3, $4, $5::jsonb)",
                [(e.id, e.type, e.subject, e.sequence, to_json(e.data["state"]).decode()) for e in self.announced],
            )
        await flush(self)

    database.Tx.flush = witnessed  # type: ignore[method-assign]  # as above
    store = requests._store

    async def stored(tx: database.Tx, request: Any, *args: Any) -> Any:
        await tx.execute("INSERT INTO chaos_effect (handler, message) VALUES ($1, $2)", request.type, _key(request))
        return await store(tx, request, *args)

    requests._store = stored  # type: ignore[assignment]  # as above
    init = listeners.FactListener.__init__

    def with_witness(self: Any, db: Any, event: Any, handler: Any, *args: Any) -> None:
        async def seen(tx: database.Tx, said: Any) -> None:
            await handler(tx, said)
            await tx.execute(
                "INSERT INTO chaos_effect (handler, message) VALUES ($1, $2)",
                f"on {event.wire_type}",
                tx.cause.message_id,
            )

        init(self, db, event, seen, *args)

    listeners.FactListener.__init__ = with_witness  # type: ignore[method-assign, assignment]  # as above


def _key(request: Any) -> str:
    return f"{request.merchantid} {request.actor} {request.id}"


def _wrap_broker(killer: points.Killer) -> None:
    publish = amqp.Link.publish

    async def published(self: amqp.Link, body: bytes, *, exchange: str, routing_key: str, **rest: Any) -> None:
        if exchange in (PUBLIC, INTERNAL):
            moment, what = "publish", routing_key
        elif exchange:
            moment, what = "forward", exchange
        else:
            moment, what = "ask" if rest["properties"].reply_to else "republish", routing_key
        killer.passing(f"before-{moment}", what)
        await publish(self, body, exchange=exchange, routing_key=routing_key, **rest)
        killer.passing(f"after-{moment}", what)

    amqp.Link.publish = published  # type: ignore[method-assign]  # as above
    _around(killer, amqp.Link, "publish_fast", "reply", lambda *_args, **_kwargs: points.current())
    _around(killer, aio_pika.IncomingMessage, "ack", "ack", lambda *_args, **_kwargs: points.current())


def _wrap_killer_message() -> None:
    """Let a message that says so kill whoever takes it, as one that makes a library crash would."""
    take = listeners.FactListener.take

    async def deadly(self: listeners.FactListener, delivery: deliveries.Delivery) -> None:
        if delivery.message_id.startswith(points.KILLER):
            os.kill(os.getpid(), signal.SIGKILL)
        await take(self, delivery)

    listeners.FactListener.take = deadly  # type: ignore[method-assign]  # as above


def _wrap_deliveries(killer: points.Killer) -> None:
    """Die at no point beside a message that was there at several deaths: in a day of outages it would see as many."""
    made = deliveries.Delivery

    def taken(*args: Any, **kwargs: Any) -> deliveries.Delivery:
        delivery = made(*args, **kwargs)
        if delivery.deaths >= points.SPARED:
            killer.carried.add(id(delivery))
            weakref.finalize(delivery, killer.carried.discard, id(delivery))
        return delivery

    vars(consumers)["Delivery"] = taken


def _wrap_stripe(killer: points.Killer) -> None:
    import stripe

    def call(_self: Any, method: str, url: str, *_: Any, **__: Any) -> str:
        return f"{method.upper()} {_ID.sub('/:id', url.partition('?')[0].partition('/v1')[2])}"

    _around(killer, stripe.HTTPXClient, "request_async", "stripe", call)


def _wrap_smtp(killer: points.Killer) -> None:
    mailer = import_module("services.notifications.mailer")
    _around(killer, mailer, "_body", "smtp", lambda *_: "the final dot")
    _around(killer, mailer.Mailer, "_envelope", "smtp", lambda *_: "the envelope")


def _make_haste(service: str) -> None:
    """Shorten waits that are minutes in production. Orders of magnitude stay: a lease is longer than what it covers."""
    for module in (topology, deliveries):
        _shorten(module, RETRY_SECONDS=(1, 2))
    seconds = {"billing.reconcile": 3, "billing.look_at_methods": 3, "find_abandoned": 2}
    keep = chassis_schedules.keep

    async def kept(runtime: Runtime, schedule: chassis_schedules.Schedule) -> None:
        every = timedelta(seconds=seconds.get(schedule.name, schedule.every.total_seconds()))
        await keep(runtime, chassis_schedules.Schedule(schedule.name, every, schedule.run))

    chassis_schedules.keep = kept
    if service == "billing":
        _make_billing_haste()
    if service == "notifications":
        _shorten("services.notifications.domain", PAUSES=(timedelta(seconds=1),) * 40)
        _shorten("services.notifications.schedules", PREPARING=timedelta(seconds=8), SENDING=timedelta(seconds=8))
    if service == "identity":
        # Each start makes a hash, and the processor is what a run waits for.
        passwords = import_module("services.identity.security").Passwords
        passwords.__init__.__kwdefaults__ |= {"memory_kib": 1024, "passes": 1}


def _make_billing_haste() -> None:
    a_command = timedelta(seconds=12)  # its own 10 s and a little; after a stored 500 its effect may come so long
    a_call = timedelta(seconds=9)  # its 8 s and a little
    for name in ("attempts", "refunds", "methods"):
        _shorten(f"services.billing.schedules.{name}", _LET_BE=a_command)
    _shorten("services.billing.webhooks.worker", _LEASE=a_call, _LONGEST_REST=timedelta(seconds=4))
    for name in ("client", "wallets"):
        _shorten(f"services.billing.stripe_gateway.{name}", _STILL_UNDER_WAY=a_command)
    _shorten("services.billing.schedules.charging", _LEASE=a_call, _SURELY_OVER=a_command)
    _shorten("services.billing.schedules.renewing", _BETWEEN=timedelta(seconds=4), _AFTER_TROUBLE=timedelta(seconds=2))


def _shorten(module: ModuleType | str, **constants: object) -> None:
    names = vars(import_module(module) if isinstance(module, str) else module)
    assert constants.keys() <= names.keys(), f"{module} has no {sorted(constants.keys() - names.keys())} any more"
    names.update(constants)


if __name__ == "__main__":
    service_name = sys.argv.pop(1)
    main(service_name)
