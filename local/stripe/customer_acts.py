"""`/_sandbox`: the customer, without a browser: pays on the hosted page, answers a challenge."""

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, HTTPException

from local.stripe.acts import Body, about
from local.stripe.cards import Approval, CardDetails, Challenge, Decline, card_of
from local.stripe.challenge_page import answer_challenge
from local.stripe.checkout import awaits_challenge, pass_challenge, pay, saved_methods, success_url
from local.stripe.debits import DebitDetails, Processing, account_of
from local.stripe.payments import Outcome
from local.stripe.sandbox import Sandbox
from local.stripe.work import Work

Json = dict[str, Any]


class Payment(Body):
    """What a customer does on the hosted page: types a card or an IBAN, or picks a saved method.

    `authenticate` answers a 3D Secure challenge (null: stays on it); `save` ticks the box below the card.
    """

    card: str | None = None
    iban: str | None = None
    saved: str | None = None
    name: str | None = None
    save: bool = False
    authenticate: bool | None = None


class Answer(Body):
    """The customer's answer to a challenge that no Checkout Session holds."""

    authenticate: bool


def customer_acts(sandbox: Sandbox) -> APIRouter:
    """The routes that do what a customer does."""
    router = APIRouter(prefix="/_sandbox")

    @router.post("/sessions/{session_id}/pay")
    async def pay_session(session_id: str, payment: Payment) -> Json:
        async with about(sandbox, session_id, "checkout.session") as (work, session):
            outcome = _pay(work, session, payment)
        return _told(work, session, outcome)

    @router.post("/challenges/{intent_id}")
    async def answer_intent(intent_id: str, answer: Answer) -> Json:
        async with about(sandbox, intent_id, "payment_intent", "setup_intent") as (work, intent):
            if intent["status"] != "requires_action" or work.private(intent_id).get("session"):
                raise HTTPException(409, f"no challenge of its own waits: it is {intent['status']}")
            answer_challenge(work, intent, authenticated=answer.authenticate)
        return intent

    return router


def _pay(work: Work, session: Json, payment: Payment) -> Outcome:
    if session["status"] != "open":
        raise HTTPException(409, f"the session is {session['status']}")
    outcome = pay(work, session, _means(work, session, payment), save=payment.save)
    if payment.authenticate is not None and awaits_challenge(work, session):
        outcome = pass_challenge(work, session, authenticated=payment.authenticate)
    return outcome


def _means(work: Work, session: Json, payment: Payment) -> CardDetails | DebitDetails | Json:
    year = datetime.fromtimestamp(work.now, UTC).year + 8
    if payment.saved is not None:
        offered = {method["id"]: method for method in saved_methods(work, session)}
        if payment.saved not in offered:
            raise HTTPException(409, f"the page does not offer {payment.saved}, only {', '.join(offered) or 'nothing'}")
        return offered[payment.saved]
    kind = "card" if payment.iban is None else "sepa_debit"
    if kind not in session["payment_method_types"]:
        raise HTTPException(409, f"the page does not offer {kind}")
    if payment.iban is not None:
        return DebitDetails(account_of(payment.iban), payment.name or "Jenny Rosen")
    if payment.card is None:
        raise HTTPException(422, "give card, iban or saved")
    return CardDetails(card_of(payment.card), 12, year, payment.name)


def _told(work: Work, session: Json, outcome: Outcome) -> Json:
    answer = {name: session[name] for name in ("payment_intent", "setup_intent")} | {"session": session["id"]}
    match outcome:
        case Approval():
            return {**answer, "outcome": "succeeded", "redirect": success_url(session)}
        case Processing():
            return {**answer, "outcome": "processing", "redirect": success_url(session)}
        case Challenge():
            url = f"{work.settings.public_url}/c/pay/{session['id']}/challenge"
            return {**answer, "outcome": "requires_action", "redirect": url}
        case Decline():
            why = {"code": outcome.code, "decline_code": outcome.decline_code, "message": outcome.message}
            return {**answer, "outcome": "declined", **why}
