"""README's settings table and connector/settings.py name the same variables, with the same defaults."""

from __future__ import annotations

import ast
from typing import Any

from connector import environment
from tests.docs.documents import ROOT, code, rows

SPECIAL = {"BASE_DIR", "environ"}
UNSTATED: object = object()  # a default that is no plain value: worked out from something else


def _constant(node: ast.expr) -> Any:
    """The value of a default; products of numbers are worked out."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return _constant(node.left) * _constant(node.right)
    return node.value if isinstance(node, ast.Constant) else UNSTATED


def _is_reader(function: ast.expr) -> bool:
    return isinstance(function, ast.Attribute) and ast.unparse(function.value) in ("env", "os.environ")


def variables() -> dict[str, Any]:
    """Every variable that the settings read, with its default; UNSTATED where it has none or no plain one."""
    tree = ast.parse((ROOT / "connector" / "settings.py").read_text())
    found: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _is_reader(node.func) and node.args:
            name = _constant(node.args[0])
            found[name] = _constant(node.args[1]) if len(node.args) > 1 else UNSTATED
    return found


def shown(value: Any) -> str:
    """A default as the table writes it."""
    if value in (None, ""):
        return ""
    return (
        f"{float(value):g}"
        if isinstance(value, float)
        else str(int(value) if isinstance(value, bool) else value)
    )


def table() -> dict[str, str]:
    """Variable -> default, as README says it."""
    return {code(row[0])[0]: row[1] for row in rows("README.md", "## Settings")}


def test_the_table_names_each_variable_and_no_other():
    assert set(table()) == set(variables())


def test_the_settings_are_read_at_all():
    assert {"PORT", "CALL_DEADLINE", "DATABASE_URL", "ENV_FILE", "Q_CLUSTER_NAME"} <= set(variables())


def test_defaults_are_those_of_the_settings():
    said = table()
    stated = {name: shown(value) for name, value in variables().items() if value is not UNSTATED}
    required = dict.fromkeys(environment.REMEDIES, "required")
    assert {name: said[name] for name in stated} == {
        **stated,
        **{n: w for n, w in required.items() if n in stated},
    }
    assert {name for name, default in said.items() if default == "required"} == set(environment.REMEDIES)
