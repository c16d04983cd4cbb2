"""What goes wrong: each fault is a function that makes it happen under load, waits until it has, and heals it."""

import asyncio
import hashlib
import hmac
import json
import random
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import aiormq
import httpx
import psycopg

from chassis.amqp import Properties
from chassis.topology import LOG
from contracts.message import PUBLIC, SERVICES, Service
from local import rabbitmq
from local.portal_client import Json
from local.rabbitmq import user_of
from tests.chaos import earlier, made_up, points
from tests.chaos.customer import PATIENCE, Customer
from tests.chaos.invariants import Injected, dead_letters_of
from tests.chaos.load import Load
from tests.chaos.plant import HTTP, Plant, Process, stretched

FACTS = "notifications.on_payment_succeeded"
"""The queue that gets the poison: what it lets through is a mail."""
FROZEN_SECONDS = 10.0
"""More than twice the heartbeat of four seconds that the plant asks for, after which the broker gives a client up."""

CALM_SECONDS = 3.0
ASKED_AFTER_SECONDS = 5.0
"""After so long what no journey has led to is asked for."""
NOBODY_DIES_SECONDS = 15.0
"""After so long without a new death the points that are left are not on anybody's way."""


@dataclass
class Chaos:
    """One run: the plant, its load, and what was put in."""

    plant: Plant
    load: Load
    rng: random.Random
    injected: Injected = field(default_factory=Injected)
    wired: set[str] = field(default_factory=set)
    """The kill points that the run must have died at."""

    def progress(self, journeys: int = 3) -> None:
        """Until so many further commands were acknowledged: the system serves."""
        before = len(self.load.record.acknowledged)
        record = self.load.record

        def more() -> bool:
            assert len(record.broken) < 5, record.broken
            return len(record.acknowledged) >= before + journeys

        self.plant.until("commands acknowledged", more)


# --- kills ------------------------------------------------------------------------------------------------------------


def kill_points(chaos: Chaos, wanted: tuple[str, ...]) -> None:
    """Die once at each of these points (or patterns), in whichever replica comes there first."""
    chaos.plant.arm(*wanted)

    try:
        chaos.plant.until(f"death at {wanted}", lambda: not points.missing(set(wanted), chaos.plant.struck()))
    except AssertionError as late:
        late.add_note(f"died at {chaos.plant.struck()}")
        raise
    chaos.plant.arm()


def storm(chaos: Chaos) -> None:
    """kill -9 of services, one after the other and both of one at once."""
    for _ in range(6):
        service = chaos.rng.choice(SERVICES)
        for process in chaos.rng.sample(chaos.plant.replicas_of(service), chaos.rng.choice((1, 1, 2))):
            chaos.plant.kill(process.name)
        chaos.plant.let_run(chaos.rng.uniform(0.2, 1.0))
    chaos.plant.wait_ready()


def every_point(chaos: Chaos) -> None:
    """Die once at every point that the services' wiring has, and meanwhile at every other effect that a process has.

    It ends when all wired points have struck; or, without them all, when nobody has died for a while. Those that are
    missing at the run's end make it fail.
    """
    chaos.wired = points.expected(points.all_wired())
    chaos.plant.arm(*chaos.wired, *points.reached_aside())
    began = last = time.monotonic()
    missing, struck = chaos.wired, set[str]()
    asking = threading.Thread()
    while missing:
        chaos.plant.let_run(0.3)
        now, new = time.monotonic(), set(chaos.plant.struck()) - struck
        # Only what is new is looked at: there are hundreds of both.
        missing, struck = points.missing(missing, new), struck | new
        last = now if new else last
        if now - last > stretched(NOBODY_DIES_SECONDS):
            break
        if now - began > ASKED_AFTER_SECONDS and not asking.is_alive():
            asking = threading.Thread(target=_ask, args=(chaos.plant, missing), name="asking", daemon=True)
            asking.start()
    chaos.plant.arm()
    chaos.plant.wait_ready()


def _ask(plant: Plant, missing: set[str]) -> None:
    """Go where no journey leads."""
    with suppress(OSError, psycopg.Error, aiormq.AMQPError):
        made_up.ask_all(plant, made_up.asked_at(missing))
    time.sleep(0.5)


def relay_holder_killed(chaos: Chaos, services: tuple[Service, ...]) -> None:
    """kill -9 of the processes that relay: the stand-by takes over."""
    for service in services:
        holder = relay_holder(chaos.plant, service)
        chaos.plant.kill(holder.name)
        chaos.progress()
    chaos.plant.wait_ready()


