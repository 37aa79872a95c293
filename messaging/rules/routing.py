"""Which account a message goes through, and why. Rows, clocks and locks are elsewhere (docs/routing.md)."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b

from phone.numbers import digits, same_number
from vendors.limits import NOTHING, Limits, Objection, Payload, objection
from vendors.values import Channel

ANY = "*"  # in a sender map: every country that it does not name


class Fit(StrEnum):
    """What one way is worth to one message."""

    USABLE = "usable"
    OFF = "off"  # switched off, or passed by
    BLOCKED = "blocked"  # it fits, but its queue is paused or its circuit open: a message would wait there
    CHANNEL = "channel"
    COUNTRY = "country"
    SENDER = "sender"
    CONTENT = "content"  # it fits, but the account can never carry such a message
    TRIED = "tried"


@dataclass(frozen=True, slots=True)
class Facts:
    """What routing looks at. `key` shares out traffic by weight: the same key always chooses alike.

    `sender` is empty in an operator's question that names none in particular; a request always has one.
    """

    channel: Channel
    sender: str
    recipient: str
    key: str
    content: Payload = NOTHING


@dataclass(frozen=True, slots=True)
class Way:
    """One account as a route leads to it, or the account alone where the tenant has no routes."""

    account_id: int
    queue_id: int
    name: str
    position: int
    channels: tuple[str, ...]  # those of the account
    own: tuple[str, ...] = ()  # senders of the account; neither these nor a map: any
    sender_map: tuple[tuple[str, str], ...] = ()  # prefix or ANY -> the sender to use
    route_id: int | None = None
    channel: str = ""  # the route's conditions; empty: any
    prefixes: tuple[str, ...] = ()
    senders: tuple[str, ...] = ()
    weight: int = 1
    off: str = ""  # why it is not used at all
    limits: tuple[tuple[str, Limits], ...] = ()  # channel -> what the account can carry


@dataclass(frozen=True, slots=True)
class Choice:
    """A way, what it is worth, why in words, and the sender that would go out."""

    way: Way
    fit: Fit
    why: str
    sender: str = ""
    objection: Objection | None = None  # what is wrong with the message, for CONTENT


def rank(
    facts: Facts,
    ways: Iterable[Way],
    *,
    blocked: Mapping[int, str] | None = None,
    tried: AbstractSet[int] = frozenset(),
) -> tuple[Choice, ...]:
    """Every way in the order in which it would be tried. `blocked`: queue -> why it does not run; `tried`: accounts."""
    by_position: defaultdict[int, list[Way]] = defaultdict(list)
    for way in ways:
        by_position[way.position].append(way)
    choices: list[Choice] = []
    for position in sorted(by_position):
        rivals = by_position[position]
        if len(rivals) > 1:
            rivals.sort(key=lambda way: (-_draw(facts.key, way), way.route_id or 0))
        judged = [_judge(facts, way, blocked or {}, tried) for way in rivals]
        choices += _with_shares(judged)
    return tuple(choices)


def best(choices: Sequence[Choice], *, may_wait: bool = True) -> Choice | None:
    """The first that can go now; else, if it may wait, the first that stands still; else None."""
    for fit in (Fit.USABLE, Fit.BLOCKED) if may_wait else (Fit.USABLE,):
        for choice in choices:
            if choice.fit is fit:
                return choice
    return None


def sender_for(way: Way, facts: Facts) -> tuple[str | None, str]:
    """The sender that this account uses for the message, and why; None when it has none for that country."""
    mapped = tuple(sender for _, sender in way.sender_map)
    if not way.own and not mapped:
        return facts.sender, "takes any sender"
    if not facts.sender and way.own:
        return way.own[0], "has senders"
    if _is_one_of((*way.own, *mapped), facts.sender):
        return facts.sender, "owns the sender"
    number = digits(facts.recipient)
    for prefix, sender in sorted(way.sender_map, key=lambda pair: -len(pair[0])):
        if prefix != ANY and number.startswith(prefix):
            return sender, f"has a sender of its own for {prefix}"
    if other := dict(way.sender_map).get(ANY):
        return other, "has a sender of its own for every country"
    return None, "has neither this sender nor one of its own for that country"


def _judge(facts: Facts, way: Way, blocked: Mapping[int, str], tried: AbstractSet[int]) -> Choice:
    if way.off:
        return Choice(way, Fit.OFF, way.off)
    if facts.channel not in way.channels:
        return Choice(way, Fit.CHANNEL, f"the account does not carry {facts.channel.upper()}")
    if way.channel and way.channel != facts.channel:
        return Choice(way, Fit.CHANNEL, f"the route is for {way.channel.upper()} only")
    if way.prefixes and not digits(facts.recipient).startswith(way.prefixes):
        return Choice(way, Fit.COUNTRY, f"the recipient begins with none of {', '.join(way.prefixes)}")
    if way.senders and facts.sender and not _is_one_of(way.senders, facts.sender):
        return Choice(way, Fit.SENDER, "the route is for other senders")
    sender, why = sender_for(way, facts)
    if sender is None:
        return Choice(way, Fit.SENDER, f"the account {why}")
    limits = dict(way.limits).get(facts.channel)
    if limits and (wrong := objection(limits, sender=sender, content=facts.content)):
        return Choice(way, Fit.CONTENT, f"the account {why}, but the message's {wrong}", sender, wrong)
    if way.account_id in tried:
        return Choice(way, Fit.TRIED, "the account has refused this message already", sender)
    if reason := blocked.get(way.queue_id):
        return Choice(way, Fit.BLOCKED, f"the account {why}, but {reason}", sender)
    return Choice(way, Fit.USABLE, f"the account {why}", sender)


def _with_shares(judged: Sequence[Choice]) -> list[Choice]:
    """Those that fit and stand at one position share by weight, and say so."""
    fitting = [choice for choice in judged if choice.fit in (Fit.USABLE, Fit.BLOCKED)]
    if len(fitting) < 2:
        return list(judged)
    total = sum(choice.way.weight for choice in fitting)
    return [
        replace(choice, why=f"{choice.why} (weight {choice.way.weight} of {total})")
        if choice in fitting
        else choice
        for choice in judged
    ]


@lru_cache(maxsize=4096)
def _is_one_of(senders: tuple[str, ...], sender: str) -> bool:
    return any(same_number(one, sender) for one in senders)


def _draw(key: str, way: Way) -> float:
    """Weighted rendezvous: the highest draw goes first. A way that comes or goes moves only its own share."""
    digest = blake2b(f"{key}|{way.account_id}".encode(), digest_size=8).digest()
    return -way.weight / math.log((int.from_bytes(digest, "big") + 0.5) / 2**64)
