"""Patterns and templates that an operator may write by mistake or in malice: each is quick, or refused in words."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from vendors import registry
from vendors.base import SettingsError
from vendors.http_checks import joined
from vendors.http_patterns import MAX_TEXT, Body, PatternError, check_place, find, holds
from vendors.http_templates import TemplateError, check, render

SOON = 2.0  # seconds: a hundred times what each of these takes, and nothing to what they took
BLANKS = " " * 9_000


@contextmanager
def soon() -> Iterator[None]:
    started = time.process_time()
    yield
    assert time.process_time() - started < SOON


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        pytest.param("^(.*);(.*);(.*);OK$", ";a" * 2_000, id="four fields"),
        pytest.param("id=(.*) .* .* .* ok", "id= " + "a " * 2_000, id="words between"),
        pytest.param("(a+)+$", "a" * 3_999 + "b", id="a repeated repetition"),
        pytest.param("(a|aa)+$", "a" * 3_999 + "b", id="a repeated choice"),
        pytest.param("(?:a*)*b", "a" * 4_000, id="a repeated star"),
        pytest.param("(?:(?:a|b)|(?:a|c))*d", "a" * 4_000, id="choices inside choices"),
        pytest.param("(.*)(.*)(.*)(.*)(.*)x", "y" * 4_000, id="stars in a row"),
        pytest.param(r"\s+\s+\s+\s+x", " " * 4_000, id="blanks in a row"),
        pytest.param("(a?){200}(a){200}", "a" * 4_000, id="counted repetitions"),
        pytest.param("(.*a.{200})*z", "ab" * 2_000, id="more states than memory"),
        pytest.param("^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 4_000, id="a class name"),
        pytest.param("(x+x+)+y", "x" * 4_000, id="two in one"),
        pytest.param(r"([\w.]+)+@", "a." * 2_000, id="an address"),
    ],
)
def test_every_pattern_is_linear(pattern: str, text: str) -> None:
    body = Body.of(text.encode())
    with soon():
        check_place(f"re:{pattern}")
        find(f"re:{pattern}", body)
        holds(f"re:{pattern}", body)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        pytest.param(r"(a)\1", "without back-references", id="a back-reference"),
        pytest.param(r"(?P<a>x)(?P=a)", "without back-references", id="a named one"),
        pytest.param("(?=a)b", "look-around", id="a look-ahead"),
        pytest.param("(?!a)b", "look-around", id="a negative one"),
        pytest.param("(?<=a)b", "look-around", id="a look-behind"),
        pytest.param("(?<!a)b", "look-around", id="a negative look-behind"),
        pytest.param("(?>a)b", "look-around", id="an atomic group"),
        pytest.param("a{1001}", "repetition size", id="a long repetition"),
        pytest.param("((a{100}){100}){100}", "repetition size", id="a repetition of repetitions"),
        pytest.param("(?i)" + r"\pL{1000}" * 30, "too large", id="too many states"),
        pytest.param("(", "missing )", id="an open group"),
        pytest.param("\ud800", "no regular expression", id="half a character"),
    ],
)
def test_what_the_engine_does_not_know_is_refused_in_words(pattern: str, words: str) -> None:
    with soon(), pytest.raises(PatternError, match=words.replace(")", r"\)")):
        check_place(f"re:{pattern}")


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        pytest.param("^(.*);(.*);(.*);OK$", "m-1;2;3;OK\n", "m-1", id="an end before the last line break"),
        pytest.param("^(.*);(.*);(.*);OK$", "m-1;2;3;OK", "m-1", id="an end without one"),
        pytest.param("id=(.*) .* .* .* ok", "id=7 a b c ok", "7", id="words"),
        pytest.param("(?i)^ok: (č+)", "OK: čč", "čč", id="other letters"),
        pytest.param("(?m)^ID: (.*)$", "OK\nID: 5\nBYE", "5", id="a line in the middle"),
    ],
)
def test_honest_patterns_find_what_they_found(pattern: str, text: str, found: str) -> None:
    check_place(f"re:{pattern}")
    assert find(f"re:{pattern}", Body.of(text.encode())) == found


def test_a_long_answer_is_looked_at_in_part() -> None:
    assert find("re:(x)", Body.of(b"y" * MAX_TEXT + b"x")) == ""


VALUES: dict[str, Any] = {"text": 'a "b"\\ & č', "n": 3, "long": "z" * 5_000, "quotes": '"' * 1_000}

# Each was accepted, or parsed and rendered for seconds, or grew to hundreds of megabytes.
TEMPLATES = [
    pytest.param("{{ text" + " | json" * 28 + " }}", id="JSON of JSON"),
    pytest.param("{{ text" + " | utf16_hex" * 28 + " }}", id="hexadecimal of hexadecimal"),
    pytest.param("{{ quotes" + " | url_quote" * 28 + " }}", id="quoting of quotes"),
    pytest.param("{{ quotes" + " | url_encode" * 28 + " }}", id="quoting of quotes for forms"),
    pytest.param("{{ quotes" + " | escape" * 60 + " }}", id="escapes of escapes"),
    pytest.param("{{ text" + " | base64_encode" * 60 + " }}", id="base64 of base64"),
    pytest.param("{{ long | split: '' | json" + " | split: '' | json" * 12 + " }}", id="lists of lists"),
    pytest.param("{{ long" + " | append: long" * 200 + " | size }}", id="appending"),
    pytest.param("{{ long | replace: 'z', long | size }}", id="replacing"),
    pytest.param("{{ 9" + " | times: 99999999999999999999" * 100 + " | size }}", id="a number without end"),
    pytest.param("{{" + BLANKS + "}}", id="only blanks"),
    pytest.param("{{ text" + BLANKS + "}}", id="blanks at the end"),
    pytest.param("{{" + BLANKS + "text }}", id="blanks at the beginning"),
    pytest.param("{{" + BLANKS, id="blanks without an end"),
    pytest.param("{%" + BLANKS, id="blanks in a tag without an end"),
    pytest.param("{% if" + BLANKS + "%}", id="a condition of blanks"),
    pytest.param("{%" + "\t\n" * 4_000 + "%}", id="other blanks"),
    pytest.param("{{" * 5_000, id="opened again and again"),
    pytest.param("{%" * 5_000, id="tags opened again and again"),
    pytest.param("{% raw %}" * 1_000, id="raw without an end"),
    pytest.param("{%- raw" * 1_400, id="raw never closed"),
    pytest.param("{% doc %}" * 1_000, id="doc without an end"),
    pytest.param("{% comment %}" * 700, id="comments without an end"),
    pytest.param("{{ '" + "\"'" * 4_000 + " }}", id="quotes"),
    pytest.param("{{ " + "(" * 8_000 + " }}", id="brackets"),
    pytest.param("{{ " + "text[" * 1_800 + " }}", id="square brackets"),
    pytest.param("{{ (1" + "." * 8_000 + " }}", id="dots"),
    pytest.param("{% if " + "n and " * 1_500 + "n %}{% endif %}", id="a long condition"),
    pytest.param("{% if n %}" * 600 + "{% endif %}" * 300, id="conditions inside conditions"),
    pytest.param("{{ text }}" * 900, id="many outputs"),
    pytest.param("{% for i in (1..900) %}{{ long | json }}{% endfor %}", id="a filter in a loop"),
    pytest.param(
        "{% for i in (1..900) %}{% capture a %}{{ long }}{% endcapture %}{% endfor %}", id="captures in a loop"
    ),
    pytest.param(
        "{% for i in (1..900) %}" + "{% if 1 == 1 %}{% endif %}" * 200 + "{% endfor %}", id="conditions in a loop"
    ),
    pytest.param("{% for i in (1..900) %}x{% endfor %}" * 200, id="loops in a row"),
    pytest.param("{% for i in (1..99999999999) limit: 2 offset: 99999999990 %}x{% endfor %}", id="a far offset"),
    pytest.param("{{ (1..99999999999) | last }}{{ (1..99999999999) | json }}x" * 9, id="a range as a value"),
    pytest.param("{% assign x = (1..99999999999) | split: '' %}" * 99, id="a range in a variable"),
    pytest.param("{{ '1e308' | times: 1e308 | floor }}", id="infinity"),
    pytest.param("{{ '" + "9" * 4_000 + "' | plus: 1" + " | times: n" * 99 + " }}", id="long digits"),
    pytest.param("x" * 9_999 + "{{ text }}", id="longer than a template may be"),
]  # fmt: skip


@pytest.mark.parametrize("source", TEMPLATES)
def test_every_template_is_checked_and_rendered_soon(source: str) -> None:
    with soon():
        for attempt in (lambda: check(source, VALUES), lambda: len(render(source, VALUES))):
            try:
                attempt()
            except TemplateError as error:
                assert str(error)


@pytest.mark.parametrize("source", [TEMPLATES[number] for number in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9)])
def test_what_grows_is_refused(source: str) -> None:
    with pytest.raises(TemplateError):
        render(source, VALUES)


@pytest.mark.parametrize("source", TEMPLATES)
@pytest.mark.parametrize(
    "name", ["url", "body", "headers", "mms_url", "mms_body", "look_up_url", "check_url"]
)
def test_the_form_answers_soon(name: str, source: str) -> None:
    source = f"X: {source}" if name == "headers" else source
    values = {"base_url": "https://gateway.example", "content_type": "text/plain", name: source}
    with soon(), pytest.raises(SettingsError) as refused:
        registry.adapter("http_generic").clean(values)
    assert refused.value.problems


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("url", " " * 500_000, id="half a megabyte of blanks"),
        pytest.param("url", "x" + " " * 500_000 + "y", id="blanks between"),
        pytest.param("body", "{{" * 250_000, id="half a megabyte of brackets"),
        pytest.param("headers", "X: {{ text }}\n" * 30_000, id="thousands of headers"),
        pytest.param("headers", "X: {{ text }}\n" * 1_400, id="as many headers as fit"),
        pytest.param("errors", "".join(f"w{n} = no_credit\n" for n in range(40_000)), id="a long table"),
        pytest.param("success_status", "100-599," * 60_000, id="many statuses"),
        pytest.param("id_place", "a" * 500_000, id="a long path"),
        pytest.param("id_place", "re:" + "(a" * 250_000, id="a long pattern"),
        pytest.param("username", "u" * 500_000, id="a long name"),
    ],
)
def test_a_setting_without_end_is_refused_soon(name: str, value: str) -> None:
    values = {"base_url": "https://gateway.example", name: value}
    with soon(), pytest.raises(SettingsError) as refused:
        registry.adapter("http_generic").clean(values)
    assert name in refused.value.problems or not value.strip()


def test_a_form_full_of_costly_templates_is_answered_soon() -> None:
    costly = "{% for i in (1..900) %}{% assign a = i | plus: 1 %}{{ a }}{% endfor %}{{ text }}"
    names = ("url", "body", "mms_url", "mms_body", "look_up_url", "check_url")
    values = {"base_url": "https://gateway.example", "content_type": "text/plain"}
    headers = "\n".join(f"X-{n}: {costly}" for n in range(50))
    with soon(), pytest.raises(SettingsError):
        registry.adapter("http_generic").clean({**values, **dict.fromkeys(names, costly), "headers": headers})


@pytest.mark.parametrize(
    ("source", "one"),
    [
        pytest.param(" a\n  b \n\n c ", "abc", id="lines"),
        pytest.param("a b", "a b", id="one line"),
        pytest.param("\r\n a\r\n b", "ab", id="line ends of a form"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_lines_are_joined(source: str, one: str) -> None:
    assert joined(source) == one


def test_a_pattern_that_is_refused_names_its_field() -> None:
    values = {"base_url": "https://gateway.example", "id_place": r"re:(a)\1"}
    with pytest.raises(SettingsError) as refused:
        registry.adapter("http_generic").clean(values)
    assert "without back-references" in refused.value.problems["id_place"]
