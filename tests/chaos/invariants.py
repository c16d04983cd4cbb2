"""What must hold when everything has been healed: read from the databases, the sandbox's files, the mails and the stream.

Nothing here goes through our API. Each check says how much it looked at, so that an empty run cannot pass for a good one.
"""

import asyncio
import json
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import aiormq
import psycopg
from psycopg.rows import dict_row

from chassis.topology import LOG, all_names, dead_queue, followed_nouns, handled_events
from contracts.message import EVENTS, NOUNS, PUBLIC, SERVICES, State
from tests.chaos.customer import Record
from tests.chaos.load import mails
from tests.chaos.plant import Plant, stretched

Row = dict[str, Any]


@dataclass
class Check:
    """One invariant: `count` things looked at, and what is wrong with some of them."""

    name: str
    count: int
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        verdict = "ok" if not self.wrong else f"{len(self.wrong)} WRONG: {'; '.join(self.wrong[:4])}"
        return f"{self.name:<58} {self.count:>6}  {verdict}"


@dataclass
class Injected:
    """What the run itself put in: those messages end with the dead, by message id with the reason."""

    dead: dict[str, str] = field(default_factory=dict)
    refused_webhooks: list[str] = field(default_factory=list)
    earlier: set[tuple[str, str]] = field(default_factory=set)
    """Queues and message ids of what was sent as an earlier release would have sent it."""


class Databases:
    """One connection to each service's database: books are read again and again, and to connect costs more than to read."""

    def __init__(self, plant: Plant, stack: ExitStack) -> None:
        self._open: dict[str, psycopg.Connection[Row]] = {
            service: stack.enter_context(
                psycopg.connect(plant.database(service), autocommit=True, row_factory=dict_row)
            )
            for service in plant.only
        }

    def rows(self, service: str, sql: str) -> list[Row]:
        """All rows of a query on a service's database."""
        return list(self._open[service].execute(sql))


class Books:
    """Everything there is to read, read once."""

    def __init__(self, plant: Plant, record: Record, injected: Injected, databases: Databases) -> None:
        self.plant, self.record, self.injected = plant, record, injected
        self.rows = databases.rows
        self.announced: list[Row] = [
            row | {"service": service}
            for service in plant.only
            for row in self.rows(service, "SELECT id, type, subject, sequence, state FROM chaos_announced")
        ]
        self.payments = self.rows("billing", "SELECT * FROM payment") if "billing" in plant.only else []
        self.invoices = self.rows("billing", "SELECT * FROM invoice") if "billing" in plant.only else []
        self.refunds = self.rows("billing", "SELECT * FROM refund") if "billing" in plant.only else []
        self.ledger = self._ledger()
        self.dead = list(dead_letters_of(plant))

    def _ledger(self) -> list[Row]:
        path = self.plant.folder / "stripe" / "ledger.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def stripe_objects(self, kind: str) -> list[Row]:
        """Objects of the sandbox, read from its file."""
        path = self.plant.folder / "stripe" / "sandbox.sqlite3"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
            return [json.loads(body) for (body,) in store.execute("SELECT body FROM objects WHERE kind = ?", (kind,))]


def dead_letters_of(plant: Plant) -> Iterator[Row]:
    """Every dead letter, as it lies; they stay there."""
    management, vhost = plant.ground.rabbitmq.management, quote(plant.vhost, safe="")
    for service in plant.only:
        path = f"queues/{vhost}/{dead_queue(service)}/get"
        body = {"count": 100_000, "ackmode": "ack_requeue_true", "encoding": "auto"}
        for letter in management.call("POST", path, body):
            yield letter | {"service": service}


