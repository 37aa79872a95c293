"""What the carrier does with a message, by the last two digits of its recipient. The one table.

`docs/simulator.md` holds the same table, made by `as_markdown`; a test compares them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from vendors.values import Channel

RECIPIENTS = "00421900000"  # and three digits: numbers that belong to nobody, as Bloomreach writes them


class CarrierAnswer(StrEnum):
    """How the carrier answers a send."""

    TAKE = "take"
    REFUSE = "refuse"  # every time, with `code`
    THROTTLE_ONCE = "throttle_once"  # 429 at the first try
    FAIL_ONCE = "fail_once"  # 500, documented as not taken, at the first try
    HANG_ONCE = "hang_once"  # never answers the first try, and has not taken it
    TAKE_AND_HANG = "take_and_hang"  # has taken it, and never answers


@dataclass(frozen=True, slots=True)
class Step:
    """One report. `part` 0 means one for each part; `after` is in units of the carrier's delay."""

    status: str
    error: str = ""
    text: str = ""
    part: int = 0
    after: float = 1.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of the table: what a recipient ending in `ending` stands for."""

    ending: str
    name: str
    says: str
    told: str  # what Bloomreach hears in the end: delivered, the code of a failure, or nothing
    answer: CarrierAnswer = CarrierAnswer.TAKE
    code: str = ""  # of a refusal
    words: str = ""
    reports: tuple[Step, ...] = ()
    report_first: bool = False  # the report is delivered before the send is answered
    note: str = ""  # to `told`
    replies: str = ""  # what the handset sends back once the message is delivered
    channels: tuple[Channel, ...] = (Channel.SMS, Channel.MMS)
    long: bool = False  # the campaign sends it a text of several parts
    two_way: bool = False  # the campaign sends it from a number that can be answered

    @property
    def ends(self) -> str:
        """What Bloomreach hears, in words."""
        word = self.told if self.told in ("", "delivered") else f"failed, {self.told}"
        return f"{word}{self.note}"

    def number(self, n: int) -> str:
        """The n-th of the ten numbers of this scenario."""
        return f"{RECIPIENTS}{n % 10}{self.ending}"


DELIVERED = (Step("DELIVRD"),)
SMS_ONLY, MMS_ONLY = (Channel.SMS,), (Channel.MMS,)
STOP = "STOP"

DEFAULT = Scenario(
    "00", "delivered", "taken, then delivered (so is every ending not listed)", "delivered", reports=DELIVERED
)

SCENARIOS: tuple[Scenario, ...] = (
    DEFAULT,
    Scenario(
        "10", "undelivered", "taken, then undelivered", "undelivered",
        reports=(Step("UNDELIV", "2001", "Absent subscriber"),),
    ),
    Scenario(
        "11", "expired", "taken, then expired", "expired",
        reports=(Step("EXPIRED", "2002", "Validity used up"),),
    ),
    Scenario(
        "12", "rejected", "taken, then rejected by the network", "rejected",
        reports=(Step("REJECTD", "2003", "Blocked by the network"),),
    ),
    Scenario(
        "13", "no report", "taken, and never a report", "", note="nothing: unconfirmed at the deadline",
    ),
    Scenario(
        "14", "unknown word", "a status word that nobody documented, then delivered", "delivered",
        reports=(Step("BUFFERED"), Step("DELIVRD", after=2.0)),
    ),
    Scenario(
        "20", "refused", "refused at the send: no such number", "invalid_recipient",
        answer=CarrierAnswer.REFUSE, code="4001", words="No such number",
    ),
    Scenario(
        "21", "opted out", "refused at the send: the recipient opted out", "opted_out",
        answer=CarrierAnswer.REFUSE, code="4002", words="The recipient has opted out",
    ),
    Scenario(
        "22", "throttled", "429 with Retry-After: 1 at the first try, then taken", "delivered",
        answer=CarrierAnswer.THROTTLE_ONCE, reports=DELIVERED,
    ),
    Scenario(
        "23", "fault", "500 at the first try (documented as not taken), then taken", "delivered",
        answer=CarrierAnswer.FAIL_ONCE, reports=DELIVERED,
    ),
    Scenario(
        "24", "taken in silence", "taken, but the send is never answered; the report comes late", "delivered",
        answer=CarrierAnswer.TAKE_AND_HANG, reports=(Step("DELIVRD", after=30.0),),
    ),
    Scenario(
        "25", "lost", "the first try is neither taken nor answered; the next is taken",
        "delivered", note="; where only a report tells: failed, unknown outcome",
        answer=CarrierAnswer.HANG_ONCE, reports=DELIVERED,
    ),
    Scenario(
        "30", "early report", "the report comes before the answer", "delivered",
        reports=DELIVERED, report_first=True,
    ),
    Scenario(
        "31", "repeated report", "the same report three times", "delivered", note=", once",
        reports=(Step("DELIVRD"), Step("DELIVRD", after=1.5), Step("DELIVRD", after=2.0)),
    ),
    Scenario(
        "32", "reversed reports", "delivered is reported before sent", "delivered",
        reports=(Step("DELIVRD"), Step("ACCEPTD", after=2.0)),
    ),
    Scenario(
        "33", "several parts", "one report for each part, the last part first", "delivered", note=", once",
        reports=DELIVERED, channels=SMS_ONLY, long=True,
    ),
    Scenario(
        "34", "broken part", "one report for each part; the second part fails", "undelivered",
        reports=(Step("DELIVRD", part=1), Step("UNDELIV", "2001", "Absent subscriber", part=2)),
        channels=SMS_ONLY, long=True,
    ),
    Scenario(
        "40", "no MMS", "an MMS is refused at the send: the device has none", "delivered", note=" as SMS",
        answer=CarrierAnswer.REFUSE, code="4003", words="The device does not support MMS", channels=MMS_ONLY,
    ),
    Scenario(
        "41", "no MMS, told late", "an MMS is taken, then a report says that the device has none",
        "delivered", note=" as SMS",
        reports=(Step("UNDELIV", "4003", "The device does not support MMS"),), channels=MMS_ONLY,
    ),
    Scenario(
        "50", "reply", "delivered; the handset answers STOP to a text that says STOP",
        "delivered", note=", and an inbound message",
        reports=DELIVERED, replies=STOP, channels=SMS_ONLY, two_way=True,
    ),
)  # fmt: skip

BY_ENDING = {scenario.ending: scenario for scenario in SCENARIOS}


def scenario_of(recipient: str, channel: Channel) -> Scenario:
    """The row for a recipient in any writing. A row of the other channel counts as plain delivery."""
    found = BY_ENDING.get(recipient[-2:], DEFAULT)
    return found if channel in found.channels else DEFAULT


def as_markdown() -> str:
    """The table for docs/simulator.md."""
    rows = ["| ending | channel | what the carrier does | what Bloomreach hears |", "|---|---|---|---|"]
    for scenario in SCENARIOS:
        channels = ", ".join(channel.value.upper() for channel in scenario.channels)
        rows.append(f"| `{scenario.ending}` | {channels} | {scenario.says} | {scenario.ends} |")
    return "\n".join(rows)
