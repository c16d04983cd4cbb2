"""Compares a response with the annotations of the SDK's resource class: every field known, typed, none missing."""

import types
from typing import Any, ForwardRef, Literal, Union, get_args, get_origin

import stripe
from stripe._stripe_object import StripeObject, UntypedStripeObject


def misfits(body: Any, annotation: Any, path: str = "") -> list[str]:
    """What in a JSON value does not fit the annotation; empty when it fits."""
    annotation = _resolved(annotation)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation is Any:
        return []
    if origin in (Union, types.UnionType):
        return _union_misfits(body, [_resolved(argument) for argument in arguments], path)
    if origin is Literal:
        return [] if body in arguments else [f"{path}: {body!r} is none of {arguments}"]
    if origin in (list, tuple):
        if not isinstance(body, list):
            return [f"{path}: not a list"]
        return [miss for index, item in enumerate(body) for miss in misfits(item, arguments[0], f"{path}[{index}]")]
    if origin is not None and issubclass(origin, UntypedStripeObject):
        return [] if isinstance(body, dict) else [f"{path}: not an object"]
    if origin is not None and issubclass(origin, stripe.ListObject):
        return [miss for item in body["data"] for miss in misfits(item, arguments[0], f"{path}.data")]
    if isinstance(annotation, type) and issubclass(annotation, StripeObject):
        return _object_misfits(body, annotation, path)
    if annotation is type(None):
        return [] if body is None else [f"{path}: {body!r} is not null"]
    wanted = str if annotation.__name__ == "Decimal" else annotation  # decimals travel as strings
    fits = type(body) is wanted
    return [] if fits else [f"{path}: {body!r} is not {wanted.__name__}"]


def _union_misfits(body: Any, options: list[Any], path: str) -> list[str]:
    """`Literal[…] | str` leaves room for the future; the sandbox has to stay inside the Literal."""
    literals = [option for option in options if get_origin(option) is Literal]
    if literals and isinstance(body, str):
        options = literals
    tried = [misfits(body, option, path) for option in options]
    return min(tried, key=len)


def _object_misfits(body: Any, resource: type, path: str) -> list[str]:
    if not isinstance(body, dict):
        return [f"{path}: {body!r} is not a {resource.__name__}"]
    fields = {name: hint for name, hint in resource.__annotations__.items() if name != "OBJECT_NAME"}
    found = [f"{path}.{name}: unknown to {resource.__name__}" for name in body if name not in fields]
    for name, hint in fields.items():
        if name in body:
            found += misfits(body[name], hint, f"{path}.{name}")
        elif type(None) not in get_args(hint):
            found.append(f"{path}.{name}: missing")
    return found


def _resolved(annotation: Any) -> Any:
    if isinstance(annotation, ForwardRef):
        annotation = annotation.__forward_arg__
    if isinstance(annotation, str):
        # A resource of a submodule (test clocks and the like): the sandbox has none, so only null fits.
        return getattr(stripe, annotation, type(None))
    return annotation
