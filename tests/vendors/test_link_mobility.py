"""LINK Mobility's platform "Common", by its manual."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest

from outbound.values import HttpRequest
from tests.vendorkit import REFERENCE, Answer, Hook, Send, VendorKit, read, response
from vendors.base import BadPayload
from vendors.link_mobility import HOSTS, REFUSALS, REPORTS, LinkMobility
from vendors.values import Outcome, Report, Status

ID = "Dcshuhod0PMAAAFQ+/PbnR3x"
QUEUED = {"messageId": ID, "resultCode": 1005, "description": "Queued", "smsCount": 1}
BUILT = {
    "source": "+15550100",
    "sourceTON": "MSISDN",
    "destination": "+421900000123",
    "destinationTON": "MSISDN",
    "dcs": "TEXT",
    "userData": "Hello",
    "refId": REFERENCE,
    "platformId": "0",
    "platformPartnerId": "77",
    "useDeliveryReport": True,
    "deliveryReportGates": ["BVldZyQt"],
    "relativeValidityTime": 7_200_000,
    "ignoreResponse": False,
    "customParameters": {"replySmsCount": "true"},
}


def reported(code: Any, **more: Any) -> dict[str, Any]:
    return {
        "refId": REFERENCE,
        "id": ID,
        "operator": "no.telenor",
        "sentTimestamp": "2026-01-15T10:00:00Z",
        "timestamp": "2026-01-15T10:00:03Z",
        "resultCode": code,
        "operatorResultCode": "2",
        "segments": 1,
        "gateCustomParameters": {},
        "customParameters": {"received": "2026-01-15 11:00:04"},
        **more,
    }


DELIVERED = Report(
    Status.DELIVERED,
    "1001",
    vendor_id=ID,
    reference=REFERENCE,
    vendor_code="2",
    text="delivered",
    segments=1,
    occurred_at=datetime(2026, 1, 15, 10, 0, 3, tzinfo=UTC),
)


class TestLinkMobility(VendorKit):
    adapter = LinkMobility()
    values: ClassVar = {
        "region": "n-eu",
        "username": "acme",
        "password": "a password of the tests",
        "platform_id": "0",
        "platform_partner_id": "77",
        "gate_id": "BVldZyQt",
    }
    sends = (
        Send(
            "from a number",
            request=BUILT,
            url="https://n-eu.linkmobility.io/sms/send",
            headers={"Authorization": "Basic YWNtZTphIHBhc3N3b3JkIG9mIHRoZSB0ZXN0cw=="},
        ),
        Send(
            "from a short number",
            message={"sender": "12345"},
            request={**BUILT, "source": "12345", "sourceTON": "SHORTNUMBER"},
        ),
        Send(
            "from a name",
            message={"sender": "3 Shops"},
            request={**BUILT, "source": "3 Shops", "sourceTON": "ALPHANUMERIC"},
        ),
        Send(
            "a short validity",
            message={"validity": 3.5},
            request={**BUILT, "relativeValidityTime": 900_000},
        ),
        Send(
            "a long validity",
            message={"validity": 1e6},
            request={**BUILT, "relativeValidityTime": 172_800_000},
        ),
        Send(
            "through another host",
            request=BUILT,
            values={"base_url": "https://proxy.example/sms/"},
            url="https://proxy.example/sms/send",
        ),
    )
    answers = (
        Answer("queued", 200, QUEUED, Outcome.TAKEN, {"vendor_id": ID, "segments": 1}),
        Answer("uncounted", 200, {"messageId": ID, "resultCode": 1005}, Outcome.TAKEN, {"segments": None}),
        Answer("on its way", 200, {**QUEUED, "resultCode": 1000}, Outcome.TAKEN),
        Answer("no body", 204, b"", Outcome.UNKNOWN, {"code": "unreadable_answer"}),
        Answer("no id", 200, {"resultCode": 1005}, Outcome.UNKNOWN, {"code": "unreadable_answer"}),
        Answer("an unknown code", 200, {**QUEUED, "resultCode": 7}, Outcome.UNKNOWN),
        Answer(
            "an unknown error in a yes",
            200,
            {"resultCode": 106000},
            Outcome.UNKNOWN,
            {"code": "vendor_fault"},
        ),
        Answer("a refusal in a yes", 200, {"resultCode": 106100}, Outcome.CONFIGURATION),
        Answer(
            "a refusal in a fault", 500, {"resultCode": 106100}, Outcome.UNKNOWN, {"code": "vendor_fault"}
        ),
        Answer(
            "credentials",
            401,
            {"resultCode": 106100, "description": "Invalid authentication"},
            Outcome.CONFIGURATION,
            {
                "code": "credentials_refused",
                "vendor_code": "106100",
                "text": "Invalid authentication",
                "route_fault": True,
            },
        ),
        Answer(
            "an unknown error",
            400,
            {"resultCode": 106000, "description": "Unknown error"},
            Outcome.TEMPORARY,
            {"code": "vendor_unavailable"},
        ),
        Answer(
            "a code that is not documented",
            400,
            {"resultCode": 106999},
            Outcome.PERMANENT,
            {"code": "rejected_by_vendor", "vendor_code": "106999"},
        ),
        Answer("no code", 400, b"", Outcome.PERMANENT, {"vendor_code": "400"}),
    )
    hooks = (
        Hook("delivered", body=reported(1001), expected=(DELIVERED,)),
        Hook(
            "with nulls",
            body=reported(1006, operator=None, operatorResultCode=None, refId=None),
            expected=(
                replace(
                    DELIVERED,
                    status=Status.UNDELIVERED,
                    vendor_status="1006",
                    reference="",
                    vendor_code="",
                    text="not delivered",
                ),
            ),
        ),
        Hook(
            "on the second of three parts",
            body=reported(1001, id=f"{ID}$1", segments=3),
            expected=(replace(DELIVERED, part=2, parts=3, segments=None),),
        ),
        Hook(
            "on a part that counts itself only",
            body=reported(1001, id=f"{ID}$1", segments=1),
            expected=(replace(DELIVERED, part=2, parts=None, segments=None),),
        ),
    )
    unknown_status = Hook("unknown", body=reported(7777), expected=())
    bad_values = (({"region": "mars"}, "region"),)
    signed = False
    dated = False

    def number(self, msisdn: str) -> str:
        return msisdn

    def parts_of(self, request: HttpRequest) -> tuple[str, str, str]:
        body = read(request)
        return body["source"], body["destination"], body["userData"]

    def sign(self, hook: Any, credentials: Any, *, at: float) -> Any:
        return hook


ADAPTER = TestLinkMobility.adapter

REFUSED = [
    pytest.param(401, 106100, Outcome.CONFIGURATION, "credentials_refused", id="authentication"),
    pytest.param(403, 106101, Outcome.CONFIGURATION, "credentials_refused", id="access denied"),
    pytest.param(400, 106200, Outcome.CONFIGURATION, "credentials_refused", id="platform"),
    pytest.param(400, 106201, Outcome.CONFIGURATION, "credentials_refused", id="partner"),
    pytest.param(400, 106202, Outcome.PERMANENT, "invalid_request", id="currency"),
    pytest.param(400, 106300, Outcome.CONFIGURATION, "credentials_refused", id="no gates"),
    pytest.param(400, 106301, Outcome.CONFIGURATION, "credentials_refused", id="not this gate"),
    pytest.param(400, 106000, Outcome.TEMPORARY, "vendor_unavailable", id="unknown error"),
]


@pytest.mark.parametrize(("status", "number", "outcome", "code"), REFUSED)
def test_refusals(status: int, number: int, outcome: Outcome, code: str) -> None:
    (result,) = ADAPTER.parse(
        [TestLinkMobility.outgoing()],
        response(status, {"resultCode": number, "description": "words"}),
        TestLinkMobility.credentials(),
    )
    assert (result.outcome, result.code, result.vendor_code) == (outcome, code, str(number))


def test_each_refusal_is_tested() -> None:
    assert {row.values[1] for row in REFUSED} == set(REFUSALS)


SAID = {
    (Status.SENT, ""): [4, 5, 1000, 1005, 1008, 1010, 1011, 1012],
    (Status.DELIVERED, ""): [1001, 1007],
    (Status.EXPIRED, "expired"): [1002],
    (Status.UNDELIVERED, ""): [1006, 1009],
    (Status.UNDELIVERED, "unreachable"): [1004],
    (Status.UNDELIVERED, "vendor_fault"): [0, 6, 104, 105],
    (Status.UNDELIVERED, "no_route"): [1, 2],
    (Status.UNDELIVERED, "throttled"): [3],
    (Status.UNDELIVERED, "invalid_recipient"): [2104, 2106],
    (Status.UNDELIVERED, "recipient_blocked"): [2105, 2107],
    (Status.REJECTED, "rejected_by_vendor"): [2200, 2242, 2299],
    (Status.REJECTED, "content_refused"): [3000, 3001, 3002, *range(4000, 4008)],
    (Status.UNKNOWN, ""): [7, 1003, 2103, 2108, 2199, 2300, 3003, 4008, -1, "a word"],
}
CODES = [(number, status, code) for (status, code), numbers in SAID.items() for number in numbers]


@pytest.mark.parametrize(("number", "status", "code"), CODES)
def test_result_codes(number: Any, status: Status, code: str) -> None:
    hook = TestLinkMobility.hook_request(Hook("", expected=(), body=reported(number)))
    (report,) = ADAPTER.parse_hook(hook, TestLinkMobility.credentials())
    assert isinstance(report, Report)
    assert (report.status, report.code, report.vendor_status) == (status, code, str(number))
    assert bool(report.text) is (status is not Status.UNKNOWN)


def test_each_result_code_is_tested() -> None:
    assert set(REPORTS) <= {number for number, _, _ in CODES}


@pytest.mark.parametrize("region", HOSTS)
def test_each_platform_has_its_host(region: str) -> None:
    request = ADAPTER.build([TestLinkMobility.outgoing()], TestLinkMobility.credentials(region=region))
    assert request.url == f"{HOSTS[region]}/send"


@pytest.mark.parametrize(
    "body", [{"resultCode": 1001}, {"id": ID}, {"id": ID, "resultCode": None}, {"refId": "", "resultCode": 1}]
)
def test_what_names_no_message_or_no_result_is_parked(body: dict[str, Any]) -> None:
    with pytest.raises(BadPayload):
        ADAPTER.parse_hook(
            TestLinkMobility.hook_request(Hook("", expected=(), body=body)), TestLinkMobility.credentials()
        )


def test_the_gate_hears_what_it_wants_to_hear() -> None:
    assert ADAPTER.hook_reply(TestLinkMobility.credentials()).body == b""
    assert ADAPTER.hook_reply(TestLinkMobility.credentials(gate_reply="OK")).body == b"OK"
