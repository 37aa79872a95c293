"""Retry-After: seconds, dates of three forms, and everything that is neither."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbound import retry_after

NOW = datetime(2025, 11, 22, 12, 0, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        pytest.param("120", 120.0, id="seconds"),
        pytest.param(" 5 ", 5.0, id="blanks around"),
        pytest.param("1.5", 1.5, id="fractions, against the RFC"),
        pytest.param("0", 0.0, id="zero"),
        pytest.param("Sat, 22 Nov 2025 12:01:30 GMT", 90.0, id="HTTP date"),
        pytest.param("Saturday, 22-Nov-25 12:01:30 GMT", 90.0, id="RFC 850 date"),
        pytest.param("Sat Nov 22 12:01:30 2025", 90.0, id="asctime date has no zone: UTC"),
        pytest.param("Sat, 22 Nov 2025 13:01:30 +0100", 90.0, id="another zone"),
        pytest.param("Sat, 22 Nov 2025 11:00:00 GMT", 0.0, id="past date"),
        pytest.param(None, None, id="no header"),
        pytest.param("", None, id="empty"),
        pytest.param("soon", None, id="a word"),
        pytest.param("-1", None, id="negative"),
        pytest.param("inf", None, id="infinity"),
        pytest.param("nan", None, id="not a number"),
        pytest.param("1e9", None, id="exponent"),
        pytest.param("١٢", None, id="digits of another script"),
        pytest.param("9" * 5000, None, id="absurd"),
        pytest.param("Sat, 99 Nov 2025 11:00:00 GMT", None, id="impossible date"),
        pytest.param("Sat, 22 Nov 99999 11:00:00 GMT", None, id="impossible year"),
    ],
)
def test_seconds(header: str | None, seconds: float | None) -> None:
    assert retry_after.seconds_of(header, NOW) == seconds


@given(st.text(max_size=60))
def test_no_header_raises(header: str) -> None:
    seconds = retry_after.seconds_of(header, NOW)
    assert seconds is None or seconds >= 0
