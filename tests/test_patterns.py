"""Our own regular expressions meet texts of strangers (URLs, bodies, log lines): each is quick, whatever the text."""

from __future__ import annotations

import importlib
import re
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOON = 1.0  # seconds of processor time for 20,000 characters; a quadratic pattern takes several
LONG = 20_000
STARTS = {"wsgi", "serving"}  # importing them starts what a web process runs


def ours() -> dict[str, re.Pattern[str]]:
    """Every compiled pattern that a module of ours holds."""
    found: dict[str, re.Pattern[str]] = {}
    for package in ("accounts", "connector", "messaging"):
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if "migrations" in parts or parts[-1] in STARTS:
                continue
            module = importlib.import_module(".".join(parts).removesuffix(".__init__"))
            for name, value in vars(module).items():
                if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
                    found[f"{module.__name__}.{name}"] = value
    return found


PIECES = (
    *(
        "a",
        "-",
        "a-",
        "a.",
        "1",
        "1.",
        "+1",
        " ",
        " a",
        "=",
        "%",
        "://",
        "://a:",
        "@",
        "a@",
        "?",
        "?a",
        "&a=",
        "/",
    ),
    *(
        "key",
        "api-",
        "api_key",
        "token",
        "token ",
        "token=",
        "secret-",
        "auth",
        "eyJ",
        "eyJ-",
        "eyJ.",
        "eyJa.a.",
        "gAAAA",
    ),
    *(
        "{{",
        "{%",
        "{{ a",
        "[",
        "(",
        ")",
        "messages[",
        "Media1",
        "\\",
        '"',
        "'",
        "\n",
        " \n",
        "č",
        "0-",
        "0x",
        "expired",
    ),
    *("insufficient ", "mms ", "not ", "$1", "0" * 8 + "-", "https://a.", ":1", "a" * 63 + "."),
)


@pytest.mark.parametrize("name", sorted(ours()))
def test_each_is_linear(name: str) -> None:
    pattern = ours()[name]
    started, slowest = time.process_time(), ("", 0.0)
    for piece in PIECES:
        for prefix in ("", "https://", "re:("):
            text = prefix + piece * (LONG // len(piece)) + "\x00"
            before = time.process_time()
            pattern.search(text)
            pattern.fullmatch(text)
            taken = time.process_time() - before
            slowest = max(slowest, (piece, taken), key=lambda one: one[1])
            assert slowest[1] < SOON, (name, slowest, time.process_time() - started)
