"""What the databases, the sandbox's ledger and the mailbox' files say of what clients were told. Nothing goes through our API."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from local.mailbox.store import Store

Json = dict[str, Any]

_FOUND = {
    "customer": ("identity", "SELECT id::text FROM customer"),
    "invitation": ("identity", "SELECT id::text FROM invitation"),
    "contact": ("identity", "SELECT customer_id::text FROM contact"),
    "invoice": ("billing", "SELECT id::text FROM invoice WHERE number IS NOT NULL"),
    "todo": ("todos", "SELECT id::text FROM todo"),
    "todo title": ("todos", "SELECT title FROM todo"),
    "todo done": ("todos", "SELECT id::text FROM todo WHERE status = 'done'"),
}
"""Where the effect of each kind of command stands, by what its answer named."""
_TRACES = _FOUND | {
    "customer": ("identity", "SELECT substr(name, 10) FROM customer"),
    "invitation": ("identity", "SELECT customer_id::text FROM invitation"),
    "invoice": ("billing", "SELECT lines->0->>'description' FROM invoice"),
    "checkout": ("billing", "SELECT invoice_id::text FROM payment"),
}
"""Where a refused command would have left a trace, by the mark that it carried."""
_COPIES = {
    "identity": ("customer", "contact", "invitation"),
    "billing": ("invoice", "payment"),
    "todos": ("todo",),
    "notifications": ("mail",),
}


@dataclass
class Check:
    """`count` things looked at, and what is wrong with some of them."""

    name: str
    count: int
    wrong: list[str] = field(default_factory=list)


class Books:
    """Everything there is to read, once the queues are empty."""

    def __init__(self, state: Json, record: Json) -> None:
        self._databases: dict[str, str] = state["databases"]
        self._record = record
        self._ledger = Path(state["stripe"]["ledger"])
        self._mails = Path(state["mail"]["dir"])

    def rows(self, service: str, sql: str) -> list[Any]:
        with psycopg.connect(self._databases[service]) as connection:
            return connection.execute(sql.encode()).fetchall()

    def checks(self) -> Iterator[Check]:
        yield self.accepted()
        yield self.refused()
        yield self.payments()
        yield self.receipts()
        yield self.webhooks()
        yield self.copies()

    def accepted(self) -> Check:
        """No command that was answered with success is without its effect."""
        there = {what: {row[0] for row in self.rows(*where)} for what, where in _FOUND.items()}
        told = [(what, id_) for what, id_ in self._record["done"]]
        return Check(
            "commands answered with success: their effect is in the databases",
            len(told),
            [f"{what} {id_}" for what, id_ in told if id_ not in there[what]],
        )

    def refused(self) -> Check:
        """No command that was refused with 503 has left a trace."""
        traces = {what: {row[0] for row in self.rows(*where)} for what, where in _TRACES.items()}
        shed = [(what, mark) for what, mark in self._record["shed"]]
        return Check(
            "commands refused with 503: no trace of them",
            len(shed),
            [f"{what} {mark}" for what, mark in shed if mark in traces[what]],
        )

    def payments(self) -> Check:
        """What the hosted page took is in the books once, to the minor unit, and its invoice is paid."""
        charged = [json.loads(line) for line in self._ledger.read_text().splitlines()]
        theirs = {each["payment_intent"]: each["amount"] for each in charged if each["kind"] == "charge.succeeded"}
        rows = self.rows("billing", "SELECT intent_id, amount FROM payment WHERE status = 'succeeded'")
        ours = Counter(intent for intent, _ in rows)
        wrong = [f"{intent}: {ours[intent]} times in our books" for intent in theirs if ours[intent] != 1]
        wrong += [f"{intent}: not at Stripe for {amount}" for intent, amount in rows if theirs.get(intent) != amount]
        paid = {row[0] for row in self.rows("billing", "SELECT id::text FROM invoice WHERE status = 'paid'")}
        wrong += [f"invoice {id_} is not paid" for id_ in self._record["paid"] if id_ not in paid]
        return Check("payments taken by Stripe: once in our books, their invoices paid", len(theirs), wrong)

    def receipts(self) -> Check:
        """Every mail was handed over once; every payment has its one receipt among the mailbox' files."""
        files = Counter(mail.header("Message-ID").strip() for mail in Store(self._mails).all())
        rows = self.rows("notifications", "SELECT message_id, template, subject_id::text, status FROM mail")
        wrong = [
            f"{template} {id_}: {status}" for id_, template, _, status in rows if status not in ("accepted", "dropped")
        ]
        wrong += [
            f"{template} {id_}: {files[id_]} times in the mailbox"
            for id_, template, _, status in rows
            if status == "accepted" and files[id_] != 1
        ]
        receipts = Counter(about for id_, template, about, _ in rows if template == "receipt" and files[id_] == 1)
        succeeded = [row[0] for row in self.rows("billing", "SELECT id::text FROM payment WHERE status = 'succeeded'")]
        wrong += [f"payment {id_}: {receipts[id_]} receipts" for id_ in succeeded if receipts[id_] != 1]
        return Check(
            f"mails in the mailbox once each, a receipt for each of {len(succeeded)} payments", len(rows), wrong
        )

    def webhooks(self) -> Check:
        """Every stored webhook has been dealt with."""
        rows = self.rows("billing", "SELECT id, type, status FROM stripe_event")
        wrong = [f"{type_} {id_}: {status}" for id_, type_, status in rows if status != "done"]
        return Check("webhooks stored and dealt with", len(rows), wrong)

    def copies(self) -> Check:
        """The read model holds every owner's rows at their present sequence."""
        wrong, count = [], 0
        for owner, tables in _COPIES.items():
            for table in tables:
                theirs = dict(self.rows(owner, f"SELECT id::text, sequence FROM {table}"))
                kept = dict(self.rows("gateway", f"SELECT id::text, sequence FROM copy_{table}"))
                count += len(theirs)
                wrong += [f"{table} {id_}" for id_, sequence in theirs.items() if kept.get(id_) != sequence]
        return Check("rows of the owners: in the read model at the same sequence", count, wrong)
