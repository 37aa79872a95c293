"""Which account a message goes through: the pure table."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from messaging.rules.routing import Facts, Fit, Way, best, rank, sender_for
from vendors.limits import Limits, Payload
from vendors.values import Channel

OURS = "+421900000001"
SLOVAK, AMERICAN = "+421900000123", "+15550100"


def way(n: int, **overrides: Any) -> Way:
    fields = {"account_id": n, "queue_id": 100 + n, "name": f"account {n}", "position": n}
    return Way(**{**fields, "channels": ("sms", "mms"), **overrides})


def facts(**overrides: Any) -> Facts:
    asked = {"channel": Channel.SMS, "sender": OURS, "recipient": SLOVAK, "key": SLOVAK}
    return Facts(**{**asked, **overrides})


@pytest.mark.parametrize(
    ("conditions", "asked", "fit", "why"),
    [
        pytest.param({}, {}, Fit.USABLE, "the account takes any sender", id="no conditions"),
        pytest.param({"off": "it is off"}, {}, Fit.OFF, "it is off", id="off"),
        pytest.param(
            {"channels": ("sms",)}, {"channel": Channel.MMS}, Fit.CHANNEL,
            "the account does not carry MMS", id="the account lacks the channel",
        ),
        pytest.param({"channel": "mms"}, {}, Fit.CHANNEL, "the route is for MMS only", id="another channel"),
        pytest.param({"channel": "sms"}, {}, Fit.USABLE, "the account takes any sender", id="this channel"),
        pytest.param(
            {"prefixes": ("1", "420")}, {}, Fit.COUNTRY,
            "the recipient begins with none of 1, 420", id="another country",
        ),
        pytest.param({"prefixes": ("1", "421")}, {}, Fit.USABLE, "the account takes any sender", id="this country"),
        pytest.param({"senders": ("Demo",)}, {}, Fit.SENDER, "the route is for other senders", id="another sender"),
        pytest.param(
            {"senders": ("00421 900 000 001",)}, {}, Fit.USABLE,
            "the account takes any sender", id="this sender in another writing",
        ),
        pytest.param({"own": ("DEMO",)}, {"sender": "Demo"}, Fit.USABLE, "the account owns the sender", id="owned"),
        pytest.param(
            {"own": ("Demo",)}, {}, Fit.SENDER,
            "the account has neither this sender nor one of its own for that country", id="not owned",
        ),
    ],
)  # fmt: skip
def test_conditions(conditions: dict[str, Any], asked: dict[str, Any], fit: Fit, why: str) -> None:
    (choice,) = rank(facts(**asked), [way(1, **conditions)])
    assert (choice.fit, choice.why) == (fit, why)


MAP = (("421", OURS), ("1", "+15550100"), ("1555", "+15550199"), ("*", "Demo"))


@pytest.mark.parametrize(
    ("own", "sender_map", "sender", "recipient", "used"),
    [
        pytest.param((), (), "Brand", SLOVAK, "Brand", id="neither senders nor map: any"),
        pytest.param(("Brand",), MAP, "Brand", SLOVAK, "Brand", id="its own stays"),
        pytest.param(("Brand",), MAP, "+421900000001", AMERICAN, OURS, id="one of the map is its own"),
        pytest.param(("Brand",), MAP, "Other", SLOVAK, OURS, id="by country"),
        pytest.param((), MAP, "Other", "+12025550100", "+15550100", id="a short prefix"),
        pytest.param((), MAP, "Other", AMERICAN, "+15550199", id="the longest prefix"),
        pytest.param((), MAP, "Other", "+447700900123", "Demo", id="every other country"),
        pytest.param((), MAP[:3], "Other", "+447700900123", None, id="no country fits"),
        pytest.param(("Brand",), (), "Other", SLOVAK, None, id="not its own, no map"),
    ],
)
def test_the_sender_that_goes_out(
    own: tuple[str, ...],
    sender_map: tuple[tuple[str, str], ...],
    sender: str,
    recipient: str,
    used: str | None,
) -> None:
    account = way(1, own=own, sender_map=sender_map)
    assert sender_for(account, facts(sender=sender, recipient=recipient))[0] == used
    (choice,) = rank(facts(sender=sender, recipient=recipient), [account])
    assert (choice.sender, choice.fit) == (used or "", Fit.USABLE if used else Fit.SENDER)


def test_in_order_of_position() -> None:
    choices = rank(facts(), [way(1, position=5), way(2, position=0), way(3, position=5000)])
    assert [choice.way.account_id for choice in choices] == [2, 1, 3]


def test_what_stands_still_or_was_tried_is_passed_over() -> None:
    ways = [way(1), way(2), way(3)]
    choices = rank(facts(), ways, blocked={101: "its circuit is open"}, tried={2})
    assert [choice.fit for choice in choices] == [Fit.BLOCKED, Fit.TRIED, Fit.USABLE]
    assert choices[0].why == "the account takes any sender, but its circuit is open"
    chosen = best(choices)
    assert chosen is not None and chosen.way.account_id == 3


def test_when_all_stand_still_the_first_one_waits() -> None:
    choices = rank(facts(), [way(1), way(2)], blocked={101: "paused", 102: "paused"})
    chosen = best(choices)
    assert chosen is not None and chosen.way.account_id == 1
    assert best(choices, may_wait=False) is None


def test_nothing_fits() -> None:
    assert best(rank(facts(), [way(1, prefixes=("1",)), way(2, own=("Demo",))])) is None
    assert best(rank(facts(), [])) is None


def first(key: str, ways: list[Way]) -> int:
    return rank(facts(key=key), ways)[0].way.account_id


KEYS = [f"+4219000{n:05}" for n in range(4000)]


def test_weights_share_the_traffic_and_the_same_recipient_chooses_alike() -> None:
    ways = [way(n, position=0, weight=weight) for n, weight in ((1, 1), (2, 2), (3, 5))]
    got = Counter(first(key, ways) for key in KEYS)
    assert {n: count / len(KEYS) for n, count in got.items()} == pytest.approx(
        {1: 1 / 8, 2: 2 / 8, 3: 5 / 8}, abs=0.03
    )
    assert [first(key, list(reversed(ways))) for key in KEYS[:200]] == [
        first(key, ways) for key in KEYS[:200]
    ]


def test_a_way_that_goes_moves_only_its_own_share() -> None:
    ways = [way(n, position=0) for n in (1, 2, 3)]
    before = [first(key, ways) for key in KEYS[:500]]
    after = [first(key, ways[:2]) for key in KEYS[:500]]
    assert [b for a, b in zip(after, before, strict=True) if a != b] == [3] * before.count(3)


def test_the_words_name_the_share() -> None:
    ways = [way(1, position=0, weight=3), way(2, position=0), way(3, position=0, prefixes=("1",))]
    whys = {choice.way.account_id: choice.why for choice in rank(facts(), ways)}
    assert whys == {
        1: "the account takes any sender (weight 3 of 4)",
        2: "the account takes any sender (weight 1 of 4)",
        3: "the recipient begins with none of 1",
    }


def test_a_question_that_names_no_sender() -> None:
    ways = [way(1, own=("Demo",)), way(2, senders=("Demo",)), way(3, sender_map=(("1", "+15550100"),))]
    choices = rank(facts(sender=""), ways)
    assert [(choice.fit, choice.sender) for choice in choices] == [
        (Fit.USABLE, "Demo"),
        (Fit.USABLE, ""),
        (Fit.SENDER, ""),
    ]


ONE_FILE = (("mms", Limits(files=1)),)


def test_an_account_that_can_never_carry_the_message_is_passed_by() -> None:
    asked = facts(channel=Channel.MMS, content=Payload("Look", 2))
    choices = rank(asked, [way(1, limits=ONE_FILE), way(2)], blocked={102: "its circuit is open"})
    assert [choice.fit for choice in choices] == [Fit.CONTENT, Fit.BLOCKED]
    assert str(choices[0].objection).startswith("media must not name more than one file")
    assert best(choices) is choices[1]
    assert best(rank(asked, [way(1, limits=ONE_FILE)])) is None


def test_limits_of_one_channel_say_nothing_of_the_other() -> None:
    asked = facts(channel=Channel.SMS, content=Payload("Look", 2))
    assert [choice.fit for choice in rank(asked, [way(1, limits=ONE_FILE)])] == [Fit.USABLE]
