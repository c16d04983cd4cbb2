"""Who may do what at a merchant. Each answer is None, or the reason why not, in words for that person."""

from __future__ import annotations

from contracts.message import Actor

_READ_ONLY = "You are only looking on here: nothing can be changed."


def why_not_customers(actor: Actor) -> str | None:
    """Whether `actor` may add, change and invite customers: every role of the team may."""
    return _why_not(actor, ("admin", "manager", "sales"), "Only the merchant's own team may do this.")


def why_not_settings(actor: Actor) -> str | None:
    """Whether `actor` may change the merchant's own settings and logo."""
    return _why_not(actor, ("admin",), "Only an admin of the merchant may change its settings.")


def why_not_own_profile(actor: Actor) -> str | None:
    """Whether `actor` is a person, who may change their own name, language and time zone."""
    if actor.read_only:
        return _READ_ONLY
    if actor.kind not in ("member", "contact", "person") or actor.id is None:
        return "Only a person who is signed in may do this."
    return None


def _why_not(actor: Actor, roles: tuple[str, ...], reason: str) -> str | None:
    if actor.read_only:
        return _READ_ONLY
    if actor.kind != "member" or actor.role not in roles:
        return reason
    return None


def why_not_invite(actor: Actor, *, by_pay_link: bool, to_another_address: bool) -> str | None:
    """Whether `actor` may have an invitation mailed.

    Whoever holds a pay link may have one sent to the customer's own address and to no other: the link may have been
    forwarded to anybody.
    """
    if not by_pay_link:
        return why_not_customers(actor)
    if actor.kind != "public":
        return "Only the page of a payment link may ask for this."
    if to_another_address:
        return "The invitation can only be sent to the customer's own address."
    return None