def acknowledged(books: Books) -> Check:
    """No command that a client was told is done is lost."""
    found = {
        "customer": ("identity", "SELECT id FROM customer"),
        "invitation": ("identity", "SELECT id FROM invitation"),
        "contact": ("identity", "SELECT customer_id AS id FROM contact"),
        "invoice": ("billing", "SELECT id FROM invoice WHERE number IS NOT NULL"),
        "checkout": ("billing", "SELECT session_id AS id FROM payment"),
        "subscription": ("billing", "SELECT id FROM subscription"),
        "cancelled": ("billing", "SELECT id FROM subscription WHERE status = 'cancelled'"),
        "refund": ("billing", "SELECT id FROM refund"),
        "todo": ("todos", "SELECT id FROM todo"),
        "todo done": ("todos", "SELECT id FROM todo WHERE status = 'done'"),
    }
    there = {what: {str(row["id"]) for row in books.rows(*where)} for what, where in found.items()}
    told = books.record.acknowledged
    wrong = [f"{what} {id_} is lost" for what, id_ in told if id_ not in there[what]]
    return Check("commands acknowledged and there", len(told), wrong + books.record.unanswered + books.record.broken)


def refusals(books: Books) -> Check:
    """Nobody was refused what they may do: each refusal below 500 has a fault that explains it."""
    record = books.record
    wrong = [f"{told} ({n} times)" for told, n in record.unexplained.items()]
    return Check("refusals that a fault explains", record.refused.total(), wrong)


def effects_once(books: Books) -> Check:
    """A command that was repeated, and a fact that was delivered again, had their effect once."""
    counts: Counter[str] = Counter()
    for service in books.plant.only:
        for row in books.rows(service, "SELECT handler, message FROM chaos_effect"):
            counts[f"{service} {row['handler']} {row['message']}"] += 1
    return Check(
        "effects of commands and facts, each once",
        len(counts),
        [f"{what} had its effect {n} times" for what, n in counts.items() if n > 1],
    )


def charges(books: Books) -> Check:
    """At most one charge per attempt, and at most one checkout that could be paid."""
    taken = [line for line in books.ledger if line["kind"] == "charge.succeeded"]
    by_attempt = Counter(line["metadata"].get("payment_id") for line in taken)
    wrong = [f"attempt {attempt} was charged {n} times" for attempt, n in by_attempt.items() if n > 1]
    sessions = Counter(each["metadata"].get("payment_id") for each in books.stripe_objects("checkout.session"))
    wrong += [f"attempt {attempt} has {n} checkouts" for attempt, n in sessions.items() if n > 1]
    return Check("attempts, at most one charge and one checkout each", len(sessions), wrong)


def same_books(books: Books) -> Check:
    """Stripe's successes are our books, exactly once, to the minor unit."""
    theirs = {line["payment_intent"]: line["amount"] for line in books.ledger if line["kind"] == "charge.succeeded"}
    ours = Counter(row["intent_id"] for row in books.payments if row["status"] == "succeeded")
    wrong = [f"{intent} is not in our books" for intent in theirs.keys() - ours.keys()]
    wrong += [f"{intent} is in our books and not Stripe's" for intent in ours.keys() - theirs.keys()]
    wrong += [f"{intent} is in our books {n} times" for intent, n in ours.items() if n > 1]
    for row in books.payments:
        if row["status"] == "succeeded" and row["amount"] != theirs.get(row["intent_id"]):
            wrong.append(f"{row['intent_id']}: {row['amount']} in our books, {theirs.get(row['intent_id'])} at Stripe")
    paid = Counter[Any]()
    for row in books.payments:
        paid[row["invoice_id"]] += row["amount"] if row["status"] == "succeeded" and not row["surplus"] else 0
    wrong += [
        f"{row['number']} says {row['amount_paid']} paid"
        for row in books.invoices
        if row["amount_paid"] != paid[row["id"]]
    ]
    wrong += [
        f"invoice {id_} was paid and is not"
        for id_ in books.record.paid
        if id_ not in {str(row["id"]) for row in books.invoices if row["status"] == "paid"}
    ]
    return Check("successes at Stripe, each once in our books", len(theirs), wrong)


