from __future__ import annotations

import base64
import html
import json
import random
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbound import redaction
from outbound.http import trace
from outbound.values import CallFailure, HttpRequest, HttpResponse

SECRET = 'p@ss/w+rd "žluť"&<ä>'
KEY = "AC0123456789abcdef"


def _request(**overrides: Any) -> HttpRequest:
    return HttpRequest(**{"method": "POST", "url": "https://api.example/send", **overrides})


def _response(body: bytes, **overrides: Any) -> HttpResponse:
    return HttpResponse(**{"status": 200, "headers": {}, "body": body, "seconds": 0.12345, **overrides})


def test_a_trace_tells_the_whole_exchange() -> None:
    seen = trace(
        _request(headers={"Content-Type": "text/plain"}, body=b"hello"),
        _response(b'{"id": "1"}', headers={"Retry-After": "5"}),
        secrets=[],
    )
    assert seen == {
        "request": {
            "method": "POST",
            "url": "https://api.example/send",
            "headers": {"Content-Type": "text/plain"},
            "body": "hello",
        },
        "response": {
            "status": 200,
            "headers": {"Retry-After": "5"},
            "seconds": 0.123,
            "truncated": False,
            "body": '{"id": "1"}',
        },
    }


def test_a_failure_is_told_too() -> None:
    failure = CallFailure("timeout", "no complete answer within 15 s", sent=True, seconds=15.0)
    assert trace(_request(), failure, secrets=[])["response"] == {
        "failure": "timeout",
        "text": "no complete answer within 15 s",
        "sent": True,
        "seconds": 15.0,
    }
    assert trace(_request(), None, secrets=[])["response"] == {}


def _basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


WRITINGS = [
    pytest.param(SECRET, id="raw"),
    pytest.param(quote(SECRET, safe=""), id="URL quoted"),
    pytest.param(quote(SECRET), id="URL quoted, slash left"),
    pytest.param(quote_plus(SECRET), id="form quoted"),
    pytest.param(quote(SECRET, safe="").lower(), id="URL quoted, lower case hex"),
    pytest.param(json.dumps(SECRET)[1:-1], id="JSON, ASCII only"),
    pytest.param(json.dumps(SECRET, ensure_ascii=False)[1:-1], id="JSON"),
    pytest.param(json.dumps(SECRET)[1:-1].replace("/", "\\/"), id="JSON, slashes escaped"),
    pytest.param(html.escape(SECRET), id="HTML"),
    pytest.param(html.escape(SECRET, quote=False), id="HTML, quotes left"),
]


@pytest.mark.parametrize("written", WRITINGS)
def test_a_secret_is_found_in_every_writing(written: str) -> None:
    seen = trace(
        _request(url=f"https://api.example/{quote(written, safe='%')}/x", headers={"X-Echo": written}),
        _response(f"<< {written} >>".encode(), headers={"X-Echo": f"a {written} b"}),
        secrets=[SECRET, ""],
    )
    assert seen["response"]["body"] == "<< *** >>"
    assert seen["response"]["headers"] == {"X-Echo": "a *** b"}
    assert seen["request"]["headers"] == {"X-Echo": "***"}


@pytest.mark.parametrize("user", ["", "u", "us", "use", "user"], ids=len)
@pytest.mark.parametrize("tail", ["", "x", "xy"], ids=["end", "one more", "two more"])
def test_a_secret_is_found_inside_base64(user: str, tail: str) -> None:
    encoded = _basic(user, SECRET + tail)
    url_safe = encoded.replace("+", "-").replace("/", "_")
    seen = trace(_request(), _response(f"{encoded} {url_safe}".encode()), secrets=[SECRET])
    left = [part.replace("***", "") for part in seen["response"]["body"].split(" ")]
    assert len(left) == 2
    # What stays are characters of the user's name, the colon and the tail.
    assert all(len(part) <= len(_basic(user, tail)) + 2 for part in left)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "Authorization",
            "authorization",
            "Proxy-Authorization",
            "Cookie",
            "Set-Cookie",
            "X-Api-Key",
            "apikey",
        ),
        *("X-Auth-Token", "Chan-Token", "X-Twilio-Signature", "Client-Secret", "X-Password", "Access-Key"),
    ],
)
def test_headers_that_carry_secrets_are_masked_by_name(name: str) -> None:
    seen = trace(_request(headers={name: "v4lue"}), _response(b"", headers={name: "v4lue"}), secrets=[])
    assert (seen["request"]["headers"], seen["response"]["headers"]) == ({name: "***"}, {name: "***"})


