"""Who may do what with a to-do, and what invoices and payment methods ask for. Each `why_not_…` is None, or the reason in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from contracts.message import Actor, CustomerId

Origin = Literal["own", "assigned", "billing", "merchant"]
Status = Literal["open", "done", "cancelled"]

_READ_ONLY = "You are only looking on here: nothing can be changed."


@dataclass(frozen=True)
class Standing:
    """What decisions need to know of a to-do."""

    customer_id: CustomerId
    origin: Origin
    shared: bool


def is_customers(actor: Actor, customer_id: CustomerId) -> bool:
    """Whether `actor` is one of this customer's people."""
    return actor.kind == "contact" and actor.customer_id == customer_id


def is_merchants(actor: Actor) -> bool:
    """Whether `actor` works for the merchant; which one is checked in every WHERE."""
    return actor.kind in ("member", "api_key")


def sees(actor: Actor, todo: Standing) -> bool:
    """Whether the to-do exists for `actor` at all: a customer's own is private unless shared, a merchant's always is."""
    if is_merchants(actor):
        return todo.origin != "own" or todo.shared
    return is_customers(actor, todo.customer_id) and todo.origin != "merchant"


def why_not_create(actor: Actor) -> str | None:
    """Whether `actor` may write to-dos: a customer's people their own, members those that they assign."""
    if actor.read_only:
        return _READ_ONLY
    if not is_merchants(actor) and actor.kind != "contact":
        return "Only people of the customer or the merchant may write to-dos."
    return None


def why_not_edit(actor: Actor, todo: Standing) -> str | None:
    """Whether `actor`, who sees the to-do, may change its words, date, priority, list or sharing, or delete it."""
    if actor.read_only:
        return _READ_ONLY
    if is_merchants(actor) and todo.origin == "own":
        return "The customer wrote this to-do: only they can change it."
    if actor.kind == "contact" and todo.origin == "assigned":
        return "The merchant assigned this to-do: you can complete it, but only they can change it."
    return None


def why_not_move(actor: Actor, todo: Standing, *, before: Status, after: Status) -> str | None:
    """Whether `actor`, who sees the to-do, may bring it from one status to another.

    A customer's people complete what the merchant assigned, and take that back; cancelling it is the merchant's.
    """
    if actor.kind == "contact" and todo.origin == "assigned" and not actor.read_only:
        if "cancelled" in (before, after):
            return "The merchant assigned this to-do: only they can cancel it or take that back."
        return None
    return why_not_edit(actor, todo)


def is_step(before: Status, after: Status) -> bool:
    """Whether a to-do moves so in one step: what is done or cancelled is reopened before it is anything else."""
    return "open" in (before, after)


def demand_of(invoice_status: str, *, opened: bool, deleted: bool, payable: bool) -> Status | None:
    """What the newest state of an invoice asks of its to-do; None: there need not be one.

    A function of that state alone, so that the order in which states come cannot matter. An invoice that was withdrawn
    before it ever opened asked nobody for money. One that nothing is `payable` on, since all of it is on its way, does not
    ask for it again; it does when the debit fails.
    """
    match invoice_status:
        case "open" if not deleted:
            return "open" if payable else "cancelled"
        case "paid" if not deleted:
            return "done"
        case "open" | "paid" | "void" | "uncollectible":
            return "cancelled" if opened else None
        case _:
            return None


def demand_of_method(*, in_use: bool, is_default: bool, working: bool, deleted: bool) -> Status:
    """What the newest state of a payment method asks of its to-do, were there one.

    As long as it is charged and does not work, another one must take its place. That is done when one has, when it works
    again, or when it was taken away; a default that nothing charges any more is no longer anybody's trouble.
    """
    if deleted or working:
        return "done"
    if in_use:
        return "open"
    return "cancelled" if is_default else "done"
