"""The rules of single request fields (contract 3): each takes a value as it came and gives the value to use.

All raise FieldError. PostgreSQL keeps neither NUL nor half a surrogate pair, so both are refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from messaging.contract import callback_url as callback_urls
from outbound import iri
from phone.numbers import NumberError, parse_recipient, parse_sender

TEXT_MAX = 10_000  # characters of text, subject and fallback text, each
CUSTOM_DATA_MAX = 8 * 1024  # bytes
REQUEST_ID_MAX = 200  # characters


class FieldError(ValueError):
    """A value that can never be accepted. The words are for a person and repeat no value."""

    def __init__(self, *words: str) -> None:
        self.words = list(words)
        super().__init__("; ".join(words))


def plain(key: str) -> str:
    """A key without what spellings differ in: case, _ and -."""
    return key.replace("_", "").replace("-", "").lower()


def string(value: Any) -> str:
    """A string that can be stored."""
    if value is None:
        raise FieldError("is required")
    if type(value) is not str:
        raise FieldError("must be a string")
    if "\x00" in value:
        raise FieldError("must not contain the NUL character")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise FieldError("must not contain half of a surrogate pair") from None
    return value


def text(value: Any) -> str:
    """A text of at most TEXT_MAX characters; "" is legal."""
    words = string(value)
    if len(words) > TEXT_MAX:
        raise FieldError(f"must not be longer than {TEXT_MAX} characters")
    return words


def content(value: Any) -> str:
    """A text with something in it."""
    words = text(value)
    if not words.strip():
        raise FieldError("must not be empty")
    return words


def sender(value: Any) -> tuple[str, str]:
    """A sender id as it was written, and canonical."""
    raw = string(value)
    try:
        return raw, parse_sender(raw).value
    except NumberError as error:
        raise FieldError(str(error)) from None


def recipient(value: Any) -> tuple[str, str]:
    """An MSISDN as it was written (`00…`), and canonical (`+…`)."""
    raw = string(value)
    try:
        return raw, parse_recipient(raw)
    except NumberError as error:
        raise FieldError(str(error)) from None


def request_id(value: Any) -> str | None:
    """The key for deduplication; None for absent, null and "", which make a test message."""
    if value is None or value == "":
        return None
    key = string(value)
    if not key.strip():
        raise FieldError("must not be blank")
    if len(key) > REQUEST_ID_MAX:
        raise FieldError(f"must not be longer than {REQUEST_ID_MAX} characters")
    return key


def custom_data(value: Any, *, optional: bool) -> str:
    """Bloomreach's opaque data, to be handed back byte for byte."""
    if optional and (value is None or value == ""):
        return ""
    data = string(value)
    if not data:
        raise FieldError("must not be empty")
    if len(data.encode()) > CUSTOM_DATA_MAX:
        raise FieldError(f"must not be longer than {CUSTOM_DATA_MAX} bytes")
    return data


def callback_url(value: Any, *, optional: bool, hosts: tuple[str, ...], demo: bool) -> str:
    """Where delivery reports go, at a host that the tenant allows."""
    if optional and (value is None or value == ""):
        return ""
    address = string(value)
    try:
        url = iri.encoded(address)
    except ValueError:
        raise FieldError("must be an absolute https:// URL whose host is a valid name") from None
    if wrong := callback_urls.problem(url, hosts=hosts, demo=demo):
        raise FieldError(wrong)
    return url


def metadata(value: Any) -> Mapping[str, Any]:
    """An object; absent and null are {}."""
    if value is None:
        return {}
    if type(value) is not dict:
        raise FieldError("must be an object")
    return storable(value)


def storable(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """A JSON object that PostgreSQL can keep."""
    if not value:
        return value
    try:
        written = orjson.dumps(value)
    except orjson.JSONEncodeError:
        raise FieldError("is nested too deeply, or holds half of a surrogate pair") from None
    # The escape may also be an escaped backslash before plain letters: only then is it worth a walk.
    if b"\\u0000" in written and _holds_nul(value):
        raise FieldError("must not contain the NUL character")
    return value


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, Mapping):
        return any("\x00" in key or _holds_nul(item) for key, item in value.items())
    return isinstance(value, list) and any(_holds_nul(item) for item in value)