def relay_holder(plant: Plant, service: str) -> Process:
    """The replica that moves the outbox now, by its own metric."""
    found: list[Process] = []

    def look() -> bool:
        for process in plant.replicas_of(service):
            with suppress(httpx.HTTPError):
                metrics = HTTP.get(f"http://127.0.0.1:{process.port}/metrics", timeout=5).text
                if "portal_relay_active 1.0" in metrics:
                    found.append(process)
        return bool(found)

    plant.until(f"a relay of {service}", look)
    return found[0]


def rabbitmq_killed(chaos: Chaos) -> None:
    """kill -9 of the broker under load, and back."""
    server = chaos.plant.ground.rabbitmq
    server.kill9()
    chaos.plant.let_run(1)
    server.restart()
    chaos.progress()


def postgres_killed(chaos: Chaos) -> None:
    """kill -9 of the database server under load, and back."""
    server = chaos.plant.ground.postgres
    server.kill9()
    chaos.plant.let_run(1)
    server.restart()
    chaos.progress()


def frozen(chaos: Chaos) -> None:
    """SIGSTOP of one replica, the one that relays, longer than its heartbeat: the others go on, its outbox too."""
    holder = relay_holder(chaos.plant, "billing")
    holder.signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        chaos.progress(6)
        chaos.plant.let_run(max(0.0, FROZEN_SECONDS - (time.monotonic() - began)))
    finally:
        holder.signal(signal.SIGCONT)
    chaos.plant.wait_ready()


def connections_cut(chaos: Chaos, commits: tuple[Service, ...], confirms: tuple[Service, ...]) -> None:
    """Between COMMIT and its reply, before a publish arrives, between it and its confirm, and all at once."""
    cut(chaos, [f"{service} database" for service in commits], "commit")
    for where in ("publish", "confirm"):
        for service in confirms:
            holder_is_wired(chaos, service)
        cut(chaos, [f"{service} amqp" for service in confirms], where)
    for proxy in chaos.plant.proxies.values():
        proxy.cut("now")
    chaos.progress()


def cut(chaos: Chaos, wires: Sequence[str], where: Any) -> None:
    """Cut each wire at that moment, and wait until it has happened."""
    before = {wire: chaos.plant.proxies[wire].cuts for wire in wires}
    for wire in wires:
        chaos.plant.proxies[wire].cut(where)
    chaos.plant.until(
        f"{wires} cut at {where}", lambda: all(chaos.plant.proxies[w].cuts > n for w, n in before.items())
    )


def holder_is_wired(chaos: Chaos, service: str) -> None:
    """Make the first replica the one that relays: only its wires can be cut."""
    while relay_holder(chaos.plant, service).name != f"{service}-1":
        chaos.plant.kill(f"{service}-2")
        chaos.plant.wait_ready()


def memory_alarm(chaos: Chaos) -> None:
    """The broker takes nothing from whoever publishes, until memory is there again."""
    watermark(chaos.plant, "0.0000001")
    try:
        chaos.plant.let_run(4)
    finally:
        watermark(chaos.plant, "0.4")
    chaos.progress()


def watermark(plant: Plant, fraction: str) -> None:
    """Set the broker's memory limit, as an operator would."""
    data = plant.ground.rabbitmq.data
    command = [str(data / "home" / "sbin" / "rabbitmqctl"), "-n", "portal@localhost"]
    command += ["set_vm_memory_high_watermark", fraction]
    environment = rabbitmq._environment(data, rabbitmq._ports(data))
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)


# --- messages ---------------------------------------------------------------------------------------------------------


def five_times(chaos: Chaos) -> None:
    """Events that were delivered come again, each five times at once."""
    asyncio.run(_again(chaos, times=5, most=20))


def shuffled(chaos: Chaos) -> None:
    """Everything in the log once more, in another order."""
    asyncio.run(_again(chaos, times=1, most=400))


async def _again(chaos: Chaos, *, times: int, most: int) -> None:
    bodies = await logged(chaos.plant.broker())
    chosen = bodies[-most:] * times
    chaos.rng.shuffle(chosen)
    async with publisher(chaos.plant, "identity") as identity, publisher(chaos.plant, "billing") as billing:
        by_owner = {"identity": identity, "billing": billing}
        sent = []
        for body in chosen:
            envelope = json.loads(body)
            owner = envelope["type"].split(".")[0]
            if owner in by_owner:
                sent.append(by_owner[owner](body, envelope["id"], exchange=PUBLIC, key=envelope["type"]))
        await asyncio.gather(*sent)


