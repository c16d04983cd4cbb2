"""`expand`: ids replaced by their objects, and lists that are left out by default.

What is expandable is read from the annotations of the SDK's resource classes.
"""

from collections.abc import Callable
from typing import Any, ForwardRef, get_args

import stripe
from stripe._stripe_object import StripeObject
from stripe.checkout import Session

from local.stripe.errors import InvalidParameterError
from local.stripe.work import Work

Json = dict[str, Any]

_CLASSES: dict[str, type] = {
    "checkout.session": Session,
    "customer": stripe.Customer,
    "payment_intent": stripe.PaymentIntent,
    "payment_method": stripe.PaymentMethod,
    "charge": stripe.Charge,
    "refund": stripe.Refund,
    "setup_intent": stripe.SetupIntent,
    "dispute": stripe.Dispute,
}
# Lists that Stripe leaves out of an object until asked for: (kind, field) → how to make the list.
LEFT_OUT: dict[tuple[str, str], Callable[[Work, Json], Json]] = {}
_DEEPEST = 4


def _annotation(declared: type | None, name: str) -> Any:
    return getattr(declared, "__annotations__", {}).get(name)


def _is_expandable(declared: type | None, name: str) -> bool:
    """Whether the SDK says `Optional[ExpandableField["Other"]]`, which is `str | Other | None`."""
    options = get_args(_annotation(declared, name))
    return str in options and any(isinstance(option, ForwardRef | type) and option is not str for option in options[:2])


def _part(declared: type | None, name: str) -> type | None:
    """The class of a part that is no object of its own, like a customer's `invoice_settings`."""
    annotation = _annotation(declared, name)
    options = (annotation, *get_args(annotation))
    return next((option for option in options if isinstance(option, type) and issubclass(option, StripeObject)), None)


def expand(work: Work, body: Json, paths: list[str]) -> Json:
    """The response with every path expanded, e.g. `payment_intent.latest_charge` or, in a list, `data.customer`.

    Raises:
        InvalidParameterError: a property that cannot be expanded, or more than four levels.
    """
    for path in paths:
        steps = path.split(".")
        if len(steps) > _DEEPEST + (steps[0] == "data"):
            raise InvalidParameterError(
                f"You cannot expand more than {_DEEPEST} levels of a property. Property: {path}", param="expand"
            )
        _expand_steps(work, body, steps, path, None)
    return body


def _expand_steps(work: Work, body: Json, steps: list[str], path: str, part: type | None) -> None:
    """`part` is the class of a body that does not say itself what it is."""
    if not steps:
        return
    if body.get("object") == "list" and steps[0] == "data":
        for item in body["data"]:
            _expand_steps(work, item, steps[1:], path, None)
        return
    name, rest = steps[0], steps[1:]
    kind = body.get("object", "")
    declared = _CLASSES.get(kind) if kind else part
    if (kind, name) in LEFT_OUT and name not in body:
        body[name] = LEFT_OUT[kind, name](work, body)
    value = body.get(name)
    if isinstance(value, str) and _is_expandable(declared, name):
        value = body[name] = work.store.find(work.account, value) or value
    if isinstance(value, dict):
        _expand_steps(work, value, rest, path, _part(declared, name))
    elif value is not None or not _is_expandable(declared, name):
        raise InvalidParameterError(
            f"This property cannot be expanded ({path}). You may want to try expanding a parent property.",
            param="expand",
        )
