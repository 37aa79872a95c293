"""The runbook names what there is: log lines, metrics, fields, commands; its SQL runs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields

import pytest
from django.core.management import get_commands, load_command_class
from django.db import connection as database
from prometheus_client import CollectorRegistry, Counter, generate_latest

from connector.health import Readiness
from connector.metrics import Rows
from messaging.watch import counters
from tests.docs.documents import ROOT, blocks, code, rows, text

RUNBOOK = "docs/operations.md"
PAGES = sorted(str(path.relative_to(ROOT)) for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LOUD = ("error", "exception")


def _logged(levels: tuple[str, ...]) -> Iterator[str]:
    """Messages that the code logs, up to their first placeholder; the stand-ins' own are left out."""
    for folder in ("accounts", "connector", "messaging"):
        for file in (ROOT / folder).rglob("*.py"):
            if "simulator" in file.parts:
                continue
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                    logger, first = ast.unparse(node.func.value), node.args[0]
                    if (
                        logger in ("log", "logger")
                        and node.func.attr in levels
                        and isinstance(first, ast.Constant)
                    ):
                        yield re.split(r":? %", str(first.value))[0]


def test_each_loud_log_line_has_a_row():
    said = {name for row in rows(RUNBOOK, "## 3. Logs") for name in code(row[0])}
    assert set(_logged(LOUD)) - said == set()


def test_each_row_is_about_a_log_line():
    said = {name for row in rows(RUNBOOK, "## 3. Logs") for name in code(row[0])}
    assert said - set(_logged((*LOUD, "warning"))) == set()


@pytest.mark.django_db
def test_each_metric_has_a_row():
    gauges = CollectorRegistry()
    gauges.register(Rows())
    made = set(re.findall(r"^# TYPE (\w+)", generate_latest(gauges).decode(), re.MULTILINE))
    made |= {f"{one._name}_total" for one in vars(counters).values() if isinstance(one, Counter)}
    said = {re.sub(r"\{.*", "", code(row[0])[0]) for row in rows(RUNBOOK, "## 2. Metrics")}
    assert said == made


def test_each_field_of_readyz_has_a_row():
    said = [code(row[0])[0] for row in rows(RUNBOOK, "## 1. Health")]
    assert said == [field.name for field in fields(Readiness)]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "statement",
    [pytest.param(sql, id=sql.split(" FROM ")[-1][:40]) for sql in blocks(RUNBOOK, "sql").values()],
)
def test_statements_run(statement: str):
    with database.cursor() as cursor:
        cursor.execute(statement)
        assert cursor.description is not None


def _commands() -> Iterator[tuple[str, str, str]]:
    for page in PAGES:
        for name, rest in re.findall(r"manage\.py\s+([a-z_]+)([^`\n#|&]*)", text(page)):
            yield page, name, rest


@pytest.mark.parametrize(("page", "name", "rest"), sorted(set(_commands())))
def test_commands_and_their_options_exist(page: str, name: str, rest: str):
    known = get_commands()
    assert name in known
    parser = load_command_class(known[name], name).create_parser("manage.py", name)  # type: ignore[arg-type]
    options = {option for action in parser._actions for option in action.option_strings}
    assert set(re.findall(r"(?<!\S)(--[a-z-]+)", rest)) - options == set()


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str):
    folder = (ROOT / page).parent
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text(page))
    assert [target for target in targets if not (folder / target).exists()] == []
