"""One cause, one line a minute; the lines between are counted."""

from __future__ import annotations

import logging

import pytest

from messaging.watch import counters, seldom

log = logging.getLogger("a.module")
log.addFilter(seldom.once_a_minute)


def test_the_first_line_is_written_and_the_others_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    seldom.forget()
    now = [1000.0]
    monkeypatch.setattr(seldom.time, "monotonic", lambda: now[0])
    assert [seldom.since_last("a") for _ in range(3)] == [0, None, None]
    assert seldom.since_last("b") == 0
    now[0] += seldom.EVERY
    assert [seldom.since_last("a"), seldom.since_last("a"), seldom.since_last("b")] == [2, None, 0]


def test_a_line_says_how_many_were_left_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seldom.forget()
    now = [1000.0]
    monkeypatch.setattr(seldom.time, "monotonic", lambda: now[0])
    for cause in (7, 7, 7, 8):
        log.warning("a fault", extra={"cause": cause, "vendor": "simulator"})
    log.warning("another fault", extra={"cause": 7})
    for _ in range(2):
        log.warning("a fault without a cause")
    now[0] += seldom.EVERY
    log.warning("a fault", extra={"cause": 7, "vendor": "simulator"})
    written = [(record.getMessage(), getattr(record, "left_out", None)) for record in caplog.records]
    assert written == [
        *[("a fault", None), ("a fault", None), ("another fault", None)],
        *[("a fault without a cause", None), ("a fault without a cause", None), ("a fault", 2)],
    ]
    assert not any(hasattr(record, "cause") for record in caplog.records)


def test_words_that_a_caller_makes_up_make_no_series_without_end() -> None:
    for n in range(counters.WORDS + 20):
        counters.drift(vendor="made-up", word=f"word {n}")
    counters.drift(vendor="made-up", word="word 0")
    counters.drift(vendor="made-up", word="charset")
    told = [
        sample
        for family in counters.contract_drift.collect()
        for sample in family.samples
        if sample.labels["vendor"] == "made-up" and sample.name.endswith("_total")
    ]
    assert len(told) == counters.WORDS + 1
    assert sum(sample.value for sample in told) == counters.WORDS + 22
    assert [sample.value for sample in told if sample.labels["word"] == "others"] == [21]
