"""What a confirmed SetupIntent does: asks the bank, keeps the method for later charges, says so in events."""

from typing import Any

from local.stripe.cards import AUTHENTICATION_FAILED, Approval, Challenge, Decline, decide_setup
from local.stripe.debits import TestAccount
from local.stripe.methods import behind, check_usable, last_error, save_for_later
from local.stripe.work import Work, new_id

Json = dict[str, Any]

OPEN = ("requires_payment_method", "requires_confirmation", "requires_action")
"""The states in which a SetupIntent can still be confirmed or cancelled."""


def new_setup(work: Work, fields: Json, *, session: str | None = None) -> Json:
    """A SetupIntent, announced. `fields` are those that its creator chose."""
    setup_id = new_id("seti_")
    body: Json = {
        "id": setup_id,
        "object": "setup_intent",
        "application": None,
        "automatic_payment_methods": {"allow_redirects": "always", "enabled": True},
        "cancellation_reason": None,
        "client_secret": f"{setup_id}_secret_{new_id('', 25)}",
        "created": work.now,
        "customer": None,
        "description": None,
        "flow_directions": None,
        "last_setup_error": None,
        "latest_attempt": None,
        "livemode": False,
        "mandate": None,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_options": {
            "card": {"mandate_options": None, "network": None, "request_three_d_secure": "automatic"}
        },
        "payment_method_types": ["card", "sepa_debit"],
        "single_use_mandate": None,
        "status": "requires_payment_method",
        "usage": "off_session",
        **fields,
    }
    work.insert(body, session=session)
    work.emit("setup_intent.created", body)
    return body


def confirm_setup(
    work: Work, setup: Json, method: Json, *, authenticated: bool = False
) -> Approval | Decline | Challenge:
    """Tries to set the method up; the SetupIntent is changed and stored whatever the outcome.

    A challenge leaves `requires_action`; `next_action` is the caller's to fill, since only it knows the page.
    """
    check_usable(work, method, setup["customer"], "SetupIntent")
    bank = behind(work, method)
    outcome = Approval() if isinstance(bank, TestAccount) else decide_setup(bank, authenticated=authenticated)
    setup.update(payment_method=method["id"], next_action=None, last_setup_error=None)
    match outcome:
        case Challenge():
            setup["status"] = "requires_action"
            work.save(setup)
        case Decline():
            _fail(work, setup, method, outcome)
        case Approval():
            save_for_later(work, method, setup["customer"], setup["usage"])
            setup["status"] = "succeeded"
            work.save(setup)
            work.emit("setup_intent.succeeded", setup)
    return outcome


def ask_for_challenge(work: Work, setup: Json, url: str, return_url: str | None) -> None:
    """Says where the bank's page is; `return_url` is where it leads back to, None for Stripe's own script."""
    if return_url:
        setup["next_action"] = {"redirect_to_url": {"return_url": return_url, "url": url}, "type": "redirect_to_url"}
    else:
        setup["next_action"] = {"type": "use_stripe_sdk", "use_stripe_sdk": {"stripe_js": url}}
    work.save(setup)
    work.emit("setup_intent.requires_action", setup)


def fail_setup_authentication(work: Work, setup: Json, method: Json) -> Decline:
    """The customer did not pass the challenge."""
    refusal = Decline("setup_intent_authentication_failure", AUTHENTICATION_FAILED.message)
    _fail(work, setup, method, refusal)
    return refusal


def cancel_setup(work: Work, setup: Json, reason: str | None) -> Json:
    """Ends a SetupIntent that has not succeeded."""
    setup.update(status="canceled", cancellation_reason=reason, next_action=None)
    work.save(setup)
    work.emit("setup_intent.canceled", setup)
    return setup


def _fail(work: Work, setup: Json, method: Json, decline: Decline) -> None:
    setup.update(
        status="requires_payment_method",
        payment_method=None,
        next_action=None,
        last_setup_error=last_error(decline, method),
    )
    work.save(setup)
    work.emit("setup_intent.setup_failed", setup)
