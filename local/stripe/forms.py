"""Stripe's form encoding: `line_items[0][price_data][currency]=eur`, `expand[]=customer`."""

import re
from typing import TypeAlias
from urllib.parse import parse_qsl

from local.stripe.errors import InvalidParameterError

Tree: TypeAlias = "str | dict[str, Tree]"

_NAME = re.compile(r"^([^\[\]]+)((?:\[[^\[\]]*\])*)$")


def decode_form(encoded: str) -> dict[str, Tree]:
    """Nested dicts of strings; arrays are dicts with the keys "0", "1", … (`name[]` takes the next free one).

    Raises:
        InvalidParameterError: brackets that do not match, or one name used as a value and as a group.
    """
    root: dict[str, Tree] = {}
    for name, value in parse_qsl(encoded, keep_blank_values=True):
        matched = _NAME.match(name)
        if matched is None:
            raise InvalidParameterError(f"Invalid parameter name: {name}", param=name)
        parts = [matched[1], *re.findall(r"\[([^\[\]]*)\]", matched[2])]
        branch = root
        for part in parts[:-1]:
            inner = branch.setdefault(part or str(len(branch)), {})
            if isinstance(inner, str):
                raise InvalidParameterError("Invalid object", param=name)
            branch = inner
        branch[parts[-1] or str(len(branch))] = value
    return root
