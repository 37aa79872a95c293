"""One cause, one line a minute; the lines between are counted."""

from __future__ import annotations

import pytest

from messaging.services import seldom


def test_the_first_line_is_written_and_the_others_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    seldom.forget()
    now = [1000.0]
    monkeypatch.setattr(seldom.time, "monotonic", lambda: now[0])
    assert [seldom.since_last("a") for _ in range(3)] == [0, None, None]
    assert seldom.since_last("b") == 0
    now[0] += seldom.EVERY
    assert [seldom.since_last("a"), seldom.since_last("a"), seldom.since_last("b")] == [2, None, 0]
