"""The template language that operators write: what it can do, and what it cannot."""

from __future__ import annotations

from typing import Any

import pytest

from vendors.http_templates import MAX_OUTPUT, MAX_SOURCE, TemplateError, check, render

VALUES: dict[str, Any] = {
    "text": 'a "b" & č',
    "n": 3,
    "metadata": {"tier": "gold", "list": [1, 2]},
    "long": "z" * 1000,
}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        pytest.param("{{ text }}", 'a "b" & č', id="nothing is escaped by itself"),
        pytest.param("{{ text | json }}", '"a \\"b\\" & č"', id="JSON"),
        pytest.param("{{ metadata | json }}", '{"tier": "gold", "list": [1, 2]}', id="a JSON object"),
        pytest.param("{{ text | url_quote }}", "a%20%22b%22%20%26%20%C4%8D", id="a URL's value"),
        pytest.param("{{ text | url_encode }}", "a+%22b%22+%26+%C4%8D", id="a form's value"),
        pytest.param("{{ text | escape }}", "a &quot;b&quot; &amp; č", id="XML"),
        pytest.param('{{ "Ač" | utf16_hex }}', "0041010D", id="UTF-16"),
        pytest.param('{{ "u" | append: ":" | append: "p" | base64_encode }}', "dTpw", id="Basic"),
        pytest.param('{{ "+421" | replace: "+", "00" }}', "00421", id="replace"),
        pytest.param("{% if n > 2 %}many{% else %}few{% endif %}", "many", id="a choice"),
        pytest.param('{{ metadata.none | default: "x" }}', "x", id="a default"),
        pytest.param("{% for i in metadata.list %}{{ i }};{% endfor %}", "1;2;", id="a loop"),
    ],
)
def test_what_it_writes(source: str, expected: str) -> None:
    check(source, VALUES)
    assert render(source, VALUES) == expected


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("{{ metadata.none }}", id="undefined"),
        pytest.param("{{ metadata.none | json }}", id="undefined in JSON"),
        pytest.param("{% if metadata.none %}x{% endif %}", id="undefined in a condition"),
        pytest.param("{{ text.__class__.__mro__ }}", id="an attribute of Python"),
        pytest.param("{{ metadata.items }}", id="a method of Python"),
        pytest.param("{% for i in (1..100000) %}x{% endfor %}", id="a long loop"),
        pytest.param(
            "{% for i in (1..40) %}{% for j in (1..40) %}x{% endfor %}{% endfor %}", id="a loop in a loop"
        ),
        pytest.param("{% for i in (1..900) %}{{ long }}{% endfor %}", id="a long output"),
        pytest.param(
            "{% assign x = long %}{% for i in (1..99) %}{% assign x = x | append: x %}{% endfor %}",
            id="doubling",
        ),
        pytest.param("{{ 9" + " | times: 99999999999999999999" * 300 + " }}", id="a number past printing"),
        pytest.param("{{ n | divided_by: 0 }}", id="a division by zero"),
        pytest.param('{{ text | replace: "", long }}', id="replacing nothing"),
        pytest.param('{{ long | replace: "z", long }}', id="replacing by much"),
    ],
)
def test_what_fails_while_it_is_rendered(source: str) -> None:
    with pytest.raises(TemplateError):
        render(source, VALUES)


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("{{ colour }}", id="an unknown variable"),
        pytest.param("{% if n == 9 %}{{ colour }}{% endif %}", id="one in a branch not taken"),
        pytest.param("{{ text | shout }}", id="an unknown filter"),
        pytest.param('{{ text | join: "x" }}', id="a filter that is left out"),
        pytest.param("{% include 'secrets' %}", id="a file"),
        pytest.param("{% render 'secrets' %}", id="another file"),
        pytest.param("{{ text", id="no end"),
        pytest.param("{% if n %}", id="no endif"),
        pytest.param("x" * (MAX_SOURCE + 1), id="too long"),
    ],
)
def test_what_is_refused_unrendered(source: str) -> None:
    with pytest.raises(TemplateError):
        check(source, VALUES)


def test_the_output_is_bounded() -> None:
    assert len(render("{% for i in (1..90) %}{{ long }}{% endfor %}", VALUES)) == 90_000 < MAX_OUTPUT