def numbers(books: Books) -> Check:
    """Numbers of invoices, receipts and credit notes without a gap."""
    wrong = []
    given = [int(row["number"].split("-")[1]) for row in books.invoices if row["number"]]
    receipts = [int(row["receipt_number"].split("-")[1]) for row in books.payments if row["receipt_number"]]
    credits_ = [int(row["credit_note_number"].rsplit("-", 1)[1]) for row in books.refunds if row["credit_note_number"]]
    for what, found in (("invoice", given), ("receipt", receipts), ("credit_note", credits_)):
        if sorted(found) != list(range(min(found, default=1), min(found, default=1) + len(found))):
            wrong.append(f"{what} numbers are {sorted(found)}")
        counters = books.rows("billing", f"SELECT last FROM counter WHERE kind = '{what}'")
        if found and max(found) != counters[0]["last"]:
            wrong.append(f"the {what} counter is at {counters[0]['last']}, the highest number is {max(found)}")
    count = len(given) + len(receipts) + len(credits_)
    return Check("numbers of invoices, receipts, credit notes without gaps", count, wrong)


def refunds(books: Books) -> Check:
    """Each refund is once at Stripe and once in our books, with its amount; one that the bank sent back is failed."""
    theirs = {each["id"]: each for each in books.stripe_objects("refund")}
    asked = Counter(each["metadata"].get("refund_id") for each in theirs.values())
    moved = Counter(line["refund"] for line in books.ledger if line["kind"] == "refund.succeeded")
    ours = {row["stripe_id"]: row for row in books.refunds if row["stripe_id"]}
    wrong = [f"refund {id_} was made {n} times at Stripe" for id_, n in asked.items() if n > 1]
    wrong += [f"{id_} moved money {n} times" for id_, n in moved.items() if n > 1]
    wrong += [f"{id_} is in one of the two books alone" for id_ in theirs.keys() ^ ours.keys()]
    for id_, row in ours.items():
        said = theirs.get(id_)
        if said and (row["status"], row["amount"]) != (said["status"], said["amount"]):
            wrong.append(f"{id_} is {row['status']} of {row['amount']}, at Stripe {said['status']} of {said['amount']}")
    wrong += [
        f"refund {row['id']} is {row['status']}" for row in books.refunds if row["status"] in ("created", "unknown")
    ]
    by_payment = Counter[Any]()
    for row in books.refunds:
        by_payment[row["payment_id"]] += row["amount"] if row["status"] in ("succeeded", "processing") else 0
    wrong += [
        f"payment {row['id']} says {row['amount_refunded']} refunded, not {by_payment[row['id']]}"
        for row in books.payments
        if row["amount_refunded"] != by_payment[row["id"]]
    ]
    return Check("refunds, each once at Stripe and once in our books", len(theirs), wrong)


def disputes(books: Books) -> Check:
    """Our books know each dispute as it stands at Stripe."""
    words = {"won": "won", "lost": "lost"}
    theirs = {each["id"]: words.get(each["status"], "open") for each in books.stripe_objects("dispute")}
    ours = {row["stripe_id"]: row["status"] for row in books.rows("billing", "SELECT stripe_id, status FROM dispute")}
    wrong = [
        f"{id_} is {ours.get(id_)}, at Stripe {status}" for id_, status in theirs.items() if ours.get(id_) != status
    ]
    return Check(
        "disputes as they stand at Stripe",
        len(theirs),
        wrong + [f"{id_} is ours alone" for id_ in ours.keys() - theirs],
    )


