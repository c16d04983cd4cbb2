"""What a merchant wants of invoices and subscriptions unless it says otherwise."""

from __future__ import annotations

import re
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from contracts.billing import BillingDefaults, ChangeDefaults
from contracts.message import FieldError, InvalidInput
from services.gateway import commands, readmodel
from services.gateway.security import Session
from services.gateway.security.doors import MemberSession

from . import amounts
from .forms import Form
from .language import Reader
from .page import Page, done

router = APIRouter()

_CHECKS = ("tax_inclusive", "allow_partial", "allow_customer_cancel", "allow_customer_pause")
_NUMBERS = ("due_days", "minimum_payments", "renewal_notice_days")


def _filled(defaults: BillingDefaults, reader: Reader) -> Form:
    values = {name: "yes" if getattr(defaults, name) else "" for name in _CHECKS}
    values |= {name: str(getattr(defaults, name)) for name in _NUMBERS}
    return Form(
        values
        | {
            "link_days": "" if defaults.link_days is None else str(defaults.link_days),
            "tax_rate": reader.decimal(defaults.tax_rate),
            "memo": defaults.memo or "",
            "retry_days": ", ".join(map(str, defaults.retry_days)),
            "after_last_retry": defaults.after_last_retry,
            "plan_on_cancel": defaults.plan_on_cancel,
        }
    )


def _typed(form: Form, reader: Reader) -> dict[str, Any]:
    """The form as the command's fields. Raises InvalidInput for what is not a number."""
    try:
        tax_rate = amounts.number(form.get("tax_rate") or "0", reader.locale)
    except amounts.NotANumberError as wrong:
        message = reader.gettext("Please enter a number such as %(example)s.") % {"example": "19"}
        raise InvalidInput(errors=(FieldError(field="tax_rate", message=message),)) from wrong
    days = re.findall(r"\d+", form.get("retry_days"))
    if re.sub(r"[\d,;\s\u060c]", "", form.get("retry_days")):
        message = reader.gettext("Please enter days such as %(example)s.") % {"example": "2, 7, 14"}
        raise InvalidInput(errors=(FieldError(field="retry_days", message=message),))
    return {
        **{name: form.get(name) == "yes" for name in _CHECKS},
        **{name: form.count(name) for name in _NUMBERS},
        "link_days": form.count("link_days"),
        "tax_rate": tax_rate,
        "memo": form.given("memo"),
        "retry_days": [int(each) for each in days],
        "after_last_retry": form.get("after_last_retry"),
        "plan_on_cancel": form.get("plan_on_cancel"),
    }


def _show(page: Page, session: Session, form: Form) -> Response:
    admin = session.account is not None and session.account.role == "admin"
    return page.render("billing_settings.html", status=form.status, form=form, may_change=admin)


@router.get("/console/settings/billing")
async def show(request: Request, session: MemberSession) -> Response:
    """The defaults as they are."""
    assert session.viewer is not None
    page = await Page.of(request, session)
    defaults = await readmodel.defaults(request.app.state.runtime.db, session.viewer.merchant_id)
    return _show(page, session, _filled(defaults, page.reader))


@router.post("/console/settings/billing")
async def save(request: Request, session: MemberSession) -> Response:
    """Save them."""
    page = await Page.of(request, session)
    form = await Form.posted(request)
    with form.refusals(page.reader):
        await commands.send(request, ChangeDefaults.model_validate(_typed(form, page.reader)), id=form.command_id)
        return done("/console/settings/billing", "saved")
    return _show(page, session, form)
