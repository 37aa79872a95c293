"""Characters of vendors' calls: what the gateway states is honoured, what it does not state is guessed and alarmed."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from messaging.models import InboundMessage, Inbox, ProviderAccount
from messaging.replay import orders
from messaging.reports import hook_intake, inbox, stored_calls
from tests.factories import make_account
from vendors import charsets, registry
from vendors.base import Adapter
from vendors.values import Credentials, HookRequest

FORM = "application/x-www-form-urlencoded"
MO = "type=mo&id=1&from=421900000787&to=12345"
CYRILLIC = "Привет"


@pytest.fixture(autouse=True)
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    def believe(self: Adapter, hook: HookRequest, credentials: Credentials) -> None:
        return None

    for adapter in registry.ADAPTERS.values():
        monkeypatch.setattr(type(adapter), "verify", believe)
    hook_intake.forget_receivers()


def gateway(**values: str) -> ProviderAccount:
    given = {"preset": "kannel", "base_url": "http://127.0.0.1:13013", "username": "u", "password": "p-1"}
    cleaned = registry.adapter("http_generic").clean({**given, **values})
    secrets = {name: cleaned.pop(name) for name in ("password", "hook_secret", "api_key")}
    return make_account(vendor="http_generic", settings=cleaned, secrets=secrets)


def alarms(vendor: str = "http_generic") -> float:
    labels = {"vendor": vendor, "word": "charset"}
    return REGISTRY.get_sample_value("connector_contract_drift_total", labels) or 0.0


def call(
    account: ProviderAccount, query: str = "", body: bytes | None = None, kind: str = FORM
) -> InboundMessage:
    """What becomes of an inbound call."""
    path = f"/hooks/{account.vendor}/{account.public_id}" + (f"?{query}" if query else "")
    client = Client()
    answer = client.get(path) if body is None else client.generic("POST", path, body, content_type=kind)
    assert answer.status_code < 300
    inbox.read()
    assert not Inbox.objects.exists()
    return InboundMessage.objects.get()


def written(text: str, charset: str) -> str:
    return quote(text.encode(charset), safe="")


STATED = [
    pytest.param("text=%04%1F%04%40&coding=2", "Пр", id="UCS-2 by its coding"),
    pytest.param("text=%04%1F%04%40&coding=2&charset=UTF-16BE", "Пр", id="UCS-2 by both"),
    pytest.param("text=%04%1F%04%40&charset=UCS-2", "Пр", id="UCS-2 by another name"),
    pytest.param("text=%04%1F%04%40&coding=8", "Пр", id="SMPP's coding"),
    pytest.param("text=%00h%00i&coding=2", "hi", id="UCS-2 of plain letters"),
    pytest.param("text=%D8%3D%DE%00&coding=2", "😀", id="UTF-16"),
    pytest.param("text=%FE%FF%04%1F&charset=UTF-16", "П", id="a mark of the order"),
    pytest.param("text=%1F%04&charset=utf-16le", "П", id="the other order"),
    pytest.param("text=caf%E9&charset=ISO-8859-1", "café", id="Latin-1"),
    pytest.param("text=caf%E9&charset=%22latin1%22", "café", id="in quotes"),
    pytest.param("text=%80+5&charset=WINDOWS-1252&coding=0", "€ 5", id="Windows"),
    pytest.param("text=%9Elu%9D&charset=windows-1250", "žluť", id="of central Europe"),
    pytest.param(
        "text=%C5%BElu%C5%A5&charset=UTF-8&coding=2", "žluť", id="the charset goes before the coding"
    ),
    pytest.param("text=%C5%BElu%C5%A5", "žluť", id="nothing stated"),
    pytest.param("text=%C5%BElu%C5%A5&charset=GSM&coding=0", "žluť", id="a name that is no charset"),
    pytest.param("text=%C5%BE&charset=unicode_escape", "ž", id="a codec that is no charset"),
    pytest.param("text=hello&charset=", "hello", id="an empty name"),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("query", "text"), STATED)
def test_the_stated_charset_is_honoured(query: str, text: str) -> None:
    before = alarms()
    row = call(gateway(), f"{MO}&{query}")
    assert (row.text, row.sender, row.recipient, row.vendor_id) == (text, "+421900000787", "12345", "1")
    assert alarms() == before


GUESSES = [
    pytest.param("text=caf%E9", "café", id="Latin-1, not stated"),
    pytest.param("text=%80+%85", "€ …", id="Windows, not stated"),
    pytest.param("text=%81%E9", "\x81é", id="in no charset of Windows"),
    pytest.param("text=caf%E9&charset=GSM", "café", id="unknown name"),
    pytest.param("text=caf%E9&charset=UTF-8", "café", id="stated wrongly"),
    pytest.param("text=%C5%BE&charset=ascii", "ž", id="stated wrongly, and UTF-8"),
    pytest.param("text=hello&coding=2", "hello", id="an odd number of bytes"),
    pytest.param("text=%D8%3D&coding=2", "Ø=", id="half a surrogate pair"),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("query", "text"), GUESSES)
def test_what_does_not_decode_is_told_and_alarmed(
    query: str, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = alarms()
    row = call(gateway(), f"{MO}&{query}")
    assert (row.text, row.sender) == (text, "+421900000787")
    assert alarms() - before == 1
    (line,) = [record for record in caplog.records if record.msg == "characters in no stated charset"]
    assert (line.levelname, vars(line)["fields"]) == ("WARNING", ["text"])


@pytest.mark.django_db
@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-5", "koi8-r", "windows-1251"])
def test_the_setting_for_gateways_that_state_nothing(charset: str) -> None:
    before = alarms()
    body = f"{MO}&text={written(CYRILLIC, charset)}".encode()
    assert call(gateway(hook_charset=charset), body=body).text == CYRILLIC
    assert alarms() == before


@pytest.mark.django_db
@pytest.mark.parametrize("charset", ["iso-8859-5", "koi8-r", "windows-1251", "UTF-8"])
def test_the_charset_of_the_content_type(charset: str) -> None:
    body = f"{MO}&text={written(CYRILLIC, charset)}".encode()
    assert call(gateway(), body=body, kind=f'{FORM}; charset="{charset}"').text == CYRILLIC


@pytest.mark.django_db
def test_a_wide_setting_leaves_numbers_alone() -> None:
    row = call(gateway(hook_charset="utf-16-be"), f"{MO}&text=x")
    assert (row.sender, row.text) == ("+421900000787", "x")


@pytest.mark.django_db
def test_an_account_that_was_saved_before_these_settings() -> None:
    account = gateway()
    for name in ("inbound_charset", "hook_charset"):
        del account.settings[name]
    account.settings["inbound_coding"] = ""
    account.save()
    assert call(account, f"{MO}&text=%04%1F%04%40&coding=2").text == "Пр"


@pytest.mark.django_db
def test_bytes_that_nobody_quoted() -> None:
    path_query = f"{MO}&text=café"
    assert call(gateway(), path_query).text == "café"


def mo(text: str) -> dict[str, Any]:
    return {"type": "mo", "id": "1", "from": "421900000787", "to": "1", "text": text}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("body", "kind", "guessed"),
    [
        pytest.param(json.dumps(mo("žluť"), ensure_ascii=False).encode(), "application/json", 0, id="UTF-8"),
        pytest.param(
            json.dumps(mo("žluť"), ensure_ascii=False).encode(),
            "application/json; charset=ISO-8859-1",
            0,
            id="UTF-8, whatever the header says",
        ),
        pytest.param(
            json.dumps(mo("žluť"), ensure_ascii=False).encode("cp1250"),
            "application/json; charset=windows-1250",
            0,
            id="stated",
        ),
        pytest.param(
            json.dumps(mo("žluť"), ensure_ascii=False).encode("utf-16"), "application/json", 0, id="UTF-16"
        ),
        pytest.param(
            json.dumps(mo("žluť"), ensure_ascii=False).encode("utf-8-sig"), "application/json", 0, id="a mark"
        ),
    ],
)
def test_json(body: bytes, kind: str, guessed: int) -> None:
    before = alarms()
    assert call(gateway(), body=body, kind=kind).text == "žluť"
    assert alarms() - before == guessed


@pytest.mark.django_db
def test_json_in_no_stated_charset_is_read_and_alarmed() -> None:
    before = alarms()
    body = json.dumps(mo("café"), ensure_ascii=False).encode("latin-1")
    assert call(gateway(), body=body, kind="application/json").text == "café"
    assert alarms() - before == 1


FORMS = [
    pytest.param("twilio", "MessageSid=SM1&From=%2B421900000787&To=1&Body=", id="twilio"),
    pytest.param("plivo", "MessageUUID=u1&From=421900000787&To=1&Text=", id="plivo"),
    pytest.param("elks", "id=s1&direction=incoming&from=%2B421900000787&to=1&message=", id="elks"),
    pytest.param("messagebird", "id=m1&originator=421900000787&recipient=1&body=", id="messagebird"),
    pytest.param("http_generic", f"{MO}&text=", id="generic"),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("vendor", "form"), FORMS)
@pytest.mark.parametrize(("kind", "guessed"), [(FORM, 1), (f"{FORM}; charset=ISO-8859-1", 0)])
def test_forms_of_every_vendor(vendor: str, form: str, kind: str, guessed: int) -> None:
    account = gateway() if vendor == "http_generic" else make_account(vendor=vendor)
    before = alarms(vendor)
    assert call(account, body=f"{form}caf%E9+%26".encode(), kind=kind).text == "café &"
    assert alarms(vendor) - before == guessed


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("hexadecimal", "text", "guessed"), [("041F0440", "Пр", 0), ("041FD83D", "П\ufffd", 1), ("zz", "?", 1)]
)
def test_text_in_hexadecimal(hexadecimal: str, text: str, guessed: int) -> None:
    before = alarms()
    body = f"id=1&from=421900000787&to=1&origin-connector=c&content=%3F&coding=8&binary={hexadecimal}"
    account = gateway(preset="jasmin", base_url="http://127.0.0.1:1401")
    assert call(account, body=body.encode()).text == text
    assert alarms() - before == guessed


@pytest.mark.django_db
def test_what_came_is_kept_and_a_setting_mends_it_by_a_replay() -> None:
    account = gateway()
    call(account, f"{MO}&text={written(CYRILLIC, 'koi8-r')}")
    InboundMessage.objects.all().delete()
    account.settings["hook_charset"] = "koi8-r"
    account.save()
    orders.create(kind="reports", filter=orders.ReplayFilter(), requested_by="somebody", reason="charset")
    orders.advance()
    inbox.read()
    assert InboundMessage.objects.get().text == CYRILLIC


@given(st.binary(max_size=200), st.text(max_size=20), st.text(max_size=20))
def test_no_bytes_and_no_names_break_it(body: bytes, charset: str, kind: str) -> None:
    for start in (b"", b"{", b"a="):
        hook = HookRequest(
            "POST",
            f"https://c.example/?a={charset}",
            "",
            {},
            {"content-type": f"{FORM}; {kind}={charset}"},
            start + body,
        )
        read = charsets.legible(hook, lambda fields: {"a": charset, charsets.EVERY: kind})
        json.dumps([dict(read.hook.query), read.hook.body.decode("utf-8", "replace")])
        assert stored_calls.digest(hook)
