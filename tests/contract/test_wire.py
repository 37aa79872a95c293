from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messaging.contract import callback_url, fields, wire
from messaging.contract.fields import FieldError
from messaging.contract.media import parse_media
from vendors.values import Channel, Media

HOSTS = ("bloomreach.co", "bloomreach.com", "exponea.com")
URL = "https://cloud-api.bloomreach.co/channels/hook/sms/1"
SMS: dict[str, Any] = {
    "from": " Acme ",
    "to": "00421900000123",
    "text": "Hello",
    "request_id": "r-1",
    "custom_data": "a.b-c_~",
    "callback_url": URL,
    "metadata": {"campaign": 1},
}
MMS: dict[str, Any] = {
    **SMS,
    "subject": "",
    "fallback_text": "",
    "media": {"url": "https://files.example/a.png"},
}
ABSENT = object()


def body(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in {**base, **changes}.items() if value is not ABSENT}


def problems(base: dict[str, Any], changes: dict[str, Any]) -> wire.Problems:
    parse = wire.parse_mms if "media" in base else wire.parse_sms
    with pytest.raises(wire.InvalidRequest) as caught:
        parse(body(base, changes), callback_hosts=HOSTS)
    return caught.value.fields


def test_sms_becomes_a_request():
    request = wire.parse_sms({**SMS, "colour": [1]}, callback_hosts=HOSTS)
    assert request == wire.SendRequest(
        channel=Channel.SMS,
        sender="Acme",
        recipient="+421900000123",
        raw_from=" Acme ",
        raw_to="00421900000123",
        text="Hello",
        request_id="r-1",
        custom_data="a.b-c_~",
        callback_url=URL,
        metadata={"campaign": 1},
        extra={"colour": [1]},
    )


def test_mms_becomes_a_request():
    request = wire.parse_mms({**MMS, "subject": "Look", "fallback_text": "plain"}, callback_hosts=HOSTS)
    assert request.channel is Channel.MMS
    assert (request.subject, request.fallback_text) == ("Look", "plain")
    assert request.media == (Media("https://files.example/a.png"),)


@pytest.mark.parametrize(
    ("name", "alias"),
    [(name, alias) for name, keys in wire.MMS_KEYS.items() for alias in keys[1:]],
)
def test_aliases_are_read(name: str, alias: str):
    changed = body(MMS, {name: ABSENT, alias: MMS[name]})
    assert wire.parse_mms(changed, callback_hosts=HOSTS) == wire.parse_mms(MMS, callback_hosts=HOSTS)


def test_the_key_we_speak_wins_over_an_alias_which_is_then_unknown():
    request = wire.parse_sms({**SMS, "content": "other"}, callback_hosts=HOSTS)
    assert request.text == "Hello"
    assert request.extra == {"content": "other"}


def test_a_null_request_id_is_not_replaced_by_an_alias():
    request = wire.parse_sms({**SMS, "request_id": None, "id": "x"}, callback_hosts=HOSTS)
    assert request.request_id is None
    assert request.extra == {"id": "x"}


@pytest.mark.parametrize("value", [ABSENT, None, ""], ids=["absent", "null", "empty"])
def test_without_request_id_the_callback_is_optional(value: Any):
    changes = {"request_id": value, "custom_data": value, "callback_url": value}
    request = wire.parse_sms(body(SMS, changes), callback_hosts=HOSTS)
    assert (request.request_id, request.custom_data, request.callback_url) == (None, "", "")


def test_a_test_message_still_needs_a_good_callback_url_when_it_has_one():
    assert list(problems(SMS, {"request_id": None, "callback_url": "http://x.example/"})) == ["callback_url"]


@pytest.mark.parametrize("value", [ABSENT, None], ids=["absent", "null"])
def test_metadata_may_be_missing(value: Any):
    assert wire.parse_sms(body(SMS, {"metadata": value}), callback_hosts=HOSTS).metadata == {}


