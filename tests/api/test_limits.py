"""A message that an account can never carry: another account, the fallback text, or a 400 that names the field."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from messaging.models import Message, ProviderAccount
from messaging.sending import claims
from tests.api.conftest import MMS, SMS, Caller
from tests.factories import make_account
from vendors import registry

pytestmark = pytest.mark.django_db

FROM = "00421900000001"
TWO_FILES = {"urls": ["https://files.example/a.jpg", "https://files.example/b.jpg"]}
SINCH = {"region": "eu", "service_plan_id": "plan", "api_token": "token"}
SINCH_MMS = {**SINCH, "mms": "json", "mms_api_key": "key", "mms_service_id": "1"}
TWILIO = {"account_sid": "AC" + "0" * 32, "auth_token": "token"}
TELNYX = {"api_key": "KEY", "public_key": "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="}
BANDWIDTH = {
    "account_id": "1",
    "client_id": "c",
    "client_secret": "s",
    "application_id": "aaaaaaaa-bbbb-cccc-dddd-0123456789ab",
}
PLIVO = {"auth_id": "MA" + "0" * 18, "auth_token": "token"}
VONAGE = {"auth": "basic", "api_key": "k", "api_secret": "s", "signature_secret": "t"}
INFOBIP = {"api_key": "key"}
LINK = {
    "region": "n-eu",
    "username": "u",
    "password": "p",
    "platform_id": "1",
    "platform_partner_id": "2",
    "gate_id": "3",
}


def become(account: ProviderAccount, vendor: str, values: dict[str, str], **overrides: Any) -> None:
    """The account is one of that vendor's, as saving its form makes it."""
    adapter = registry.adapter(vendor)
    secret = {setting.name for setting in adapter.settings if setting.secret}
    cleaned = adapter.clean(values)
    account.vendor = vendor
    account.settings = {name: value for name, value in cleaned.items() if name not in secret}
    account.secrets = {name: value for name, value in cleaned.items() if name in secret and value}
    account.channels = sorted(adapter.carries(account.settings))
    for name, value in overrides.items():
        setattr(account, name, value)
    account.save()


def other(caller: Caller, vendor: str, values: dict[str, str], **overrides: Any) -> ProviderAccount:
    account = make_account(caller.tenant, position=9)
    become(account, vendor, values, **overrides)
    return account


@pytest.mark.parametrize(
    ("vendor", "values", "channel", "changed", "field"),
    [
        pytest.param(
            "sinch", SINCH, "mms", {"media": TWO_FILES}, "media", id="Sinch, two files by the SMS API"
        ),
        pytest.param(
            "sinch",
            SINCH_MMS,
            "mms",
            {"media": {"urls": [f"https://files.example/{n}.jpg" for n in range(9)]}},
            "media",
            id="Sinch, nine files by the MMS API",
        ),
        pytest.param("sinch", SINCH, "sms", {"text": "a" * 2001}, "text", id="Sinch, a long text"),
        pytest.param("twilio", TWILIO, "sms", {"text": "a" * 1601}, "text", id="Twilio, a long text"),
        pytest.param("twilio", TWILIO, "mms", {"from": "Acme"}, "from", id="Twilio, an MMS from a name"),
        pytest.param(
            "telnyx", TELNYX, "sms", {"from": "Acme"}, "from", id="Telnyx, a name without a profile"
        ),
        pytest.param("telnyx", TELNYX, "mms", {"from": "Acme"}, "from", id="Telnyx, an MMS from a name"),
        pytest.param("plivo", PLIVO, "sms", {"text": "ž" * 738}, "text", id="Plivo, a long text in UCS-2"),
        pytest.param("plivo", PLIVO, "mms", {"from": "Acme"}, "from", id="Plivo, an MMS from a name"),
        pytest.param("bandwidth", BANDWIDTH, "sms", {"from": "Acme!"}, "from", id="Bandwidth, an odd name"),
        pytest.param(
            "bandwidth", BANDWIDTH, "sms", {"text": "a" * 2049}, "text", id="Bandwidth, a long text"
        ),
        pytest.param("vonage", VONAGE, "mms", {"from": "Acme"}, "from", id="Vonage, an MMS from a name"),
        pytest.param("infobip", INFOBIP, "sms", {"text": "a" * 3826}, "text", id="Infobip, 26 parts"),
        pytest.param(
            "infobip", INFOBIP, "mms", {"text": "a" * 1601}, "text", id="Infobip, a long text of an MMS"
        ),
        pytest.param("link_mobility", LINK, "sms", {"from": "1 Acme"}, "from", id="LINK, a digit first"),
    ],
)
def test_the_only_account_cannot_carry_it(
    caller: Caller, vendor: str, values: dict[str, str], channel: str, changed: dict[str, Any], field: str
) -> None:
    become(caller.account, vendor, values)
    body = {**(MMS if channel == "mms" else SMS), "from": FROM, **changed}
    answer = caller.post(f"/{channel}/send", body)
    error = answer.json()["error"]
    assert (answer.status_code, list(error["fields"])) == (400, [field])
    assert error["message"].startswith(f"{field} ")
    assert not Message.objects.exists()


