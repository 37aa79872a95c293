"""How many parts a text takes on the air, and in which alphabet."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from phone.gsm7 import BASIC, SEPTETS

Encoding = Literal["GSM7", "UCS2"]

GSM7_SINGLE, GSM7_MULTI = 160, 153  # septets: alone, and beside a concatenation header
UCS2_SINGLE, UCS2_MULTI = 70, 67  # 16-bit code units

_ONE_SEPTET_EACH = re.compile(f"[{re.escape(BASIC)}]*")


@dataclass(frozen=True, slots=True)
class Segments:
    """The alphabet a text needs and the number of parts it is sent in (at least one)."""

    encoding: Encoding
    parts: int


def count(text: str) -> Segments:
    """Parts as handsets count them (3GPP TS 23.040); one character outside GSM-7 makes all of it UCS-2."""
    if _ONE_SEPTET_EACH.fullmatch(text):  # most texts: nothing that a part's end could cut
        return Segments("GSM7", 1 if len(text) <= GSM7_SINGLE else -(-len(text) // GSM7_MULTI))
    if all(char in SEPTETS for char in text):
        return Segments("GSM7", _parts([SEPTETS[char] for char in text], GSM7_SINGLE, GSM7_MULTI))
    units = [2 if ord(char) > 0xFFFF else 1 for char in text]
    return Segments("UCS2", _parts(units, UCS2_SINGLE, UCS2_MULTI))


def _parts(costs: list[int], single: int, multi: int) -> int:
    """Fills part after part: no escape or surrogate pair may be cut, so dividing the sum is wrong."""
    if sum(costs) <= single:
        return 1
    parts, used = 1, 0
    for cost in costs:
        if used + cost > multi:
            parts, used = parts + 1, 0
        used += cost
    return parts
