"""Forms: what was typed comes back after an error, each field with what is wrong with it, and nothing happens twice."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType

from fastapi import Request
from pydantic import ValidationError
from starlette.datastructures import UploadFile

from chassis.ids import new_id
from contracts.message import NotFound, OutcomeUnknown, Problem

from .language import Reader
from .problems import explain, explain_field, owners_sentence

_ID = re.compile(r"[A-Za-z0-9-]{8,64}")


@dataclass
class Form:
    """What stands in a form's fields, by name (`lines.0.quantity`).

    `command_id` goes along hidden: the same form sent twice, by a double click or in a second tab, is the same command.
    A form that comes back after a refusal gets a new one, since a corrected form is another command. Only after an
    unknown outcome it keeps its own, so that sending it again cannot do it twice.
    """

    values: Mapping[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    status: int = 200
    command_id: str = field(default_factory=lambda: str(new_id()))
    files: Mapping[str, UploadFile] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    """What the fields are called on the page, as far as they are drawn: a summary drawn after them names each."""

    @classmethod
    async def posted(cls, request: Request) -> Form:
        """The form of a POST. Its token has been checked by the door already."""
        sent = await request.form()
        values = {name: value.replace("\r\n", "\n") for name, value in sent.items() if isinstance(value, str)}
        files = {name: value for name, value in sent.items() if isinstance(value, UploadFile)}
        given = values.get("command_id", "")
        return cls(values, command_id=given if _ID.fullmatch(given) else str(new_id()), files=files)

    def get(self, name: str) -> str:
        """What stands in a field; empty when it is not there."""
        return self.values.get(name, "")

    def given(self, name: str) -> str | None:
        """What stands in a field without the space around it; None when that is nothing."""
        return self.get(name).strip() or None

    def count(self, name: str, absent: int | str | None = None) -> int | str | None:
        """The whole number in a field, `absent` when nothing is. Other text stays as it is, for the contract to refuse."""
        typed = self.given(name)
        if typed is None:
            return absent
        try:
            return int(typed)
        except ValueError:
            return typed

    def group(self, prefix: str) -> dict[str, str]:
        """The fields `prefix.x` as `{x: value}`."""
        start = f"{prefix}."
        return {
            name.removeprefix(start): value.strip() for name, value in self.values.items() if name.startswith(start)
        }

    def numbered(self, prefix: str) -> Iterator[tuple[int, dict[str, str]]]:
        """The groups `prefix.0.x`, `prefix.1.x`, … in order."""
        found = {int(m[1]) for name in self.values if (m := re.match(rf"{prefix}\.(\d{{1,3}})\.", name))}
        for number in sorted(found):
            yield number, self.group(f"{prefix}.{number}")

    def close_gaps(self, prefix: str, *telling: str) -> None:
        """Number the groups anew without those in which none of the `telling` parts is filled in.

        Who clears a row in the middle sends the others without it: what the owner then says of the second one is to stand
        at the second one that is shown.
        """
        kept = [typed for _, typed in self.numbered(prefix) if any(typed.get(part) for part in telling)]
        if kept:
            others = {name: value for name, value in self.values.items() if not name.startswith(f"{prefix}.")}
            rows = {f"{prefix}.{n}.{part}": value for n, typed in enumerate(kept) for part, value in typed.items()}
            self.values = others | rows

    def field_at(self, place: Sequence[str | int]) -> str:
        """The field that pydantic's error is at. What a type with alternatives adds to its place is no field's name."""
        names = [".".join(map(str, place[:length])) for length in range(len(place), 0, -1)]
        return next((name for name in names if name in self.values), names[0] if names else "")

    def refusals(self, reader: Reader) -> _Refusals:
        """Whatever the block is refused for is written into this form, to be shown again with status `self.status`."""
        return _Refusals(self, reader)


class _Refusals:
    def __init__(self, form: Form, reader: Reader) -> None:
        self._form = form
        self._reader = reader

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        form, reader = self._form, self._reader
        match error:
            case NotFound():
                return False  # the page itself is not there
            case ValidationError():
                form.status = 422
                for each in error.errors():
                    name = form.field_at(each["loc"])
                    form.errors.setdefault(name, explain_field(each["type"], name, each.get("ctx", {}), reader))
                form.problem = reader.gettext("Please look at the marked fields.")
            case Problem():
                form.status = error.status
                form.problem = explain(error, reader)
                form.errors |= {each.field: owners_sentence(each, reader) for each in error.errors}
            case _:
                return False
        if not isinstance(error, OutcomeUnknown):
            form.command_id = str(new_id())
        return True
