"""Pausing, resuming and cancelling: first what it would change, then the button; or asking the merchant for it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.responses import Response

from contracts import billing
from contracts.billing import Subscription, SubscriptionPreview
from contracts.message import Command
from services.gateway import commands
from services.gateway.security import Session
from services.gateway.security.doors import ContactSession, MemberSession

from .agreement import is_term_over
from .forms import Form
from .language import Reader
from .language import gettext_noop as _
from .page import Page, done
from .problems import explain_refused_change
from .subscriptions import subscription_of

router = APIRouter()
said = {
    "paused": _("It is paused now."),
    "pause-planned": _("It is going to be paused."),
    "resumed": _("It goes on."),
    "cancelled": _("It is cancelled now."),
    "cancel-planned": _("It is going to be cancelled."),
    "cancel-undone": _("It is not cancelled after all."),
    "merchant-asked": _("Your request has been passed on."),
}

_ORDERS: dict[str, type[Command[Subscription]]] = {
    "pause": billing.PauseSubscription,
    "resume": billing.ResumeSubscription,
    "cancel": billing.CancelSubscription,
    "undo-cancel": billing.UndoCancelSubscription,
}


class _Verb(StringConvertor):
    """One of the actions: what else follows a subscription's address belongs to other pages."""

    regex = "|".join(_ORDERS)


register_url_convertor("change", _Verb())

_CHOSEN = {"pause": ("when", "until"), "cancel": ("when", "rest")}
"""What there is to choose about an action, by the names of billing's fields."""
_CHOSEN_ANEW = _("You have chosen something else. This is what it changes; please confirm it.")
_WISHES = {"pause": "pause", "resume": "resume", "cancel": "cancel", "undo-cancel": "other"}


def _chosen(verb: str, form: Form) -> dict[str, str]:
    """What was chosen; an empty field is not said, so that billing's own default holds."""
    return {name: given for name in _CHOSEN.get(verb, ()) if (given := form.given(name))}


def _offered(agreed: Subscription, verb: str, session: Session) -> list[str]:
    """What this person may choose about it, of what there is."""
    recurring = agreed.kind == "recurring"
    may = {"when": recurring, "until": True, "rest": not recurring and session.is_member}
    return [name for name in _CHOSEN.get(verb, ()) if agreed.status != "pending" and may[name]]


def _chosen_anew(form: Form) -> bool:
    """Whether another choice is sent than the one whose consequences stood on the page."""
    return any(form.get(name).strip() != seen for name, seen in form.group("seen").items())


def _is_endless(agreed: Subscription, verb: str, form: Form) -> bool:
    """Whether the charges of a preview go on after those of the two years that billing looks ahead."""
    until = form.given("until") if verb == "pause" else agreed.resumes_on if verb == "resume" else None
    return agreed.kind == "recurring" and agreed.ends_on is None and agreed.ends_after is None and not until


async def _preview(
    request: Request, page: Page, agreed: Subscription, verb: str, form: Form
) -> SubscriptionPreview | None:
    """What it would change; None when billing does not say, for which the form then has the reason."""
    with form.refusals(page.reader):
        asked = {"subscription_id": agreed.id, "action": verb.replace("-", "_"), **_chosen(verb, form)}
        return await commands.ask(request, billing.PreviewSubscription.model_validate(asked))
    return None


async def _show(request: Request, session: Session, base: str, agreed: Subscription, verb: str, form: Form) -> Response:
    page = await Page.of(request, session)
    refused_before, command_id = form.problem, form.command_id
    seen = await _preview(request, page, agreed, verb, form)
    if refused_before:
        form.problem = refused_before
    if seen is not None:
        form.command_id = command_id
    return page.render(
        "subscription_change.html",
        status=form.status,
        subscription=agreed,
        base=base,
        verb=verb,
        form=form,
        chosen=_CHOSEN.get(verb, ()),
        offered=_offered(agreed, verb, session),
        endless=_is_endless(agreed, verb, form),
        preview=seen,
        why_not=_why_not(seen, agreed, page.reader),
        wish=_WISHES[verb],
    )


def _why_not(seen: SubscriptionPreview | None, agreed: Subscription, reader: Reader) -> str:
    if seen is None or seen.allowed:
        return ""
    if seen.why_not == "minimum-term" and not is_term_over(agreed):
        text = _("It can be cancelled only after the payments that were agreed: %(paid)s of %(all)s so far.")
        return reader.gettext(text) % {"paid": agreed.charges_paid, "all": agreed.minimum_payments}
    return explain_refused_change(seen.why_not or "", seen.reason or "", reader)


