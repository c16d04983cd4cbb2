"""A Checkout Session's life after it is created: paid or set up, declined, challenged, expired."""

from typing import Any

from local.stripe.cards import Approval, Challenge, Decline
from local.stripe.customers import customer_shape, new_customer
from local.stripe.debits import Processing
from local.stripe.methods import Details, attach, new_method
from local.stripe.payments import Outcome, cancel, confirm, fail_authentication, new_intent
from local.stripe.setups import OPEN, ask_for_challenge, cancel_setup, confirm_setup, fail_setup_authentication
from local.stripe.store import field_in, field_is
from local.stripe.work import Work

Json = dict[str, Any]


def pay(work: Work, session: Json, means: Details | Json, *, save: bool = False) -> Outcome:
    """One press of the page's button on an open session, with what was typed or one of `saved_methods`.

    A decline leaves the session open; the next try uses the same PaymentIntent or SetupIntent. `save`: the customer
    ticked that the method may be shown again.
    """
    if session["customer"] is None and session["customer_creation"] == "always":
        shape = customer_shape(work)
        session["customer"] = new_customer(work, {**shape, "email": session["customer_email"]})["id"]
        work.save(session)
    intent = _intent_of(work, session)
    work.remember(session["id"], save=save)
    method = means if isinstance(means, dict) else new_method(work, means, {"email": _email(work, session)})
    outcome = _confirm(work, intent, method)
    if isinstance(outcome, Challenge):
        _ask_for_challenge(work, session, intent)
    elif not isinstance(outcome, Decline):
        _complete(work, session, method, outcome)
    return outcome


def pass_challenge(work: Work, session: Json, *, authenticated: bool) -> Outcome:
    """The customer's answer on the 3D Secure page."""
    intent = _intent_of(work, session)
    method = work.fetch("payment_method", intent["payment_method"], "payment_method")
    if not authenticated:
        fail = fail_setup_authentication if session["mode"] == "setup" else fail_authentication
        return fail(work, intent, method)
    outcome = _confirm(work, intent, method, authenticated=True)
    if isinstance(outcome, Approval | Processing):
        _complete(work, session, method, outcome)
    return outcome


def awaits_challenge(work: Work, session: Json) -> bool:
    """Whether the session stands at the 3D Secure page."""
    if session["status"] != "open" or (session["payment_intent"] or session["setup_intent"]) is None:
        return False
    return bool(_intent_of(work, session)["status"] == "requires_action")


def saved_methods(work: Work, session: Json) -> list[Json]:
    """The customer's methods that the page offers: by default those that the customer allowed to be shown again."""
    if session["customer"] is None or session["mode"] == "setup":
        return []
    options = session["saved_payment_method_options"] or {}
    shown = options.get("allow_redisplay_filters") or ["always"]
    return work.store.page(
        work.account,
        "payment_method",
        [
            field_is("customer", session["customer"]),
            field_in("allow_redisplay", shown),
            field_in("type", session["payment_method_types"]),
        ],
        limit=10,
        before=None,
        after=None,
    )


def expire(work: Work, session: Json) -> Json:
    """Closes an open session for good; a PaymentIntent or SetupIntent it began is cancelled."""
    if session["payment_intent"] is not None:
        cancel(work, _intent_of(work, session), "expired")
    if session["setup_intent"] is not None and (setup := _intent_of(work, session))["status"] in OPEN:
        cancel_setup(work, setup, None)
    session.update(status="expired", url=None)
    work.save(session)
    work.emit("checkout.session.expired", session)
    return session


def settle_session(work: Work, session: Json, *, paid: bool) -> None:
    """The bank answered to the debit that completed the session."""
    if paid:
        session["payment_status"] = "paid"
        work.save(session)
    work.emit(f"checkout.session.async_payment_{'succeeded' if paid else 'failed'}", session)


def success_url(session: Json) -> str:
    """Where the customer goes after paying, with `{CHECKOUT_SESSION_ID}` filled in."""
    return str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"])


def _intent_of(work: Work, session: Json) -> Json:
    """The SetupIntent or PaymentIntent of the session; the latter begins with the first press of Pay."""
    if session["mode"] == "setup":
        setup = work.fetch("setup_intent", session["setup_intent"], "intent")
        if setup["customer"] != session["customer"]:  # one that Checkout has just made
            setup["customer"] = session["customer"]
            work.save(setup)
        return setup
    if session["payment_intent"] is not None:
        return work.fetch("payment_intent", session["payment_intent"], "intent")
    private = work.private(session["id"])
    fields = {
        "amount": session["amount_total"],
        "currency": session["currency"],
        "customer": session["customer"],
        "payment_method_types": session["payment_method_types"],
        **private["payment_intent_data"],
    }
    intent = new_intent(work, fields, session=session["id"], idempotency_key=private.get("idempotency_key"))
    session["payment_intent"] = intent["id"]
    work.save(session)
    return intent


def _confirm(work: Work, intent: Json, method: Json, *, authenticated: bool = False) -> Outcome:
    if intent["object"] == "setup_intent":
        return confirm_setup(work, intent, method, authenticated=authenticated)
    return confirm(work, intent, method, authenticated=authenticated)


def _ask_for_challenge(work: Work, session: Json, intent: Json) -> None:
    url = f"{work.settings.public_url}/c/pay/{session['id']}/challenge"
    if session["mode"] == "setup":
        ask_for_challenge(work, intent, url, session["url"])
        return
    intent["next_action"] = {"redirect_to_url": {"return_url": session["url"], "url": url}, "type": "redirect_to_url"}
    work.save(intent)
    work.emit("payment_intent.requires_action", intent)


def _complete(work: Work, session: Json, method: Json, outcome: Approval | Processing) -> None:
    if work.private(session["id"]).get("save") and session["customer"] is not None:
        method["allow_redisplay"] = "always"
        attach(work, work.save(method), session["customer"])
    if session["mode"] == "setup":
        status = "no_payment_required"
    else:
        status = "paid" if isinstance(outcome, Approval) else "unpaid"
    session.update(
        status="complete",
        payment_status=status,
        url=None,
        customer_details={
            "address": None,
            "business_name": None,
            "email": _email(work, session),
            "individual_name": None,
            "name": method["billing_details"]["name"],
            "phone": None,
            "tax_exempt": "none",
            "tax_ids": [],
        },
    )
    work.save(session)
    work.emit("checkout.session.completed", session)


def _email(work: Work, session: Json) -> str | None:
    if session["customer"] is not None:
        email: str | None = work.fetch("customer", session["customer"], "customer").get("email")
        return email
    given: str | None = session["customer_email"]
    return given
