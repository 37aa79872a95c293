"""What the carrier takes, refuses and reports, without sockets."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from simulator import ledger
from simulator.carrier import Carrier, Treatment
from simulator.refusals import Mode
from vendors.values import Channel

NOW = 1_800_000_000.0
LONG = "x" * 161


def body(ending: str = "00", **overrides: Any) -> dict[str, Any]:
    fields = {
        "reference": "ref-1",
        "client_message": "msg-1",
        "channel": "sms",
        "from": "+421900000900",
        "to": f"+4219000001{ending}",
        "text": "Hello",
        "hook": "http://127.0.0.1:9/hooks/simulator/x",
    }
    return fields | overrides


def send(carrier: Carrier, *args: Any, now: float = NOW, **overrides: Any) -> Treatment:
    return carrier.send(account="demo", body=body(*args, **overrides), now=now)


def told(outcome: Treatment) -> list[tuple[str, int]]:
    """Status and part of each report, in the order in which they are delivered."""
    calls = sorted(outcome.calls, key=lambda call: call.after)
    return [(call.body["status"], call.part) for call in calls if call.body["type"] == "report"]


REPORTS = [
    pytest.param("00", {}, [("DELIVRD", 1)], id="delivered"),
    pytest.param("99", {}, [("DELIVRD", 1)], id="not listed"),
    pytest.param("10", {}, [("UNDELIV", 1)], id="undelivered"),
    pytest.param("11", {}, [("EXPIRED", 1)], id="expired"),
    pytest.param("12", {}, [("REJECTD", 1)], id="rejected"),
    pytest.param("13", {}, [], id="no report"),
    pytest.param("14", {}, [("BUFFERED", 1), ("DELIVRD", 1)], id="unknown word"),
    pytest.param("31", {}, [("DELIVRD", 1)] * 3, id="three times"),
    pytest.param("32", {}, [("DELIVRD", 1), ("ACCEPTD", 1)], id="reversed"),
    pytest.param("33", {"text": LONG}, [("DELIVRD", 2), ("DELIVRD", 1)], id="parts"),
    pytest.param(
        "33", {"text": LONG * 2}, [("DELIVRD", 3), ("DELIVRD", 2), ("DELIVRD", 1)], id="three parts"
    ),
    pytest.param("34", {"text": LONG}, [("UNDELIV", 2), ("DELIVRD", 1)], id="broken part"),
    pytest.param("34", {}, [("DELIVRD", 1)], id="nothing to break"),
    pytest.param("41", {"channel": "mms", "media": [{}]}, [("UNDELIV", 1)], id="no MMS, told late"),
]


@pytest.mark.parametrize(("ending", "overrides", "expected"), REPORTS)
def test_reports_by_number(ending: str, overrides: dict[str, Any], expected: list[tuple[str, int]]) -> None:
    outcome = send(Carrier(), ending, **overrides)
    assert outcome.reply.status == 202
    assert told(outcome) == expected


def test_the_early_report_is_delivered_before_the_answer() -> None:
    outcome = send(Carrier(), "30")
    assert [call.body["status"] for call in outcome.before] == ["DELIVRD"]
    assert outcome.calls == ()


def test_each_part_has_an_id_of_its_own() -> None:
    outcome = send(Carrier(), "33", text=LONG)
    ids = outcome.reply.body["ids"]
    assert len(set(ids)) == 2
    assert {call.part: call.body["id"] for call in outcome.calls} == {1: ids[0], 2: ids[1]}


@pytest.mark.parametrize(
    ("ending", "channel", "status", "code"),
    [
        pytest.param("20", "sms", 400, "4001", id="no such number"),
        pytest.param("21", "sms", 400, "4002", id="opted out"),
        pytest.param("40", "mms", 400, "4003", id="no MMS"),
    ],
)
def test_refusals_are_refused_every_time(ending: str, channel: str, status: int, code: str) -> None:
    carrier = Carrier()
    for reference in ("ref-1", "ref-2"):
        outcome = send(carrier, ending, channel=channel, reference=reference, media=[{}])
        assert (outcome.reply.status, outcome.reply.body["error"]["code"]) == (status, code)
        assert outcome.taken is None


@pytest.mark.parametrize(
    ("ending", "first"),
    [
        pytest.param("22", 429, id="throttled"),
        pytest.param("23", 500, id="fault"),
        pytest.param("25", None, id="lost"),
    ],
)
def test_only_the_first_try_fails_and_is_not_taken(ending: str, first: int | None) -> None:
    carrier = Carrier()
    one = send(carrier, ending)
    assert (None if one.reply.silent else one.reply.status) == first
    assert one.taken is None
    two = send(carrier, ending, reference="ref-2")
    assert two.reply.status == 202
    assert carrier.state(since=0)["messages"][0]["references"] == ["ref-2"]


def test_without_a_name_every_other_try_is_a_first_one() -> None:
    carrier = Carrier()
    answers = [send(carrier, "22", client_message="", reference=f"r{n}").reply.status for n in range(4)]
    assert answers == [429, 202, 429, 202]


def test_taken_in_silence() -> None:
    carrier = Carrier()
    outcome = send(carrier, "24")
    assert outcome.reply.silent
    assert outcome.taken is not None
    assert carrier.look_up(account="demo", reference="ref-1").body["messages"][0]["reference"] == "ref-1"


def test_the_same_reference_is_taken_once_where_that_is_promised() -> None:
    carrier = Carrier()
    first = send(carrier, idempotent=True)
    again = send(carrier, idempotent=True)
    assert again.reply.body["ids"] == first.reply.body["ids"]
    assert (again.calls, again.taken) == ((), None)
    assert carrier.state(since=0)["messages"][0]["taken"] == 1


@pytest.mark.parametrize(
    ("overrides", "twice"),
    [
        pytest.param({"reference": "ref-2"}, 1, id="another attempt"),
        pytest.param({}, 1, id="the same bytes again"),
        pytest.param({"reference": "ref-2", "client_message": "msg-2"}, 0, id="another message"),
        pytest.param({"reference": "ref-2", "channel": "mms", "media": [{}]}, 0, id="the other channel"),
    ],
)
def test_taken_twice_is_seen(overrides: dict[str, Any], twice: int) -> None:
    carrier = Carrier()
    send(carrier)
    send(carrier, **overrides)
    assert carrier.state(since=0)["twice"] == twice


def test_the_state_begins_where_it_is_asked_to() -> None:
    carrier = Carrier()
    send(carrier, now=NOW)
    send(carrier, now=NOW + 10, reference="ref-2", client_message="msg-2")
    rows = carrier.state(since=NOW + 5)["messages"]
    assert [row["client_message"] for row in rows] == ["msg-2"]


def test_look_up_tells_what_was_reported() -> None:
    carrier = Carrier()
    assert carrier.look_up(account="demo", reference="ref-1").body == {"messages": []}
    (call,) = send(carrier, "10").calls
    assert carrier.look_up(account="demo", reference="ref-1").body["messages"][0]["status"] == "ENROUTE"
    carrier.told(call)
    assert carrier.look_up(account="demo", reference="ref-1").body["messages"][0]["status"] == "UNDELIV"
    assert carrier.look_up(account="other", reference="ref-1").body == {"messages": []}


def test_the_handset_answers_only_a_text_that_asks_for_it() -> None:
    asked = send(Carrier(), "50", text="Reply STOP to unsubscribe").calls[-1].body
    assert (asked["type"], asked["from"], asked["to"], asked["text"]) == (
        "inbound",
        "+421900000150",
        "+421900000900",
        "STOP",
    )
    assert [call.body["type"] for call in send(Carrier(), "50", text="Goodbye").calls] == ["report"]


@pytest.mark.parametrize(
    ("mode", "status", "taken"),
    [
        pytest.param(Mode.THROTTLE, 429, False, id="429"),
        pytest.param(Mode.FAULT, 500, False, id="500"),
        pytest.param(Mode.BAD_GATEWAY, 502, False, id="502"),
        pytest.param(Mode.REFUSE_KEY, 401, False, id="401"),
        pytest.param(Mode.HANG, None, False, id="hang"),
        pytest.param(Mode.TAKE_AND_HANG, None, True, id="take and hang"),
    ],
)
def test_faults_last_as_long_as_they_are_told(mode: Mode, status: int | None, taken: bool) -> None:
    carrier = Carrier()
    carrier.break_down(mode=mode, seconds=3, account="", now=NOW)
    broken = send(carrier, now=NOW + 2.9)
    assert (None if broken.reply.silent else broken.reply.status) == status
    assert (broken.taken is not None) is taken
    assert send(carrier, now=NOW + 3.1, reference="ref-2").reply.status == 202


def test_a_fault_of_one_account_spares_the_others() -> None:
    carrier = Carrier()
    carrier.break_down(mode=Mode.THROTTLE, seconds=3, account="other", now=NOW)
    assert send(carrier).reply.status == 202


@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param({"reference": ""}, id="no reference"),
        pytest.param({"reference": 7}, id="odd reference"),
        pytest.param({"channel": "rcs"}, id="channel"),
        pytest.param({"to": "00421900000100"}, id="recipient's form"),
        pytest.param({"to": "+"}, id="no digits"),
        pytest.param({"from": None}, id="no sender"),
        pytest.param({"channel": "mms"}, id="MMS without media"),
    ],
)
def test_wrong_requests(overrides: dict[str, Any]) -> None:
    outcome = send(Carrier(), **overrides)
    assert (outcome.reply.status, outcome.reply.body["error"]["code"]) == (400, "4000")


def test_a_carrier_goes_on_where_a_killed_one_stopped(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    outcome = send(Carrier(), "31")
    assert outcome.taken is not None
    with closing(ledger.Ledger(path)) as book:
        book.taken(outcome.taken)
        book.told(outcome.calls[0], now=NOW + 1)
    with path.open("a") as file:
        file.write('{"taken": {"id": "c')  # killed in the middle of a line

    after = Carrier()
    owed = after.restore(*ledger.read(path, now=NOW + 2))
    assert [call.key for call in owed] == [call.key for call in outcome.calls[1:]]
    assert after.count() == {"taken": 1, "reports": 1}
    assert after.look_up(account="demo", reference="ref-1").body["messages"][0]["status"] == "DELIVRD"
    with closing(ledger.Ledger(path)) as book:
        book.told(owed[0], now=NOW + 3)
    assert ledger.read(path, now=NOW + 4)[1] == [call.key for call in outcome.calls[:2]]


def test_the_ledger_forgets_after_a_day_and_holds_no_text(tmp_path: Path) -> None:
    path, carrier = tmp_path / "ledger.jsonl", Carrier()
    with closing(ledger.Ledger(path)) as book:
        for n, at in enumerate((NOW, NOW + ledger.KEPT)):
            outcome = send(carrier, reference=f"ref-{n}", text="very private", now=at)
            assert outcome.taken is not None
            book.taken(outcome.taken)
    taken, _ = ledger.read(path, now=NOW + ledger.KEPT + 1)
    assert [message.reference for message in taken] == ["ref-1"]
    lines = path.read_text().splitlines()
    assert [json.loads(line)["taken"]["reference"] for line in lines] == ["ref-1"]
    assert "private" not in path.read_text()


def test_segments_are_those_of_the_alphabet() -> None:
    assert len(send(Carrier(), text="ž" * 71).reply.body["ids"]) == 2
    assert len(send(Carrier(), channel=Channel.MMS, media=[{}], text="x" * 1000).reply.body["ids"]) == 1
