"""Reading what vendors write: lenient about form, strict about type, never raising."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl

from outbound.values import HttpResponse
from vendors.values import HookRequest

_FORM = "application/x-www-form-urlencoded"


def json_value(body: bytes) -> Any:
    """Any JSON value; None when it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def json_object(body: bytes) -> Mapping[str, Any]:
    """The JSON object of a body; empty when it is anything else."""
    value = json_value(body)
    return value if isinstance(value, dict) else {}


def form(hook: HookRequest) -> dict[str, str]:
    """The fields of a form POST, the last value of each name; for any other call those of its query."""
    if hook.method != "POST" or not hook.headers.get("content-type", _FORM).startswith(_FORM):
        return dict(hook.query)
    return dict(parse_qsl(hook.body.decode("utf-8", "replace"), keep_blank_values=True, errors="replace"))


def part(value: Any, name: str) -> Mapping[str, Any]:
    """The object of that name; empty when there is none."""
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def items(value: Any, name: str) -> Sequence[Mapping[str, Any]]:
    """The objects in the list of that name, or the one object in its place; anything else is left out."""
    found = value.get(name) if isinstance(value, dict) else None
    found = found if isinstance(found, list) else [found]
    return [item for item in found if isinstance(item, dict)]


def text(value: Any, name: str) -> str:
    """A string or number of that name as text; "" for everything else."""
    found = value.get(name) if isinstance(value, dict) else None
    return str(found) if isinstance(found, str | int | float) and not isinstance(found, bool) else ""


def number(value: Any, name: str) -> int | None:
    """A whole number of that name, also one written as text; None when it is none, or negative."""
    found = text(value, name).strip()
    return int(found) if found.isdecimal() and len(found) <= 18 else None


def moment(written: str) -> datetime | None:
    """An ISO 8601 or RFC 2822 time as UTC; None for one that cannot be read or has no zone."""
    try:
        return _utc(datetime.fromisoformat(written))
    except (ValueError, OverflowError):
        pass
    try:
        return _utc(parsedate_to_datetime(written))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _utc(value: datetime) -> datetime | None:
    return value.astimezone(UTC) if value.tzinfo else None


def header(response: HttpResponse, name: str) -> str:
    """A header of an answer, whatever the case of its name."""
    wanted = name.lower()
    return next((value for key, value in response.headers.items() if key.lower() == wanted), "")