async def logged(url: str, most: int = 300) -> list[bytes]:
    """The first bodies in the log; the load goes on adding to it."""
    connection = await aiormq.connect(url)
    found: list[bytes] = []
    news = asyncio.Event()
    try:
        channel = await connection.channel()
        await channel.basic_qos(prefetch_count=500)

        async def take(message: aiormq.abc.DeliveredMessage) -> None:
            found.append(message.body)
            news.set()
            assert message.delivery_tag is not None
            await channel.basic_ack(message.delivery_tag)

        await channel.basic_consume(LOG, take, arguments={"x-stream-offset": "first"})
        while len(found) < most:
            news.clear()
            try:
                await asyncio.wait_for(news.wait(), 1)
            except TimeoutError:
                break
        return found[:most]
    finally:
        await connection.close()


@asynccontextmanager
async def publisher(plant: Plant, service: str) -> AsyncIterator[Callable[..., Awaitable[None]]]:
    """A connection as that service's broker user."""
    connection = await aiormq.connect(plant.broker(user_of(service)))
    channel = await connection.channel()

    async def publish(body: bytes, id_: str, *, exchange: str = "", key: str = FACTS, **headers: Any) -> None:
        properties = Properties(message_id=id_, user_id=user_of(service), delivery_mode=2, headers=headers)
        await channel.basic_publish(body, exchange=exchange, routing_key=key, properties=properties)

    try:
        yield publish
    finally:
        await connection.close()


def poison(chaos: Chaos) -> None:
    """Not JSON, wrong schema, unknown type, unknown version, forged, and one that always raises."""
    asyncio.run(_poison(chaos, successes(chaos)[0]))
    buried(chaos, "the poison")


def buried(chaos: Chaos, what: str) -> None:
    """Wait until whatever was injected to die lies with the dead."""
    wanted = set(chaos.injected.dead)

    def all_there() -> bool:
        return wanted <= {letter["properties"].get("message_id") for letter in dead_letters_of(chaos.plant)}

    chaos.plant.until(f"{what} to be dead", all_there)


async def _poison(chaos: Chaos, success: bytes) -> None:
    def envelope(kind: str = "billing.payment.succeeded.v1", **data: Any) -> bytes:
        said: dict[str, Any] = {
            "specversion": "1.0",
            "id": str(uuid.uuid4()),
            "type": kind,
            "source": "/billing",
            "subject": str(uuid.uuid4()),
            "time": datetime.now(UTC).isoformat(),
            "datacontenttype": "application/json",
            "merchantid": str(uuid.uuid4()),
            "sequence": 1,
            "correlationid": str(uuid.uuid4()),
            "actor": "system:billing",
            "data": data,
        }
        return json.dumps(said).encode()

    bad: dict[str, tuple[str, bytes, str]] = {
        "not-json": ("billing", b"\xff not json", "poison"),
        "wrong-schema": ("billing", envelope(state={"id": "nobody"}), "poison"),
        "unknown-type": ("billing", envelope("billing.payment.exploded.v1", state={}), "poison"),
        "unknown-version": ("billing", envelope("billing.payment.succeeded.v9", state={}), "poison"),
        "forged": ("todos", envelope(state={}), "forged"),
    }
    for name, (sender, body, reason) in bad.items():
        id_ = f"injected-{name}-{uuid.uuid4()}"
        chaos.injected.dead[id_] = reason
        async with publisher(chaos.plant, sender) as publish:
            await publish(body, id_)
    id_ = f"injected-raises-{uuid.uuid4()}"
    chaos.injected.dead[id_] = "exhausted"
    async with publisher(chaos.plant, "billing") as publish:
        await publish(raising(success), id_)


def raising(success: bytes) -> bytes:
    """A well-formed success of a payment of a customer that nobody knows, on an invoice without an address."""
    said: dict[str, Any] = json.loads(success)
    stranger = str(uuid.uuid4())
    said["id"] = str(uuid.uuid4())
    said["data"]["state"]["customer_id"] = stranger
    said["data"]["invoice"]["customer_id"] = stranger
    said["data"]["invoice"]["buyer"] = None
    return json.dumps(said).encode()


def killer_message(chaos: Chaos) -> None:
    """A message that kills every worker that takes it: the broker gives it up, its neighbours are handled."""
    id_ = f"{points.KILLER}-{uuid.uuid4()}"
    chaos.injected.dead[id_] = "delivery_limit"
    asyncio.run(_killer(chaos, id_, successes(chaos)))
    buried(chaos, "the killer")
    chaos.plant.wait_ready()


