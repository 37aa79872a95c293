"""The story of one message in time order: what was asked, called, answered, reported, told, and sent back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from django.db.models import Q

from accounts.models import Tenant
from messaging.models import Attempt, DeliveryReport, Event, Exchange, InboundMessage, Message
from messaging.reports import stored_calls
from messaging.rules.values import Effect, EventKind, EventState, ExchangeKind, MessageState
from phone.numbers import same_number
from vendors.values import Channel, Outcome, Status

Kind = Literal["accepted", "attempt", "look-up", "report", "callback", "inbound", "final"]
Tone = Literal["good", "bad", "open", "plain"]

_ORDER: tuple[Kind, ...] = ("accepted", "attempt", "look-up", "report", "final", "callback", "inbound")
_CLOCKS_APART = timedelta(minutes=1)  # how far an exchange's time may lie before its message's
_REPLY_WINDOW = timedelta(hours=72)  # a handset's answer to this message comes within three days
_REPLIES_MAX = 20

STATE_WORDS = {state: state.name.lower() for state in MessageState} | {
    MessageState.ACCEPTED: "waiting",
    MessageState.UNKNOWN_OUTCOME: "unknown outcome",
    MessageState.SENT: "sent, no report yet",
    MessageState.REFUSED: "refused (test)",
}
OUTCOME_WORDS = {
    Outcome.TAKEN: "taken",
    Outcome.TEMPORARY: "not taken, may work later",
    Outcome.PERMANENT: "refused",
    Outcome.CONFIGURATION: "not taken: credentials or account",
    Outcome.UNKNOWN: "unknown outcome",
    Outcome.NOT_DIALLED: "not dialled",
}
EVENT_WORDS = {
    EventState.DUE: "waiting",
    EventState.LEASED: "being posted",
    EventState.ACKED: "acknowledged",
    EventState.UNDELIVERABLE: "undeliverable",
}


@dataclass(frozen=True, slots=True)
class ShownExchange:
    """One side of an HTTP exchange, readable; without secrets."""

    title: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Entry:
    """One moment of a message."""

    at: datetime
    kind: Kind
    title: str
    tone: Tone = "plain"
    facts: tuple[tuple[str, str], ...] = field(repr=False, default=())
    exchanges: tuple[ShownExchange, ...] = field(repr=False, default=())


def named(name: str) -> list[Message]:
    """The messages that an id or a request id names: the message, its resends, other tenants' or channels'."""
    try:
        wanted = Q(pk=UUID(name))
    except ValueError:
        wanted = by_request_id(name)
    found = Message.objects.filter(wanted).select_related("tenant", "account__tenant")
    return list(found.order_by("created_at", "pk"))


def by_request_id(request_id: str) -> Q:
    """Messages of that request id, through the index that keeps them apart, and their resends."""
    tenants = list(Tenant.objects.values_list("pk", flat=True))
    asked = Q(dedupe_key=request_id, tenant__in=tenants, channel__in=list(Channel))
    originals = list(Message.objects.filter(asked).values_list("pk", flat=True))
    return Q(pk__in=originals) | Q(replay_of__in=originals) if originals else Q(pk__in=[])


def timeline(message: Message) -> list[Entry]:
    """All that happened to the message, oldest first. Six queries at most, however long the story."""
    attempts = list(Attempt.objects.filter(message=message).select_related("account__tenant").order_by("n"))
    reports = list(DeliveryReport.objects.filter(attempt__in=attempts).order_by("received_at", "id"))
    events = list(Event.objects.filter(message=message).order_by("id"))
    calls = _calls(message, attempts)
    exchanges = _exchanges(
        message, [*(report.exchange_id for report in reports), *(event.last_post for event in events)]
    )
    numbers = {attempt.id: attempt.n for attempt in attempts}
    entries = [
        _accepted(message),
        *(entry for attempt in attempts for entry in _attempt(attempt, calls.get(attempt.id, ()))),
        *(_report(report, numbers, exchanges.get(report.exchange_id)) for report in reports),
        *(entry for event in events for entry in _event(event, exchanges)),
        *(_inbound(inbound) for inbound in _replies(message, attempts)),
        *_final(message),
    ]
    return sorted(entries, key=lambda entry: (entry.at, _ORDER.index(entry.kind)))


def _calls(message: Message, attempts: Sequence[Attempt]) -> dict[UUID, list[Exchange]]:
    found: dict[UUID, list[Exchange]] = {}
    if attempts:
        since = message.created_at - _CLOCKS_APART
        owners = [attempt.id for attempt in attempts]
        for exchange in Exchange.objects.filter(owner__in=owners, at__gte=since).order_by("at", "id"):
            if exchange.owner is not None:
                found.setdefault(exchange.owner, []).append(exchange)
    return found


def _exchanges(message: Message, ids: Iterable[UUID | None]) -> dict[UUID, Exchange]:
    wanted = {exchange_id for exchange_id in ids if exchange_id is not None}
    if not wanted:
        return {}
    since = message.created_at - _CLOCKS_APART
    found = Exchange.objects.filter(id__in=wanted, at__gte=since).select_related("account")
    return {exchange.id: exchange for exchange in found}


def _replies(message: Message, attempts: Sequence[Attempt]) -> list[InboundMessage]:
    """What the handset sent to our sender afterwards, or to one that an account used in its place."""
    senders = {message.sender, *(attempt.sender for attempt in attempts if attempt.sender)}
    window = (message.created_at, message.created_at + _REPLY_WINDOW)
    heard = InboundMessage.objects.filter(
        tenant_id=message.tenant_id, received_at__range=window, sender=message.recipient
    )
    return [
        inbound
        for inbound in heard.order_by("received_at")[:_REPLIES_MAX]
        if any(same_number(inbound.recipient, sender) for sender in senders)
    ]


def readable(stored: str) -> str:
    """A stored exchange, indented; text that is no JSON as it is."""
    try:
        return json.dumps(json.loads(stored), indent=2, ensure_ascii=False)
    except ValueError:
        return stored


def _accepted(message: Message) -> Entry:
    facts = {
        "Request id": message.request_id or "none: a test or a resend",
        "Channel": message.channel.upper(),
        "Resend of": str(message.replay_of or ""),
        "Worth sending until": _clock(message.expires_at),
    }
    return Entry(message.created_at, "accepted", "Accepted from Bloomreach", facts=_facts(facts))


def _attempt(attempt: Attempt, exchanges: Sequence[Exchange]) -> Iterable[Entry]:
    outcome = Outcome(attempt.outcome) if attempt.outcome else None
    seconds = (attempt.ended_at - attempt.created_at).total_seconds() if attempt.ended_at else None
    facts = {
        "From": attempt.sender,
        "Answer": attempt.text,
        "Took": "" if seconds is None else f"{seconds:.1f} s",
        "Code": attempt.code,
        "Vendor's code": attempt.vendor_code,
        "Vendor's id": attempt.vendor_id,
        "Our reference": str(attempt.id),
        "Parts to be reported": str(attempt.parts) if attempt.parts > 1 else "",
        "Segments counted by the vendor": str(attempt.segments or ""),
        "Look-ups that found nothing": str(attempt.absences or ""),
    }
    word = OUTCOME_WORDS[outcome] if outcome else "no answer recorded yet"
    title = f"Attempt {attempt.n} as {attempt.send_as.upper()} through {attempt.account}: {word}"
    sends = [exchange for exchange in exchanges if exchange.kind == ExchangeKind.CALL]
    shown = tuple(side for exchange in sends for side in _shown(exchange, "Call", "Answer"))
    yield Entry(attempt.created_at, "attempt", title, _outcome_tone(outcome), _facts(facts), shown)
    for exchange in exchanges:
        if exchange.kind == ExchangeKind.LOOKUP:
            title = f"Asked the vendor about attempt {attempt.n}"
            yield Entry(exchange.at, "look-up", title, exchanges=_shown(exchange, "Question", "Answer"))


def _outcome_tone(outcome: Outcome | None) -> Tone:
    if outcome is Outcome.TAKEN:
        return "good"
    return "open" if outcome in (None, Outcome.UNKNOWN, Outcome.TEMPORARY, Outcome.NOT_DIALLED) else "bad"


def _report(report: DeliveryReport, numbers: Mapping[UUID, int], exchange: Exchange | None) -> Entry:
    facts = {
        "Vendor's words": " · ".join(filter(None, (report.vendor_status, report.vendor_code, report.text))),
        "Effect": Effect(report.effect).value.replace("_", " "),
        "Attempt": str(numbers.get(report.attempt_id, "")) if report.attempt_id else "",
        "Part": f"{report.part} of {report.parts}" if report.parts else str(report.part),
        "Code": report.code,
        "Vendor's time": _clock(report.occurred_at),
    }
    status = Status(report.status)
    tone: Tone = "good" if status is Status.DELIVERED else "bad" if status.is_final else "plain"
    exchanges = _shown(exchange, "Report as it came", "") if exchange else ()
    return Entry(report.received_at, "report", f"Report: {status.value}", tone, _facts(facts), exchanges)


def _event(event: Event, exchanges: Mapping[UUID, Exchange]) -> Iterable[Entry]:
    state = EventState(event.state)
    facts = {
        "State": EVENT_WORDS[state],
        "Tries": str(event.tries),
        "Next try": _clock(event.due_at) if state is EventState.DUE else "",
        "Last answer": event.last_error,
        "Error told": json.dumps(event.error, ensure_ascii=False) if event.error else "",
        "Event id": str(event.id),
    }
    exchange = exchanges.get(event.last_post) if event.last_post else None
    # The request of a POST holds other messages' events too: only the answer belongs to this one.
    answer = _readable("Last callback answer", exchange.response) if exchange else ()
    tone: Tone = {EventState.ACKED: "good", EventState.UNDELIVERABLE: "bad"}.get(state, "open")  # type: ignore[assignment]
    kind = EventKind(event.kind).name.lower()
    title = f"To tell Bloomreach: {event.status} ({kind})"
    yield Entry(event.created_at, "callback", title, tone, _facts(facts), answer)
    if event.acked_at:
        yield Entry(event.acked_at, "callback", f"Bloomreach acknowledged: {event.status} ({kind})", "good")


def _inbound(inbound: InboundMessage) -> Entry:
    facts = {"Text": inbound.text, "Vendor's id": inbound.vendor_id, "Inbound id": str(inbound.id)}
    return Entry(inbound.received_at, "inbound", "The handset wrote back", facts=_facts(facts))


def _final(message: Message) -> Iterable[Entry]:
    if message.final_at is None:
        return
    state = MessageState(message.state)
    tone: Tone = "good" if state is MessageState.DELIVERED else "bad"
    title = f"Final: {STATE_WORDS[state]}"
    yield Entry(message.final_at, "final", title, tone, _facts({"Reason": message.error_code}))


def _shown(exchange: Exchange, question: str, answer: str) -> tuple[ShownExchange, ...]:
    return (*_readable(question, stored_calls.shown(exchange)), *_readable(answer, exchange.response))


def _readable(title: str, stored: str) -> tuple[ShownExchange, ...]:
    return (ShownExchange(title, readable(stored)),) if stored else ()


def _facts(facts: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((label, value) for label, value in facts.items() if value)


def _clock(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else ""
