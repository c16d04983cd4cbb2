"""contracts/ alone, installed as other companies' systems install it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.book.examples import event_example
from contracts.message import EVENTS

CONTRACTS = Path(__file__).parents[2] / "contracts"

READ_AN_EVENT = """\
import json, sys
from importlib.resources import files
import portal_contracts
from portal_contracts.billing import InvoicePaid
from portal_contracts.message import EventEnvelope

envelope = EventEnvelope.model_validate_json(sys.stdin.buffer.read())
assert envelope.type == InvoicePaid.wire_type
invoice = InvoicePaid.model_validate(envelope.data).state
schema = json.loads((files("portal_contracts") / "schemas" / f"{envelope.type}.json").read_text())
print(json.dumps({
    "where": portal_contracts.__file__, "number": invoice.number, "total": invoice.total,
    "typed": (files("portal_contracts") / "py.typed").is_file(), "schema": schema["title"],
    "others": sorted(name for name in sys.modules if name.split(".")[0] in {"contracts", "chassis", "services"}),
}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # From a copy: a build leaves its traces beside the sources.
    source, target = tmp_path_factory.mktemp("source") / "contracts", tmp_path_factory.mktemp("installed")
    shutil.copytree(CONTRACTS, source, ignore=shutil.ignore_patterns("__pycache__"))
    command = ["uv", "pip", "install", "-q", "--offline", "--no-deps", "--no-build-isolation"]
    command[0] = str(Path(sys.executable).parent / "uv")
    command += ["--python", sys.executable, "--target", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return target


def test_a_stranger_reads_an_event_with_the_installed_package(installed: Path, tmp_path: Path) -> None:
    event = json.dumps(event_example(EVENTS["billing.invoice.paid.v1"]))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", READ_AN_EVENT],
        input=event,
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"PYTHONPATH": str(installed)},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "where": str(installed / "portal_contracts" / "__init__.py"),
        "number": "INV-102",
        "total": 23800,
        "typed": True,
        "schema": "InvoicePaid",
        "others": [],
    }


def test_the_package_asks_for_pydantic_alone_and_leaves_the_book_at_home(installed: Path) -> None:
    metadata = next(installed.glob("portal_contracts-*.dist-info/METADATA")).read_text()
    assert [line for line in metadata.splitlines() if line.startswith("Requires-Dist")] == [
        "Requires-Dist: pydantic>=2.11"
    ]
    assert "License-Expression: Apache-2.0" in metadata
    assert not (installed / "portal_contracts" / "book").exists()