def renewals(books: Books) -> Check:
    """Each charge of a subscription has one invoice, and took money at most once; nothing that is due was left out."""
    taken = Counter(line["metadata"].get("invoice_id") for line in books.ledger if line["kind"] == "charge.succeeded")
    made = Counter((row["subscription_id"], row["charge_number"]) for row in books.invoices if row["subscription_id"])
    wrong = [f"charge {number} of {id_} has {n} invoices" for (id_, number), n in made.items() if n > 1]
    wrong += [
        f"charge {row['charge_number']} of {row['subscription_id']} was taken {taken[str(row['id'])]} times"
        for row in books.invoices
        if row["subscription_id"] and taken[str(row["id"])] > 1
    ]
    numbers_of: dict[Any, list[int]] = {}
    for id_, number in made:
        numbers_of.setdefault(id_, []).append(number)
    wrong += [
        f"{id_} has the charges {found}"
        for id_, found in numbers_of.items()
        if sorted(found) != list(range(1, len(found) + 1))
    ]
    plans = books.rows("billing", "SELECT id, status, state FROM subscription WHERE kind = 'payment_plan'")
    wrong += [
        f"the plan {row['id']} is {row['status']} after {len(numbers_of.get(row['id'], []))} of {len(row['state']['instalments'])}"
        for row in plans
        if row["status"] == "active"
        or (row["status"] == "completed" and len(numbers_of[row["id"]]) != len(row["state"]["instalments"]))
    ]
    return Check("charges of subscriptions, one invoice and one payment each", len(made), wrong)


def reconciled(books: Books) -> Check:
    """Our books have been compared with Stripe's, and the last comparison found no difference."""
    rows = books.rows("billing", "SELECT state FROM reconciliation")
    wrong = [
        f"{each['what']} {each['stripe_id']}: {each['code']}" for row in rows for each in row["state"]["differences"]
    ]
    return Check("comparisons with Stripe's books, without a difference", len(rows), wrong)


def receipts(books: Books) -> Check:
    """One receipt per payment and recipient, one Message-ID, at most one copy in the mailbox."""
    rows = books.rows("notifications", "SELECT * FROM mail")
    files = Counter(mail.header("Message-ID").strip() for mail in mails(books.plant.folder / "mails"))
    wrong = []
    succeeded = {row["id"] for row in books.payments if row["status"] == "succeeded"}
    have = Counter(row["subject_id"] for row in rows if row["template"] == "receipt")
    wrong += [f"payment {payment} has {have[payment]} receipts" for payment in succeeded if have[payment] != 1]
    wrong += [f"a receipt of {payment}, which did not succeed" for payment in have.keys() - succeeded]
    for row in rows:
        copies = files[row["message_id"]]
        if row["status"] == "accepted" and copies != 1:
            wrong.append(f"{row['template']} {row['message_id']} is accepted and in the mailbox {copies} times")
        if row["status"] in ("queued", "sending"):
            wrong.append(f"{row['template']} {row['message_id']} is still {row['status']}: {row['reason']}")
        if copies > 1:
            wrong.append(f"{row['message_id']} is in the mailbox {copies} times")
    wrong += [f"{id_} is in the mailbox and not ours" for id_ in files.keys() - {row["message_id"] for row in rows}]
    states = Counter(row["status"] for row in rows)
    return Check(f"mails, one Message-ID each ({dict(states)})", len(rows), wrong)


def webhooks(books: Books) -> Check:
    """Each stored event has been dealt with; what was forged or old was never stored."""
    rows = books.rows("billing", "SELECT id, type, status, last_error FROM stripe_event")
    wrong = [
        f"{row['type']} {row['id']} is {row['status']}: {row['last_error']}" for row in rows if row["status"] != "done"
    ]
    wrong += [
        f"{id_} was refused and is stored" for id_ in books.injected.refused_webhooks if id_ in {r["id"] for r in rows}
    ]
    return Check("webhooks stored and handled", len(rows), wrong)


def outboxes(books: Books) -> Check:
    """Nothing waits in an outbox."""
    found = [(s, row["n"]) for s in books.plant.only for row in books.rows(s, "SELECT count(*) AS n FROM outbox")]
    return Check("outboxes empty", len(found), [f"{service}: {n} rows" for service, n in found if n])


def queues(books: Books) -> Check:
    """No queue holds anything, apart from the dead and the log."""
    found = {row["name"]: row for row in queue_rows(books.plant)}
    wrong = [f"{name}: {row.get('messages')} messages" for name, row in found.items() if row.get("messages")]
    return Check("queues empty", len(found), wrong)


