"""The best stories of a campaign: what is told at its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from messaging.rules.values import MessageState
from simulator.bloomreach import Story
from simulator.witness import Record

# The scenarios whose stories are told at the end, the best first, and what is special about them.
TOLD = (
    ("24", "a call whose answer never came, although the carrier had taken the message: resolved"),
    ("30", "a report that came before the answer to the send"),
    ("41", "an MMS that the device could not take, delivered as SMS"),
    ("40", "an MMS that the device could not take, delivered as SMS"),
    ("25", "a call that never reached the carrier, unknown at first, and was sent again"),
)
STORIES = 3


@dataclass(frozen=True, slots=True)
class Tale:
    """One of the best stories."""

    title: str
    message_id: str
    seconds: float
    attempts: int


def best(accepted: Mapping[str, Story], records: Mapping[str, Record]) -> tuple[Tale, ...]:
    """The plainest story of each kind, among those that were delivered."""
    tales: dict[str, Tale] = {}
    for ending, title in TOLD:
        found = [
            _tale(title, story, records[name])
            for name, story in accepted.items()
            if story.order.scenario.ending == ending and _is_delivered(records.get(name))
        ]
        if found:
            tales.setdefault(title, min(found, key=lambda tale: (tale.attempts, tale.seconds)))
    return tuple(tales.values())[:STORIES]


def _tale(title: str, story: Story, record: Record) -> Tale:
    seconds = max((story.told_at or 0.0) - (story.accepted_at or 0.0), 0.0)
    return Tale(title, str(record.id), seconds, record.attempts)


def _is_delivered(record: Record | None) -> bool:
    return record is not None and record.state is MessageState.DELIVERED
