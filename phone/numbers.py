"""Phone numbers and sender ids. Stored as `+` and digits; Bloomreach writes `00…` (contract 3)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import phonenumbers

from phone.gsm7 import SEPTETS

_RECIPIENT = re.compile(r"00[0-9]{7,15}")
_CANONICAL = re.compile(r"\+[0-9]{7,15}")
_INTERNATIONAL = re.compile(r"(?:\+|00)?([1-9][0-9]{6,14})")
_SHORT = re.compile(r"[0-9]{3,8}")
_SHORT_PREFIXED = re.compile(r"(?:\+|00)([1-9][0-9]{2,5})")  # too short for a country code and a number
_NATIONAL = re.compile(r"0[1-9][0-9]{7,13}")
_PUNCTUATION = re.compile(r"[\s().\-/]+")
_DIALLED = re.compile(r"\+?[0-9]+")

ALPHA_SEPTETS = 11  # what the ten octets of an originating address hold
SENDER_FORMS = (
    "a number of 7 to 15 digits with its country code, a short code of 3 to 8 digits, or a name of 1 to "
    f"{ALPHA_SEPTETS} characters of the GSM alphabet"
)


class NumberError(ValueError):
    """Not a usable number or sender id. The text is for a human and never repeats the value."""


@dataclass(frozen=True, slots=True)
class Sender:
    """A sender id: `+` and digits, a short code as it is dialled, or a name."""

    kind: Literal["numeric", "short", "alpha"]
    value: str


def parse_recipient(raw: str) -> str:
    """`00421…` as `+421…`. Raises NumberError unless it matches `00\\d{7,15}` (contract 3)."""
    if not _RECIPIENT.fullmatch(raw):
        raise NumberError("must be an international number written 00 and 7 to 15 digits")
    return f"+{raw[2:]}"


def parse_sender(raw: str) -> Sender:
    """A number, short code (3 to 8 digits) or name (1-11 GSM characters), contract 3. Raises NumberError.

    A number in national writing (9 to 15 digits, the first is 0) is kept as it is dialled: its country is unknown.
    """
    value = raw.strip()
    if not value:
        raise NumberError("must not be empty")
    if (_SHORT.fullmatch(value) and not value.startswith("00")) or _NATIONAL.fullmatch(value):
        return Sender("short", value)
    if _DIALLED.fullmatch(value):
        return Sender("numeric", _international(value))
    return Sender("alpha", _name(value))


def dialled_short_code(value: str) -> str:
    """A short code without the `+` or `00` that some vendors write before it; anything else unchanged."""
    prefixed = _SHORT_PREFIXED.fullmatch(value)
    return prefixed[1] if prefixed else value


def double_zero(value: str) -> str:
    """`+421…` as `00421…`, the form Bloomreach reads. Short codes and names pass unchanged."""
    value = dialled_short_code(value)
    return f"00{value[1:]}" if value.startswith("+") else value


def digits(value: str) -> str:
    """The bare digits of a number in any writing: `+421…`, `00421…`, `421 …` give `421…`; a name gives ""."""
    dialled = _PUNCTUATION.sub("", value)
    if not _DIALLED.fullmatch(dialled):
        return ""
    return dialled.removeprefix("+") if dialled.startswith("+") else dialled.removeprefix("00")


def same_number(a: str, b: str) -> bool:
    """Whether two sender ids are one: numbers in any writing, names in any case (contract 6)."""
    return _identity(a) == _identity(b)


def country(msisdn: str) -> str:
    """ISO country of a canonical number, "" when there is none (not a number, satellite, unassigned code)."""
    if not _CANONICAL.fullmatch(msisdn):
        return ""
    for length in (1, 2, 3):
        regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(msisdn[1 : 1 + length]))
        if regions:
            return _region(msisdn) if len(regions) > 1 else _iso(regions[0])
    return ""


def mask(value: str) -> str:
    """Enough to recognise a number in a log, not to dial it: `+4219…23`."""
    if len(value) >= 11:
        return f"{value[:5]}…{value[-2:]}"
    return f"{value[:2]}…{value[-1:]}" if len(value) >= 7 else "…"


def _international(value: str) -> str:
    match = _INTERNATIONAL.fullmatch(value)
    if not match:
        raise NumberError(f"must be {SENDER_FORMS}")
    return f"+{match[1]}"


def _name(value: str) -> str:
    if not value.isprintable() or not all(char in SEPTETS for char in value):
        raise NumberError("has a character that a sender name cannot carry (only the GSM alphabet)")
    if not any(char.isalpha() for char in value):
        raise NumberError("must be digits only, or a name with at least one letter")
    if sum(SEPTETS[char] for char in value) > ALPHA_SEPTETS:
        raise NumberError(f"is too long for a name; it must be {SENDER_FORMS}")
    return value


def _identity(value: str) -> str:
    return digits(value) or value.strip().casefold()


@lru_cache(maxsize=4096)
def _region(msisdn: str) -> str:
    """Country of a number under a shared code (+1, +7, +44 …); the main one when the range is unknown."""
    try:
        number = phonenumbers.parse(msisdn)
    except phonenumbers.NumberParseException:
        return ""
    region = phonenumbers.region_code_for_number(number)
    return _iso(region or phonenumbers.region_code_for_country_code(number.country_code or 0))


def _iso(region: str) -> str:
    return region if region.isalpha() and len(region) == 2 and region != "ZZ" else ""