def _first_choice(agreed: Subscription, verb: str, session: Session) -> dict[str, str]:
    """What stands in the form before anybody has chosen: what hurts the customer least."""
    if verb == "cancel" and agreed.status != "pending":
        plan = agreed.kind == "payment_plan"
        rest = {"rest": "waive" if agreed.plan_on_cancel == "waive" else "owe"} if plan and session.is_member else {}
        return {"when": "now" if plan else "period_end"} | rest
    return {"when": "now"}


async def _look(request: Request, session: Session, base: str, subscription_id: UUID, verb: str) -> Response:
    agreed = await subscription_of(request, session, subscription_id)
    values = _first_choice(agreed, verb, session) | dict(request.query_params)
    return await _show(request, session, base, agreed, verb, Form(values))


async def _carry_out(request: Request, session: Session, base: str, subscription_id: UUID, verb: str) -> Response:
    agreed = await subscription_of(request, session, subscription_id)
    form = await Form.posted(request)
    page = await Page.of(request, session)
    if form.get("look") or _chosen_anew(form):
        form.problem = "" if form.get("look") else page.reader.gettext(_CHOSEN_ANEW)
        return await _show(request, session, base, agreed, verb, form)
    given: dict[str, Any] = {"subscription_id": agreed.id, **_chosen(verb, form)}
    if verb == "cancel":
        given["reason"] = form.given("reason")
    with form.refusals(page.reader):
        after = await commands.send(request, _ORDERS[verb].model_validate(given), id=form.command_id)
        return done(f"{base}/{agreed.id}", _outcome(verb, after))
    return await _show(request, session, base, await subscription_of(request, session, subscription_id), verb, form)


def _outcome(verb: str, after: Subscription) -> str:
    match verb:
        case "pause":
            return "paused" if after.status == "paused" else "pause-planned"
        case "cancel":
            return "cancelled" if after.status == "cancelled" else "cancel-planned"
        case "undo-cancel":
            return "cancel-undone"
        case _:
            return "resumed"


# --- asking the merchant --------------------------------------------------------------------------------------------


async def _asking(request: Request, session: Session, agreed: Subscription, form: Form) -> Response:
    page = await Page.of(request, session)
    return page.render("subscription_ask.html", status=form.status, subscription=agreed, form=form)


@router.get("/portal/subscriptions/{subscription_id:uuid}/ask")
async def ask_form(request: Request, session: ContactSession, subscription_id: UUID, wish: str = "other") -> Response:
    """What to ask for, with a note."""
    agreed = await subscription_of(request, session, subscription_id)
    return await _asking(request, session, agreed, Form({"wish": _WISHES.get(wish, "other")}))


@router.post("/portal/subscriptions/{subscription_id:uuid}/ask")
async def ask(request: Request, session: ContactSession, subscription_id: UUID) -> Response:
    """Ask the merchant for a change."""
    agreed = await subscription_of(request, session, subscription_id)
    form = await Form.posted(request)
    page = await Page.of(request, session)
    with form.refusals(page.reader):
        given = {"subscription_id": agreed.id, "wish": form.get("wish"), "note": form.given("note")}
        await commands.send(request, billing.AskAboutSubscription.model_validate(given), id=form.command_id)
        return done(f"/portal/subscriptions/{agreed.id}", "merchant-asked")
    return await _asking(request, session, agreed, form)


# --- the two sides --------------------------------------------------------------------------------------------------


@router.get("/portal/subscriptions/{subscription_id:uuid}/{verb:change}")
async def look(request: Request, session: ContactSession, subscription_id: UUID, verb: str) -> Response:
    """What an action would change, with the button to do it."""
    return await _look(request, session, "/portal/subscriptions", subscription_id, verb)


@router.post("/portal/subscriptions/{subscription_id:uuid}/{verb:change}")
async def carry_out(request: Request, session: ContactSession, subscription_id: UUID, verb: str) -> Response:
    """Do it; a refusal comes back on the page of the preview."""
    return await _carry_out(request, session, "/portal/subscriptions", subscription_id, verb)


@router.get("/console/subscriptions/{subscription_id:uuid}/{verb:change}")
async def look_member(request: Request, session: MemberSession, subscription_id: UUID, verb: str) -> Response:
    """The same for members."""
    return await _look(request, session, "/console/subscriptions", subscription_id, verb)


@router.post("/console/subscriptions/{subscription_id:uuid}/{verb:change}")
async def carry_out_member(request: Request, session: MemberSession, subscription_id: UUID, verb: str) -> Response:
    """The same for members."""
    return await _carry_out(request, session, "/console/subscriptions", subscription_id, verb)