def queue_rows(plant: Plant) -> list[Row]:
    """Every queue that should be empty in the end, as the management API tells it."""
    skipped = {LOG, *(dead_queue(service) for service in SERVICES)}
    rows = plant.ground.rabbitmq.management.call("GET", f"queues/{quote(plant.vhost, safe='')}?disable_stats=false")
    return [row for row in rows if row["name"] in all_names() - skipped]


def copies(books: Books) -> Check:
    """Every copy, the read model included, holds the newest state that its owner announced, at the owner's sequence."""
    newest: dict[tuple[str, str], Row] = {}
    for row in books.announced:
        key = (".".join(row["type"].split(".")[:2]), row["subject"])
        if key not in newest or row["sequence"] > newest[key]["sequence"]:
            newest[key] = row
    wrong, count = [], 0
    for service in books.plant.only:
        for noun in followed_nouns(service):
            owned = {subject: row for (name, subject), row in newest.items() if name == noun}
            table = f"copy_{NOUNS[noun].short_name()}"
            kept = {str(row["id"]): row for row in books.rows(service, f"SELECT id, sequence, state FROM {table}")}
            count += len(owned)
            for id_ in owned.keys() | kept.keys():
                if id_ not in kept:
                    wrong.append(f"{service} has not heard of {noun} {id_}")
                elif id_ not in owned:
                    wrong.append(f"{service} has a {noun} {id_} that nobody announced")
                elif kept[id_]["sequence"] != owned[id_]["sequence"]:
                    wrong.append(f"{service} has {noun} {id_} at {kept[id_]['sequence']}, not {owned[id_]['sequence']}")
                elif not _same_state(noun, kept[id_]["state"], owned[id_]["state"]):
                    wrong.append(f"{service} has another state of {noun} {id_}")
    return Check("copies at their owners' states and sequences", count, wrong)


def _same_state(noun: str, kept: Row, announced: Row) -> bool:
    """Whether both say the same: an earlier release leaves out what it does not know, a later one adds to it."""
    read = NOUNS[noun].model_validate
    return kept == announced or read(kept) == read(announced)


def _rows_of(books: Books, state: type[State]) -> list[Row]:
    """`id` and `sequence` of a noun's rows. Its table has its name, or the service's before it; some have the merchant's id."""
    names = (state.short_name(), f"{state.owner()}_{state.short_name()}")
    columns = books.rows(
        state.owner(),
        f"SELECT table_name AS name, array_agg(column_name::text) AS columns FROM information_schema.columns"
        f" WHERE table_name IN {names} GROUP BY table_name",
    )
    assert columns, f"{state.noun} has no table named {' or '.join(names)}"
    key = "id" if "id" in columns[0]["columns"] else "merchant_id"
    return books.rows(state.owner(), f"SELECT {key} AS id, sequence FROM {columns[0]['name']}")


def owners(books: Books) -> Check:
    """What was announced is what the owner has: the row's version is the newest announced sequence."""
    wrong, count = [], 0
    for noun, state in NOUNS.items():
        if state.owner() not in books.plant.only:
            continue
        table = _rows_of(books, state)
        said: Counter[str] = Counter()
        for row in books.announced:
            if row["type"].startswith(f"{noun}."):
                said[row["subject"]] = max(said[row["subject"]], row["sequence"])
        count += len(table)
        wrong += [
            f"{noun} {row['id']} is at {row['sequence']}, announced up to {said[str(row['id'])]}"
            for row in table
            if row["sequence"] != said[str(row["id"])]
        ]
        wrong += [f"{noun} {id_} was announced and is not there" for id_ in said.keys() - {str(r["id"]) for r in table}]
    return Check("owners' rows announced at their versions", count, wrong)


