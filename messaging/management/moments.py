"""Times as people type them on a command line."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime, timedelta

_AGO = re.compile(r"(\d{1,5})\s*([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def moment(text: str) -> datetime:
    """ISO 8601 (UTC unless it says otherwise), or an age: 90s, 30m, 2h, 3d. Raises ArgumentTypeError."""
    if age := _AGO.fullmatch(text.strip()):
        return datetime.now(UTC) - timedelta(**{_UNITS[age[2]]: int(age[1])})
    try:
        parsed = datetime.fromisoformat(text.strip())
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a time like 2026-01-31T08:00Z nor an age like 90s, 30m, 2h or 3d"
        ) from None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