def successes(chaos: Chaos) -> list[bytes]:
    """The log's successes of payments, once there is one."""
    found: list[bytes] = []

    def look() -> bool:
        found[:] = [body for body in asyncio.run(logged(chaos.plant.broker())) if _is_success(body)]
        return bool(found)

    chaos.plant.until("a success of a payment in the log", look)
    return found


async def _killer(chaos: Chaos, id_: str, facts: list[bytes]) -> None:
    """The killer with ten events on either side that were handled before: dead letters if they die with it."""
    async with publisher(chaos.plant, "billing") as publish:
        for number in range(20):
            if number == 10:
                await publish(raising(facts[0]), id_)
            body = facts[number % len(facts)]
            await publish(body, json.loads(body)["id"])


def _is_success(body: bytes) -> bool:
    return bool(json.loads(body)["type"] == "billing.payment.succeeded.v1")


# --- Stripe and SMTP --------------------------------------------------------------------------------------------------


def stripe_misbehaves(chaos: Chaos, kinds: tuple[str, ...]) -> None:
    """The next checkout is hit by each kind of fault, one after another."""
    control = f"{chaos.plant.stripe}/_sandbox/faults"
    for kind in kinds:
        fault = {"kind": kind, "match": {"method": "POST", "path": "/v1/checkout/sessions"}, "times": 1}
        if kind == "hang":
            fault["seconds"] = 9.0
        HTTP.post(control, json=fault).raise_for_status()
        chaos.plant.until(f"{kind} to strike", lambda: not HTTP.get(control).json()["waiting"])


def webhooks_misbehave(chaos: Chaos, **behaviour: Any) -> None:
    """Before our commit, five times, reordered or never, until the given number of payments has gone through it."""
    control = f"{chaos.plant.stripe}/_sandbox/webhooks"
    before = len(chaos.load.record.paid)
    HTTP.post(control, json=behaviour).raise_for_status()
    chaos.plant.until(f"payments with {behaviour}", lambda: len(chaos.load.record.paid) >= before + 2)
    HTTP.post(control, json={}).raise_for_status()


def webhooks_forged(chaos: Chaos) -> None:
    """A signature that is not Stripe's, and one that is ten minutes old: refused, not stored."""
    for name, secret, age in (("forged", "whsec_of_somebody_else", 0), ("old", chaos.plant.webhook_secret, 600)):
        id_ = f"evt_{name}{chaos.rng.getrandbits(32)}"
        body = json.dumps({"id": id_, "object": "event", "type": "charge.succeeded", "data": {"object": {}}}).encode()
        moment = int(time.time()) - age
        signature = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
        headers = {"Stripe-Signature": f"t={moment},v1={signature}"}
        answer = HTTP.post(chaos.plant.webhooks, content=body, headers=headers)
        assert answer.status_code == 400, f"a {name} webhook was answered with {answer.status_code}"
        chaos.injected.refused_webhooks.append(id_)


def smtp_refuses(chaos: Chaos) -> None:
    """Nobody listens for three seconds; then 451 to two recipients."""
    for fault in ({"kind": "refuse", "seconds": 3}, {"kind": "rcpt_4xx", "times": 2}, {"kind": "data_4xx", "times": 1}):
        _smtp(chaos, fault)


def smtp_hangs_up(chaos: Chaos) -> None:
    """After the final dot: the receipt kept, lost, or refused for good. Nobody's journey needs a receipt."""
    rng = random.Random(chaos.rng.random())
    customer = Customer(chaos.plant, chaos.load.admin, chaos.load.record, rng)
    aside(chaos, customer.sign_up)
    for kind in ("cut", "cut_lost", "data_5xx"):
        invoice = aside(chaos, lambda: customer.link(send_email=False))
        fault = {"kind": kind, "times": 1, "to": customer.email}
        HTTP.post(f"{chaos.plant.mailbox}/_faults", json=fault).raise_for_status()
        aside(chaos, lambda paid=invoice: customer.pay(paid))  # type: ignore[misc]  # mypy does not infer a lambda's defaults
        _until_no_smtp_fault(chaos, kind)


def _smtp(chaos: Chaos, fault: dict[str, Any]) -> None:
    HTTP.post(f"{chaos.plant.mailbox}/_faults", json=fault).raise_for_status()
    _until_no_smtp_fault(chaos, fault["kind"])


def _until_no_smtp_fault(chaos: Chaos, kind: str) -> None:
    url = f"{chaos.plant.mailbox}/_faults"
    chaos.plant.until(f"{kind} to strike", lambda: not HTTP.get(url).json())