@pytest.mark.parametrize("name", ["subject", "fallback_text", "text"])
def test_mms_texts_may_be_empty(name: str):
    assert getattr(wire.parse_mms({**MMS, name: ""}, callback_hosts=HOSTS), name) == ""


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        pytest.param({"from": ABSENT}, "from", "is required", id="no sender"),
        pytest.param({"from": None}, "from", "is required", id="null sender"),
        pytest.param({"from": 421900}, "from", "must be a string", id="sender a number"),
        pytest.param({"from": " "}, "from", "must not be empty", id="blank sender"),
        pytest.param(
            {"from": "TwelveLetter"},
            "from",
            "is too long for a name; it must be a number of 7 to 15 digits with its country code, a short code "
            "of 3 to 8 digits, or a name of 1 to 11 characters of the GSM alphabet",
            id="sender name too long",
        ),
        pytest.param({"to": ABSENT}, "to", "is required", id="no recipient"),
        pytest.param({"to": ["00421900000123"]}, "to", "must be a string", id="list of recipients"),
        pytest.param({"to": True}, "to", "must be a string", id="recipient a boolean"),
        *(
            pytest.param(
                {"to": value},
                "to",
                "must be an international number written 00 and 7 to 15 digits",
                id=f"recipient {word}",
            )
            for word, value in {
                "with plus": "+421900000123",
                "national": "0900000123",
                "too short": "00123456",
                "too long": "00" + "1" * 16,
                "with blank": "00421900000123 ",
                "with line end": "00421900000123\n",
                "in other digits": "00" + "\u0661" * 10,
            }.items()
        ),
        pytest.param({"text": ABSENT}, "text", "is required", id="no text"),
        pytest.param({"text": ""}, "text", "must not be empty", id="empty text"),
        pytest.param({"text": " \n"}, "text", "must not be empty", id="blank text"),
        pytest.param({"text": {}}, "text", "must be a string", id="text an object"),
        pytest.param(
            {"text": "x" * 10_001}, "text", "must not be longer than 10000 characters", id="text too long"
        ),
        pytest.param({"text": "a\x00b"}, "text", "must not contain the NUL character", id="NUL in text"),
        pytest.param(
            {"text": "a\ud83d"}, "text", "must not contain half of a surrogate pair", id="surrogate in text"
        ),
        pytest.param({"request_id": 7}, "request_id", "must be a string", id="request id a number"),
        pytest.param({"request_id": False}, "request_id", "must be a string", id="request id false"),
        pytest.param({"request_id": " "}, "request_id", "must not be blank", id="blank request id"),
        pytest.param(
            {"request_id": "x" * 201},
            "request_id",
            "must not be longer than 200 characters",
            id="request id too long",
        ),
        pytest.param(
            {"request_id": "\x00"}, "request_id", "must not contain the NUL character", id="NUL request id"
        ),
        pytest.param({"custom_data": ABSENT}, "custom_data", "is required", id="no custom data"),
        pytest.param({"custom_data": ""}, "custom_data", "must not be empty", id="empty custom data"),
        pytest.param(
            {"custom_data": {"a": 1}}, "custom_data", "must be a string", id="custom data an object"
        ),
        pytest.param(
            {"custom_data": "é" * 4097},
            "custom_data",
            "must not be longer than 8192 bytes",
            id="custom data too long",
        ),
        pytest.param({"callback_url": ABSENT}, "callback_url", "is required", id="no callback URL"),
        pytest.param({"callback_url": 1}, "callback_url", "must be a string", id="callback URL a number"),
        pytest.param({"metadata": []}, "metadata", "must be an object", id="metadata a list"),
        pytest.param({"metadata": "x"}, "metadata", "must be an object", id="metadata a string"),
        pytest.param(
            {"metadata": {"a": ["\x00"]}},
            "metadata",
            "must not contain the NUL character",
            id="NUL in metadata",
        ),
        pytest.param(
            {"metadata": {"\x00": 1}}, "metadata", "must not contain the NUL character", id="NUL in a key"
        ),
        pytest.param(
            {"colour": "\x00"}, "colour", "must not contain the NUL character", id="NUL in unknown key"
        ),
    ],
)
def test_each_rule_names_its_field(changes: dict[str, Any], field: str, words: str):
    assert problems(SMS, changes) == {field: [words]}


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        pytest.param({"subject": ABSENT}, "subject", "is required", id="no subject"),
        pytest.param({"fallback_text": ABSENT}, "fallback_text", "is required", id="no fallback"),
        pytest.param({"media": ABSENT}, "media", "is required", id="no media"),
        pytest.param({"media": "https://x.example/a"}, "media", "must be an object", id="media a string"),
        pytest.param({"media": {}}, "media", "must name at least one http(s) URL", id="media without URL"),
        pytest.param(
            {"media": {"url": 5}}, "media", "must name each file by its URL, a string", id="URL a number"
        ),
        pytest.param(
            {"media": {"url": "ftp://x.example/a"}},
            "media",
            "must name each file by an absolute http(s) URL without blanks",
            id="media by ftp",
        ),
        pytest.param(
            {"media": {"url": "https:// x"}},
            "media",
            "must name each file by an absolute http(s) URL without blanks",
            id="blank in URL",
        ),
        pytest.param(
            {"media": ["https://x.example/a"] * 11},
            "media",
            "must not name more than 10 files",
            id="11 files",
        ),
        pytest.param(
            {"media": {"url": "https://x.example/" + "a" * 2048}},
            "media",
            "must not hold a URL longer than 2048 characters",
            id="long URL",
        ),
        pytest.param(
            {"media": {"files": [{"url": "https://x.example/a", "content_type": 1}]}},
            "media",
            "must give content_type as a string of at most 255 characters",
            id="content type a number",
        ),
        pytest.param({"media": [[[[[["x"]]]]]]}, "media", "is nested too deeply", id="deep media"),
    ],
)
def test_each_mms_rule_names_its_field(changes: dict[str, Any], field: str, words: str):
    assert problems(MMS, changes) == {field: [words]}


