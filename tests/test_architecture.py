"""The house rules that a machine can see: who imports whom, how long things are, what is never left behind."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from vendors import registry

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("accounts", "connector", "dev", "messaging", "outbound", "phone", "simulator", "vendors")
FILE_MAX = 400  # lines
FUNCTION_MAX = 45  # lines, the docstring included
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK|NotImplementedError)\b")
# Commands speak through self.stdout. The embedded server also starts where there is no command (settings, tests).
MAY_PRINT = {"dev/postgres_programs.py"}


def sources() -> list[Path]:
    return sorted(
        path
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if "migrations" not in path.parts
    )


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """All of a file's syntax tree."""
    return tuple(ast.walk(ast.parse(path.read_text())))


def imports(path: Path) -> Iterator[str]:
    """Names of the modules that a file imports, anywhere in it."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_the_import_contracts_are_kept() -> None:
    assert "0 broken" in import_contracts(ROOT)


PLANTED = {
    "an adapter uses another": ("vendors/telnyx.py", "import vendors.plivo"),
    "an adapter makes calls": ("vendors/telnyx.py", "import outbound.http"),
    "an adapter reads rows": ("vendors/telnyx.py", "import messaging.models"),
    "the contract calls what serves it": ("messaging/contract/wire.py", "import messaging.accept.intake"),
    "a step knows the step above": ("messaging/evidence/locking.py", "import messaging.sending.claims"),
    "a counter knows the work": ("messaging/watch/counters.py", "import messaging.evidence.weighing"),
    "what is shipped knows the simulator": ("messaging/accept/intake.py", "import simulator.carrier"),
    "what is shipped knows dev": ("connector/health.py", "import dev.embedded"),
    "a room outside all layers": ("messaging/cellar.py", ""),
    "another door to the task engine": ("messaging/worker/pump.py", "import django_q.tasks"),
}


@pytest.mark.parametrize(("place", "line"), PLANTED.values(), ids=PLANTED.keys())
def test_a_planted_import_is_refused(tmp_path: Path, place: str, line: str) -> None:
    """The contracts see each kind of import that has no place: proved on a copy."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / place).open("a") as file:
        file.write(f"\n{line}\n")
    assert "BROKEN" in import_contracts(tmp_path)


def import_contracts(folder: Path) -> str:
    """What import-linter says of the packages in a folder."""
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--no-cache"], cwd=folder, capture_output=True, text=True, timeout=100
    )
    assert (done.returncode == 0) is ("0 broken" in done.stdout), done.stdout[-3000:] + done.stderr[-1000:]
    return done.stdout


def test_what_is_shipped_has_no_development_code() -> None:
    """The image copies, and a wheel would hold, every package but `dev` and `simulator`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    shipped = set(PACKAGES) - {"dev", "simulator"}
    in_wheel = project["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {name.rstrip("*") for name in in_wheel} == shipped
    copied = re.findall(r"^COPY (\w+) \./\1$", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE)
    assert set(copied) == shipped | {"templates"}


def test_each_adapter_is_held_to_independence() -> None:
    """A new adapter is named in the contract."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (named,) = (contract["modules"] for contract in contracts if contract["type"] == "independence")
    assert sorted(named) == sorted({place.rpartition(".")[0] for place in registry.PLACES.values()})


def test_statements_and_pages_keep_apart() -> None:
    """Views hold no SQL, and what does the work renders nothing."""
    doors = {"api", "hooks", "admin", "management"}
    rooms = [path for path in sources() if path.parts[len(ROOT.parts)] == "messaging"]
    views = [path for path in rooms if path.parts[len(ROOT.parts) + 1] in {"api", "hooks"}]
    statements = ("messaging.models.sql",)
    assert [name_of(path) for path in views if any(n.startswith(statements) for n in imports(path))] == []
    work = [path for path in rooms if path.parts[len(ROOT.parts) + 1] not in doors | {"contract"}]
    web = ("django.http", "rest_framework", "django.views", "django.shortcuts")
    assert [name_of(path) for path in work if any(name.startswith(web) for name in imports(path))] == []


