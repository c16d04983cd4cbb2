"""A Checkout Session's life after it is created: paid, declined, challenged, expired."""

from typing import Any

from local.stripe.cards import Approval, CardDetails, Challenge, Decline
from local.stripe.payments import cancel, confirm, fail_authentication, new_intent, new_method
from local.stripe.work import Work

Json = dict[str, Any]


def pay(work: Work, session: Json, details: CardDetails) -> Approval | Decline | Challenge:
    """One press of the Pay button on an open session.

    A decline leaves the session open; the next try uses the same PaymentIntent.
    """
    if session["payment_intent"] is None:
        intent = _new_session_intent(work, session)
        session["payment_intent"] = intent["id"]
        work.save(session)
    else:
        intent = work.fetch("payment_intent", session["payment_intent"], "intent")
    method = new_method(work, details, {"email": _email(work, session)})
    outcome = confirm(work, intent, method)
    match outcome:
        case Approval():
            _complete(work, session, details.name)
        case Challenge():
            url = f"{work.settings.public_url}/c/pay/{session['id']}/challenge"
            intent["next_action"] = {
                "redirect_to_url": {"return_url": session["url"], "url": url},
                "type": "redirect_to_url",
            }
            work.save(intent)
            work.emit("payment_intent.requires_action", intent)
        case Decline():
            pass
    return outcome


def pass_challenge(work: Work, session: Json, *, authenticated: bool) -> Approval | Decline | Challenge:
    """The customer's answer on the 3D Secure page."""
    intent = work.fetch("payment_intent", session["payment_intent"], "intent")
    method = work.fetch("payment_method", intent["payment_method"], "payment_method")
    if not authenticated:
        return fail_authentication(work, intent, method)
    outcome = confirm(work, intent, method, authenticated=True)
    if isinstance(outcome, Approval):
        _complete(work, session, method["billing_details"]["name"])
    return outcome


def awaits_challenge(work: Work, session: Json) -> bool:
    """Whether the session's payment stands at the 3D Secure page."""
    if session["status"] != "open" or session["payment_intent"] is None:
        return False
    intent = work.fetch("payment_intent", session["payment_intent"], "intent")
    return bool(intent["status"] == "requires_action")


def expire(work: Work, session: Json) -> Json:
    """Closes an open session for good; a PaymentIntent it began is cancelled."""
    if session["payment_intent"] is not None:
        intent = work.fetch("payment_intent", session["payment_intent"], "intent")
        cancel(work, intent, "expired")
    session.update(status="expired", url=None)
    work.save(session)
    work.emit("checkout.session.expired", session)
    return session


def success_url(session: Json) -> str:
    """Where the customer goes after paying, with `{CHECKOUT_SESSION_ID}` filled in."""
    return str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"])


def _new_session_intent(work: Work, session: Json) -> Json:
    private = work.private(session["id"])
    fields = {
        "amount": session["amount_total"],
        "currency": session["currency"],
        "customer": session["customer"],
        **private["payment_intent_data"],
    }
    return new_intent(work, fields, session=session["id"], idempotency_key=private.get("idempotency_key"))


def _complete(work: Work, session: Json, name: str | None) -> None:
    session.update(
        status="complete",
        payment_status="paid",
        url=None,
        customer_details={
            "address": None,
            "business_name": None,
            "email": _email(work, session),
            "individual_name": None,
            "name": name,
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
