"""The hosted Checkout page: one plain form that a person, a keyboard and a test can use."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Form
from starlette.responses import FileResponse, RedirectResponse, Response

from local.stripe.cards import CARDS, Challenge, Decline, read_card
from local.stripe.checkout import pay, success_url
from local.stripe.currencies import format_amount
from local.stripe.rendering import TEMPLATES, render, render_closed
from local.stripe.sandbox import Sandbox
from local.stripe.work import Work

Json = dict[str, Any]


def checkout_routes(sandbox: Sandbox) -> APIRouter:
    """The page at a session's `url`, and its stylesheet."""
    router = APIRouter()

    @router.get("/checkout.css")
    async def stylesheet() -> Response:
        return FileResponse(TEMPLATES / "checkout.css", media_type="text/css")

    @router.get("/c/pay/{session_id}")
    async def show(session_id: str) -> Response:
        found = find_session(sandbox, session_id)
        if found is None:
            return render_closed(404, "This page does not exist", "Check the link.")
        return show_checkout(*found)

    @router.post("/c/pay/{session_id}")
    async def press_pay(
        session_id: str,
        card_number: Annotated[str, Form()] = "",
        expiry: Annotated[str, Form()] = "",
        cvc: Annotated[str, Form()] = "",
        cardholder: Annotated[str, Form()] = "",
    ) -> Response:
        found = find_session(sandbox, session_id)
        if found is None or found[1]["status"] == "expired":
            return RedirectResponse(f"/c/pay/{session_id}", 303)
        work, session = found
        if session["status"] == "complete":  # the second half of a double click
            return RedirectResponse(success_url(session), 303)
        typed = {"expiry": expiry, "cardholder": cardholder}
        details = read_card(card_number, expiry, cvc, cardholder, datetime.fromtimestamp(work.now, UTC).date())
        if isinstance(details, dict):
            return show_checkout(work, session, typed=typed, problems=details, status=422)
        with work.store.transaction():
            outcome = pay(work, session, details)
        await sandbox.after_commit(work)
        if isinstance(outcome, Decline):
            typed["last4"] = details.card.last4
            return show_checkout(work, session, typed=typed, problems={"form": outcome.message}, status=402)
        if isinstance(outcome, Challenge):
            return RedirectResponse(f"/c/pay/{session_id}/challenge", 303)
        return RedirectResponse(success_url(session), 303)

    @router.get("/receipts/{charge_id}")
    async def show_receipt(charge_id: str) -> Response:
        charge = sandbox.store.find(sandbox.store.find_owner(charge_id) or "", charge_id)
        if charge is None or charge["object"] != "charge" or not charge["paid"]:
            return render_closed(404, "This receipt does not exist", "Check the link.")
        paid = format_amount(charge["amount"], charge["currency"])
        card = charge["payment_method_details"]["card"]
        return render_closed(200, "Receipt", f"Paid {paid} with {card['brand']} ending in {card['last4']}.")

    return router


def find_session(sandbox: Sandbox, session_id: str) -> tuple[Work, Json] | None:
    """A session by the id in its URL, in whatever account it lives, with a unit of work for it."""
    sandbox.expire_due()
    account = sandbox.store.find_owner(session_id)
    if account is None:
        return None
    session = sandbox.store.find(account, session_id)
    if session is None or session["object"] != "checkout.session":
        return None
    return sandbox.work(account), session


def show_checkout(
    work: Work, session: Json, *, typed: Json | None = None, problems: Json | None = None, status: int = 200
) -> Response:
    """The page for the session as it is now. What was typed is shown again, but never the number or the CVC.

    `problems` are messages by field name; `form` is the one above the form.
    """
    if session["status"] == "complete":
        text = "This payment is complete. There is nothing left to pay on this page."
        return render_closed(200, "You're all done here", text, success_url(session))
    if session["status"] == "expired":
        text = "Nothing was charged. Go back and start the payment again."
        return render_closed(410, "This page has expired", text, session["cancel_url"])
    locale = "en" if session["locale"] in (None, "auto") else session["locale"]
    items = [
        {**item, "shown": format_amount(item["amount_total"], item["currency"], locale)}
        for item in work.private(session["id"])["line_items"]
    ]
    return render(
        "checkout.html",
        status,
        session=session,
        merchant=(session["branding_settings"] or {}).get("display_name", work.settings.merchant_name),
        items=items,
        total=format_amount(session["amount_total"], session["currency"], locale),
        typed={"expiry": "", "cardholder": "", "last4": "", **(typed or {})},
        problems=problems or {},
        cards=CARDS,
    )