def test_files_are_short() -> None:
    long = {name_of(path): n for path in sources() if (n := len(path.read_text().splitlines())) >= FILE_MAX}
    assert long == {}


def test_functions_are_short() -> None:
    long = {
        f"{name_of(path)}:{node.name}": n
        for path in sources()
        for node in nodes(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (n := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_MAX
    }
    assert long == {}


def test_nothing_is_left_unfinished() -> None:
    found = [
        f"{name_of(path)}:{number}"
        for path in sources()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if UNFINISHED.search(line)
    ]
    assert found == []


def calls(path: Path, name: str) -> list[int]:
    return [
        node.lineno
        for node in nodes(path)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
    ]


@pytest.mark.parametrize("name", ["print", "breakpoint", "eval", "exec"])
def test_calls_that_have_no_place_here(name: str) -> None:
    found = [
        f"{name_of(path)}:{line}"
        for path in sources()
        if name_of(path) not in MAY_PRINT
        for line in calls(path, name)
    ]
    assert found == []


def test_no_exception_is_swallowed() -> None:
    """A handler that catches everything raises, or says so in the log, by itself or through `machine_failure`."""
    silent = []
    for path in sources():
        for node in nodes(path):
            if not isinstance(node, ast.ExceptHandler):
                continue
            broad = node.type is None or (
                isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")
            )
            if broad and not any(speaks(inner) for inner in ast.walk(node)):
                silent.append(f"{name_of(path)}:{node.lineno}")
    assert silent == []


def speaks(node: ast.AST) -> bool:
    if isinstance(node, ast.Raise):
        return True
    if not isinstance(node, ast.Call):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name in ("exception", "error", "warning", "critical", "machine_failure")


def test_no_catch_all_modules() -> None:
    names = {path.stem for path in sources()}
    assert names.isdisjoint({"utils", "util", "helpers", "common", "misc", "signals"})


def test_no_machine_paths_or_registry_hosts() -> None:
    words = re.compile(r"/(?:work|root)/|\.\./(?:shared)|py(?:pi|thonhosted)\.")
    found = [
        f"{name_of(path)}:{number}"
        for path in sources()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if words.search(line)
    ]
    assert found == []


SQL = re.compile(r"\b(?:SELECT|UPDATE|INSERT INTO|DELETE FROM|WITH)\b")
NUMBERED = re.compile(r"\b(?:state|kind) *(?:=|<>|<|>|<=|>=|IN) *\(?\d")
ONE_LETTER = re.compile(
    r"\b(?:FROM|JOIN|UPDATE|INTO) [a-z_.]+ (?:AS )?[a-z]\b|\b[a-z] AS (?:NOT )?MATERIALIZED|WITH [a-z] AS\b"
)


def statements() -> Iterator[tuple[Path, ast.Constant]]:
    """Every string that looks like SQL."""
    for path in sources():
        for node in nodes(path):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.search(node.value):
                yield path, node


def test_statements_speak_in_words() -> None:
    """States and kinds have names in SQL (models/sql.py renders them), and so have tables and parts."""
    found = [
        f"{name_of(path)}:{node.lineno}: {match[0]}"
        for path, node in statements()
        for pattern in (NUMBERED, ONE_LETTER)
        for match in pattern.finditer(node.value)
    ]
    assert found == []


def test_rows_have_types() -> None:
    """What a statement gives is a dataclass, from the statement to its use."""
    untyped = [
        f"{name_of(path)}:{node.lineno}"
        for path in sources()
        for node in nodes(path)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("fetch", "fetch_one", "column")
        and not any(
            word.arg in ("row", "of") and not (isinstance(word.value, ast.Name) and word.value.id == "Any")
            for word in node.keywords
        )
    ]
    assert untyped == []
