"""A verdict sees each way in which a promise can be broken."""

from __future__ import annotations

import io
from typing import Any
from uuid import UUID, uuid4

import pytest

from messaging.rules.values import MessageState
from simulator import summary
from simulator.bloomreach import Story
from simulator.orders import order
from simulator.scenarios import BY_ENDING
from simulator.screen import Screen
from simulator.verdict import Evidence, judge
from simulator.witness import Record
from vendors.values import Channel

ID = UUID("01990000-0000-7000-8000-000000000001")
DELIVERED = {"status": "delivered", "error": None}


def make_story(
    ending: str = "00", *, channel: Channel = Channel.SMS, finals: dict[str, Any] | None = None, **fields: Any
) -> Story:
    made = order(
        request_id="r-1", channel=channel, scenario=BY_ENDING[ending], recipient="", callback_url="", text="x"
    )
    told = {"e-1": DELIVERED} if finals is None else finals
    return Story(
        made, **({"message_id": str(ID), "accepted_at": 10.0, "told_at": 12.5, "finals": told} | fields)
    )


def make_record(state: MessageState = MessageState.DELIVERED, **fields: Any) -> Record:
    defaults = {
        "id": ID,
        "request_id": "r-1",
        "send_as": "sms",
        "state": state,
        "error_code": "",
        "attempts": 1,
        "owes_final": state.is_final,
    }
    return Record(**(defaults | fields))


def taken(count: int = 1, *, channel: str = "sms") -> dict[str, Any]:
    return {"client_message": str(ID), "channel": channel, "taken": count, "references": [], "reported": []}


def evidence(
    *,
    story: Story | None = None,
    record: Record | None = None,
    rows: list[dict[str, Any]] | None = None,
    **more: Any,
) -> Evidence:
    return Evidence(
        stories={"r-1": story or make_story()},
        counters=more.pop("counters", {"events": 1, "posts": 1}),
        records={"r-1": record or make_record()} if more.pop("known", True) else {},
        carrier={"messages": [taken()] if rows is None else rows},
        **more,
    )


def test_a_good_campaign() -> None:
    verdict = judge(evidence())
    assert verdict.good
    assert (verdict.forgotten, verdict.twice, verdict.unaccounted, verdict.problems) == (0, 0, 0, ())
    assert (verdict.accepted, verdict.sent, verdict.delivered) == ({"sms": 1}, {"sms": 1}, {"sms": 1})
    assert verdict.seconds == (2.5,)


