"""The send requests of a campaign: every scenario is in it, the rest are plain deliveries."""

from __future__ import annotations

import random
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from simulator.scenarios import DEFAULT, RECIPIENTS, SCENARIOS, STOP, CarrierAnswer, Scenario
from vendors.values import Channel

NAME = "Demo Shop"
NUMBER = f"{RECIPIENTS}900"  # a sender that a handset can answer
SHARE = 50  # one in so many messages goes to each scenario
AGAIN = 15  # one in so many requests is sent twice at once
MEDIA_HOST = "https://media.example"
LONG = "Thank you for your order. " * 9  # 234 characters: two parts
TROUBLED, EARLY = (CarrierAnswer.THROTTLE_ONCE, CarrierAnswer.FAIL_ONCE, CarrierAnswer.HANG_ONCE), 0.4
TEXTS = (
    "Your parcel is on its way.",
    "Your table is booked for 19:30 [window].",
    "Váš balík je na ceste: zajtra do 14:00.",
    "Sale starts now \N{SHOPPING BAGS}",
)
MEDIA: tuple[Any, ...] = (
    {"image": f"{MEDIA_HOST}/shoes.jpg"},
    {"urls": [f"{MEDIA_HOST}/shoes.jpg", f"{MEDIA_HOST}/shop.vcf"]},
    {"files": [{"url": f"{MEDIA_HOST}/walk.mp4", "content_type": "video/mp4", "name": "walk.mp4"}]},
)


@dataclass(frozen=True, slots=True)
class SendOrder:
    """One send request, as Bloomreach makes it, and how often it makes it."""

    request_id: str
    channel: Channel
    scenario: Scenario
    body: dict[str, Any] = field(repr=False)
    copies: int = 1

    @property
    def custom_data(self) -> str:
        return str(self.body["custom_data"])


def campaign(
    *, run: str, sms: int, mms: int, callback_url: str, without: Sequence[str] = ()
) -> list[SendOrder]:
    """The orders of one campaign, mixed. `without`: endings to leave out."""
    chosen = [(Channel.SMS, scenario) for scenario in mix(Channel.SMS, sms, without=without)]
    chosen += [(Channel.MMS, scenario) for scenario in mix(Channel.MMS, mms, without=without)]
    chosen.sort(key=lambda pair: _place(pair[1]))
    return [
        order(
            request_id=f"{run}-{n}",
            channel=channel,
            scenario=scenario,
            recipient=scenario.number(n),
            callback_url=callback_url,
            copies=2 if n % AGAIN == 0 else 1,
            n=n,
        )
        for n, (channel, scenario) in enumerate(chosen, start=1)
    ]


def _place(scenario: Scenario) -> float:
    """Random, but a first try that fails comes early, since its retries take the longest. Not all at once: ten
    faults in a row would open the circuit."""
    return random.random() * (EARLY if scenario.answer in TROUBLED else 1.0)  # noqa: S311


def mix(channel: Channel, count: int, *, without: Sequence[str] = ()) -> list[Scenario]:
    """So many scenarios: each of the channel's when there is room, filled up with plain deliveries."""
    special = [
        scenario
        for scenario in SCENARIOS
        if channel in scenario.channels and scenario.ending not in without and scenario is not DEFAULT
    ]
    chosen = (special * max(1, count // SHARE))[:count]
    return chosen + [DEFAULT] * (count - len(chosen))


def order(
    *,
    request_id: str,
    channel: Channel,
    scenario: Scenario,
    recipient: str,
    callback_url: str,
    sender: str = "",
    text: str = "",
    copies: int = 1,
    n: int = 0,
) -> SendOrder:
    """One send request (contract 3)."""
    body: dict[str, Any] = {
        "request_id": request_id,
        "from": sender or (NUMBER if scenario.two_way else NAME),
        "to": recipient,
        "text": text or _text(scenario, n),
        "custom_data": secrets.token_urlsafe(180),
        "callback_url": callback_url,
        "metadata": {"campaign": "simulated"},
    }
    if channel is Channel.MMS:
        body |= {"subject": "New in", "fallback_text": "See what is new.", "media": MEDIA[n % len(MEDIA)]}
    return SendOrder(request_id, channel, scenario, body, copies)


def _text(scenario: Scenario, n: int) -> str:
    if scenario.long:
        return LONG
    if scenario.replies:
        return f"New in our shop. Reply {STOP} to unsubscribe."
    return TEXTS[n % len(TEXTS)]
