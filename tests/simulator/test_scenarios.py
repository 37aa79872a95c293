"""The table of test numbers, its documentation and the campaigns made of it."""

import re
from pathlib import Path

import pytest

from simulator import orders, scenarios
from simulator.scenarios import DEFAULT, SCENARIOS, scenario_of
from vendors.values import Channel

DOCS = Path(__file__).resolve().parents[2] / "docs" / "simulator.md"


def test_the_documentation_holds_the_table() -> None:
    assert scenarios.as_markdown() in DOCS.read_text()


def test_endings_are_two_digits_and_differ() -> None:
    endings = [scenario.ending for scenario in SCENARIOS]
    assert len(set(endings)) == len(endings)
    assert all(re.fullmatch(r"[0-9]{2}", ending) for ending in endings)


@pytest.mark.parametrize("scenario", [pytest.param(s, id=s.name) for s in SCENARIOS])
def test_numbers_are_reserved_ones_and_lead_back(scenario: scenarios.Scenario) -> None:
    for n in (0, 7, 123):
        assert re.fullmatch(r"00421900000[0-9]{3}", scenario.number(n))
        assert scenario_of("+" + scenario.number(n)[2:], scenario.channels[0]) is scenario


@pytest.mark.parametrize(
    ("recipient", "channel"),
    [
        pytest.param("+421900000199", Channel.SMS, id="not listed"),
        pytest.param("+421900000140", Channel.SMS, id="listed for MMS only"),
        pytest.param("+421900000133", Channel.MMS, id="listed for SMS only"),
    ],
)
def test_everything_else_is_delivered(recipient: str, channel: Channel) -> None:
    assert scenario_of(recipient, channel) is DEFAULT


@pytest.mark.parametrize(
    ("channel", "count", "each", "plain"),
    [
        pytest.param(Channel.SMS, 300, 6, 198, id="the demo's SMS"),
        pytest.param(Channel.MMS, 30, 1, 14, id="the demo's MMS"),
    ],
)
def test_a_campaign_uses_every_scenario(channel: Channel, count: int, each: int, plain: int) -> None:
    chosen = orders.mix(channel, count)
    special = [s for s in SCENARIOS if channel in s.channels and s is not DEFAULT]
    assert {s.name: chosen.count(s) for s in special} == {s.name: each for s in special}
    assert (len(chosen), chosen.count(DEFAULT)) == (count, plain)


def test_a_small_campaign_takes_what_fits_and_leaves_out_what_it_is_told() -> None:
    assert [s.ending for s in orders.mix(Channel.SMS, 3)] == ["10", "11", "12"]
    assert [s.ending for s in orders.mix(Channel.SMS, 3, without=("11",))] == ["10", "12", "13"]


def test_orders_are_requests_as_the_contract_says() -> None:
    made = orders.campaign(run="r", sms=300, mms=30, callback_url="http://127.0.0.1:9/c")
    assert len({order.request_id for order in made}) == 330
    assert sum(order.copies == 2 for order in made) == 22
    for order in made:
        assert re.fullmatch(r"00\d{7,15}", order.body["to"])
        assert re.fullmatch(r"[A-Za-z0-9_-]{240}", order.custom_data)
        assert order.body["callback_url"] == "http://127.0.0.1:9/c"
        assert ("media" in order.body) is (order.channel is Channel.MMS)


def test_first_tries_that_fail_come_early() -> None:
    made = orders.campaign(run="r", sms=300, mms=0, callback_url="")
    places = [n for n, order in enumerate(made) if order.scenario.answer in orders.TROUBLED]
    assert len(places) == 18
    assert max(places) < 250