@pytest.mark.parametrize(
    "name", ["Content-Type", "Retry-After", "Idempotency-Key", "WWW-Authenticate", "Date"]
)
def test_other_headers_are_shown(name: str) -> None:
    assert trace(_request(headers={name: "v"}), None, secrets=[])["request"]["headers"] == {name: "v"}


def test_the_requests_own_credentials_are_not_shown_when_they_are_echoed() -> None:
    token = f"Basic {_basic('user', 'un-declared')}"
    seen = trace(
        _request(headers={"Authorization": token, "X-Api-Key": "k3y-undeclared"}),
        _response(f"you sent {token}, {_basic('user', 'un-declared')}, un-declared, k3y-undeclared".encode()),
        secrets=[],
    )
    assert seen["response"]["body"] == "you sent ***, ***, ***, ***"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        pytest.param("https://u:p@api.example/x", "https://api.example/x", id="userinfo"),
        pytest.param("https://api.example/x@y", "https://api.example/x@y", id="at sign in the path"),
        pytest.param(f"https://api.example/{KEY}/x", "https://api.example/***/x", id="secret in the path"),
        pytest.param(
            "https://a.example/?api_key=abc&to=1&Token=x#f",
            "https://a.example/?api_key=***&to=1&Token=***#f",
            id="names",
        ),
        pytest.param("https://a.example/?monkeys=3", "https://a.example/?monkeys=***", id="rather too much"),
    ],
)
def test_urls(url: str, shown: str) -> None:
    assert trace(_request(url=url), None, secrets=[KEY])["request"]["url"] == shown


@pytest.mark.parametrize("written", WRITINGS)
def test_a_text_is_masked_whole(written: str) -> None:
    text = f"{'x' * 20_000} {written} {written} y"
    assert redaction.masked(text, secrets=[SECRET]) == f"{'x' * 20_000} *** *** y"
    assert redaction.masked(text, secrets=["", KEY]) == text


def _huge(seed: int) -> str:
    chars = 'a"\\\n\x00\u017e\U0001f600\ud83d<'
    return "".join(random.Random(seed).choices(chars, k=40_000))  # noqa: S311 - no secret is made of it


@pytest.mark.parametrize("seed", range(5))
def test_a_trace_is_at_most_8_kib_and_fills_what_it_has(seed: int) -> None:
    text = _huge(seed)
    headers = {f"X-{index}-{text[:300]}": text for index in range(60)}
    body = text.encode("utf-8", "surrogatepass")
    seen = trace(
        _request(method="POST" * 50, url="https://a.example/" + text, headers=headers, body=body),
        _response(body, headers=headers),
        secrets=[KEY],
    )
    assert 7000 < len(json.dumps(seen)) <= 8192
    assert len(seen["request"]["body"]) > 50
    assert len(seen["response"]["body"]) > 50


def test_one_long_body_takes_all_the_room() -> None:
    seen = trace(_request(body=b"x" * 50_000), CallFailure("reset", "t", sent=True), secrets=[])
    assert 8100 < len(json.dumps(seen)) <= 8192
    seen = trace(_request(body=b"short"), _response(b"x" * 50_000), secrets=[])
    assert 8000 < len(json.dumps(seen)) <= 8192
    assert seen["request"]["body"] == "short"


