"""How one tenant's Bloomreach project spells what we speak with it: data, with a default (contract 8). Pure.

Bloomreach's public pages show types without keys, so a tenant may learn on its first day that a key is written another
way. What comes in is read in every spelling whatever the profile says; the profile decides what goes out.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Any

from messaging.contract.fields import plain
from messaging.contract.wire import INBOUND_KEYS, MMS_KEYS, OUTBOUND_KEYS, SMS_KEYS, field_of

log = logging.getLogger(__name__)

SPELLINGS = ("snake", "camel")
SUCCESSES = ("json", "text")
STATUSES = ("sent", "delivered", "failed")
ACTIONS = ("sms_send", "sms_verify", "mms_send", "mms_verify")
EVENTS = "events"  # the key of the array, unless the profile says otherwise; "" is a bare array
KEYS_OUT = tuple(dict.fromkeys((*OUTBOUND_KEYS, *INBOUND_KEYS, "vendor_code", "content_type", "duplicate")))
NEVER_LEFT_OUT = ("status", "custom_data")  # Bloomreach cannot tell without them what became of which message

ENTRIES_MAX = 40  # of a map or a list
WORD_MAX = 200  # characters of a value
PATH_MAX = 200  # characters
NUMBER_MAX = 2**53 - 1

_NAME = re.compile(r"[A-Za-z_$@][A-Za-z0-9_.$@-]{0,63}")
_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")
_SERVED = re.compile(r"/verify|/sms/(?:send|send-sms|verify)|/mms/(?:send|send-mms|verify)")
_NOT_FOR_BLOOMREACH = re.compile(r"/(?:admin|static|hooks|simulator|healthz|readyz|metrics)(?:/.*)?")
_NESTED = ("error", "media")  # ours to spell; metadata and custom data are Bloomreach's own


class ProfileError(ValueError):
    """No wire profile: which of its parts is wrong, and how. The words are for a person."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        self.problems = dict(problems)
        super().__init__("; ".join(f"{name} {words}" for name, words in problems.items()))


