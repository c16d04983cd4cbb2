"""What happens by itself when its time has come on the sandbox's clock."""

from typing import Any

from local.stripe.cards import Decline
from local.stripe.checkout import expire, settle_session
from local.stripe.debits import TestAccount
from local.stripe.disputes import open_dispute
from local.stripe.methods import behind
from local.stripe.payments import settle_debit
from local.stripe.refunds import fail_refund
from local.stripe.work import Work

Json = dict[str, Any]


def happen(work: Work, kind: str, object_id: str) -> None:
    """The effect that an object of this kind waits for."""
    body = work.fetch(kind, object_id, "id")
    match kind:
        case "checkout.session":
            expire(work, body)
        case "payment_intent":
            settle(work, body, failure_of(work, body))
        case "refund":
            fail_refund(work, body, "lost_or_stolen_card")
        case "charge":
            open_dispute(work, body)
        case _:
            raise AssertionError(f"nothing waits in a {kind}")


def failure_of(work: Work, intent: Json) -> Decline | None:
    """What the account behind a debit that is processing will say."""
    method = work.fetch("payment_method", intent["payment_method"], "payment_method")
    bank = behind(work, method)
    return bank.failure if isinstance(bank, TestAccount) else None


def settle(work: Work, intent: Json, failure: Decline | None) -> None:
    """The bank's answer to a debit, told of its Checkout Session, too."""
    settle_debit(work, intent, failure)
    session = work.private(intent["id"]).get("session")
    if session is not None:
        settle_session(work, work.fetch("checkout.session", session, "session"), paid=failure is None)
