"""The parameters an operation accepts, derived at import from the SDK's own `stripe.params` TypedDicts.

Nothing is listed by hand: what the SDK's types do not name is refused with `parameter_unknown`, what they require is
refused with `parameter_missing` when absent, and values are coerced from their form strings by their annotations.
"""

import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints

from stripe._request_options import RequestOptions
from stripe._stripe_object import UntypedStripeObject
from typing_extensions import is_typeddict

from local.stripe.errors import InvalidParameterError, missing_parameter, unknown_parameters
from local.stripe.forms import Tree

# Every params type inherits the SDK's client-side options (api_key, idempotency_key, …): they never reach the wire.
_CLIENT_OPTIONS = frozenset(RequestOptions.__annotations__)


@dataclass(frozen=True)
class Shape:
    """What one parameter may look like: any of these at once, as the SDK's unions say."""

    scalars: tuple[type, ...] = ()  # str, int, bool, Decimal
    choices: tuple[str, ...] = ()  # the values of a Literal; "" means: can be unset
    items: "Shape | None" = None
    fields: "Fields | None" = None
    mapping: bool = False


@dataclass(frozen=True)
class Fields:
    """The named members of a TypedDict. Nested types refer to each other, so a member's shape is read when needed."""

    source: type
    shapes: dict[str, Shape]
    required: frozenset[str]


def fields_of(typed_dict: type) -> Fields:
    """Reads one of the SDK's params TypedDicts, recursively."""
    own = {name: hint for name, hint in typed_dict.__annotations__.items() if name not in _CLIENT_OPTIONS}
    # A bare class, because the inherited options' forward references do not resolve outside the SDK's own module.
    holder = type("Holder", (), {"__annotations__": own})
    hints = get_type_hints(holder, vars(sys.modules[typed_dict.__module__]), include_extras=True)
    required: frozenset[str] = typed_dict.__required_keys__  # type: ignore[attr-defined]  # a TypedDict, checked by callers
    return Fields(typed_dict, {name: shape_of(hint) for name, hint in hints.items()}, required & own.keys())


def shape_of(hint: Any) -> Shape:
    """The shape behind one annotation.

    Raises:
        TypeError: an annotation of a kind the SDK did not use when this was written.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (NotRequired, Required):
        return shape_of(arguments[0])
    if origin in (Union, types.UnionType):
        return _merged([shape_of(argument) for argument in arguments])
    if origin is Literal:
        return Shape(choices=tuple(str(argument) for argument in arguments))
    if origin is list:
        return Shape(items=shape_of(arguments[0]))
    if origin in (dict, UntypedStripeObject) or hint is UntypedStripeObject:
        return Shape(mapping=True)
    if is_typeddict(hint):
        return Shape(fields=fields_of(hint))
    if hint in (str, int, bool, float, Decimal):
        return Shape(scalars=(Decimal if hint is float else hint,))
    raise TypeError(f"a parameter annotation this reader does not know: {hint!r}")


def _merged(shapes: list[Shape]) -> Shape:
    return Shape(
        scalars=tuple(dict.fromkeys(scalar for shape in shapes for scalar in shape.scalars)),
        choices=tuple(choice for shape in shapes for choice in shape.choices),
        items=next((shape.items for shape in shapes if shape.items), None),
        fields=next((shape.fields for shape in shapes if shape.fields), None),
        mapping=any(shape.mapping for shape in shapes),
    )


def check_params(fields: Fields, tree: dict[str, Tree]) -> dict[str, Any]:
    """The request's values as Python values: int, bool, Decimal, str, lists and dicts; `""` asks to unset.

    Raises:
        InvalidParameterError: unknown, missing or malformed parameters, worded as Stripe words them.
    """
    unknown = _unknown_names(fields, tree, "")
    if unknown:
        raise unknown_parameters(unknown)
    return _checked_fields(fields, tree, "")


def _unknown_names(fields: Fields, tree: dict[str, Tree], prefix: str) -> list[str]:
    names: list[str] = []
    for name, value in tree.items():
        path = f"{prefix}[{name}]" if prefix else name
        shape = fields.shapes.get(name)
        if shape is None:
            names.append(path)
            continue
        inner = [(path, value)]
        if shape.items is not None and isinstance(value, dict):
            inner = [(f"{path}[{index}]", item) for index, item in value.items()]
            shape = shape.items
        if shape.fields is not None:
            for inner_path, item in inner:
                if isinstance(item, dict):
                    names += _unknown_names(shape.fields, item, inner_path)
    return names


def _checked_fields(fields: Fields, tree: dict[str, Tree], prefix: str) -> dict[str, Any]:
    for name in sorted(fields.required):
        if name not in tree:
            raise missing_parameter(f"{prefix}[{name}]" if prefix else name)
    return {
        name: _checked(fields.shapes[name], value, f"{prefix}[{name}]" if prefix else name)
        for name, value in tree.items()
    }


def _checked(shape: Shape, value: Tree, path: str) -> Any:
    if isinstance(value, str):
        return _checked_scalar(shape, value, path)
    if shape.items is not None:
        if not all(key.isdigit() for key in value):
            raise InvalidParameterError("Invalid array", param=path)
        items = sorted(value.items(), key=lambda item: int(item[0]))
        return [_checked(shape.items, item, f"{path}[{index}]") for index, item in items]
    if shape.fields is not None:
        return _checked_fields(shape.fields, value, path)
    if shape.mapping:
        return _checked_mapping(value, path)
    raise InvalidParameterError("Invalid string", param=path)


def _checked_mapping(value: dict[str, Tree], path: str) -> dict[str, str]:
    """Metadata's documented limits: 50 keys, 40 characters a key, 500 a value."""
    checked: dict[str, str] = {}
    for key, item in value.items():
        if not isinstance(item, str):
            raise InvalidParameterError("Metadata values must be strings", param=f"{path}[{key}]")
        if len(key) > 40:
            raise InvalidParameterError(f"Metadata keys can be at most 40 characters: {key}", param=path)
        if len(item) > 500:
            raise InvalidParameterError(
                f"Metadata values can have up to 500 characters, but you passed in a value that is {len(item)} "
                "characters.",
                param=f"{path}[{key}]",
            )
        checked[key] = item
    if len(checked) > 50:
        raise InvalidParameterError(f"Metadata can have at most 50 keys, you passed {len(checked)}", param=path)
    return checked