@dataclass(frozen=True, slots=True)
class WireProfile:
    """Keys are ours (snake_case), values are what the other side writes. `outbound` and `inbound` name the key of the
    array of events, "" for a bare array. `paths` are addresses beside the usual ones, each for one of ACTIONS."""

    spelling: str = "snake"
    spelling_in: str = "snake"
    keys_out: Mapping[str, str] = field(default_factory=dict)
    keys_in: Mapping[str, str] = field(default_factory=dict)
    outbound: str = EVENTS
    inbound: str = EVENTS
    bearer: bool = False
    statuses: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    omitted: tuple[str, ...] = ()
    success: str = "json"
    paths: Mapping[str, str] = field(default_factory=dict)

    def spelled(self, key: str) -> str:
        """One of our keys as the other side reads it."""
        return self.keys_out.get(key) or (camel(key) if self.spelling == "camel" else key)

    def spelled_in(self, key: str) -> str:
        """One of our request keys as the other side is expected to write it."""
        return self.keys_in.get(key) or (camel(key) if self.spelling_in == "camel" else key)

    def field_of(self, key: str) -> str:
        """Our field that a request's key means, in any spelling; "" for none."""
        for name, own in self.keys_in.items():
            if plain(own) == plain(key):
                return name
        return field_of(key)

    def as_dict(self) -> dict[str, Any]:
        """What differs from the default, as it is stored."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        values["omitted"] = list(self.omitted)
        standard = {one.name: getattr(DEFAULT, one.name) for one in fields(self)} | {"omitted": []}
        return {name: value for name, value in values.items() if value != standard[name]}


DEFAULT = WireProfile()


def camel(key: str) -> str:
    """`custom_data` as `customData`."""
    first, *others = key.split("_")
    return first + "".join(word.capitalize() for word in others)


def parse(value: Any) -> WireProfile:
    """The profile of a JSON object; what is absent is the default. Raises ProfileError."""
    if not isinstance(value, Mapping):
        raise ProfileError({"profile": "must be an object"})
    problems = {str(name)[:40]: "is no part of a profile" for name in value if name not in _RULES}
    read: dict[str, Any] = {}
    for name, rule in _RULES.items():
        if name in value:
            try:
                read[name] = rule(value[name])
            except ValueError as error:
                problems[name] = str(error)
    if not problems:
        problems = _clashes(WireProfile(**read))
    if problems:
        raise ProfileError(problems)
    return WireProfile(**read)


def stored(value: Mapping[str, Any]) -> WireProfile:
    """The profile that a tenant keeps. One that cannot be read is the default: nothing stops for it."""
    return loads(dumps(value))


def dumps(value: Mapping[str, Any]) -> str:
    """A stored profile as a text that can be remembered; "" for the default."""
    return json.dumps(value, sort_keys=True) if value else ""


@lru_cache(maxsize=1024)
def loads(text: str) -> WireProfile:
    """The profile of such a text."""
    if not text:
        return DEFAULT
    try:
        return parse(json.loads(text))
    except ValueError as error:
        log.error("wire profile could not be read: %s", error)
        return DEFAULT


def changed(profile: WireProfile, **values: Any) -> WireProfile:
    """The profile with other parts, checked. Raises ProfileError."""
    return parse(replace(profile, **values).as_dict())


def may_name(path: str) -> bool:
    """Whether a profile could name this address."""
    is_path = len(path) <= PATH_MAX and _PATH.fullmatch(path)
    return bool(is_path) and not is_served(path) and not _NOT_FOR_BLOOMREACH.fullmatch(path)


def is_served(path: str) -> bool:
    """Whether the address is served for everybody (contract 1)."""
    return bool(_SERVED.fullmatch(path))


def dress(event: Mapping[str, Any], profile: WireProfile) -> Mapping[str, Any]:
    """An event of ours (contract 5, 7) as the profile writes it."""
    if profile is DEFAULT:
        return event
    dressed = {}
    for key, value in event.items():
        if key in profile.omitted:
            continue
        if key == "status":
            value = profile.statuses.get(value, value)
        dressed[profile.spelled(key)] = _spell(value, profile) if key in _NESTED else value
    return dressed | dict(profile.extra)


def answer(body: Mapping[str, Any], profile: WireProfile) -> Mapping[str, Any]:
    """The body of an answer to Bloomreach (contract 4) as the profile spells it."""
    return body if profile is DEFAULT else {profile.spelled(key): value for key, value in body.items()}


def enclose(events: Iterable[bytes], key: str) -> bytes:
    """The body of a POST with these events, each JSON already; without a key a bare array."""
    array = b"[" + b",".join(events) + b"]"
    return b'{"%s":%s}' % (key.encode(), array) if key else array


def _spell(value: Any, profile: WireProfile) -> Any:
    if isinstance(value, Mapping):
        return {profile.spelled(key): inner for key, inner in value.items()}
    return [_spell(inner, profile) for inner in value] if isinstance(value, list) else value


def _clashes(profile: WireProfile) -> dict[str, str]:
    """What is right by itself and wrong together."""
    problems = {}
    for keys in (OUTBOUND_KEYS, INBOUND_KEYS):
        said = [profile.spelled(key) for key in keys if key not in profile.omitted] + list(profile.extra)
        if twice := sorted({name for name in said if said.count(name) > 1}):
            problems["keys_out"] = f"and extra fields give two values the key {', '.join(twice)}"
    wrong = [key for name, key in profile.keys_in.items() if field_of(key) not in ("", name)]
    if wrong or len(set(map(plain, profile.keys_in.values()))) < len(profile.keys_in):
        problems["keys_in"] = "must give each field a key of its own, and none that another field has"
    return problems


def _one_of(*allowed: str) -> Callable[[Any], str]:
    def rule(value: Any) -> str:
        if value not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return str(value)

    return rule


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _envelope(value: Any) -> str:
    if value == "":
        return ""
    return _name(value)


def _name(value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError("must hold keys of 1 to 64 letters, digits, _ . - $ or @, beginning with no digit")
    return value


def _names(known: Iterable[str]) -> Callable[[Any], dict[str, str]]:
    allowed = tuple(known)

    def rule(value: Any) -> dict[str, str]:
        return {_known(key, allowed): _name(name) for key, name in _map(value).items()}

    return rule


def _statuses(value: Any) -> dict[str, str]:
    return {_known(key, STATUSES): _word(word) for key, word in _map(value).items()}


def _extra(value: Any) -> dict[str, Any]:
    for item in _map(value).values():
        if isinstance(item, str):
            _word(item, empty=True)
        elif not isinstance(item, int | float | None) or not abs(item or 0) <= NUMBER_MAX:
            raise ValueError("must hold texts, numbers that JavaScript can count to, true, false or null")
    return {_name(key): item for key, item in _map(value).items()}


def _omitted(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or len(value) > ENTRIES_MAX:
        raise ValueError(f"must be a list of at most {ENTRIES_MAX} keys")
    keys = tuple(dict.fromkeys(_known(key, KEYS_OUT) for key in value))
    if kept := [key for key in keys if key in NEVER_LEFT_OUT]:
        raise ValueError(f"must not leave out {', '.join(kept)}: Bloomreach needs it")
    return keys


def _paths(value: Any) -> dict[str, str]:
    return {_path(path): _known(action, ACTIONS) for path, action in _map(value).items()}


def _path(value: Any) -> str:
    path = value.rstrip("/") if isinstance(value, str) else ""
    if not _PATH.fullmatch(path) or len(path) > PATH_MAX or {".", ".."} & set(path.split("/")):
        raise ValueError(
            f"must begin with / and hold letters, digits, . _ ~ - and /, at most {PATH_MAX} characters"
        )
    if not may_name(path):
        raise ValueError(f"must not name {path}: it is served already, or is not Bloomreach's")
    return path


def _map(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or len(value) > ENTRIES_MAX:
        raise ValueError(f"must be an object of at most {ENTRIES_MAX} entries")
    return value


def _known(key: Any, allowed: tuple[str, ...]) -> str:
    if key not in allowed:
        raise ValueError(f"knows only {', '.join(allowed)}")
    return str(key)


def _word(value: Any, *, empty: bool = False) -> str:
    if not isinstance(value, str) or len(value) > WORD_MAX or not value.isprintable() or not (value or empty):
        raise ValueError(f"must hold texts of at most {WORD_MAX} printable characters")
    return value


_RULES: dict[str, Callable[[Any], Any]] = {
    "spelling": _one_of(*SPELLINGS),
    "spelling_in": _one_of(*SPELLINGS),
    "keys_out": _names(KEYS_OUT),
    "keys_in": _names(MMS_KEYS),
    "outbound": _envelope,
    "inbound": _envelope,
    "bearer": _flag,
    "statuses": _statuses,
    "extra": _extra,
    "omitted": _omitted,
    "success": _one_of(*SUCCESSES),
    "paths": _paths,
}


@lru_cache(maxsize=1024)
def request_keys(profile_text: str, *, mms: bool) -> Mapping[str, tuple[str, ...]]:
    """Field -> its spellings, the profile's own first (contract 3)."""
    own = loads(profile_text).keys_in
    keys = MMS_KEYS if mms else SMS_KEYS
    if not own:
        return keys
    return {name: (own[name], *keys[name]) if name in own else keys[name] for name in keys}