def test_deep_metadata_is_an_error_and_no_crash():
    deep: dict[str, Any] = {}
    for _ in range(300):
        deep = {"a": deep}
    words = "is nested too deeply, or holds half of a surrogate pair"
    assert problems(SMS, {"metadata": deep}) == {"metadata": [words]}
    assert problems(SMS, {"colour": deep}) == {"colour": [words]}


def test_an_escaped_backslash_before_u0000_is_no_nul():
    request = wire.parse_sms({**SMS, "metadata": {"path": "C:\\u0000"}}, callback_hosts=HOSTS)
    assert request.metadata == {"path": "C:\\u0000"}


def test_every_wrong_field_is_named_at_once():
    with pytest.raises(wire.InvalidRequest) as caught:
        wire.parse_mms({"request_id": "r-9"}, callback_hosts=HOSTS)
    error = caught.value
    required = ["from", "to", "text", "custom_data", "callback_url", "subject", "fallback_text", "media"]
    assert error.fields == {name: ["is required"] for name in required}
    assert (error.code, error.request_id) == ("invalid_request", "r-9")
    assert all(f"{name} is required" in error.message for name in required)


@pytest.mark.parametrize(
    ("field", "code"),
    [
        ("from", "invalid_sender"),
        ("to", "invalid_recipient"),
        ("text", "invalid_text"),
        ("colour", "invalid_request"),
    ],
)
def test_one_wrong_field_has_a_code_of_its_own(field: str, code: str):
    assert wire.InvalidRequest({field: ["is wrong"]}).code == code


def test_limits_are_inclusive():
    full = {**SMS, "text": "x" * 10_000, "custom_data": "y" * 8192, "request_id": "z" * 200}
    request = wire.parse_sms(full, callback_hosts=HOSTS)
    assert (len(request.text), len(request.custom_data), len(request.request_id or "")) == (10_000, 8192, 200)


def test_nothing_private_is_in_a_repr_or_an_error():
    request = wire.parse_mms({**MMS, "text": "private words"}, callback_hosts=HOSTS)
    for private in ("private words", "421900000123", "Acme", "a.b-c_~", "cat.png"):
        assert private not in repr(request)
    with pytest.raises(wire.InvalidRequest) as caught:
        wire.parse_sms({**SMS, "to": "+421900000123", "text": "private words\x00"}, callback_hosts=HOSTS)
    assert "421900000123" not in str(caught.value)
    assert "private" not in str(caught.value)


