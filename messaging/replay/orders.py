"""Does things again on an operator's order: events, messages, vendor reports (docs/replay.md).

An order is a Replay row. The pumps carry it out page by page: a page, its counts and the cursor are one
transaction, so that a kill at any moment neither loses nor repeats a row.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Final

from django.db import transaction

from messaging.models import Replay
from messaging.models.sql import change, column
from messaging.replay import criteria, statements, work
from messaging.replay.criteria import STATUSES, ReplayError, ReplayFilter, Selection
from messaging.replay.statements import WHY, Key

__all__ = [
    "STATUSES",
    "WHY",
    "Preview",
    "Refused",
    "ReplayError",
    "ReplayFilter",
    "advance",
    "create",
    "preview",
    "stop",
]

PAGE: Final = 500
SAMPLE: Final = 10
HORIZON: Final = 5.0  # seconds of work that a rated replay lays out ahead, so that a stop is felt soon


@dataclass(frozen=True, slots=True)
class Refused:
    """Rows that match but are left alone, for one reason."""

    reason: str  # a key of WHY
    text: str
    count: int


@dataclass(frozen=True, slots=True)
class Preview:
    """What an order would do at this moment."""

    total: int  # rows that match
    would_do: int
    risky: int  # of these: messages that may already have reached their recipient
    refused: tuple[Refused, ...]  # the most frequent reason first
    sample: tuple[Key, ...]  # the first rows that would be done


def preview(
    *, kind: str, filter: ReplayFilter, may_duplicate: bool = False, corrections: bool = False
) -> Preview:
    """What `create` with the same words would do. Changes nothing. Raises ReplayError."""
    selection = criteria.select(kind=kind, asked=filter, may_duplicate=may_duplicate, corrections=corrections)
    rows = statements.count(selection)
    refused: Counter[str] = Counter()
    for row in rows:
        refused[row.why] += row.n
    would_do = refused.pop("", 0)
    return Preview(
        total=sum(row.n for row in rows),
        would_do=would_do,
        risky=sum(row.n for row in rows if not row.why and row.risky),
        refused=tuple(Refused(why, WHY[why], n) for why, n in refused.most_common()),
        sample=tuple(statements.sample(selection, limit=SAMPLE)),
    )


def create(
    *,
    kind: str,
    filter: ReplayFilter,
    requested_by: str,
    reason: str,
    rate: float | None = None,
    may_duplicate: bool = False,
    corrections: bool = False,
) -> Replay:
    """Orders a replay of what matches now, at most `rate` rows per second. Raises ReplayError."""
    if rate is not None and not (math.isfinite(rate) and rate > 0):
        raise ReplayError("The rate must be a positive number of rows per second.")
    selection = criteria.select(kind=kind, asked=filter, may_duplicate=may_duplicate, corrections=corrections)
    selection = criteria.until_now(selection)
    return Replay.objects.create(
        kind=selection.kind,
        filter=selection.to_json(),
        may_duplicate=may_duplicate,
        corrections=corrections,
        rate=rate,
        total=sum(row.n for row in statements.count(selection)),
        requested_by=requested_by[:150],
        reason=reason[:300],
    )


# One that has ended is left alone.
STOP = """
UPDATE messaging_replay SET state = 'stopped', finished_at = clock_timestamp()
WHERE id = %(id)s AND state = 'running'
"""


def stop(replay: Replay) -> bool:
    """Ends a running replay after the page in hand; what is laid out stays due. False: it had ended."""
    stopped = bool(change(STOP, {"id": replay.pk}))
    replay.refresh_from_db()
    return stopped


WAITING = "SELECT 1 FROM messaging_replay WHERE state = 'running' AND due_at <= clock_timestamp() LIMIT 1"

# The one that has waited longest, unless another pump holds it.
TAKE = """
SELECT id FROM messaging_replay
WHERE state = 'running' AND due_at <= clock_timestamp() ORDER BY due_at, id LIMIT 1 FOR UPDATE SKIP LOCKED
"""

# The cursor and the counts after a page; `over`: it was the last one.
MOVE_ON = """
UPDATE messaging_replay SET cursor = %(cursor)s, done = done + %(done)s, skipped = skipped + %(skipped)s,
       due_at = clock_timestamp() + make_interval(secs => %(wait)s),
       state = CASE WHEN %(over)s THEN 'done' ELSE state END,
       finished_at = CASE WHEN %(over)s THEN clock_timestamp() END
WHERE id = %(id)s
"""


def advance(*, limit: int = PAGE) -> int:
    """Carries out the next page (<= `limit` rows) of one running replay; returns the rows looked at.

    Several at once are harmless: each takes a replay that nobody holds.
    """
    if not column(WAITING, of=int):
        return 0
    with transaction.atomic():
        taken = column(TAKE, of=int)
        return _carry_out(Replay.objects.get(pk=taken[0]), limit) if taken else 0


def _carry_out(replay: Replay, limit: int) -> int:
    selection = Selection.from_json(
        replay.kind, replay.filter, may_duplicate=replay.may_duplicate, corrections=replay.corrections
    )
    size = limit if replay.rate is None else max(1, min(limit, math.ceil(replay.rate * HORIZON)))
    keys = statements.page(selection, after=replay.cursor, limit=size)
    done = work.do(selection, keys, rate=replay.rate) if keys else 0
    change(
        MOVE_ON,
        {
            "id": replay.id,
            "cursor": str(keys[-1]) if keys else replay.cursor,
            "done": done,
            "skipped": len(keys) - done,
            "wait": done / replay.rate if replay.rate else 0.0,
            "over": len(keys) < size,
        },
    )
    return len(keys)
