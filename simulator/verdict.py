"""Judges a campaign by three witnesses: Bloomreach's stand-in, the database, the carrier. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from messaging.rules.states import UNKNOWN_OUTCOME
from messaging.rules.values import MessageState
from simulator.bloomreach import Story
from simulator.tales import Tale, best
from simulator.witness import Record
from vendors.values import Channel

SHOWN = 20  # problems that are listed


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the three say. `carrier` is its state, rows by message id."""

    stories: Mapping[str, Story]
    counters: Mapping[str, int]
    records: Mapping[str, Record]
    carrier: Mapping[str, Any]
    two_way: bool = True  # replies of handsets come to this stand-in
    unknown_outcome: bool = (
        False  # an unknown outcome may end as such: nothing but a report could have resolved it
    )
    harmed: bool = False  # faults were made on purpose, so times say little
    reconciled: int = 0  # rows that the connector's own books cannot account for


@dataclass(frozen=True, slots=True)
class CampaignVerdict:
    """The result of a campaign. Counts by channel as asked for."""

    accepted: Counter[str]
    duplicates: Counter[str]
    sent: Counter[str]
    delivered: Counter[str]
    fell_back: int
    failed: Counter[tuple[str, str]]  # channel, reason
    unconfirmed: Counter[str]
    events: int
    posts: int
    denied: int
    inbound: int
    retries: int
    seconds: tuple[float, ...]  # accept to final callback, sorted
    harmed: bool
    forgotten: int
    twice: int
    unaccounted: int
    problems: tuple[str, ...]
    tales: tuple[Tale, ...] = field(default=())

    @property
    def good(self) -> bool:
        """Every accepted message is final, and each final that is owed was told exactly once."""
        return not (self.forgotten or self.twice or self.unaccounted or self.problems)

    def percentile(self, share: float) -> float | None:
        """Seconds from accept to the final callback; None when nothing was told."""
        if not self.seconds:
            return None
        return self.seconds[min(int(len(self.seconds) * share), len(self.seconds) - 1)]


def judge(evidence: Evidence) -> CampaignVerdict:
    """Compares what the three witnesses say, message by message."""
    accepted = {name: story for name, story in evidence.stories.items() if story.accepted_at is not None}
    forgotten = [name for name in accepted if not _is_final(evidence.records.get(name))]
    unaccounted = _unaccounted(accepted, evidence.records)
    rows = _rows(accepted, evidence.carrier)
    twice = [name for name, found in rows.items() if any(row["taken"] > 1 for row in found)]
    return CampaignVerdict(
        accepted=_by_channel(accepted.values()),
        duplicates=_sum_by_channel(accepted),
        sent=_by_channel(
            accepted[name] for name, found in rows.items() if any(row["taken"] for row in found)
        ),
        delivered=_in_state(accepted, evidence.records, MessageState.DELIVERED),
        fell_back=_fell_back(accepted, evidence.records),
        failed=_failed(accepted, evidence.records),
        unconfirmed=_in_state(accepted, evidence.records, MessageState.UNCONFIRMED),
        events=evidence.counters.get("events", 0),
        posts=evidence.counters.get("posts", 0),
        denied=evidence.counters.get("denied", 0),
        inbound=evidence.counters.get("inbound", 0),
        retries=evidence.counters.get("retries", 0),
        seconds=_seconds(accepted.values()),
        harmed=evidence.harmed,
        forgotten=len(forgotten),
        twice=len(twice),
        unaccounted=len(unaccounted) + evidence.reconciled,
        problems=_problems(evidence, accepted, forgotten=forgotten, twice=twice, unaccounted=unaccounted),
        tales=best(accepted, evidence.records),
    )


def expected_replies(stories: Mapping[str, Story], records: Mapping[str, Record]) -> int:
    """How many handsets answer: those that got a message that asks for it."""
    return sum(
        bool(story.order.scenario.replies) and _state(records, name) is MessageState.DELIVERED
        for name, story in stories.items()
    )


def _is_final(record: Record | None) -> bool:
    return record is not None and record.is_final


def _unaccounted(accepted: Mapping[str, Story], records: Mapping[str, Record]) -> dict[str, str]:
    """Finals that were not told exactly once: request id -> what is wrong."""
    wrong = {}
    for name, story in accepted.items():
        record = records.get(name)
        owed = 1 if record and record.owes_final else 0
        if _is_final(record) and len(story.finals) != owed:
            wrong[name] = f"{len(story.finals)} final events arrived, {owed} owed"
        elif record and story.message_id != str(record.id):
            wrong[name] = "the answer named another message"
    return wrong


