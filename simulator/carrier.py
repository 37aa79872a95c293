"""The stand-in carrier: what it takes, refuses and reports. No sockets and no clock of its own."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from threading import Lock
from typing import Any
from uuid import uuid4

from phone import segments
from simulator.listener import Reply
from simulator.refusals import Mode, broken, error, refusal, what_is_wrong
from simulator.scenarios import CarrierAnswer, Scenario, Step, scenario_of
from vendors.values import Channel

UNKNOWN_STATUS_ON_THE_WAY = "ENROUTE"
PART_GAP = 0.2  # of the delay, between the reports of two parts
REPLY_AFTER = 2.0  # delays between taking a message and the handset's reply


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that the carrier has."""

    id: str
    at: float  # unix seconds
    account: str
    reference: str
    client_message: str  # the sender's own name for the message, the same for each attempt
    channel: str
    sender: str
    recipient: str
    parts: int
    hook: str
    replies: str = ""

    @property
    def ids(self) -> list[str]:
        """One id for each part."""
        return [self.id, *(f"{self.id}-{part}" for part in range(2, self.parts + 1))]


@dataclass(frozen=True, slots=True)
class HookCall:
    """One call to the account's hook: a report or an inbound message."""

    key: str  # the same after a restart
    message: Taken
    body: Mapping[str, Any]
    after: float  # in units of the carrier's delay

    @property
    def part(self) -> int:
        return int(self.body.get("part", 0))


@dataclass(frozen=True, slots=True)
class Treatment:
    """What becomes of one send: the answer, and what the hook will hear."""

    reply: Reply
    taken: Taken | None = None
    before: tuple[HookCall, ...] = ()  # delivered before the answer
    calls: tuple[HookCall, ...] = ()


@dataclass(slots=True)
class _Fault:
    mode: Mode
    until: float
    account: str


@dataclass
class Carrier:
    """What the carrier knows. Every method may be called from any thread."""

    counters: Counter[str] = field(default_factory=Counter)
    _lock: Lock = field(default_factory=Lock)
    _taken: list[Taken] = field(default_factory=list)
    _by_reference: dict[tuple[str, str], list[Taken]] = field(default_factory=lambda: defaultdict(list))
    _tries: Counter[str] = field(default_factory=Counter)
    _told: dict[str, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))  # id -> part -> word
    _faults: list[_Fault] = field(default_factory=list)

    def send(self, *, account: str, body: Mapping[str, Any], now: float) -> Treatment:
        """One call that hands a message over."""
        wrong = what_is_wrong(body)
        if wrong:
            return Treatment(error(400, "4000", wrong))
        channel = Channel(body["channel"])
        scenario = scenario_of(body["to"], channel)
        with self._lock:
            self.counters["calls"] += 1
            first = self._is_first_try(body)
            known = self._by_reference.get((account, body["reference"]), [])
            if known and body.get("idempotent"):
                self.counters["repeated"] += 1
                return Treatment(_accepted(known[0]))
            mode = self._fault(account, now)
            if mode is not None and mode is not Mode.TAKE_AND_HANG:
                return Treatment(self._count(broken(mode)))
            refused = refusal(scenario, first=first)
            if refused is not None:
                return Treatment(self._count(refused))
            taken = self._take(account, body, scenario, now)
        hang = mode is Mode.TAKE_AND_HANG or scenario.answer is CarrierAnswer.TAKE_AND_HANG
        return _outcome(taken, scenario, hang=hang)

    def look_up(self, *, account: str, reference: str) -> Reply:
        """What the carrier has under a reference: an empty list is proof that it has nothing."""
        with self._lock:
            self.counters["look_ups"] += 1
            found = list(self._by_reference.get((account, reference), []))
            words = [self._told[message.id].get(1, UNKNOWN_STATUS_ON_THE_WAY) for message in found]
        messages = [
            {"id": message.id, "reference": reference, "status": word, "parts": message.parts}
            for message, word in zip(found, words, strict=True)
        ]
        return Reply(200, {"messages": messages})

    def told(self, call: HookCall) -> None:
        """The hook has heard this call."""
        with self._lock:
            if call.body["type"] == "inbound":
                self.counters["replies"] += 1
                return
            self.counters["reports"] += 1
            self._told[call.message.id][call.part] = str(call.body["status"])

    def break_down(self, *, mode: Mode, seconds: float, account: str, now: float) -> None:
        """Misbehave for a while, towards one account or (empty) all."""
        with self._lock:
            self._faults = [fault for fault in self._faults if fault.until > now]
            self._faults.append(_Fault(mode, now + seconds, account))

    def restore(self, messages: Iterable[Taken], told: Iterable[str]) -> list[HookCall]:
        """Takes up where a former process stopped. Returns the calls that are still owed."""
        heard = set(told)
        owed = []
        for message in messages:
            self._remember(message)
            for call in calls_of(message, scenario_of(message.recipient, Channel(message.channel))):
                if call.key in heard:
                    self.told(call)
                else:
                    owed.append(call)
        return owed

    def count(self) -> dict[str, int]:
        """The counters, cheap to ask for."""
        with self._lock:
            return dict(self.counters)

    def state(self, *, since: float) -> dict[str, Any]:
        """Counters, and one row for each message and channel taken since (unix seconds)."""
        with self._lock:
            taken = [message for message in self._taken if message.at >= since]
            told = {message.id: dict(self._told[message.id]) for message in taken}
            counters = dict(self.counters)
        rows: dict[tuple[str, str], list[Taken]] = defaultdict(list)
        for message in taken:
            rows[message.client_message or message.reference, message.channel].append(message)
        messages = [_row(name, channel, same, told) for (name, channel), same in rows.items()]
        return {
            "counters": counters,
            "twice": sum(row["taken"] > 1 for row in messages),
            "messages": messages,
        }

    def _is_first_try(self, body: Mapping[str, Any]) -> bool:
        # Without a name of its own a message is known by its recipient: every other try is then a first one.
        named = str(body.get("client_message") or "")
        key = f"{named}/{body['channel']}" if named else f"to {body['to']}"
        self._tries[key] += 1
        return self._tries[key] == 1 if named else self._tries[key] % 2 == 1

    def _fault(self, account: str, now: float) -> Mode | None:
        for fault in self._faults:
            if fault.until > now and fault.account in ("", account):
                return fault.mode
        return None

    def _count(self, reply: Reply) -> Reply:
        self.counters["unanswered" if reply.silent else f"answered_{reply.status}"] += 1
        return reply

    def _take(self, account: str, body: Mapping[str, Any], scenario: Scenario, now: float) -> Taken:
        text = str(body.get("text") or "")
        is_sms = body["channel"] == Channel.SMS
        taken = Taken(
            id=f"c{uuid4().hex[:20]}",
            at=now,
            account=account,
            reference=body["reference"],
            client_message=str(body.get("client_message") or ""),
            channel=body["channel"],
            sender=str(body["from"]),
            recipient=body["to"],
            parts=segments.count(text).parts if is_sms else 1,
            hook=str(body.get("hook") or ""),
            replies=scenario.replies if scenario.replies and scenario.replies in text else "",
        )
        self._remember(taken)
        return taken

    def _remember(self, message: Taken) -> None:
        self.counters["taken"] += 1
        self._taken.append(message)
        self._by_reference[message.account, message.reference].append(message)


