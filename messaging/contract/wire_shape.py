"""The shape of a request: which keys it has and of which JSON types, never what is in them (contract 8). Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import islice
from typing import Any

from messaging.contract.wire import MMS_KEYS, SMS_KEYS, field_of
from messaging.contract.wire_profile import WireProfile

KEYS_MAX = 40  # of an object; further ones are not told
INNER_MAX = 10  # of an object inside
DEPTH_MAX = 2
HEADERS_MAX = 20
NAME_MAX = 40  # characters

ODD = "(another key)"  # in the place of a key that is no name, or may itself be content
BODY = "(body)"  # the key under which the type of a body is told that is no JSON object

# Where tokens are sent by those who do not know our header yet.
_TELLING = ("Authorization", "Api-Key", "X-Api-Key", "Token", "X-Token", "X-Auth-Token")
_NAME = re.compile(r"\A(?!.*[0-9]{5})[A-Za-z_$][A-Za-z0-9_.$-]*")
_MEDIA_TYPE = re.compile(r"[a-z0-9.+-]{1,40}/[a-z0-9.+-]{1,60}")
_OPAQUE = ("metadata", "custom_data")  # Bloomreach's own: not even their keys
_TYPES = {"metadata": ("object", "null"), "media": ("object", "array")}
_OPTIONAL = ("metadata", "request_id")


def shape(body: Mapping[str, Any]) -> dict[str, str]:
    """Key -> JSON type in words. Keys that may be content themselves are told as one odd key."""
    told: dict[str, str] = {}
    for key, value in islice(body.items(), KEYS_MAX):
        if type(value) is str:  # the most of them
            told[_name(key)] = "string" if value else "empty string"
        else:
            told[_name(key)] = _kind(value, depth=DEPTH_MAX if field_of(key) in _OPAQUE else 0)
    return told


def no_object(media_type: str) -> dict[str, str]:
    """The shape of a body that is no JSON object."""
    kind = media_type.lower().strip()
    return {BODY: kind if _MEDIA_TYPE.fullmatch(kind) else "no media type"}


@lru_cache(maxsize=256)
def headers(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names of setting fields among a request's headers, and of those that usually carry a token."""
    written = {"-".join(word.capitalize() for word in re.split("[-_]", name)) for name in names}
    kept = [name for name in written if name.startswith("Chan-") or name in _TELLING]
    return tuple(sorted(dict.fromkeys(map(_name, kept))))[:HEADERS_MAX]


def unknown(told: Mapping[str, str], profile: WireProfile) -> list[str]:
    """Keys of a shape that mean nothing to us."""
    return [key for key in told if not profile.field_of(key) and key != BODY]


def differences(told: Mapping[str, str], profile: WireProfile, *, mms: bool) -> list[str]:
    """In which ways a request differs from what the profile expects, in words."""
    if BODY in told:
        return [f"the body is no JSON object ({told[BODY]})"]
    found: dict[str, str] = {}
    for key in told:
        found.setdefault(profile.field_of(key), key)
    words = []
    for name in MMS_KEYS if mms else SMS_KEYS:
        expected = profile.spelled_in(name)
        key = found.get(name, "")
        if not key:
            words += [] if name in _OPTIONAL else [f"{expected} does not come"]
            continue
        if key != expected:
            words.append(f"{key} comes for {expected}")
        if not told[key].startswith(_TYPES.get(name, ("string", "empty string", "null"))):
            words.append(f"{key} is {told[key]}")
    return words + [f"{key} ({told[key]}) is not known" for key in unknown(told, profile)]


def _kind(value: Any, *, depth: int) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string" if value else "empty string"
        case Mapping() if depth < DEPTH_MAX:
            inner = {_name(key): _kind(value[key], depth=depth + 1) for key in list(value)[:INNER_MAX]}
            return (
                f"object of {', '.join(f'{key}: {kind}' for key, kind in inner.items())}"
                if inner
                else "object"
            )
        case Mapping():
            return "object"
    kinds = sorted({_kind(item, depth=depth + 1) for item in value[:INNER_MAX]}) if depth < DEPTH_MAX else []
    return f"array of {' or '.join(kinds)}" if kinds else "array"


def _name(key: str) -> str:
    return _short_name(key) if len(key) <= NAME_MAX else ODD


@lru_cache(maxsize=2048)
def _short_name(key: str) -> str:
    return key if _NAME.fullmatch(key) else ODD