def _checked_scalar(shape: Shape, value: str, path: str) -> Any:
    choices = [choice for choice in shape.choices if choice]
    if value in shape.choices:
        return value
    if value == "":
        raise InvalidParameterError(
            f"You passed an empty string for '{path}'. We assume empty values are an attempt to unset a parameter; "
            f"however '{path}' cannot be unset. You should remove '{path}' from your request or supply a non-empty "
            "value.",
            code="parameter_invalid_empty",
            param=path,
        )
    problems: list[InvalidParameterError] = []
    for scalar in (bool, int, Decimal):
        if scalar in shape.scalars:
            try:
                return _READERS[scalar](value, path)
            except InvalidParameterError as problem:
                problems.append(problem)
    # `Literal[…] | str` leaves room for values newer than the SDK; the server behind a version knows exactly its own.
    if str in shape.scalars and not choices and not problems:
        return value
    if problems and not choices:
        raise problems[0]
    if choices:
        *most, last = choices
        listed = f"{', '.join(most)}, or {last}" if most else last
        raise InvalidParameterError(f"Invalid {path}: must be one of {listed}", param=path)
    raise InvalidParameterError("Invalid array" if shape.items else "Invalid object", param=path)


def _read_int(value: str, path: str) -> int:
    if not value.removeprefix("-").isdecimal() or not value.isascii():
        raise InvalidParameterError(f"Invalid integer: {value}", code="parameter_invalid_integer", param=path)
    return int(value)


def _read_bool(value: str, path: str) -> bool:
    if value not in ("true", "false"):
        raise InvalidParameterError(f"Invalid boolean: {value}", param=path)
    return value == "true"


def _read_decimal(value: str, path: str) -> Decimal:
    try:
        return Decimal(value)
    except InvalidOperation:
        raise InvalidParameterError(f"Invalid decimal: {value}", param=path) from None


_READERS: dict[type, Callable[[str, str], Any]] = {bool: _read_bool, int: _read_int, Decimal: _read_decimal}


class Params:
    """Checked values that remember which of them a handler has read: a parameter nobody reads is a refusal."""

    def __init__(self, values: dict[str, Any], prefix: str = "") -> None:
        self._values = values
        self._prefix = prefix
        self._read: set[str] = set()
        self._groups: list[Params] = []

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def path(self, name: str) -> str:
        """The name as the client wrote it, for an error's `param`."""
        return f"{self._prefix}[{name}]" if self._prefix else name

    def take(self, name: str, default: Any = None) -> Any:
        """The whole value, nested parts included."""
        self._read.add(name)
        return self._values.get(name, default)

    def need(self, name: str) -> Any:
        """The value.

        Raises:
            InvalidParameterError: it is absent, in a place where only the operation knows that it is required.
        """
        if name not in self._values:
            raise missing_parameter(self.path(name))
        return self.take(name)

    def group(self, name: str) -> "Params":
        """A nested object, its members read one by one; empty when absent."""
        self._read.add(name)
        return self._nested(self._values.get(name) or {}, self.path(name))

    def groups(self, name: str) -> "list[Params]":
        """A list of nested objects."""
        self._read.add(name)
        values = self._values.get(name) or []
        return [self._nested(value, f"{self.path(name)}[{index}]") for index, value in enumerate(values)]

    def _nested(self, values: dict[str, Any], prefix: str) -> "Params":
        nested = Params(values, prefix)
        self._groups.append(nested)
        return nested

    def unread(self) -> list[str]:
        """Names that no handler has looked at, nested ones with their path."""
        own = [self.path(name) for name in self._values if name not in self._read]
        return own + [name for group in self._groups for name in group.unread()]