@pytest.mark.parametrize(
    ("media", "files"),
    [
        pytest.param({"url": "https://a.example/1"}, [("https://a.example/1", "", "")], id="url"),
        pytest.param(
            {"urls": ["https://a.example/1", "http://a.example/2"]},
            [("https://a.example/1", "", ""), ("http://a.example/2", "", "")],
            id="urls",
        ),
        pytest.param({"image": "https://a.example/1"}, [("https://a.example/1", "", "")], id="image"),
        pytest.param({"video": "https://a.example/1"}, [("https://a.example/1", "", "")], id="video"),
        pytest.param({"audio": "https://a.example/1"}, [("https://a.example/1", "", "")], id="audio"),
        pytest.param(
            {"vcard": {"url": "https://a.example/1"}}, [("https://a.example/1", "", "")], id="vcard"
        ),
        pytest.param(
            {"files": [{"url": "https://a.example/1", "content_type": "image/png", "name": "a.png"}]},
            [("https://a.example/1", "image/png", "a.png")],
            id="files",
        ),
        pytest.param(
            ["https://a.example/1", {"url": "https://a.example/2", "name": "b"}],
            [("https://a.example/1", "", ""), ("https://a.example/2", "", "b")],
            id="bare list",
        ),
        pytest.param(
            {"url": None, "image": None, "video": "HTTPS://a.example/1"},
            [("HTTPS://a.example/1", "", "")],
            id="nulls beside one",
        ),
    ],
)
def test_media_shapes(media: Any, files: list[tuple[str, str, str]]):
    request = wire.parse_mms({**MMS, "media": media}, callback_hosts=HOSTS)
    assert request.media == tuple(Media(*item) for item in files)


@pytest.mark.parametrize(
    ("media", "files"),
    [
        pytest.param({"URL": "https://x.example/a"}, [("https://x.example/a", "", "")], id="capitals"),
        pytest.param(
            {"Files": [{"Url": "https://x.example/a", "contentType": "image/png", "Name": "a"}]},
            [("https://x.example/a", "image/png", "a")],
            id="camelCase",
        ),
        pytest.param(
            [{"url": "https://x.example/a", "content-type": "image/png"}],
            [("https://x.example/a", "image/png", "")],
            id="kebab-case",
        ),
        pytest.param(
            {"url": "https://x.example/a", "URL": "https://x.example/b"},
            [("https://x.example/a", "", "")],
            id="both: ours counts",
        ),
    ],
)
def test_keys_of_media_in_any_spelling(media: Any, files: list[tuple[str, str, str]]):
    request = wire.parse_mms({**MMS, "media": media}, callback_hosts=HOSTS)
    assert request.media == tuple(Media(*item) for item in files)


@pytest.mark.parametrize(
    "url",
    [
        "https://bloomreach.co",
        "https://bloomreach.co/",
        "https://a.b.exponea.com/x?y=z&w=%20#end",
        "HTTPS://Cloud-API.BLOOMREACH.CO/x",
        "https://bloomreach.co./x",
        "https://bloomreach.co:443/x",
        "https://bloomreach.co:0443/x",
        "https://own.example/x",
        "https://sub.own.example/x",
        "https://xn--mnchen-3ya.example/x",
        "https://odd.example:8443/x",
        "https://wild.example/x",
    ],
)
def test_callback_urls_that_are_allowed(url: str):
    hosts = (*HOSTS, "Own.Example.", "münchen.example", "odd.example:8443", "*.wild.example")
    assert callback_url.problem(url, hosts=hosts) == ""