def aside(chaos: Chaos, work: Callable[[], Any]) -> Any:
    """Do it in a thread while the plant is tended from this one."""
    results: list[Any] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as failed:  # noqa: BLE001 - raised again by who waits
            failures.append(failed)

    thread = threading.Thread(target=run, name="aside", daemon=True)
    thread.start()
    chaos.plant.until("a customer's step", lambda: not thread.is_alive(), PATIENCE + 30)
    if failures:
        raise failures[0]
    return results[0]


def together(chaos: Chaos, wrongs: Sequence[Callable[[Chaos], None]]) -> None:
    """Several faults at once: they wait more than they work."""
    with ThreadPoolExecutor(len(wrongs)) as pool:
        done = [pool.submit(each, replace(chaos, rng=random.Random(chaos.rng.random()))) for each in wrongs]
        try:
            chaos.plant.until("all of them", lambda: all(each.done() for each in done), PATIENCE)
        finally:
            # Whoever else waits goes on tending until its own time is over.
            for each in done:
                each.cancel()
    for each in done:
        each.result()


# --- deploys ----------------------------------------------------------------------------------------------------------


def rolling_restart(chaos: Chaos) -> None:
    """The first replica of every service at once, then the second, told to end and started anew: no request fails."""
    calm(chaos)
    began = time.monotonic()
    before = len(chaos.load.record.acknowledged)
    for number in range(chaos.plant.replicas):
        restart(chaos, [chaos.plant.replicas_of(service)[number] for service in SERVICES])
    failed = [what for at, what in chaos.load.record.failed if at >= began]
    assert not failed, f"{len(failed)} requests failed during a rolling restart: {failed[:3]}"
    assert len(chaos.load.record.acknowledged) > before, "nothing was asked during the rolling restart"


def restart(chaos: Chaos, processes: list[Process]) -> None:
    """As a deploy does: the balancer sends them nothing more, then they are told to end, then they get work again."""
    behind = [(door, each) for door in chaos.plant.doors.values() for each in processes if each.port in door.targets]
    for door, process in behind:
        door.targets.remove(process.port)
    # Stripe keeps its connection to billing open between webhooks, and posts again what was cut.
    idle = [(door, each) for door, each in behind if each.name.startswith("gateway")]
    chaos.plant.until("idleness", lambda: not any(door.open[each.port] for door, each in idle))
    starts = {each.name: each.starts for each in processes}
    for process in processes:
        process.signal(signal.SIGTERM)
    chaos.plant.until("them to start again", lambda: all(each.starts > starts[each.name] for each in processes))
    chaos.plant.wait_ready()
    for door, process in behind:
        door.targets.append(process.port)


def calm(chaos: Chaos) -> None:
    """Until what earlier faults left behind is over: no request has failed for three seconds, and some were answered."""
    record = chaos.load.record

    def quiet() -> bool:
        return not record.failed or time.monotonic() - record.failed[-1][0] > CALM_SECONDS

    chaos.plant.until("calm", quiet)
    chaos.progress()


def old_messages_queued(chaos: Chaos) -> None:
    """Two services are away while their queues fill; the new ones find what an earlier release has sent."""
    names: tuple[Service, ...] = ("notifications", "todos")
    away = [process for service in names for process in chaos.plant.replicas_of(service)]
    for process in away:
        process.wanted = False
        process.signal(signal.SIGTERM)
    chaos.plant.until("them to end", lambda: not any(process.alive for process in away))
    customer = Customer(chaos.plant, chaos.load.admin, chaos.load.record, random.Random(chaos.rng.random()))
    aside(chaos, customer.register)
    invoice = aside(chaos, lambda: customer.link(send_email=True))
    chaos.plant.until("their events to be queued", lambda: not unsent(chaos.plant, customer.customer, invoice))
    queued = asyncio.run(earlier.resend(chaos.plant, names))
    expected = {"notifications.on_link_email_requested", "notifications.customer", "todos.customer", "todos.invoice"}
    missing = expected - {queue for queue, _ in queued}
    assert not missing, f"nothing was waiting in {sorted(missing)}"
    chaos.injected.earlier.update(queued)
    for process in away:
        process.wanted = True
    chaos.plant.wait_ready()


def unsent(plant: Plant, *things: Json) -> int:
    """How many events of these things wait in their owners' outboxes."""
    count = 0
    for service in ("identity", "billing"):
        with psycopg.connect(plant.database(service)) as connection:
            sql = "SELECT count(*) FROM outbox WHERE subject = ANY(%s)"
            row = connection.execute(sql, ([str(each["id"]) for each in things],)).fetchone()
            count += row[0] if row else 0
    return count


Fault = Callable[[Chaos], None]
