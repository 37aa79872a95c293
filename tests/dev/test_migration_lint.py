"""A later migration that would stop the previous release, or lose what it does, is refused; a safe one is not."""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from django.contrib.postgres.operations import (
    AddConstraintNotValid,
    AddIndexConcurrently,
    ValidateConstraint,
)
from django.core.management import CommandError, call_command
from django.db import models
from django.db.migrations import (
    AddConstraint,
    AddField,
    AddIndex,
    AlterField,
    CreateModel,
    Migration,
    RemoveField,
    RenameField,
    RunPython,
    RunSQL,
)
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState

from dev import migration_lint
from dev.migration_lint import complaints, later_migrations

ROOT = Path(__file__).resolve().parents[2]
CHECK = models.CheckConstraint(condition=models.Q(segments__lt=9) & ~models.Q(sender="%'x"), name="scratch")
NUMBER = models.IntegerField()


@pytest.fixture(scope="module")
def before() -> ProjectState:
    """The schema of today."""
    return MigrationLoader(None).project_state()


def rules(before: ProjectState, *operations: Any, **attributes: Any) -> list[str]:
    made = type("Scratch", (Migration,), {"operations": list(operations), **attributes})(
        "0999_scratch", "messaging"
    )
    return sorted({one.rule for one in complaints(made, before)})


@pytest.mark.parametrize(
    ("operation", "broken"),
    [
        pytest.param(
            AddIndex("message", models.Index(fields=["sender"], name="s")),
            ["require-concurrent-index-creation"],
            id="index",
        ),
        pytest.param(AddConstraint("message", CHECK), ["constraint-missing-not-valid"], id="check"),
        pytest.param(
            AddField("message", "more", models.IntegerField(default=0)),
            ["ban-drop-default"],
            id="default in Python only",
        ),
        pytest.param(
            RunSQL("ALTER TABLE messaging_message ADD COLUMN more integer NOT NULL"),
            ["adding-required-field"],
            id="no default",
        ),
        pytest.param(RemoveField("message", "sender"), ["ban-drop-column"], id="column dropped"),
        pytest.param(RenameField("message", "sender", "origin"), ["renaming-column"], id="column renamed"),
        pytest.param(
            AlterField("message", "segments", models.BigIntegerField()),
            ["ban-drop-default", "changing-column-type"],
            id="type",
        ),
        pytest.param(RunPython(RunPython.noop, RunPython.noop), ["moves-data"], id="data"),
    ],
)
def test_what_would_disturb_the_previous_release(
    before: ProjectState, operation: Any, broken: list[str]
) -> None:
    assert rules(before, operation) == broken


def test_a_concurrent_index_in_a_transaction_is_refused(before: ProjectState) -> None:
    operation = AddIndexConcurrently("message", models.Index(fields=["sender"], name="s"))
    assert rules(before, operation) == ["ban-concurrent-index-creation-in-transaction"]
    assert rules(before, operation, atomic=False) == []


@pytest.mark.parametrize(
    "operations",
    [
        pytest.param([AddField("message", "more", models.IntegerField(db_default=0))], id="db_default"),
        pytest.param([AddField("message", "more", models.TextField(null=True))], id="null"),
        pytest.param([AddConstraintNotValid("message", CHECK)], id="check without a scan"),
        pytest.param([ValidateConstraint("message", CHECK.name)], id="its validation"),
        pytest.param([RunSQL("ALTER TABLE messaging_message ALTER sender SET STATISTICS 200")], id="SQL"),
        pytest.param(
            [
                CreateModel("Scratch", [("id", models.BigAutoField(primary_key=True)), ("n", NUMBER)]),
                AddIndex("scratch", models.Index(fields=["n"], name="scratch_n")),
                AddConstraint(
                    "scratch", models.CheckConstraint(condition=models.Q(n__gt=0), name="scratch_c")
                ),
            ],
            id="new table",
        ),
    ],
)
def test_what_expands_is_let_through(before: ProjectState, operations: list[Any]) -> None:
    assert rules(before, *operations) == []


def test_a_rule_is_allowed_with_a_reason(before: ProjectState) -> None:
    drop = RemoveField("message", "sender")
    assert rules(before, drop, allowed={"ban-drop-column": "nothing reads it since 0.2"}) == []
    assert rules(before, drop, allowed={"ban-drop-column": ""}) == ["ban-drop-column"]
    assert rules(before, drop, allowed={"renaming-column": "another rule"}) == ["ban-drop-column"]


def test_the_first_migrations_are_exempt() -> None:
    names = [migration.name for migration, _ in later_migrations(MigrationLoader(None))]
    assert not any(name.startswith("0001") for name in names)


def test_the_migrations_there_are_pass() -> None:
    out = io.StringIO()
    call_command("lint_migrations", stdout=out)
    assert out.getvalue().endswith("after the first ones, nothing wrong.\n")


SCRATCH = """from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("messaging", "{last}")]
    operations = [
        migrations.AddIndex("message", models.Index(fields=["sender"], name="scratch")),
        migrations.AddField("message", "more", models.IntegerField(default=0)),
    ]
"""


def test_the_command_names_what_is_wrong(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "scratch_migrations"
    shutil.copytree(ROOT / "messaging/migrations", folder, ignore=shutil.ignore_patterns("__pycache__"))
    last = max(path.stem for path in folder.glob("0*.py"))
    (folder / "0999_scratch.py").write_text(SCRATCH.format(last=last))
    monkeypatch.syspath_prepend(str(tmp_path))
    settings.MIGRATION_MODULES = {"messaging": "scratch_migrations"}
    said = io.StringIO()
    try:
        with pytest.raises(CommandError, match=r"docs/adr/0011"):
            call_command("lint_migrations", stdout=io.StringIO(), stderr=said)
    finally:
        for name in [name for name in sys.modules if name.startswith("scratch_migrations")]:
            del sys.modules[name]
    lines = said.getvalue().splitlines()
    assert [line.split(": ")[:2] for line in lines] == [
        ["messaging.0999_scratch", "require-concurrent-index-creation"],
        ["messaging.0999_scratch", "ban-drop-default"],
    ]


def test_a_linter_that_cannot_read_is_no_yes(
    before: ProjectState, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "squawk"
    broken.write_text("#!/bin/sh\necho lost >&2; exit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(migration_lint, "SQUAWK", broken)
    with pytest.raises(RuntimeError, match="squawk ended with 3: lost"):
        rules(before, RunSQL("SELECT 1"))