@given(st.integers(7000, 9000), st.integers(1, 400))
def test_no_piece_of_a_secret_is_left_at_the_cut(before: int, secrets_before: int) -> None:
    secret = "S3CR3T-" * 6
    body = (secret * secrets_before + "." * before + secret + "." * 5000).encode()
    shown = trace(_request(), _response(body), secrets=[secret])["response"]["body"]
    assert "S" not in shown.replace("***", "")
    assert "3" not in shown


def test_what_postgresql_cannot_store_is_replaced() -> None:
    seen = trace(_request(headers={"X": "a\x00b"}, body=b"a\x00\xffb"), _response(b"\x00"), secrets=[])
    assert seen["request"]["headers"] == {"X": "a\ufffdb"}
    assert (seen["request"]["body"], seen["response"]["body"]) == ("a\ufffd\ufffdb", "\ufffd")


@pytest.mark.django_db
def test_postgresql_takes_it() -> None:
    from django.db import connection as database

    text = _huge(9)
    seen = trace(_request(headers={text: text}, body=text.encode("utf-8", "surrogatepass")), None, secrets=[])
    with database.cursor() as cursor:
        cursor.execute("select %s::jsonb", [json.dumps(seen)])
        assert cursor.fetchone() is not None


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        pytest.param("The number +421900000123 is wrong", "The number … is wrong", id="with a plus"),
        pytest.param("to: 00421900000123.", "to: ….", id="with 00"),
        pytest.param("error 30003 at 12:30", "error 30003 at 12:30", id="codes and times stay"),
        pytest.param("id 7b1f0c1e-1234567-aa", "id 7b1f0c1e-1234567-aa", id="ids stay"),
        pytest.param("key k-secret, 421900000123", "key ***, …", id="a secret and a number"),
    ],
)
def test_a_vendors_words_hold_no_number(said: str, shown: str) -> None:
    assert redaction.words(said, secrets=["k-secret"]) == shown


COMMON = "test"  # a secret that is a word too


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        pytest.param(
            "username=u&password=test&text=This+is+a+test", "username=u&password=***&text=This+is+a+test"
        ),
        pytest.param("p=test&text=test", "p=***&text=test", id="as a whole, and not where people write"),
        pytest.param("p=te%73t&id=latest-5", "p=***&id=latest-5", id="quoted"),
        pytest.param(
            '{"pass": "test", "password": "x", "text": "greatest"}',
            '{"pass": "***", "password": "***", "text": "greatest"}',
        ),
        pytest.param("<a><pin>test</pin><text>a test</text></a>", "<a><pin>***</pin><text>a test</text></a>"),
        pytest.param("Authorization failed: latest", "Authorization failed: latest", id="prose"),
    ],
)
def test_a_short_secret_is_masked_by_its_field_and_changes_no_text(body: str, shown: str) -> None:
    url = "https://api.example/send?user=u&password=test&text=a+test"
    seen = trace(_request(url=url, body=body.encode()), _response(body.encode()), secrets=[COMMON, "e"])
    assert seen["request"]["url"] == "https://api.example/send?user=u&password=***&text=a+test"
    assert (seen["request"]["body"], seen["response"]["body"]) == (shown, shown)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        pytest.param("wrong password s3cr3t!", "wrong password ***!", id="alone"),
        pytest.param("id as3cr3t-1", "id as3cr3t-1", id="a part of an id"),
    ],
)
def test_a_short_secret_is_masked_in_a_vendors_words_where_it_stands_alone(said: str, shown: str) -> None:
    assert redaction.words(said, secrets=["s3cr3t", "wrong", "1"]) == shown


@pytest.mark.parametrize("secret", ["", "e", "t", "test", "greatest", "subscription"])
def test_a_word_is_never_masked_within_a_text(secret: str) -> None:
    text = '{"text": "the greatest test of a subscription"}'
    assert redaction.masked(text, secrets=[secret]) == text
    assert redaction.words(text, secrets=[secret]) == text