def _rows(accepted: Mapping[str, Story], carrier: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    """The carrier's rows of each message, one per channel: an MMS that fell back has two."""
    names = {story.message_id: name for name, story in accepted.items()}
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for row in carrier.get("messages", ()):
        name = names.get(row["client_message"])
        if name is not None:
            rows.setdefault(name, []).append(row)
    return rows


def _by_channel(stories: Any) -> Counter[str]:
    return Counter(story.order.channel.value for story in stories)


def _sum_by_channel(accepted: Mapping[str, Story]) -> Counter[str]:
    total: Counter[str] = Counter()
    for story in accepted.values():
        total[story.order.channel.value] += story.duplicates
    return total


def _in_state(
    accepted: Mapping[str, Story], records: Mapping[str, Record], state: MessageState
) -> Counter[str]:
    return _by_channel(story for name, story in accepted.items() if _state(records, name) is state)


def _state(records: Mapping[str, Record], name: str) -> MessageState | None:
    return records[name].state if name in records else None


def _failed(accepted: Mapping[str, Story], records: Mapping[str, Record]) -> Counter[tuple[str, str]]:
    reasons: Counter[tuple[str, str]] = Counter()
    for name, story in accepted.items():
        record = records.get(name)
        if record and record.owes_final and record.state is not MessageState.DELIVERED:
            reasons[story.order.channel.value, record.error_code or record.state.name.lower()] += 1
    return reasons


def _fell_back(accepted: Mapping[str, Story], records: Mapping[str, Record]) -> int:
    return sum(
        story.order.channel is Channel.MMS and name in records and records[name].send_as == Channel.SMS
        for name, story in accepted.items()
    )


def _seconds(stories: Any) -> tuple[float, ...]:
    waits = (
        max(story.told_at - story.accepted_at, 0.0)
        for story in stories
        if story.told_at is not None and story.accepted_at is not None
    )
    return tuple(sorted(waits))


def _problems(
    evidence: Evidence,
    accepted: Mapping[str, Story],
    *,
    forgotten: Sequence[str],
    twice: Sequence[str],
    unaccounted: Mapping[str, str],
) -> tuple[str, ...]:
    """In words, the first few of each."""
    problems = [f"{name}: not final, {_word(evidence.records.get(name))}" for name in forgotten[:SHOWN]]
    problems += [f"{name}: taken more than once" for name in twice[:SHOWN]]
    problems += [f"{name}: {text}" for name, text in list(unaccounted.items())[:SHOWN]]
    surprises = _surprises(accepted, evidence)
    problems += surprises[:SHOWN]
    refused = {name: story for name, story in evidence.stories.items() if story.refusal}
    problems += [f"{name}: {story.refusal}" for name, story in list(refused.items())[:SHOWN]]
    if evidence.reconciled:
        problems.append(f"manage.py reconcile: {evidence.reconciled} rows unaccounted for")
    for name, words in (
        ("bad_signatures", "callbacks with a wrong signature"),
        ("bad_bodies", "callbacks that could not be read"),
        ("wrong_custom_data", "events whose custom_data was changed"),
    ):
        if evidence.counters.get(name):
            problems.append(f"{evidence.counters[name]} {words}")
    missing = expected_replies(accepted, evidence.records) - evidence.counters.get("inbound", 0)
    if evidence.two_way and missing > 0:
        problems.append(f"{missing} replies of handsets never arrived")
    if evidence.stories and not accepted:
        problems.append("nothing was accepted")
    return tuple(problems)


def _surprises(accepted: Mapping[str, Story], evidence: Evidence) -> list[str]:
    """Messages of which Bloomreach heard something else than their numbers stand for."""
    surprises = []
    for name, story in accepted.items():
        scenario, told = story.order.scenario, _told(story)
        excused = evidence.unknown_outcome and told == UNKNOWN_OUTCOME
        if (
            len(story.finals) < 2
            and _is_final(evidence.records.get(name))
            and told != scenario.told
            and not excused
        ):
            wanted = scenario.told or "nothing"
            surprises.append(f"{name}: told {told or 'nothing'} instead of {wanted} (…{scenario.ending})")
    return surprises


def _told(story: Story) -> str:
    """The final event in a word: delivered, or the code of the failure."""
    for event in story.finals.values():
        error = event.get("error")
        return str(error.get("code")) if isinstance(error, dict) else str(event.get("status"))
    return ""


def _word(record: Record | None) -> str:
    return record.state.name.lower() if record else "not in the database"