FORM = (
    "must be an absolute https:// URL of ASCII characters (an international host name as xn--…), "
    "without blanks, backslashes or a user name"
)
HOST = "names a host that is not allowed; allowed are bloomreach.co, bloomreach.com, exponea.com and their subdomains"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        pytest.param("", FORM, id="empty"),
        pytest.param("/channels/hook", FORM, id="relative"),
        pytest.param("https:///x", FORM, id="no host"),
        pytest.param("ftp://bloomreach.co/", FORM, id="scheme"),
        pytest.param("javascript:alert(1)", FORM, id="javascript"),
        pytest.param("https://user@bloomreach.co/", FORM, id="user"),
        pytest.param("https://bloomreach.co@evil.example/", FORM, id="host as user"),
        pytest.param("https://evil.example\\@bloomreach.co/", FORM, id="backslash"),
        pytest.param("https://bloomreach.co\\.evil.example/", FORM, id="backslash after"),
        pytest.param("https://bloomreach.co\t.evil.example/", FORM, id="tab"),
        pytest.param("https://bloomreach.co/\n", FORM, id="line end"),
        pytest.param(" https://bloomreach.co/", FORM, id="blank before"),
        pytest.param("https://bloomreach.co /", FORM, id="blank within"),
        pytest.param("https://bloomreach。co/", FORM, id="other full stop"),
        pytest.param("https://bl\u043e\u043emreach.co/", FORM, id="Cyrillic letters"),
        pytest.param("https://bloomreach.co:99999999/", FORM, id="port of many digits"),
        pytest.param("https://[::ffff:127.0.0.1]/", FORM, id="mapped address"),
        pytest.param("http://bloomreach.co/", "must begin with https://", id="http"),
        pytest.param("http://127.0.0.1/", "must begin with https://", id="http loopback"),
        pytest.param("https://evil.example/", HOST, id="other host"),
        pytest.param("https://evil.example/?https://bloomreach.co", HOST, id="host in the query"),
        pytest.param("https://evil.example#@bloomreach.co/", HOST, id="host in the fragment"),
        pytest.param("https://notbloomreach.co/", HOST, id="suffix without a dot"),
        pytest.param("https://bloomreach.co.evil.example/", HOST, id="prefix"),
        pytest.param(
            "https://a..bloomreach.co/", "can never be dialled: the URL names no host", id="empty label"
        ),
        pytest.param("https://bloomreach.co:8443/", HOST, id="other port"),
        pytest.param(
            "https://bloomreach.co:0/", "can never be dialled: the URL's port is out of range", id="port 0"
        ),
        pytest.param(
            "https://bloomreach.co:00/", "can never be dialled: the URL's port is out of range", id="port 00"
        ),
        pytest.param(
            "https://bloomreach.co:99999/",
            "can never be dialled: the URL's port is out of range",
            id="port 99999",
        ),
        pytest.param("https://bloomreach.co:80/", HOST, id="port of http"),
        pytest.param("https://127.0.0.1/", HOST, id="loopback"),
        pytest.param("https://2130706433/", HOST, id="address as number"),
        pytest.param("https://localhost/", HOST, id="localhost"),
        pytest.param("https://[::1]/", HOST, id="loopback of IPv6"),
        pytest.param(
            "https://bloomreach.co/" + "x" * 2048, "must not be longer than 2048 characters", id="long"
        ),
    ],
)
def test_callback_urls_that_are_refused(url: str, words: str):
    assert callback_url.problem(url, hosts=HOSTS) == words


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8002/cb", "http://localhost:1/", "http://[::1]:9/", "http://bloomreach.co/"]
)
def test_the_demo_may_call_this_machine(url: str):
    assert callback_url.problem(url, hosts=HOSTS) != ""
    assert callback_url.problem(url, hosts=HOSTS, demo=True) == ""


def test_the_demo_may_not_call_others():
    assert callback_url.problem("http://127.0.0.1.evil.example/", hosts=HOSTS, demo=True) == HOST


OCCURRED = datetime(2025, 11, 22, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=1)))
EVENT, MESSAGE = UUID(int=1), UUID(int=2)


def outbound(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "event_id": EVENT,
        "channel": Channel.MMS,
        "status": "delivered",
        "occurred_at": OCCURRED,
        "request_id": "r-1",
        "message_id": MESSAGE,
        "sender": "Acme",
        "recipient": "00421900000123",
        "custom_data": "a b",
        "error": None,
        "segments": 2,
        "sent_as": Channel.SMS,
        "metadata": {"k": 1},
        "correction": False,
    }
    return wire.outbound_event(**{**fields, **changes})


def test_outbound_event_has_the_contracts_shape():
    assert outbound() == {
        "event_id": str(EVENT),
        "channel": "mms",
        "status": "delivered",
        "timestamp": OCCURRED.replace(microsecond=123000).timestamp(),
        "request_id": "r-1",
        "message_id": str(MESSAGE),
        "from": "Acme",
        "to": "00421900000123",
        "custom_data": "a b",
        "segments": 2,
        "sent_as": "sms",
        "metadata": {"k": 1},
    }


