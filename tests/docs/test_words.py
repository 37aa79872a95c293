"""One word per thing: former words do not come back, a class name means one thing, the glossary stays short."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.documents import ROOT, code, rows

# A former word, and what is said instead. Whole words of prose and parts of identifiers (make_lane, LaneAdmin).
RETIRED = {
    "lane": "queue",
    "lanes": "queues",
    "bell": "wake (a task that wakes a pump)",
    "bells": "wake",
    "rung": "woken",
    "purse": "allowance",
    "lifeline": "stop pipe, or the module processes",
    "leash": "the module processes",
    "strays": "messages that follow their account",
    "ruling": "decision",
    "rulings": "decisions",
    "uncertain": "unknown outcome",
    "doubt": "unknown outcome",
    "doubts": "unknown outcomes",
    "doubtful": "unknown outcome",
    "clone": "copy",
    "clones": "copies",
    "stumbled": "failed",
}
# Words of other people, or of ordinary English, in the places that may use them.
ALLOWED = {
    "CHANGELOG.md": set(RETIRED),
    "tests/docs/test_words.py": set(RETIRED),
    "docs/quickstart.md": {"clone"},  # of git
    "dev/postgres_programs.py": {"clone"},
    "dev/migration_lint.py": {"clone"},  # of Django
}
FOLDERS = (
    "accounts",
    "bench",
    "connector",
    "dev",
    "messaging",
    "outbound",
    "phone",
    "simulator",
    "templates",
    "vendors",
)
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
GLOSSARY_MAX = 20


def texts() -> Iterator[Path]:
    for folder in (*FOLDERS, "docs", "tests", "deploy"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in {".py", ".md", ".html", ".yaml", ".yml", ".js", ".css"}:
                yield path
    yield from ROOT.glob("*.md")


@pytest.mark.parametrize("folder", [*FOLDERS, "docs", "tests", "deploy", "."])
def test_retired_words_do_not_come_back(folder: str) -> None:
    found = [
        f"{name}:{number}: {word} (say {RETIRED[word]})"
        for path in texts()
        if (name := str(path.relative_to(ROOT))).startswith(f"{folder}/")
        or ("/" not in name and folder == ".")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for word in {part.lower() for part in WORD.findall(line)} & set(RETIRED) - ALLOWED.get(name, set())
    ]
    assert found == []


def test_a_class_name_means_one_thing() -> None:
    homes: defaultdict[str, list[str]] = defaultdict(list)
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            if "migrations" in path.parts:
                continue
            tree = ast.parse(path.read_text())
            for node in tree.body:
                if isinstance(node, ast.ClassDef) and node.name != "Command":
                    homes[node.name].append(str(path.relative_to(ROOT)))
    assert {name: where for name, where in homes.items() if len(where) > 1} == {}


def test_the_glossary_is_short_and_each_word_stands_once() -> None:
    words = [row[0] for row in rows("docs/architecture.md", "## Words")]
    assert 10 <= len(words) == len(set(words)) <= GLOSSARY_MAX


def test_the_way_of_a_message_is_short_and_exists() -> None:
    files = [code(row[1])[0] for row in rows("docs/architecture.md", "## The way of a message, as files")]
    assert 20 <= len(files) == len(set(files)) <= 30
    assert [name for name in files if "<" not in name and not (ROOT / name).is_file()] == []
