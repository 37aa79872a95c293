"""The template language of the generic adapter: Liquid, with few tags and filters, no attributes, and bounds.

Operators write these templates. A template can read the values that it is given and nothing else; it cannot loop,
grow or nest without end. Nothing is escaped by itself: `url_quote` and `json` do it where they are written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from liquid import Environment, StrictDefaultUndefined
from liquid.exceptions import LiquidError, LiquidValueError
from liquid.filter import string_filter

from vendors.http_bounds import MAX_LOOP, MAX_OUTPUT, MAX_SOURCE, MAX_WORK, Template, refuse_source

__all__ = ["MAX_OUTPUT", "MAX_SOURCE", "TemplateError", "check", "render"]

PARSED_MAX = 256  # templates kept parsed; each may take half a megabyte
_FAULTS = (LiquidError, ValueError, TypeError, ArithmeticError, RecursionError)  # numbers fail as Python's do

_TAGS = {
    *("content", "output", "illegal", "if", "unless", "case", "for", "break", "continue", "comment", "#"),
    *("assign", "capture", "echo", "liquid"),
}
# Whatever one of these makes of a text is bounded (http_bounds).
_FILTERS = {
    *(
        "append",
        "prepend",
        "capitalize",
        "upcase",
        "downcase",
        "strip",
        "lstrip",
        "rstrip",
        "slice",
        "truncate",
    ),
    *("remove", "remove_first", "remove_last", "replace_first", "default", "size", "split", "first", "last"),
    *("plus", "minus", "times", "divided_by", "modulo", "round", "floor", "ceil", "at_least", "at_most"),
    *("url_encode", "base64_encode", "escape"),
}


class TemplateError(ValueError):
    """A template that cannot be read, or asks for what there is not."""


class _Bounded(Environment):
    template_class = Template
    block_nesting_limit = 10
    context_depth_limit = 10
    loop_iteration_limit = MAX_LOOP
    local_namespace_limit = 50_000
    output_stream_limit = MAX_OUTPUT


def render(source: str, values: Mapping[str, Any], *, work: int = MAX_WORK) -> str:
    """The template filled in, within a budget of characters. Raises TemplateError, for an undefined variable too."""
    try:
        return _parsed(source).write(values, work=work)
    except _FAULTS as error:
        raise TemplateError(_words(error)) from None


def check(source: str, names: Iterable[str]) -> None:
    """Raises TemplateError unless it can be read and knows, in all its branches, no other variables than these."""
    try:
        found = _parsed(source).analyze()
    except _FAULTS as error:
        raise TemplateError(_words(error)) from None
    if strange := sorted(set(found.filters) - set(_ENVIRONMENT.filters)):
        raise TemplateError(f"there is no filter {strange[0]!r}")
    unknown = sorted(set(found.globals) - set(names))
    if unknown:
        raise TemplateError(f"there is no variable {unknown[0]!r}; known: {', '.join(sorted(names))}")


@lru_cache(maxsize=PARSED_MAX)
def _parsed(source: str) -> Template:
    refuse_source(source)
    template = _ENVIRONMENT.from_string(source)
    assert isinstance(template, Template)
    template.bind(source)
    return template


def _words(error: Exception) -> str:
    return str(error.args[0] if error.args else type(error).__name__)


@string_filter
def _url_quote(text: str) -> str:
    """Everything but letters, digits and `-._~` as %XX: for a value in a query or path."""
    return quote(text, safe="")


def _json(value: object) -> str:
    """A JSON value, a text with its quotes. What is undefined raises while it is turned into text."""
    return json.dumps(value, ensure_ascii=False, default=str)


@string_filter
def _utf16_hex(text: str) -> str:
    """UTF-16BE in hexadecimal, as SMPP gateways want texts outside GSM-7 (data coding 8)."""
    return text.encode("utf-16-be", "replace").hex().upper()


@string_filter
def _replace(text: str, old: object, new: object = "") -> str:
    """All occurrences; the library's own takes an empty text too, and grows without bounds."""
    old, new = str(old), str(new)
    grown = len(text) + text.count(old) * (len(new) - len(old))
    if not old or grown > MAX_OUTPUT:
        raise LiquidValueError("replace: nothing to look for, or the result is too long", token=None)
    return text.replace(old, new)


def _environment() -> Environment:
    made = _Bounded(undefined=StrictDefaultUndefined, strict_filters=True, autoescape=False)
    made.tags = {name: tag for name, tag in made.tags.items() if name in _TAGS}
    made.filters = {name: made.filters[name] for name in _FILTERS}
    own = {"url_quote": _url_quote, "json": _json, "utf16_hex": _utf16_hex, "replace": _replace}
    made.filters.update(own)
    return made


_ENVIRONMENT = _environment()
