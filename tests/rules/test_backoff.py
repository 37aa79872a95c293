from __future__ import annotations

import pytest

from messaging.rules import backoff

LOW, MIDDLE, HIGH = (lambda: 0.0), (lambda: 0.5), (lambda: 0.999999999)
MATCH_ROWS = (2, 10, 60, 300, 1800, 7200, 21_600, 43_200, 86_400, 86_400, 12_228)


@pytest.mark.parametrize(
    ("attempt", "seconds"),
    [
        pytest.param(0, 5, id="never less than the first row"),
        pytest.param(1, 5, id="5 s"),
        pytest.param(2, 30, id="30 s"),
        pytest.param(3, 120, id="2 m"),
        pytest.param(4, 600, id="10 m"),
        pytest.param(5, 1800, id="30 m"),
        pytest.param(6, 1800, id="30 m again"),
        pytest.param(20, 1800, id="the last attempt"),
        pytest.param(10**9, 1800, id="no end"),
    ],
)
def test_send_delay(attempt: int, seconds: float) -> None:
    assert backoff.send_delay(attempt, rand=MIDDLE) == pytest.approx(seconds)
    assert backoff.send_delay(attempt, rand=LOW) == pytest.approx(0.8 * seconds)
    assert backoff.send_delay(attempt, rand=HIGH) == pytest.approx(1.2 * seconds)


@pytest.mark.parametrize(
    ("tries", "seconds"),
    [
        pytest.param(0, 5, id="never less than the first row"),
        pytest.param(1, 5, id="5 s"),
        pytest.param(2, 30, id="30 s"),
        pytest.param(3, 120, id="2 m"),
        pytest.param(4, 600, id="10 m"),
        pytest.param(5, 1800, id="30 m"),
        pytest.param(6, 3600, id="1 h"),
        pytest.param(7, 3 * 3600, id="3 h"),
        pytest.param(8, 6 * 3600, id="6 h"),
        pytest.param(9, 12 * 3600, id="12 h"),
        pytest.param(10, 24 * 3600, id="24 h"),
        pytest.param(11, 24 * 3600, id="24 h again"),
    ],
)
def test_callback_delay(tries: int, seconds: float) -> None:
    assert backoff.callback_delay(tries, rand=MIDDLE) == pytest.approx(seconds)
    assert backoff.callback_delay(tries, rand=LOW) == pytest.approx(0.8 * seconds)
    assert backoff.callback_delay(tries, rand=HIGH) == pytest.approx(1.2 * seconds)


def test_callbacks_are_exhausted_after_eleven_waits_of_about_three_days() -> None:
    assert backoff.callback_delay(12, rand=MIDDLE) is None
    assert backoff.callback_delay(12, retry_after=1, rand=MIDDLE) is None
    assert sum(backoff.CALLBACK_DELAYS) / 86_400 == pytest.approx(2.95, abs=0.01)


@pytest.mark.parametrize(
    ("retry_after", "least", "most"),
    [
        pytest.param(None, 4, 6, id="not asked: the table"),
        pytest.param(0, 4, 6, id="0 shortens nothing"),
        pytest.param(1, 4, 6, id="1 s shortens nothing"),
        pytest.param(-5, 4, 6, id="the past"),
        pytest.param(90, 90, 108, id="never earlier than asked"),
        pytest.param(3600, 3600, 4320, id="one hour"),
        pytest.param(86_400, 3600, 4320, id="clamped to one hour"),
        pytest.param(float("inf"), 3600, 4320, id="clamped, infinity too"),
    ],
)
def test_retry_after(retry_after: float | None, least: float, most: float) -> None:
    for delay in (backoff.send_delay, backoff.callback_delay):
        assert delay(1, retry_after=retry_after, rand=LOW) == pytest.approx(least)
        assert delay(1, retry_after=retry_after, rand=HIGH) == pytest.approx(most)


@pytest.mark.parametrize(
    ("tries", "seconds"),
    [
        *[pytest.param(row, wait, id=f"row {row}") for row, wait in enumerate(MATCH_ROWS, start=1)],
        pytest.param(12, None, id="orphan"),
    ],
)
def test_match_delay(tries: int, seconds: float | None) -> None:
    assert backoff.match_delay(tries) == seconds


def test_unmatched_reports_wait_72_hours_in_total() -> None:
    assert sum(backoff.MATCH_DELAYS) == 72 * 3600


def test_constants() -> None:
    assert backoff.SEND_ATTEMPTS_MAX == 20
