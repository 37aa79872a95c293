"""One form of refusal: JSON, or its words as plain text, with what the caller may do next."""

from __future__ import annotations

import pytest

from messaging.contract import envelope


def test_a_refusal_in_json() -> None:
    answer = envelope.refusal(503, "busy", "Try again (café).", retry_after=5, headers={"Allow": "GET"})
    assert answer.status_code == 503
    assert answer.code == "busy"
    assert answer.content.decode() == (
        '{"message":"Try again (café).","error":{"code":"busy","message":"Try again (café).","fields":{}},'
        '"request_id":null}'
    )
    assert dict(answer.headers) == {"Content-Type": "application/json", "Retry-After": "5", "Allow": "GET"}


def test_a_refusal_in_plain_text() -> None:
    answer = envelope.refusal(404, "not_found", "There is nothing at this address.", accept="text/plain")
    assert answer.content == b"There is nothing at this address."
    assert dict(answer.headers) == {"Content-Type": "text/plain; charset=utf-8"}


@pytest.mark.parametrize(
    ("accept", "usual", "form"),
    [
        pytest.param("", "text", b"words", id="the usual form"),
        pytest.param("application/json", "text", b'{"a":1}', id="the header decides"),
    ],
)
def test_who_chooses_the_form(accept: str, usual: str, form: bytes) -> None:
    assert envelope.answer(200, {"a": 1}, words="words", accept=accept, usual=usual).content == form


def test_an_envelope_names_fields_and_request() -> None:
    assert envelope.envelope("invalid_request", "No.", {"to": ["Wrong."]}, "r-1") == {
        "message": "No.",
        "error": {"code": "invalid_request", "message": "No.", "fields": {"to": ["Wrong."]}},
        "request_id": "r-1",
    }
