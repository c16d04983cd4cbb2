"""The hosted Checkout page: plain forms that a person, a keyboard and a test can use."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Form
from pydantic import BaseModel
from starlette.responses import FileResponse, RedirectResponse, Response

from local.stripe.cards import CARDS, CardDetails, Challenge, Decline, read_card
from local.stripe.checkout import pay, saved_methods, success_url
from local.stripe.currencies import format_amount
from local.stripe.debits import ACCOUNTS, DebitDetails, read_account
from local.stripe.rendering import TEMPLATES, render, render_closed
from local.stripe.sandbox import Sandbox
from local.stripe.work import Work

Json = dict[str, Any]


class Typed(BaseModel):
    """What one of the page's forms sends: a card, a bank account (`kind` says which), or the id of a saved method."""

    kind: str = "card"
    card_number: str = ""
    expiry: str = ""
    cvc: str = ""
    cardholder: str = ""
    save: bool = False
    iban: str = ""
    holder: str = ""
    saved: str = ""


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
    async def press_pay(session_id: str, typed: Annotated[Typed, Form()]) -> Response:
        found = find_session(sandbox, session_id)
        if found is None or found[1]["status"] == "expired":
            return RedirectResponse(f"/c/pay/{session_id}", 303)
        work, session = found
        if session["status"] == "complete":  # the second half of a double click
            return RedirectResponse(success_url(session), 303)
        means = _read_means(work, session, typed)
        if isinstance(means, dict) and "object" not in means:
            return show_checkout(work, session, typed=typed, problems=means, status=422)
        with work.store.transaction():
            outcome = pay(work, session, means, save=typed.save)
        await sandbox.after_commit(work)
        if isinstance(outcome, Decline):
            problems = {"form": outcome.message, "last4": _last4(means)}
            return show_checkout(work, session, typed=typed, problems=problems, status=402)
        if isinstance(outcome, Challenge):
            return RedirectResponse(f"/c/pay/{session_id}/challenge", 303)
        return RedirectResponse(success_url(session), 303)

    @router.get("/receipts/{charge_id}")
    async def show_receipt(charge_id: str) -> Response:
        charge = sandbox.store.find(sandbox.store.find_owner(charge_id) or "", charge_id)
        if charge is None or charge["object"] != "charge" or not charge["paid"]:
            return render_closed(404, "This receipt does not exist", "Check the link.")
        paid = format_amount(charge["amount"], charge["currency"])
        kind = charge["payment_method_details"]["type"]
        used = charge["payment_method_details"][kind]
        name = used["brand"] if kind == "card" else "a bank account"
        return render_closed(200, "Receipt", f"Paid {paid} with {name} ending in {used['last4']}.")

    return router


def _read_means(work: Work, session: Json, typed: Typed) -> CardDetails | DebitDetails | Json:
    """What the customer wants to pay with: details, a saved PaymentMethod, or else messages by field name."""
    if typed.saved:
        offered = {method["id"]: method for method in saved_methods(work, session)}
        return offered.get(typed.saved) or {"form": "This payment method cannot be used any more. Choose another."}
    if typed.kind not in session["payment_method_types"]:
        return {"form": "This way of paying is not offered here. Choose another."}
    if typed.kind == "sepa_debit":
        return read_account(typed.iban, typed.holder)
    today = datetime.fromtimestamp(work.now, UTC).date()
    return read_card(typed.card_number, typed.expiry, typed.cvc, typed.cardholder, today)


def _last4(means: CardDetails | DebitDetails | Json) -> str:
    match means:
        case CardDetails():
            return means.card.last4
        case DebitDetails():
            return means.account.iban[-4:]
        case _:
            return str(means[means["type"]]["last4"])


def find_session(sandbox: Sandbox, session_id: str) -> tuple[Work, Json] | None:
    """A session by the id in its URL, in whatever account it lives, with a unit of work for it."""
    sandbox.let_happen()
    account = sandbox.store.find_owner(session_id)
    if account is None:
        return None
    session = sandbox.store.find(account, session_id)
    if session is None or session["object"] != "checkout.session":
        return None
    return sandbox.work(account), session


def show_checkout(
    work: Work, session: Json, *, typed: Typed | None = None, problems: Json | None = None, status: int = 200
) -> Response:
    """The page for the session as it is now. What was typed is shown again, but never a number, an IBAN or the CVC.

    `problems` are messages by field name; `form` is the one above the form, `last4` the card it is about.
    """
    setup = session["mode"] == "setup"
    if session["status"] == "complete":
        text = "Your payment method is saved." if setup else "This payment is complete."
        return render_closed(
            200, "You're all done here", f"{text} There is nothing left to do on this page.", success_url(session)
        )
    if session["status"] == "expired":
        text = (
            "Nothing was saved. Go back and start again." if setup else "Nothing was charged. Go back and start again."
        )
        return render_closed(410, "This page has expired", text, session["cancel_url"])
    locale = "en" if session["locale"] in (None, "auto") else session["locale"]
    items = [
        {**item, "shown": format_amount(item["amount_total"], item["currency"], locale)}
        for item in work.private(session["id"])["line_items"]
    ]
    options = session["saved_payment_method_options"] or {}
    return render(
        "checkout.html",
        status,
        session=session,
        merchant=merchant_of(work, session),
        items=items,
        total=None if setup else format_amount(session["amount_total"], session["currency"], locale),
        typed=typed or Typed(),
        problems=problems or {},
        saved=saved_methods(work, session),
        may_save=options.get("payment_method_save") == "enabled",
        cards=CARDS,
        accounts=ACCOUNTS,
    )


def merchant_of(work: Work, session: Json) -> str:
    """Whom the customer pays, as the page says it."""
    name: str = (session["branding_settings"] or {}).get("display_name", work.settings.merchant_name)
    return name
