"""The budgets of the layout that a machine can check. Who may import whom is .importlinter's."""

import ast
import configparser
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.message import NOUNS, SERVICES

ROOT = Path(__file__).parents[2]
OURS = ("contracts", "chassis", "services", "local", "tests", "bench")
# Named by what they are not, so that anything can be put into them (style.md, rule 1).
NO_NAMES = {"base", "common", "core", "helpers", "manager", "managers", "misc", "service", "shared", "util", "utils"}
SERVICE_FOLDERS = sorted(path for path in (ROOT / "services").iterdir() if (path / "app.py").is_file())
MOST_WIRING_LINES = 40

each_service = pytest.mark.parametrize("folder", SERVICE_FOLDERS, ids=lambda folder: folder.name)


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(path: Path) -> Iterator[str]:
    """The absolute modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module


def packages(path: Path) -> set[str]:
    return {module.split(".")[0] for module in imported(path)}


def test_every_service_of_the_contracts_is_there() -> None:
    assert {folder.name for folder in SERVICE_FOLDERS} == set(SERVICES)


@each_service
def test_a_service_has_its_rooms(folder: Path) -> None:
    for room in ("__init__.py", "__main__.py", "settings.py", "migrations"):
        assert (folder / room).exists(), room
    assert (folder / "handlers.py").is_file() != (folder / "handlers").is_dir()
    assert (folder / "domain.py").is_file() != (folder / "domain").is_dir()


@each_service
def test_the_wiring_diagram_fits_on_a_page(folder: Path) -> None:
    """Counted below the imports, which the formatter spreads as it likes."""
    text = (folder / "app.py").read_text()
    imports = [node for node in ast.parse(text).body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert len(text.splitlines()) - max(node.end_lineno or 0 for node in imports) <= MOST_WIRING_LINES


@each_service
def test_the_wiring_diagram_decides_nothing(folder: Path) -> None:
    branches = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.Await)
    assert [
        node.lineno for node in ast.walk(ast.parse((folder / "app.py").read_text())) if isinstance(node, branches)
    ] == []


@pytest.mark.parametrize("folder", ["services", "chassis", "contracts"])
def test_modules_are_named_by_their_content(folder: str) -> None:
    modules = [path for path in sources(folder) if path != ROOT / "chassis" / "service.py"]
    rooms = [path.parent for path in modules if path.name == "__init__.py"]
    assert [named(path) for path in (*modules, *rooms) if path.stem in NO_NAMES] == []


def test_fastapi_stands_at_the_two_doors_only() -> None:
    users = {named(path) for path in sources("contracts", "chassis", "services") if "fastapi" in packages(path)}
    assert users
    assert [name for name in users if not name.startswith(("services/gateway/", "services/billing/webhooks"))] == []


def test_a_library_that_reaches_outside_has_one_importer() -> None:
    for library, home in {
        "stripe": "services/billing/stripe_gateway",
        "aiosmtplib": "services/notifications/mailer",
    }.items():
        users = [named(path) for path in sources("contracts", "chassis", "services") if library in packages(path)]
        assert users
        assert [user for user in users if not user.startswith(home)] == []


def test_what_strangers_install_imports_pydantic_and_itself() -> None:
    for path in (ROOT / "contracts").glob("*.py"):
        assert packages(path) - sys.stdlib_module_names <= {"pydantic", "__future__"}, named(path)


def test_decisions_ask_no_clock() -> None:
    clocks = re.compile(r"\b(datetime\.now|datetime\.utcnow|date\.today|time\.time|time\.monotonic)\b")
    domains = [path for path in sources("services") if path.stem == "domain" or "domain" in path.parts]
    assert domains
    assert [named(path) for path in domains if clocks.search(path.read_text())] == []


def test_decisions_wait_for_nothing() -> None:
    domains = [path for path in sources("services") if path.stem == "domain" or "domain" in path.parts]
    waiting = (ast.AsyncFunctionDef, ast.Await)
    assert [
        named(path)
        for path in domains
        if any(isinstance(each, waiting) for each in ast.walk(ast.parse(path.read_text())))
    ] == []


@each_service
def test_a_service_keeps_a_copy_of_what_it_follows_and_leaves_the_chassis_tables_alone(folder: Path) -> None:
    sql = "\n".join(path.read_text() for path in sorted((folder / "migrations").glob("*.sql")))
    tables = set(re.findall(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)", sql))
    followed = {f"copy_{noun.short_name()}" for noun in NOUNS.values() if folder.name in noun.followed_by}
    assert followed - tables == set()
    assert tables & {"inbox", "outbox", "command_reply", "schedule"} == set()


@each_service
def test_migrations_are_numbered_without_gaps(folder: Path) -> None:
    names = sorted(path.name for path in (folder / "migrations").glob("*.sql"))
    assert [name[:5] for name in names] == [f"{number:04}_" for number in range(1, len(names) + 1)]


def test_every_exception_to_a_rule_carries_its_reason() -> None:
    said = re.compile(r"#\s*noqa: [A-Z0-9, ]+ - \S|#\s*type: ignore\[[a-z, -]+\]\s+#\s*\S")
    exception = re.compile(r"#\s*(noqa|type: ignore)\b")
    silent = [
        f"{named(path)}:{number}"
        for path in sources(*OURS)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if exception.search(line) and not said.search(line) and path != Path(__file__)
    ]
    assert silent == []


def test_every_import_rule_carries_its_reason() -> None:
    rules = configparser.ConfigParser()
    rules.read(ROOT / ".importlinter")
    text = (ROOT / ".importlinter").read_text()
    contracts = [name for name in rules.sections() if name.startswith("importlinter:contract:")]
    assert len(contracts) >= 10
    assert [name for name in contracts if not text.split(f"[{name}]\n")[1].startswith("# ")] == []


def test_no_unfinished_work_is_left_lying() -> None:
    marks = re.compile(r"\b(TODO|FIXME|NotImplementedError)\b|pytest\.skip|assert True\b")
    assert [
        f"{named(path)}:{number}"
        for path in sources(*OURS)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if marks.search(line) and path != Path(__file__)
    ] == []
