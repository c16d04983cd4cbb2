"""`python -m contracts.book` writes the message book and freezes new schemas; `--check` only says what is not current."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from contracts.book.asyncapi import asyncapi_document
from contracts.book.frozen import breaks
from contracts.book.pages import messages_page
from contracts.book.schemas import Schema, every_schema, is_read_by_others

ROOT = Path(__file__).parents[2]
SCHEMAS = Path("contracts/schemas")


def pages() -> dict[Path, str]:
    """The generated documents by their path in the repository."""
    return {
        Path("docs/messages.md"): messages_page(),
        Path("docs/asyncapi.json"): written(asyncapi_document()),
    }


def written(value: Any) -> str:
    """JSON as our files hold it."""
    return json.dumps(value, indent=1, ensure_ascii=False, sort_keys=False) + "\n"


def broken(root: Path, schemas: dict[str, Schema]) -> dict[Path, list[str]]:
    """What breaks readers of the frozen schemas under `root`, by file; a frozen message that is gone breaks too."""
    found: dict[Path, list[str]] = {}
    for file in sorted((root / SCHEMAS).glob("*.json")):
        name = file.name.removesuffix(".json")
        if name not in schemas:
            sentences = ["(the whole): no message has this type any more"]
        else:
            frozen = json.loads(file.read_text())
            sentences = breaks(frozen, schemas[name], read_by_others=is_read_by_others(name))
        if sentences:
            found[SCHEMAS / file.name] = sentences
    return found


def stale(root: Path, texts: dict[Path, str]) -> list[Path]:
    """The files under `root` that do not hold the text they should."""
    return [path for path, text in texts.items() if not (root / path).exists() or (root / path).read_text() != text]


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Write, or check; 1 when something breaks (nothing of that message is written) or, checking, is not current."""
    parser = argparse.ArgumentParser(prog="python -m contracts.book", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if anything is not current")
    checking = parser.parse_args(arguments).check
    schemas = every_schema()
    breaking = broken(root, schemas)
    texts = {SCHEMAS / f"{name}.json": written(schema) for name, schema in schemas.items()} | pages()
    outdated = [path for path in stale(root, texts) if path not in breaking]
    for path, sentences in breaking.items():
        for sentence in sentences:
            print(f"{path}: {sentence}. Put a new version beside it.", file=sys.stderr)  # noqa: T201 - it talks to a person
    for path in outdated:
        if checking:
            print(f"{path} is not current: run python -m contracts.book", file=sys.stderr)  # noqa: T201 - likewise
        else:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(texts[path])
    return 1 if breaking or (checking and outdated) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
