"""What the demo prints, on a terminal and elsewhere."""

import io

import pytest

from simulator.screen import BOLD, Screen


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")


def test_elsewhere_progress_is_a_line_now_and_then() -> None:
    out = io.StringIO()
    screen = Screen.on(out)
    for n in range(3):
        screen.progress(f"look {n}")
    screen.say(screen.paint("end", BOLD))
    lines = out.getvalue().splitlines()
    assert [line[-6:] for line in lines] == ["look 0", "end"]
    assert "\x1b" not in out.getvalue()


def test_a_terminal_has_one_live_line_that_fits() -> None:
    out = Terminal()
    screen = Screen.on(out)
    screen.progress("x" * 100)
    screen.progress("y")
    screen.say("end")
    first, second, rest = out.getvalue().split("\r\x1b[K")[1:]
    assert (len(first), second[-1], rest) == (39, "y", "end\n")


@pytest.mark.parametrize(
    ("name", "value", "coloured"),
    [
        pytest.param("NO_COLOR", "1", False, id="NO_COLOR"),
        pytest.param("NO_COLOR", "", True, id="NO_COLOR empty"),
        pytest.param("TERM", "dumb", False, id="dumb"),
        pytest.param("TERM", "xterm", True, id="colour"),
    ],
)
def test_colours(monkeypatch: pytest.MonkeyPatch, name: str, value: str, coloured: bool) -> None:
    monkeypatch.setenv(name, value)
    assert ("\x1b" in Screen.on(Terminal()).paint("x", BOLD)) is coloured
    assert Screen.on(io.StringIO()).paint("x", BOLD) == "x"


def test_a_table_is_aligned() -> None:
    out = io.StringIO()
    Screen.on(out).table(["", "SMS", "total"], [["accepted", "7", "1234567"], ["  of these", "", "2"]])
    assert out.getvalue() == (
        "            SMS    total\n"
        "accepted      7  1234567\n"
        "  of these             2\n"
    )  # fmt: skip
