"""The page that stands for the bank's 3D Secure challenge: inside Checkout, and for an intent of the API."""

from typing import Annotated, Any

from fastapi import APIRouter, Form
from starlette.responses import RedirectResponse, Response

from local.stripe.cards import Decline
from local.stripe.checkout import awaits_challenge, pass_challenge, success_url
from local.stripe.checkout_page import find_session, merchant_of, show_checkout
from local.stripe.currencies import format_amount
from local.stripe.payments import confirm, fail_authentication
from local.stripe.rendering import render, render_closed
from local.stripe.sandbox import Sandbox
from local.stripe.setups import confirm_setup, fail_setup_authentication
from local.stripe.work import Work

Json = dict[str, Any]


def session_challenge_routes(sandbox: Sandbox) -> APIRouter:
    """The challenge between the Pay button and the merchant's success page."""
    router = APIRouter()

    @router.get("/c/pay/{session_id}/challenge")
    async def show(session_id: str) -> Response:
        found = find_session(sandbox, session_id)
        if found is None or not awaits_challenge(*found):
            return RedirectResponse(f"/c/pay/{session_id}", 303)
        work, session = found
        return _challenge(session["amount_total"], session["currency"], merchant_of(work, session))

    @router.post("/c/pay/{session_id}/challenge")
    async def answer_it(session_id: str, answer: Annotated[str, Form()]) -> Response:
        found = find_session(sandbox, session_id)
        if found is None or not awaits_challenge(*found):
            return RedirectResponse(f"/c/pay/{session_id}", 303)
        work, session = found
        with work.store.transaction():
            outcome = pass_challenge(work, session, authenticated=answer == "complete")
        await sandbox.after_commit(work)
        if isinstance(outcome, Decline):
            return show_checkout(work, session, problems={"form": outcome.message}, status=402)
        return RedirectResponse(success_url(session), 303)

    return router


def intent_challenge_routes(sandbox: Sandbox) -> APIRouter:
    """The challenge at `next_action.redirect_to_url.url` of a PaymentIntent that no session holds."""
    router = APIRouter()

    @router.get("/challenge/{intent_id}")
    async def show(intent_id: str) -> Response:
        found = _find_waiting_intent(sandbox, intent_id)
        if found is None:
            return render_closed(404, "Nothing to confirm", "This payment is settled.")
        work, intent = found
        return _challenge(intent.get("amount"), intent.get("currency"), work.settings.merchant_name)

    @router.post("/challenge/{intent_id}")
    async def answer_it(intent_id: str, answer: Annotated[str, Form()]) -> Response:
        found = _find_waiting_intent(sandbox, intent_id)
        if found is None:
            return RedirectResponse(f"/challenge/{intent_id}", 303)
        work, intent = found
        with work.store.transaction():
            answer_challenge(work, intent, authenticated=answer == "complete")
        await sandbox.after_commit(work)
        return _back_to_merchant(work, intent)

    return router


def answer_challenge(work: Work, intent: Json, *, authenticated: bool) -> None:
    """The customer's answer to the challenge of a PaymentIntent or SetupIntent that no session holds."""
    method = work.fetch("payment_method", intent["payment_method"], "payment_method")
    setup = intent["object"] == "setup_intent"
    if not authenticated:
        (fail_setup_authentication if setup else fail_authentication)(work, intent, method)
    elif setup:
        confirm_setup(work, intent, method, authenticated=True)
    else:
        confirm(work, intent, method, authenticated=True)


def _find_waiting_intent(sandbox: Sandbox, intent_id: str) -> tuple[Work, Json] | None:
    account = sandbox.store.find_owner(intent_id)
    intent = None if account is None else sandbox.store.find(account, intent_id)
    if account is None or intent is None or intent.get("status") != "requires_action":
        return None
    if sandbox.store.private(account, intent_id).get("session"):
        return None  # Checkout's own challenge page completes the session, too
    return sandbox.work(account), intent


def _back_to_merchant(work: Work, intent: Json) -> Response:
    url = work.private(intent["id"]).get("return_url")
    if url is None:
        return render_closed(200, "Done", "You can close this window.")
    status = "succeeded" if intent["status"] == "succeeded" else "failed"
    joint = "&" if "?" in url else "?"
    noun = intent["object"]
    query = f"{noun}={intent['id']}&{noun}_client_secret={intent['client_secret']}"
    return RedirectResponse(f"{url}{joint}{query}&redirect_status={status}", 303)


def _challenge(amount: int | None, currency: str | None, merchant: str) -> Response:
    if amount is None or currency is None:
        return render("challenge.html", 200, title="Confirm your card", total=None, merchant=merchant)
    total = format_amount(amount, currency)
    return render("challenge.html", 200, title="Confirm the payment", total=total, merchant=merchant)