def calls_of(message: Taken, scenario: Scenario) -> list[HookCall]:
    """All that the hook will hear about a message, the same after a restart."""
    named = {step.part for step in scenario.reports}
    calls = [
        _report(message, n, step, part)
        for n, step in enumerate(scenario.reports)
        for part in range(1, message.parts + 1)
        if step.part == part or (step.part == 0 and part not in named)
    ]
    if message.replies:
        body = {
            "type": "inbound",
            "id": f"{message.id}-reply",
            "channel": message.channel,
            "from": message.recipient,
            "to": message.sender,
            "text": message.replies,
        }
        calls.append(HookCall(f"{message.id}/reply", message, body, REPLY_AFTER))
    return calls


def occurred(now: float) -> str:
    """A time as the carrier writes it."""
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")


def as_line(message: Taken) -> dict[str, Any]:
    """For the ledger."""
    return asdict(message)


def _outcome(taken: Taken, scenario: Scenario, *, hang: bool) -> Treatment:
    calls = tuple(calls_of(taken, scenario))
    reply = Reply(silent=True) if hang else _accepted(taken)
    if scenario.report_first:
        return Treatment(reply, taken, before=calls)
    return Treatment(reply, taken, calls=calls)


def _report(message: Taken, n: int, step: Step, part: int) -> HookCall:
    body = {
        "type": "report",
        "id": message.ids[part - 1],
        "reference": message.reference,
        "status": step.status,
        "error": step.error,
        "text": step.text,
        "part": part,
        "parts": message.parts,
    }
    # The last part is reported first: order proves nothing on a real network either.
    after = step.after + PART_GAP * (message.parts - part)
    return HookCall(f"{message.id}/{n}/{part}", message, body, after)


def _accepted(message: Taken) -> Reply:
    return Reply(202, {"ids": message.ids, "reference": message.reference, "status": "ACCEPTD"})


def _row(name: str, channel: str, same: list[Taken], told: Mapping[str, Mapping[int, str]]) -> dict[str, Any]:
    return {
        "client_message": name,
        "channel": channel,
        "taken": len(same),
        "references": [message.reference for message in same],
        "reported": [list(told[message.id].values()) for message in same],
    }