def bills(books: Books) -> Check:
    """Each invoice has one to-do, open while something may be paid on it and done when it is paid."""
    due = {
        row["id"]: "done"
        if row["status"] == "paid"
        else "open"
        if row["total"] - row["amount_paid"] > row["amount_processing"]
        else "cancelled"
        for row in books.invoices
        if row["status"] in ("open", "paid")
    }
    rows = books.rows("todos", "SELECT subject_id, status FROM todo WHERE subject_kind = 'invoice'")
    have = {row["subject_id"]: row["status"] for row in rows}
    wrong = [
        f"the to-do of {id_} is {have.get(id_)}, not {status}" for id_, status in due.items() if have.get(id_) != status
    ]
    return Check("to-dos that follow their invoices", len(due), wrong)


def processed(books: Books) -> Check:
    """Every fact that was announced was processed by each of its handlers, or lies with the dead."""
    wrong, count = [], 0
    dead = {letter["properties"].get("message_id") for letter in books.dead}
    for service in books.plant.only:
        for kind in handled_events(service):
            handler = f"on {kind}"
            done = {
                row["message"] for row in books.rows(service, "SELECT * FROM chaos_effect") if row["handler"] == handler
            }
            marked = {
                row["event_id"] for row in books.rows(service, "SELECT * FROM inbox") if row["handler"] == handler
            }
            sent = {row["id"] for row in books.announced if row["type"] == kind}
            count += len(sent)
            wrong += [f"{service} never handled {kind} {id_}" for id_ in sent - done - dead]
            wrong += [f"{service} handled {kind} {id_} without a mark in its inbox" for id_ in done ^ marked]
    return Check("facts processed or dead", count, wrong)


def dead_letters(books: Books) -> Check:
    """Exactly the poison that was injected lies with the dead, each with its reason."""
    found = {}
    for letter in books.dead:
        headers = letter["properties"].get("headers", {})
        reason = headers.get("x-dead-reason") or (headers.get("x-death") or [{}])[0].get("reason")
        found[letter["properties"].get("message_id", "")] = (reason, letter["service"], headers.get("x-error"))
    wanted = books.injected.dead
    wrong = [f"{id_} is not with the dead ({reason})" for id_, reason in wanted.items() if id_ not in found]
    wrong += [f"{id_} is dead: {why}" for id_, why in found.items() if id_ not in wanted]
    wrong += [
        f"{id_} is dead as {found[id_][0]}, not {r}" for id_, r in wanted.items() if id_ in found and found[id_][0] != r
    ]
    return Check("dead letters, each injected and with its reason", len(found), wrong)


def earlier_release(books: Books) -> Check:
    """What an earlier release has sent was understood. What became of it, other checks say."""
    dead = {letter["properties"].get("message_id") for letter in books.dead}
    sent = books.injected.earlier
    wrong = [f"{queue}: {id_}" for queue, id_ in sent if id_ in dead]
    return Check("messages of an earlier release, taken", len(sent), wrong)


def stream(books: Books) -> Check:
    """The log holds every public event that was announced, and none that was not."""
    sent = {row["id"] for row in books.announced if _is_public(row["type"])}
    logged = set(asyncio.run(_logged(books.plant.broker(), sent)))
    ours = {id_ for id_ in logged if not id_.startswith("injected-")}
    wrong = [f"{id_} is not in the log" for id_ in sent - ours]
    wrong += [f"{id_} is in the log and was never announced" for id_ in ours - sent]
    return Check("public events in the log", len(sent), wrong)


def _is_public(kind: str) -> bool:
    return kind in EVENTS and EVENTS[kind].of().exchange == PUBLIC


async def _logged(url: str, expected: set[str]) -> list[str]:
    """The message ids in the log, read until all expected ones were seen or it stays silent."""
    connection = await aiormq.connect(url)
    seen: list[str] = []
    news = asyncio.Event()
    try:
        channel = await connection.channel()
        await channel.basic_qos(prefetch_count=500)

        async def take(message: aiormq.abc.DeliveredMessage) -> None:
            seen.append(message.header.properties.message_id or "")
            news.set()
            assert message.delivery_tag is not None
            await channel.basic_ack(message.delivery_tag)

        await channel.basic_consume(LOG, take, arguments={"x-stream-offset": "first"})
        while expected - set(seen):
            news.clear()
            try:
                await asyncio.wait_for(news.wait(), 5)
            except TimeoutError:
                break
    finally:
        await connection.close()
    return seen