def test_error_and_correction_come_only_when_there_is_one():
    error = {"code": "undelivered", "message": "Absent subscriber", "vendor_code": "30003"}
    failed = outbound(status="failed", error=error, correction=True)
    assert failed == {**outbound(), "status": "failed", "error": error, "correction": True}


@pytest.mark.parametrize(
    ("ours", "written"), [("+421900000001", "00421900000001"), ("12345", "12345"), ("Acme", "Acme")]
)
def test_inbound_event_can_be_answered(ours: str, written: str):
    event = wire.inbound_event(
        event_id=EVENT,
        channel="sms",
        occurred_at=datetime(2025, 1, 1, tzinfo=UTC),
        sender_msisdn="+421900000123",
        recipient=ours,
        text="STOP",
        media=[{"url": "https://a.example/1"}],
        message_id=MESSAGE,
    )
    assert event == {
        "event_id": str(EVENT),
        "channel": "sms",
        "type": "incoming_message",
        "timestamp": 1735689600.0,
        "from": "00421900000123",
        "to": written,
        "text": "STOP",
        "media": [{"url": "https://a.example/1"}],
        "message_id": str(MESSAGE),
    }
    answer = {**SMS, "from": event["to"], "to": event["from"]}
    assert wire.parse_sms(answer, callback_hosts=HOSTS).recipient == "+421900000123"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=6,
)
some_keys = st.sampled_from([key for keys in wire.MMS_KEYS.values() for key in keys])


@given(st.dictionaries(some_keys | st.text(max_size=5), anything, max_size=8))
def test_no_body_crashes_the_parser(changes: dict[str, Any]):
    for base, parse in ((SMS, wire.parse_sms), (MMS, wire.parse_mms)):
        try:
            parse({**base, **changes}, callback_hosts=HOSTS)
        except wire.InvalidRequest as error:
            assert error.fields


@pytest.mark.parametrize(
    ("written", "url"),
    [
        pytest.param("https://m.example/žltý.jpg", "https://m.example/%C5%BElt%C3%BD.jpg", id="path"),
        pytest.param(
            "https://m.example/a%20ž?q=é&x=%2F", "https://m.example/a%20%C5%BE?q=%C3%A9&x=%2F", id="once"
        ),
        pytest.param("https://münchen.example/a", "https://xn--mnchen-3ya.example/a", id="host"),
        pytest.param("https://straße.example:8443/ß", "https://xn--strae-oqa.example:8443/%C3%9F", id="both"),
        pytest.param(
            "https://m.example/a b".replace(" ", "%20"), "https://m.example/a%20b", id="ASCII stays"
        ),
        pytest.param("HTTPS://M.example/%c5%be", "HTTPS://M.example/%c5%be", id="ASCII stays to the letter"),
    ],
)
def test_addresses_beyond_ascii_are_encoded_once(written: str, url: str):
    assert [file.url for file in parse_media({"urls": [written, {"url": written}]})] == [url, url]
    hosts = ("m.example", "münchen.example", "xn--strae-oqa.example:8443")
    assert fields.callback_url(written, optional=False, hosts=hosts, demo=False) == url


@pytest.mark.parametrize(
    "written",
    [
        pytest.param("https://-ž-.example/a", id="hyphens"),
        pytest.param(f"https://{'ž' * 80}.example/", id="a label too long"),
        pytest.param("https://\u0661.example/", id="other digits"),
    ],
)
def test_hosts_that_are_no_names_are_refused(written: str):
    with pytest.raises(FieldError, match="host is a valid name"):
        parse_media({"url": written})
    with pytest.raises(FieldError, match="host"):
        fields.callback_url(written, optional=False, hosts=("example",), demo=False)


def test_a_callback_host_that_only_looks_allowed_is_judged_by_what_is_dialled():
    for written in (
        "https://bloomreach。co.evil.example/",
        "https://evil.example\uff0fbloomreach.co/",
        "https://bl\u043e\u043emreach.co/",
    ):
        with pytest.raises(FieldError):
            fields.callback_url(written, optional=False, hosts=("bloomreach.co",), demo=False)


def test_a_url_that_grows_too_long_is_refused():
    with pytest.raises(FieldError, match="once it is percent-encoded"):
        parse_media({"url": "https://m.example/" + "ž" * 500})
