"""The house rules that a machine can see: who imports whom, how long things are, what is never left behind."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("accounts", "connector", "messaging")
FILE_MAX = 400  # lines
FUNCTION_MAX = 45  # lines, the docstring included
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK|NotImplementedError)\b")
# Commands speak through self.stdout. The embedded server also starts where there is no command (settings, tests).
MAY_PRINT = {"connector/postgres_programs.py"}


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
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", code, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert re.search(r"[5-9] kept, 0 broken", done.stdout), done.stdout[-500:]


def test_only_the_queue_module_knows_the_task_engine() -> None:
    users = {
        name_of(path) for path in sources() for name in imports(path) if name.split(".")[0] == "django_q"
    }
    assert users == {"messaging/queue.py"}


def test_vendors_know_neither_django_nor_rows_nor_each_other() -> None:
    folder = ROOT / "messaging/vendors"
    owners = {path: path.relative_to(folder).parts[0].removesuffix(".py") for path in folder.rglob("*.py")}
    adapters = set(owners.values()) - {
        "__init__",
        "base",
        "registry",
        "meanings",
        "charsets",
        "entries",
        "reading",
        "writing",
        "http_templates",
        "http_patterns",
        "http_settings",
        "http_bounds",
        "http_checks",
        "matrix",
    }
    wrong = []
    for path, owner in owners.items():
        for name in imports(path):
            parts = name.split(".")
            foreign = parts[0] in (
                "django",
                "rest_framework",
                "django_q",
                "accounts",
                "requests",
                "connector",
            )
            rows = parts[:2] in (["messaging", "models"], ["messaging", "services"])
            other = parts[:2] == ["messaging", "vendors"] and parts[2] in adapters - {owner}
            if foreign or rows or (other and owner != "registry"):
                wrong.append((name_of(path), name))
    assert wrong == []


@pytest.mark.parametrize(
    "module",
    [
        "states",
        "backoff",
        "segments",
        "numbers",
        "routing",
        "types",
        "signing",
        "wire_profile",
        "wire_shape",
        "wire_import",
        "openapi",
        "negotiation",
    ],
)
def test_pure_modules_import_no_framework(module: str) -> None:
    roots = {name.split(".")[0] for name in imports(ROOT / "messaging" / f"{module}.py")}
    assert roots.isdisjoint({"django", "rest_framework", "django_q", "requests", "accounts", "connector"})


def test_services_make_no_views_and_views_no_sql() -> None:
    views = [*(ROOT / "messaging/api").glob("*.py"), *(ROOT / "messaging/hooks").glob("*.py")]
    assert [name_of(path) for path in views if "messaging.models.statement" in " ".join(imports(path))] == []
    services = (ROOT / "messaging/services").glob("*.py")
    web = ("django.http", "rest_framework", "django.views", "django.shortcuts")
    assert [name_of(path) for path in services if any(name.startswith(web) for name in imports(path))] == []


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
