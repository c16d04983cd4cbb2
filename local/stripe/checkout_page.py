"""The hosted Checkout page and the 3D Secure page: plain forms that a person, a keyboard and a test can use."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from local.stripe.cards import AUTHENTICATION_FAILED, CARDS, Challenge, Decline, read_card
from local.stripe.checkout import awaits_challenge, pass_challenge, pay, success_url
from local.stripe.currencies import format_amount
from local.stripe.payments import confirm, fail_authentication
from local.stripe.sandbox import Sandbox
from local.stripe.work import Work

Json = dict[str, Any]

_TEMPLATES = Path(__file__).parent / "templates"
_ENVIRONMENT = Environment(
    loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)
# No form-action: the browser must be able to follow the redirect from our form to the merchant's success_url.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
}


def pages(sandbox: Sandbox) -> APIRouter:
    """The routes a customer's browser uses."""
    router = APIRouter(default_response_class=HTMLResponse)

    @router.get("/checkout.css")
    async def stylesheet() -> Response:
        return FileResponse(_TEMPLATES / "checkout.css", media_type="text/css")

    @router.get("/c/pay/{session_id}")
    async def show_checkout(session_id: str) -> Response:
        found = _find_session(sandbox, session_id)
        if found is None:
            return _page("closed.html", 404, title="This page does not exist", text="Check the link.", back=None)
        return _checkout(*found)

    @router.post("/c/pay/{session_id}")
    async def pay_checkout(
        session_id: str,
        card_number: Annotated[str, Form()] = "",
        expiry: Annotated[str, Form()] = "",
        cvc: Annotated[str, Form()] = "",
        cardholder: Annotated[str, Form()] = "",
    ) -> Response:
        found = _find_session(sandbox, session_id)
        if found is None or found[1]["status"] != "open":
            return RedirectResponse(f"/c/pay/{session_id}", 303)
        work, session = found
        today = datetime.fromtimestamp(work.now, UTC).date()
        details = read_card(card_number, expiry, cvc, cardholder, today)
        typed = {"expiry": expiry, "cardholder": cardholder}
        if isinstance(details, dict):
            return _checkout(work, session, typed=typed, problems=details, status=422)
        with work.store.transaction():
            outcome = pay(work, session, details)
        await sandbox.after_commit(work)
        match outcome:
            case Decline():
                typed["last4"] = details.card.last4
                return _checkout(work, session, typed=typed, problems={"form": outcome.message}, status=402)
            case Challenge():
                return RedirectResponse(f"/c/pay/{session_id}/challenge", 303)
            case _:
                return RedirectResponse(success_url(session), 303)

    @router.get("/c/pay/{session_id}/challenge")
    async def show_challenge(session_id: str) -> Response:
        found = _find_session(sandbox, session_id)
        if found is None or not awaits_challenge(*found):
            return RedirectResponse(f"/c/pay/{session_id}", 303)
        work, session = found
        return _challenge(work, session["amount_total"], session["currency"])

    @router.post("/c/pay/{session_id}/challenge")
    async def answer_challenge(session_id: str, answer: Annotated[str, Form()]) -> Response:
        found = _find_session(sandbox, session_id)
        if found is None or not awaits_challenge(*found):
            return RedirectResponse(f"/c/pay/{session_id}", 303)
        work, session = found
        with work.store.transaction():
            outcome = pass_challenge(work, session, authenticated=answer == "complete")
        await sandbox.after_commit(work)
        if isinstance(outcome, Decline):
            return _checkout(work, session, problems={"form": outcome.message}, status=402)
        return RedirectResponse(success_url(session), 303)

    @router.get("/challenge/{intent_id}")
    async def show_intent_challenge(intent_id: str) -> Response:
        work, intent = _find_intent(sandbox, intent_id)
        if intent is None:
            return _page("closed.html", 404, title="Nothing to confirm", text="This payment is settled.", back=None)
        return _challenge(work, intent["amount"], intent["currency"])

    @router.post("/challenge/{intent_id}")
    async def answer_intent_challenge(request: Request, intent_id: str, answer: Annotated[str, Form()]) -> Response:
        work, intent = _find_intent(sandbox, intent_id)
        if intent is None:
            return RedirectResponse(request.url.path, 303)
        with work.store.transaction():
            method = work.fetch("payment_method", intent["payment_method"], "payment_method")
            if answer == "complete":
                confirm(work, intent, method, authenticated=True)
            else:
                fail_authentication(work, intent, method)
        await sandbox.after_commit(work)
        return _back_to_merchant(work, intent)

    return router


def _find_session(sandbox: Sandbox, session_id: str) -> tuple[Work, Json] | None:
    account = sandbox.store.find_owner(session_id)
    if account is None:
        return None
    sandbox.expire_due()
    work = sandbox.work(account)
    session = sandbox.store.find(account, session_id)
    return (work, session) if session is not None and session["object"] == "checkout.session" else None


def _find_intent(sandbox: Sandbox, intent_id: str) -> tuple[Work, Json | None]:
    """The intent when it waits for its challenge (those of Checkout have their own page)."""
    account = sandbox.store.find_owner(intent_id) or ""
    intent = sandbox.store.find(account, intent_id)
    waits = intent is not None and intent.get("status") == "requires_action"
    own = not sandbox.store.private(account, intent_id).get("session")
    return sandbox.work(account), intent if waits and own else None


def _back_to_merchant(work: Work, intent: Json) -> Response:
    url = work.private(intent["id"]).get("return_url")
    if url is None:
        return _page("closed.html", 200, title="Done", text="You can close this window.", back=None)
    status = "succeeded" if intent["status"] == "succeeded" else "failed"
    joint = "&" if "?" in url else "?"
    query = f"payment_intent={intent['id']}&payment_intent_client_secret={intent['client_secret']}"
    return RedirectResponse(f"{url}{joint}{query}&redirect_status={status}", 303)


def _checkout(
    work: Work, session: Json, *, typed: Json | None = None, problems: Json | None = None, status: int = 200
) -> Response:
    match session["status"]:
        case "complete":
            return _page(
                "closed.html",
                200,
                title="You're all done here",
                text="This payment is complete. There is nothing left to pay on this page.",
                back=success_url(session),
            )
        case "expired":
            return _page(
                "closed.html",
                410,
                title="This page has expired",
                text="Nothing was charged. Go back and start the payment again.",
                back=session["cancel_url"],
            )
    locale = "en" if session["locale"] in (None, "auto") else session["locale"]
    items = [
        {**item, "shown": format_amount(item["amount_total"], item["currency"], locale)}
        for item in work.private(session["id"])["line_items"]
    ]
    return _page(
        "checkout.html",
        status,
        session=session,
        merchant=work.settings.merchant_name,
        items=items,
        total=format_amount(session["amount_total"], session["currency"], locale),
        typed={"expiry": "", "cardholder": "", "last4": "", **(typed or {})},
        problems=problems or {},
        cards=CARDS,
        locale=locale,
    )


def _challenge(work: Work, amount: int, currency: str) -> Response:
    total = format_amount(amount, currency)
    return _page("challenge.html", 200, total=total, merchant=work.settings.merchant_name, why=AUTHENTICATION_FAILED)


def _page(template: str, status: int, **content: Any) -> Response:
    return HTMLResponse(_ENVIRONMENT.get_template(template).render(content), status, _HEADERS)
