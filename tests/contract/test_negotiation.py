from __future__ import annotations

import pytest

from messaging.contract.negotiation import wants_text


@pytest.mark.parametrize(
    ("accept", "json_usual", "text_usual"),
    [
        pytest.param("", False, True, id="nothing said"),
        pytest.param("*/*", False, True, id="anything"),
        pytest.param("text/plain", True, True, id="text"),
        pytest.param("TEXT/Plain; charset=utf-8", True, True, id="text in capitals, with a charset"),
        pytest.param("text/plain, */*", True, True, id="text before anything"),
        pytest.param("text/*", True, True, id="any text"),
        pytest.param("application/json", False, False, id="json"),
        pytest.param(
            "application/json, text/plain, */*", False, True, id="both, as a browser's library says"
        ),
        pytest.param("application/json;q=0.5, text/plain", True, True, id="text weighs more"),
        pytest.param("text/plain;q=0.1, application/json", False, False, id="json weighs more"),
        pytest.param("text/plain;q=0", False, True, id="text refused"),
        pytest.param("text/plain;q=0, */*", False, False, id="anything but text"),
        pytest.param("text/html", False, True, id="neither"),
        pytest.param("text/plain;q=x", False, True, id="no number"),
        pytest.param(",;=, ;q", False, True, id="rubbish"),
    ],
)
def test_which_form_is_wanted(accept: str, json_usual: bool, text_usual: bool) -> None:
    assert wants_text(accept) is json_usual
    assert wants_text(accept, usual="text") is text_usual