ALL: tuple[Callable[[Books], Check], ...] = (
    acknowledged, refusals, effects_once, charges, same_books, refunds, disputes, renewals, reconciled, numbers, receipts, webhooks, outboxes, queues, owners, copies, bills,
    processed, dead_letters, earlier_release, stream,
)  # fmt: skip


def check(plant: Plant, record: Record, injected: Injected, databases: Databases) -> list[Check]:
    """Every invariant, as things are now."""
    books = Books(plant, record, injected, databases)
    return [each(books) for each in ALL]


def settle(
    plant: Plant, record: Record, injected: Injected, seconds: float, *, stays_wrong: bool = False
) -> tuple[float, list[Check]]:
    """Wait, at most so long, until nothing is under way and everything holds.

    `stays_wrong`: somebody expects that something will not; then the same verdict three times in a row is the last one.
    Returns the seconds until every outbox was empty, and the last look at the invariants.
    """
    began, emptied = time.monotonic(), 0.0
    verdicts: list[list[str]] = []
    with ExitStack() as stack:
        databases = Databases(plant, stack)
        while True:
            plant.tend()
            unsent = any(databases.rows(each, _UNSENT) for each in plant.only)
            if not emptied and not unsent:
                emptied = time.monotonic() - began
            late = time.monotonic() - began > stretched(seconds)
            # The broker's counts lag behind by seconds: what holds decides, not what it says.
            if late or not (unsent or any(_under_way(plant, databases))):
                checks = check(plant, record, injected, databases)
                verdicts.append([str(each) for each in checks])
                same = (
                    stays_wrong and len(verdicts) >= _SAME and all(each == verdicts[-1] for each in verdicts[-_SAME:])
                )
                if late or same or not any(each.wrong for each in checks):
                    return emptied or time.monotonic() - began, checks
                time.sleep(1)
            time.sleep(0.3)


_SAME = 3
_UNSENT = "SELECT 1 FROM outbox LIMIT 1"
_WAITING = {
    "billing": """
        SELECT 'webhook ' || id AS what FROM stripe_event WHERE status = 'waiting'
        UNION ALL SELECT 'turn ' || id FROM subscription WHERE next_turn_at < now() + interval '1 minute'
        UNION ALL SELECT 'charge ' || id FROM payment WHERE automatic AND status IN ('created', 'processing', 'unknown')
        UNION ALL SELECT 'refund ' || id FROM refund WHERE status IN ('created', 'unknown')
        """,
    "notifications": "SELECT 'mail ' || id AS what FROM mail WHERE status IN ('queued', 'sending')",
}


def _under_way(plant: Plant, databases: Databases) -> Iterator[str]:
    """What is not done yet, what is cheap to ask first: who asks mostly wants to know whether there is anything."""
    for service, sql in _WAITING.items():
        if service in plant.only:
            yield from (row["what"] for row in databases.rows(service, f"{sql} LIMIT 5"))
    path = plant.folder / "stripe" / "sandbox.sqlite3"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
        yield from (f"delivery {row[0]}" for row in store.execute("SELECT id FROM deliveries WHERE state = 'pending'"))
    # Money that no webhook tells is found by reconciliation: until then it is under way.
    succeeded = databases.rows("billing", "SELECT intent_id FROM payment WHERE status = 'succeeded'")
    booked = {row["intent_id"] for row in succeeded}
    ledger = plant.folder / "stripe" / "ledger.jsonl"
    for line in ledger.read_text().splitlines() if ledger.exists() else ():
        said = json.loads(line)
        if said["kind"] == "charge.succeeded" and said["payment_intent"] not in booked:
            yield f"money {line}"
    yield from (f"queue {row['name']}" for row in queue_rows(plant) if row.get("messages"))


def table(checks: Iterable[Check]) -> str:
    """The checks as they are printed."""
    return "\n".join(str(each) for each in checks)
