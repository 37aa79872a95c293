"""Vendors' own API descriptions, against which requests and examples are checked.

They are not part of this project: VENDOR_SPECS names a folder with them, and without it these tests are skipped.
"""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

FOLDER = os.environ.get("VENDOR_SPECS", "")


@lru_cache
def spec(name: str) -> dict[str, Any]:
    """The description of that file name. Skips the test when there is none."""
    path = Path(FOLDER) / name
    if not FOLDER or not path.exists():
        pytest.skip(f"no {name}: VENDOR_SPECS names the folder of vendors' descriptions")
    text = path.read_text()
    found: dict[str, Any] = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    return found


def conforms(name: str, pointer: str, value: Any) -> None:
    """Raises jsonschema.ValidationError unless the value fits the schema at that JSON pointer, e.g.
    `/components/schemas/Message` or `/paths/~1messages/post/requestBody/content/application~1json/schema`."""
    resolve(spec(name), pointer)  # a wrong pointer is this test's mistake, not the adapter's
    schema = {**_plain(name), "$ref": f"#{pointer}"}
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(value)


def resolve(document: Any, pointer: str) -> Any:
    """What lies at a JSON pointer (RFC 6901)."""
    for piece in pointer.strip("/").split("/"):
        key = piece.replace("~1", "/").replace("~0", "~")
        document = document[int(key)] if isinstance(document, list) else document[key]
    return document


@lru_cache
def _plain(name: str) -> dict[str, Any]:
    """The description as JSON Schema understands it."""
    plain: dict[str, Any] = _without_nullable(spec(name))
    return plain


def _without_nullable(node: Any) -> Any:
    """OpenAPI 3.0 writes `nullable: true` where JSON Schema allows null as a type."""
    if isinstance(node, list):
        return [_without_nullable(item) for item in node]
    if not isinstance(node, dict):
        return node
    plain = {key: _without_nullable(value) for key, value in node.items() if key != "nullable"}
    if node.get("nullable") is True and isinstance(plain.get("type"), str):
        plain["type"] = [plain["type"], "null"]
    return plain