EXPIRED = {"e-1": {"status": "failed", "error": {"code": "expired"}}}
GIVEN_UP = {"e-1": {"status": "failed", "error": {"code": "unknown_outcome"}}}
FAULTS = [
    pytest.param({"record": make_record(MessageState.SENT)}, (1, 0, 0), "not final, sent", id="not final"),
    pytest.param({"known": False}, (1, 0, 0), "not in the database", id="not in the database"),
    pytest.param({"rows": [taken(2)]}, (0, 1, 0), "taken more than once", id="twice"),
    pytest.param(
        {"story": make_story(finals={})}, (0, 0, 1), "0 final events arrived, 1 owed", id="not told"
    ),
    pytest.param(
        {"story": make_story(finals={"e-1": DELIVERED, "e-2": DELIVERED})},
        (0, 0, 1),
        "2 final events arrived, 1 owed",
        id="told twice",
    ),
    pytest.param(
        {"record": make_record(MessageState.UNCONFIRMED, owes_final=False)},
        (0, 0, 1),
        "1 final events arrived, 0 owed",
        id="told what is not owed",
    ),
    pytest.param(
        {"record": make_record(id=uuid4())}, (0, 0, 1), "the answer named another message", id="another id"
    ),
    pytest.param({"reconciled": 3}, (0, 0, 3), "3 rows unaccounted for", id="reconcile"),
    pytest.param(
        {"story": make_story(finals=EXPIRED)}, (0, 0, 0), "told expired instead of delivered", id="surprise"
    ),
    pytest.param(
        {"story": make_story(finals=GIVEN_UP)},
        (0, 0, 0),
        "told unknown_outcome instead of delivered",
        id="unknown_outcome",
    ),
    pytest.param(
        {
            "story": make_story("13", finals={}),
            "record": make_record(owes_final=False),
            "unknown_outcome": True,
        },
        (0, 0, 0),
        None,
        id="silence as its number says",
    ),
    pytest.param(
        {"story": make_story(finals=GIVEN_UP), "unknown_outcome": True},
        (0, 0, 0),
        None,
        id="unknown outcome where it may be",
    ),
    pytest.param({"story": make_story(refusal="HTTP 400 x")}, (0, 0, 0), "HTTP 400 x", id="refused"),
    pytest.param(
        {"story": make_story(accepted_at=None, refusal="never answered", finals={})},
        (0, 0, 0),
        "nothing was accepted",
        id="nothing accepted",
    ),
    pytest.param(
        {"counters": {"bad_signatures": 2}}, (0, 0, 0), "2 callbacks with a wrong signature", id="JWT"
    ),
    pytest.param(
        {"counters": {"bad_bodies": 1}}, (0, 0, 0), "1 callbacks that could not be read", id="bodies"
    ),
    pytest.param(
        {"counters": {"wrong_custom_data": 1}}, (0, 0, 0), "custom_data was changed", id="custom_data"
    ),
    pytest.param(
        {"story": make_story("50")}, (0, 0, 0), "1 replies of handsets never arrived", id="no reply"
    ),
    pytest.param({"story": make_story("50"), "two_way": False}, (0, 0, 0), None, id="replies go elsewhere"),
]


@pytest.mark.parametrize(("case", "counts", "problem"), FAULTS)
def test_each_fault(case: dict[str, Any], counts: tuple[int, int, int], problem: str | None) -> None:
    verdict = judge(evidence(**case))
    assert (verdict.forgotten, verdict.twice, verdict.unaccounted) == counts
    assert verdict.good is (problem is None)
    assert any(problem in text for text in verdict.problems) if problem else verdict.problems == ()


def test_an_mms_that_fell_back_is_taken_on_both_channels_and_not_twice() -> None:
    case = evidence(
        story=make_story("41", channel=Channel.MMS), rows=[taken(channel="mms"), taken(channel="sms")]
    )
    verdict = judge(case)
    assert (verdict.twice, verdict.fell_back, verdict.sent) == (0, 1, {"mms": 1})
    assert [tale.message_id for tale in verdict.tales] == [str(ID)]


def test_failures_are_counted_by_reason() -> None:
    record = make_record(MessageState.EXPIRED, error_code="expired")
    verdict = judge(evidence(story=make_story("11", finals=EXPIRED), record=record))
    assert (verdict.good, verdict.failed) == (True, {("sms", "expired"): 1})


def test_the_summary_says_it_in_words_and_as_json() -> None:
    out = io.StringIO()
    case = evidence(story=make_story("24"), rows=[taken(2)])
    summary.show(judge(case), Screen.on(out), base_url="http://127.0.0.1:1")
    text = out.getvalue()
    assert "forgotten 0 " in text
    assert "sent twice 1 " in text
    assert "unaccounted 0 " in text
    assert f"http://127.0.0.1:1/admin/messaging/message/{ID}/change/" in text
    assert "p50 2.50 s, p99 2.50 s" in text
    assert "\x1b" not in text
    found = summary.as_json(judge(case), base_url="http://127.0.0.1:1")
    assert (found["good"], found["sent_twice"], found["accept_to_final_p99"]) == (False, 1, 2.5)


def test_nothing_told_has_no_percentile() -> None:
    assert judge(evidence(story=make_story(finals={}, told_at=None))).percentile(0.5) is None
