"""Does a message version still mean what it meant? Compares two JSON Schemas and names the field that breaks.

What may change: a new optional field, another word in a list of words, wider limits. What breaks: a field that is gone,
became required or changed its type, default or limits for the narrower; and in what others read, also a value that was
always there and may now be null. Breaking a message is a new version beside the old one.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

_NARROWER_WHEN_HIGHER = ("minLength", "minItems", "minimum", "exclusiveMinimum", "x-minimum", "x-exclusive-minimum")
_NARROWER_WHEN_LOWER = (
    *("maxLength", "maxItems", "maximum", "exclusiveMaximum"),
    *("x-maximum", "x-exclusive-maximum", "x-decimal-places"),
)
_NARROWER_WHEN_OTHER = ("pattern", "multipleOf", "format")


def breaks(old: Schema, new: Schema, *, read_by_others: bool) -> list[str]:
    """One sentence per break, each starting with the field's path (`state.lines[].quantity`); none when compatible."""
    return list(dict.fromkeys(_Comparison(old, new, read_by_others=read_by_others).nodes(old, new, "")))


class _Comparison:
    def __init__(self, old_root: Schema, new_root: Schema, *, read_by_others: bool) -> None:
        self._old_root, self._new_root, self._read_by_others = old_root, new_root, read_by_others
        self._under_way: set[tuple[int, int]] = set()  # a model may contain itself

    def nodes(self, old: Schema, new: Schema, path: str) -> list[str]:
        return self._defaults(old, new, path) + self._alternatives(old, new, path)

    def _defaults(self, old: Schema, new: Schema, path: str) -> list[str]:
        if "default" in old and "default" in new and old["default"] != new["default"]:
            return [f"{path}: its default was {old['default']!r}, is {new['default']!r}"]
        return []

    def _alternatives(self, old: Schema, new: Schema, path: str) -> list[str]:
        olds, news = _flat(self._old_root, old), _flat(self._new_root, new)
        found: list[str] = []
        for each in olds:
            fitting = [other for other in news if _type(other) in {_type(each), "anything"}]
            if not fitting:
                found.append(f"{_at(path)}: was {_types(olds)}, is {_types(news)}")
            else:
                # Of several alternatives of one type, the new one that fits best is the one that was meant.
                candidates: list[list[str]] = [self._same_type(each, other, path) for other in fitting]
                best = min(candidates, key=len)
                found += best
        if self._read_by_others:
            added = {_type(each) for each in news} - {_type(each) for each in olds}
            if added and "anything" not in map(_type, olds):
                found.append(f"{_at(path)}: was {_types(olds)}, may now be {' or '.join(sorted(added))}")
        return found

    def _same_type(self, old: Schema, new: Schema, path: str) -> list[str]:
        pair = (id(old), id(new))
        if pair in self._under_way:
            return []
        self._under_way.add(pair)
        found = [
            *_words(old, new, path),
            *_limits(old, new, path),
            *self._fields(old, new, path),
            *self._items(old, new, path),
        ]
        self._under_way.discard(pair)
        return found

    def _items(self, old: Schema, new: Schema, path: str) -> list[str]:
        found: list[str] = []
        for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
            before, after = old.get(key), new.get(key)
            if isinstance(before, dict) and isinstance(after, dict):
                found += self.nodes(before, after, path + mark)
            elif after is False and before is not False:
                found.append(f"{_at(path)}: unknown fields are now refused")
            elif isinstance(after, dict) and before is None:
                found.append(f"{_at(path)}{mark}: was anything, is {_type(after)}")
        return found

    def _fields(self, old: Schema, new: Schema, path: str) -> list[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        needed_before, needed_after = set(old.get("required", ())), set(new.get("required", ()))
        found: list[str] = []
        for name in sorted(before.keys() | after.keys()):
            here = f"{path}.{name}".lstrip(".")
            if name not in after:
                found.append(f"{here}: the field is gone")
                continue
            if name in before:
                found += self.nodes(before[name], after[name], here)
            if name in needed_after - needed_before:
                found.append(f"{here}: {'was optional, is required' if name in before else 'a new field is required'}")
            elif self._read_by_others and name in needed_before - needed_after:
                found.append(f"{here}: was always there, is optional")
        return found


def _flat(root: Schema, node: Schema) -> list[Schema]:
    """The alternatives of a node, references resolved."""
    if "$ref" in node:
        return _flat(root, root["$defs"][node["$ref"].rsplit("/", 1)[1]])
    for key in ("anyOf", "oneOf"):
        if key in node:
            return [flat for each in node[key] for flat in _flat(root, each)]
    if isinstance(node.get("type"), list):
        return [{**node, "type": each} for each in node["type"]]
    return [node]


def _type(node: Schema) -> str:
    if "type" in node:
        return str(node["type"])
    return "string" if "const" in node or "enum" in node else "anything"


def _types(nodes: list[Schema]) -> str:
    return " or ".join(sorted({_type(each) for each in nodes}))


def _at(path: str) -> str:
    return path or "(the whole)"


def _words(old: Schema, new: Schema, path: str) -> list[str]:
    before = old.get("enum", [old["const"]] if "const" in old else None)
    after = new.get("enum", [new["const"]] if "const" in new else None)
    if after is None:
        return []
    if before is None:
        return [f"{_at(path)}: was any {_type(old)}, is one of {after}"]
    return [f"{_at(path)}: {word!r} is no longer a value" for word in before if word not in after]


def _limits(old: Schema, new: Schema, path: str) -> list[str]:
    found: list[str] = []
    for key in (*_NARROWER_WHEN_HIGHER, *_NARROWER_WHEN_LOWER, *_NARROWER_WHEN_OTHER):
        before, after = old.get(key), new.get(key)
        if after is None or after == before:
            continue
        if before is not None and key in _NARROWER_WHEN_HIGHER and float(after) < float(before):
            continue
        if before is not None and key in _NARROWER_WHEN_LOWER and float(after) > float(before):
            continue
        found.append(f"{_at(path)}: {key} was {before}, is {after}")
    return found
