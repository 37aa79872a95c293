"""The media of an MMS: the shapes that a request may give them (contract 3), made one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from messaging.contract.fields import FieldError, plain, string
from outbound import iri
from vendors.values import Media

FILES_MAX = 10
URL_MAX = 2048  # characters
WORD_MAX = 255

KINDS = ("image", "video", "audio", "vcard")  # what Bloomreach's editor offers, each as a key of its own
_OURS = {plain(key): key for key in ("url", "urls", *KINDS, "files", "content_type", "name")}
NESTING_MAX = 4  # a list of objects with lists of objects is the deepest that anybody would mean

_URL = re.compile(r"https?://[^\s/?#\\@\x00-\x20\x7f][^\s\\\x00-\x20\x7f]*", re.IGNORECASE)


def parse_media(value: Any) -> tuple[Media, ...]:
    """The files of `{"url"}`, `{"urls"}`, `{"image"}` and so on, `{"files"}` or a list. Raises FieldError."""
    if value is None:
        raise FieldError("is required")
    if not isinstance(value, dict | list):
        raise FieldError("must be an object")
    files = [_file(item) for item in _items(value, depth=0)]
    if not files:
        raise FieldError("must name at least one http(s) URL")
    if len(files) > FILES_MAX:
        raise FieldError(f"must not name more than {FILES_MAX} files")
    return tuple(files)


def _items(value: Any, *, depth: int) -> Iterator[Any]:
    """Files in the order in which they are written: URLs, or objects with a `url`."""
    if depth > NESTING_MAX:
        raise FieldError("is nested too deeply")
    if isinstance(value, list):
        for item in value:
            yield from _items(item, depth=depth + 1)
    elif isinstance(value, dict):
        value = _in_any_spelling(value)
        if value.get("url") is not None:
            yield value
        for key in ("urls", *KINDS, "files"):
            if value.get(key) is not None:
                yield from _items(value[key], depth=depth + 1)
    else:
        yield value


def _in_any_spelling(value: dict[str, Any]) -> dict[str, Any]:
    """The keys as ours (`contentType` and `CONTENT-TYPE` too); of two spellings ours counts, else the first."""
    found: dict[str, Any] = {}
    for key, inner in value.items():
        found.setdefault(_OURS.get(plain(key), key), inner)
    return found | {key: value[key] for key in _OURS.values() if key in value}


def _file(item: Any) -> Media:
    if isinstance(item, dict):
        return Media(_url(item["url"]), _word(item, "content_type"), _word(item, "name"))
    return Media(_url(item))


def _url(value: Any) -> str:
    if type(value) is not str:
        raise FieldError("must name each file by its URL, a string")
    if len(value) > URL_MAX:
        raise FieldError(f"must not hold a URL longer than {URL_MAX} characters")
    if not _URL.fullmatch(value):
        raise FieldError("must name each file by an absolute http(s) URL without blanks")
    return _encoded(string(value))


def _encoded(url: str) -> str:
    """As vendors need it: some fetch no address with letters beyond ASCII, or encode it in ways of their own."""
    try:
        url = iri.encoded(url)
    except ValueError:
        raise FieldError("must name each file by a URL whose host is a valid name") from None
    if len(url) > URL_MAX:
        raise FieldError(f"must not hold a URL longer than {URL_MAX} characters once it is percent-encoded")
    return url


def _word(item: dict[str, Any], key: str) -> str:
    value = item.get(key)
    if value is None:
        return ""
    if type(value) is not str or len(value) > WORD_MAX:
        raise FieldError(f"must give {key} as a string of at most {WORD_MAX} characters")
    return string(value)
