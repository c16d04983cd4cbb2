"""What a recurring link or a payment plan asks for, as a member fills it in."""

from __future__ import annotations

from typing import Any

from contracts.billing import BillingDefaults, CreateSubscription
from contracts.message import FieldError, InvalidInput

from . import amounts
from .forms import Form
from .language import Reader
from .language import gettext_noop as _
from .lines import example

KINDS = [
    ("one_time", _("Once")),
    ("recurring", _("Again and again")),
    ("payment_plan", _("In instalments")),
]
"""The kinds of payment links, each with what it is called."""


def usual_terms(usual: BillingDefaults) -> dict[str, str]:
    """What stands in the form at first."""
    return {
        "kind": "one_time",
        "split": "equal",
        "interval.count": "1",
        "interval.unit": "month",
        "instalment_count": "3",
        "allow_customer_cancel": "yes" if usual.allow_customer_cancel else "",
        "allow_customer_pause": "yes" if usual.allow_customer_pause else "",
        "minimum_payments": str(usual.minimum_payments or ""),
        "plan_on_cancel": usual.plan_on_cancel,
        "after_last_retry": usual.after_last_retry,
    }


def agreement_of(form: Form, common: dict[str, Any], reader: Reader) -> CreateSubscription:
    """The command of a form; `common` are the fields that every kind of link has. Raises InvalidInput, ValidationError."""
    kept = ("customer_id", "currency", "lines", "tax_inclusive", "memo", "link_expires_at", "send_email")
    fields = {name: common[name] for name in kept} | {
        "kind": form.get("kind"),
        "starts_on": form.given("starts_on"),
        "allow_customer_cancel": form.get("allow_customer_cancel") == "yes",
        "allow_customer_pause": form.get("allow_customer_pause") == "yes",
        "minimum_payments": form.count("minimum_payments", 0),
        "after_last_retry": form.given("after_last_retry"),
    }
    interval = {"unit": form.get("interval.unit"), "count": form.count("interval.count", 1)}
    if form.get("kind") == "recurring":
        ends = {"after": form.count("ends.after"), "on": form.given("ends.on")}
        fields |= {"interval": interval, "trial_days": form.count("trial_days", 0)}
        fields["ends"] = None if ends == {"after": None, "on": None} else ends
    else:
        fields["plan_on_cancel"] = form.given("plan_on_cancel")
        if form.get("split") == "custom":
            fields["instalments"] = _instalments(form, reader)
        else:
            fields |= {"interval": interval, "instalment_count": form.count("instalment_count")}
    return CreateSubscription.model_validate(fields)


def _instalments(form: Form, reader: Reader) -> list[dict[str, Any]]:
    """The instalments that were filled in, amounts in minor units. Raises InvalidInput, naming each field that is wrong."""
    currency = form.get("currency")
    found: list[dict[str, Any]] = []
    errors: list[FieldError] = []
    for number, typed in form.numbered("instalments"):
        amount, day = typed.get("amount", ""), typed.get("due_on") or None
        if not amount and not day:
            continue
        try:
            found.append({"due_on": day, "amount": amounts.minor_units(amount, currency, reader.locale)})
        except amounts.NotANumberError:
            message = reader.gettext("Please enter a number such as %(example)s.")
            message %= {"example": example(currency, reader)}
            errors.append(FieldError(field=f"instalments.{number}.amount", message=message))
        except amounts.TooManyDecimalsError:
            message = reader.gettext("%(currency)s has no fractions this small.") % {"currency": currency}
            errors.append(FieldError(field=f"instalments.{number}.amount", message=message))
    if not found and not errors:
        message = reader.gettext("A payment plan needs instalments.")
        errors.append(FieldError(field="instalments.0.amount", message=message))
    if errors:
        raise InvalidInput(errors=tuple(errors))
    return found
