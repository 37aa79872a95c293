"""How the generic adapter is told where things are and what words mean: paths, regular expressions and tables.

A place is a dotted path into JSON or form fields (`messages.0.id`), or `re:` and a regular expression (RE2) on the
text, whose first group counts. A condition is a place (something is there), or `path=value`. A table has a line
`word = meaning` for each word; a word that ends in `*` stands for all that begin so.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import re2

from vendors import reading

REGEX = "re:"
MAX_PATTERN = 300  # characters
MAX_TEXT = 4_000  # characters that a regular expression is shown
MAX_MEMORY = 1024 * 1024  # bytes of one compiled regular expression
MAX_PATH = 300  # characters
# What RE2 leaves out, since it cannot be matched in linear time, and its word for it.
_LEFT_OUT = re.compile(r"invalid perl operator|invalid escape sequence: \\[0-9]")
_PATH = re.compile(r"[^\s=]+")
_RANGE = re.compile(r"([1-5]\d\d)(?:\s*-\s*([1-5]\d\d))?")


class PatternError(ValueError):
    """A place, condition or table that cannot be read, and why."""


@dataclass(frozen=True, slots=True)
class Body:
    """What came from outside, as text and as what it says."""

    text: str
    value: Any = None

    @classmethod
    def of(cls, raw: bytes) -> Body:
        return cls(raw.decode("utf-8", "replace"), reading.json_value(raw))


def find(place: str, body: Body) -> str:
    """What is at that place, as text; "" when there is nothing, or no plain value."""
    if not place:
        return ""
    if not place.startswith(REGEX):
        return _plain(at(place, body.value))
    pattern = _compiled(place)
    match = _searched(pattern, body)
    if match is None:
        return ""
    return (match[1] if pattern.groups else match[0]) or ""


def holds(condition: str, body: Body) -> bool:
    """Whether the condition is met. An empty one never is."""
    if condition.startswith(REGEX):
        return _searched(_compiled(condition), body) is not None
    path, equals, wanted = condition.partition("=")
    found = at(path.strip(), body.value) if path.strip() else None
    if equals:
        return _plain(found).lower() == wanted.strip().lower() and found is not None
    return found not in (None, "", False, [], {})


def at(path: str, value: Any) -> Any:
    """What a dotted path leads to; None when it leads nowhere. A name that holds dots itself is tried first."""
    if isinstance(value, dict) and path in value:
        return value[path]
    for step in path.split("."):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdecimal() and len(step) < 6 and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def check_place(place: str) -> None:
    """Raises PatternError."""
    if place.startswith(REGEX):
        _compiled(place)
    elif len(place) > MAX_PATH:
        raise PatternError(f"a path has at most {MAX_PATH} characters")
    elif place and not _PATH.fullmatch(place):
        raise PatternError("write a dotted path such as messages.0.id, or re: and a regular expression")


def check_condition(condition: str) -> None:
    """Raises PatternError."""
    check_place(condition if condition.startswith(REGEX) else condition.partition("=")[0].strip())
    if condition.startswith("="):
        raise PatternError("write a path before the =")


@lru_cache(maxsize=1000)
def table(text: str) -> Mapping[str, str]:
    """Word, in capitals, to what it means. Raises PatternError that names the line."""
    found: dict[str, str] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        word, equals, meaning = (part.strip() for part in line.rpartition("="))
        if not (word and equals and meaning):
            raise PatternError(f"the line {line[:60]!r} is not of the form: word = meaning")
        if word.upper() in found:
            raise PatternError(f"{word!r} is there twice")
        found[word.upper()] = meaning
    return found


def check_table(text: str, meanings: Collection[str], default: str = "") -> None:
    """Raises PatternError unless every line means one of these. `default`: the word that may stand for all others."""
    for word, meaning in table(text).items():
        if meaning not in meanings:
            raise PatternError(f"{word}: {meaning!r} is not one of: {', '.join(sorted(meanings))}")
        if word == "*" and default != "*":
            raise PatternError("* alone is not allowed here: what nobody knows must decide nothing")


def meaning_of(word: str, text: str) -> str:
    """What the table says of a word, whatever its case: the word itself, else its longest beginning; "" for none."""
    known = table(text)
    word = word.upper()
    begun = [name for name in known if name.endswith("*") and name != "*" and word.startswith(name[:-1])]
    name = word if word in known else max(begun, key=len, default="")
    return known.get(name, "")


@lru_cache(maxsize=1000)
def statuses(text: str) -> frozenset[int]:
    """HTTP statuses written as `200-299, 409`. Raises PatternError."""
    found: set[int] = set()
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise PatternError("write HTTP statuses such as: 200-299, 409")
        found.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return frozenset(found)


def _searched(pattern: Any, body: Body) -> Any:
    """A match in the beginning of the text. Its last line break does not count, so that `$` is before it too."""
    text = body.text[:MAX_TEXT]
    return pattern.search(text.removesuffix("\n").removesuffix("\r")) or pattern.search(text)


@lru_cache(maxsize=1000)
def _compiled(place: str) -> Any:
    """By RE2: its time is linear in the text, whatever the expression. Raises PatternError."""
    pattern = place.removeprefix(REGEX).strip()
    if not pattern or len(pattern) > MAX_PATTERN:
        raise PatternError(f"a regular expression has 1 to {MAX_PATTERN} characters")
    options = re2.Options()
    options.log_errors, options.max_mem = False, MAX_MEMORY
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        why = str(error.args[0].decode() if isinstance(error.args[0], bytes) else error.args[0])
        hint = ": write it without back-references and look-around" if _LEFT_OUT.search(why) else ""
        raise PatternError(f"this is no regular expression of RE2 ({why}){hint}") from None
    except UnicodeError:
        raise PatternError("this is no regular expression: it has half a character in it") from None


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else ""