def test_the_choice_of_api_decides(caller: Caller) -> None:
    become(caller.account, "sinch", SINCH_MMS)
    answer = caller.post("/mms/send", {**MMS, "from": FROM, "media": TWO_FILES})
    message = Message.objects.get(pk=answer.json()["message_id"])
    assert (answer.status_code, message.send_as) == (200, "mms")


def test_an_account_that_can_carry_it_does(caller: Caller) -> None:
    become(caller.account, "sinch", SINCH)
    able = other(caller, "twilio", TWILIO)
    body = {**MMS, "from": FROM, "media": TWO_FILES, "fallback_text": "See https://files.example"}
    answer = caller.post("/mms/send", body)
    message = Message.objects.get(pk=answer.json()["message_id"])
    assert (answer.status_code, message.account_id, message.send_as) == (200, able.pk, "mms")
    one = caller.post("/mms/send", {**MMS, "from": FROM, "request_id": "r-2"})
    assert Message.objects.get(pk=one.json()["message_id"]).account_id == caller.account.pk


def test_a_fallback_text_goes_instead(caller: Caller) -> None:
    become(caller.account, "sinch", SINCH)
    fallback = "ž" * 71
    answer = caller.post("/mms/send", {**MMS, "from": FROM, "media": TWO_FILES, "fallback_text": fallback})
    message = Message.objects.get(pk=answer.json()["message_id"])
    assert (answer.status_code, message.channel, message.send_as, message.segments) == (200, "mms", "sms", 2)
    (claimed,) = claims.claim(free=5, lease=uuid4())
    assert (claimed.outgoing.channel, claimed.outgoing.text) == ("sms", fallback)
    again = caller.post("/mms/send", {**MMS, "from": FROM, "media": TWO_FILES, "fallback_text": fallback})
    assert (again.status_code, again.json()["duplicate"]) == (200, True)


def test_a_fallback_text_takes_the_way_of_an_sms(caller: Caller) -> None:
    become(caller.account, "sinch", SINCH, channels=["mms"])
    texts = other(caller, "twilio", TWILIO, channels=["sms"])
    answer = caller.post("/mms/send", {**MMS, "from": FROM, "media": TWO_FILES, "fallback_text": "See"})
    message = Message.objects.get(pk=answer.json()["message_id"])
    assert (message.account_id, message.send_as) == (texts.pk, "sms")


def test_without_such_a_way_it_stays_with_its_account(caller: Caller) -> None:
    become(caller.account, "sinch", SINCH, channels=["mms"])
    answer = caller.post("/mms/send", {**MMS, "from": FROM, "media": TWO_FILES, "fallback_text": "See"})
    message = Message.objects.get(pk=answer.json()["message_id"])
    assert (message.account_id, message.send_as) == (caller.account.pk, "sms")


def test_a_fallback_text_that_cannot_go_either_is_no_way_out(caller: Caller) -> None:
    become(caller.account, "sinch", SINCH)
    body = {**MMS, "from": FROM, "media": TWO_FILES, "fallback_text": "a" * 2001}
    answer = caller.post("/mms/send", body)
    assert (answer.status_code, list(answer.json()["error"]["fields"])) == (400, ["media"])
    assert not Message.objects.exists()
