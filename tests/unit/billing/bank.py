"""A small model of Stripe for random histories: it moves money, forgets nothing, and tells what happened in news.

It decides only what the outside decides: whether a card works, when a debit settles, how a dispute ends.
"""

from dataclasses import dataclass, field
from typing import Literal

IntentStatus = Literal["open", "processing", "requires_action", "declined", "succeeded", "canceled"]
Mood = Literal["works", "declines", "hard", "authenticate", "debit", "answer lost", "decline lost", "request lost"]
Kind = Literal["intent", "refund", "dispute"]

DECLINES: dict[Mood, str] = {
    "declines": "insufficient_funds",
    "hard": "stolen_card",
    "decline lost": "insufficient_funds",
    "authenticate": "authentication_required",
}


@dataclass
class Intent:
    """One movement of money, asked for once: `key` names invoice and attempt."""

    id: str
    key: str
    invoice: int
    attempt: int
    amount: int
    status: IntentStatus = "open"
    decline: str | None = None


@dataclass
class Refund:
    id: str
    intent: str
    amount: int
    status: Literal["pending", "succeeded", "failed"] = "pending"


@dataclass
class Dispute:
    id: str
    intent: str
    amount: int
    status: Literal["opened", "won", "lost"] = "opened"


@dataclass(frozen=True)
class News:
    """What a webhook says: the state that its object had when it happened, which may be long ago."""

    kind: Kind
    id: str
    status: str


class RequestLostError(Exception):
    """The time-out of a call: nobody knows whether it was made."""


@dataclass
class Bank:
    intents: dict[str, Intent] = field(default_factory=dict)
    by_key: dict[str, Intent] = field(default_factory=dict)
    refunds: dict[str, Refund] = field(default_factory=dict)
    disputes: dict[str, Dispute] = field(default_factory=dict)
    news: list[News] = field(default_factory=list)

    def charge(self, key: str, invoice: int, attempt: int, amount: int, mood: Mood) -> Intent:
        """Charge off-session. The same key again is the same movement."""
        if mood == "request lost":
            raise RequestLostError
        intent = self.open(key, invoice, attempt, amount)
        if intent.status == "open":
            if mood in DECLINES:
                intent.decline = DECLINES[mood]
                self.change(intent, "requires_action" if mood == "authenticate" else "declined")
            else:
                self.change(intent, "processing" if mood == "debit" else "succeeded")
        if mood in ("answer lost", "decline lost"):
            raise RequestLostError
        return intent

    def open(self, key: str, invoice: int, attempt: int, amount: int) -> Intent:
        """Open a checkout, or find the one that was opened with this key."""
        known = self.by_key.get(key)
        if known is not None:
            assert (known.invoice, known.attempt, known.amount) == (invoice, attempt, amount), "Another body, same key."
            return known
        intent = self.movement(key, invoice, attempt, amount)
        self.by_key[key] = intent
        return intent

    def movement(self, key: str, invoice: int, attempt: int, amount: int) -> Intent:
        """A movement of its own, such as a second one inside one checkout, of which no key of ours knows."""
        intent = Intent(f"pi_{len(self.intents) + 1}", key, invoice, attempt, amount)
        self.intents[intent.id] = intent
        return intent

    def change(self, intent: Intent, status: IntentStatus) -> None:
        assert intent.status != "succeeded", "Only succeeded is final."
        intent.status = status
        self.news.append(News("intent", intent.id, status))

    def cancel(self, intent: Intent) -> bool:
        """Expire a checkout or cancel an intent; False: it is too late."""
        if intent.status in ("succeeded", "processing"):
            return False
        if intent.status != "canceled":
            self.change(intent, "canceled")
        return True

    def refund(self, intent: Intent, amount: int) -> Refund | None:
        """None: refused, since the charge is disputed."""
        assert intent.status == "succeeded"
        if any(each.intent == intent.id and each.status != "won" for each in self.disputes.values()):
            return None
        assert amount <= intent.amount - self.given_back(intent), "Stripe never gives back more than it took."
        refund = Refund(f"re_{len(self.refunds) + 1}", intent.id, amount)
        self.refunds[refund.id] = refund
        return refund

    def given_back(self, intent: Intent) -> int:
        return sum(
            each.amount for each in self.refunds.values() if each.intent == intent.id and each.status != "failed"
        )

    def end_refund(self, refund: Refund, status: Literal["succeeded", "failed"]) -> None:
        refund.status = status
        self.news.append(News("refund", refund.id, status))

    def dispute(self, intent: Intent) -> Dispute:
        amount = intent.amount - self.given_back(intent)
        dispute = Dispute(f"dp_{len(self.disputes) + 1}", intent.id, amount)
        self.disputes[dispute.id] = dispute
        self.news.append(News("dispute", dispute.id, "opened"))
        return dispute

    def judge(self, dispute: Dispute, status: Literal["won", "lost"]) -> None:
        dispute.status = status
        self.news.append(News("dispute", dispute.id, status))
