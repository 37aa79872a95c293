"""The delays of retries, in seconds. Pure: chance is handed in. Times that follow from CALL_DEADLINE stand in
connector/settings.py."""

from __future__ import annotations

import random
from collections.abc import Callable

MINUTE, HOUR = 60.0, 3600.0

SEND_DELAYS = (
    5.0,
    30.0,
    2 * MINUTE,
    10 * MINUTE,
    30 * MINUTE,
)  # the last repeats until the validity is used up
SEND_ATTEMPTS_MAX = 20  # a guard against crash loops, not a schedule
CALLBACK_DELAYS = (
    *(5.0, 30.0, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE),
    *(1 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR, 24 * HOUR),
)
# The first rows bridge a report that overtakes our own record; the last completes 72 hours exactly.
MATCH_DELAYS = (
    *(2.0, 10.0, MINUTE, 5 * MINUTE, 30 * MINUTE),
    *(2 * HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR, 24 * HOUR, 12_228.0),
)
CIRCUIT_FIRST, CIRCUIT_MAX = 10.0, 60.0
CIRCUIT_BRIEF, CIRCUIT_BRIEF_MAX = 1.0, 5.0  # while the other side answers, and may mean single messages
RETRY_AFTER_MAX = 1 * HOUR
JITTER = 0.2

Rand = Callable[[], float]  # [0, 1), as random.random


def send_delay(refusals: int, *, retry_after: float | None = None, rand: Rand = random.random) -> float:
    """Wait after so many temporary refusals (1 is the first). Retry-After lengthens, never shortens."""
    return _delay(SEND_DELAYS[min(max(refusals, 1), len(SEND_DELAYS)) - 1], retry_after, rand)


def callback_delay(
    tries: int, *, retry_after: float | None = None, rand: Rand = random.random
) -> float | None:
    """Wait after the tries-th failed POST of an event; None when the schedule (about 3 days) is used up."""
    if tries > len(CALLBACK_DELAYS):
        return None
    return _delay(CALLBACK_DELAYS[max(tries, 1) - 1], retry_after, rand)


def match_delay(tries: int) -> float | None:
    """Wait after the tries-th failed search for a report's attempt; None after 72 h: an orphan."""
    return None if tries > len(MATCH_DELAYS) else MATCH_DELAYS[max(tries, 1) - 1]


def _delay(base: float, retry_after: float | None, rand: Rand) -> float:
    """The table's delay +-20 %, and never before the moment the other side asked for (at most 1 h away)."""
    jittered = base * (1 - JITTER + 2 * JITTER * rand())
    if retry_after is None:
        return jittered
    asked = min(max(retry_after, 0.0), RETRY_AFTER_MAX)
    return max(jittered, asked * (1 + JITTER * rand()))
