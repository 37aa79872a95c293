from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phone import gsm7, segments
from phone.segments import Segments


@pytest.mark.parametrize(
    ("text", "encoding", "parts"),
    [
        pytest.param("", "GSM7", 1, id="empty is one part"),
        pytest.param("a", "GSM7", 1, id="one letter"),
        pytest.param("a" * 160, "GSM7", 1, id="160 letters"),
        pytest.param("a" * 161, "GSM7", 2, id="161 letters"),
        pytest.param("a" * 306, "GSM7", 2, id="2 x 153"),
        pytest.param("a" * 307, "GSM7", 3, id="2 x 153 + 1"),
        pytest.param("a" * 159 + "€", "GSM7", 2, id="161 septets by an extension character"),
        pytest.param("a" * 158 + "€", "GSM7", 1, id="160 septets with an extension character"),
        pytest.param("a" * 152 + "€" + "a" * 152, "GSM7", 3, id="306 septets, euro would be cut: 3 parts"),
        pytest.param("a" * 151 + "€" + "a" * 153, "GSM7", 2, id="306 septets, euro ends a part: 2 parts"),
        pytest.param("€" * 80, "GSM7", 1, id="80 extension characters"),
        pytest.param("€" * 81, "GSM7", 2, id="81 extension characters"),
        pytest.param("€" * 152, "GSM7", 2, id="2 x 76 pairs, an odd septet is left in each"),
        pytest.param("€" * 153, "GSM7", 3, id="306 septets of pairs need 3"),
        pytest.param("^{}\\[~]|\f€", "GSM7", 1, id="the whole extension table"),
        pytest.param("\r\n@£$¥", "GSM7", 1, id="line ends are in the alphabet"),
        pytest.param("ÄÖÑÜ§äöñüàèéùìòÇØøÅåÆæßÉ¿¡¤", "GSM7", 1, id="accented letters of the alphabet"),
        pytest.param("ΔΦΓΛΩΠΨΣΘΞ", "GSM7", 1, id="Greek capitals"),
        pytest.param("Α" * 71, "UCS2", 2, id="Greek capital alpha is not Latin A"),  # noqa: RUF001
        pytest.param("ç", "UCS2", 1, id="lower case c-cedilla is not in it"),
        pytest.param("`", "UCS2", 1, id="backtick is not in it"),
        pytest.param("µ", "UCS2", 1, id="micro sign is not in it"),
        pytest.param("a\u00a0b", "UCS2", 1, id="no-break space is not in it"),
        pytest.param("\x1b", "UCS2", 1, id="ESC is no character"),
        pytest.param("\t", "UCS2", 1, id="tab is not in it"),
        pytest.param("\u2019" + "a" * 69, "UCS2", 1, id="one curly quote, 70 units"),
        pytest.param("\u2019" + "a" * 70, "UCS2", 2, id="one curly quote, 71 units"),
        pytest.param("ž" * 134, "UCS2", 2, id="2 x 67"),
        pytest.param("ž" * 135, "UCS2", 3, id="2 x 67 + 1"),
        pytest.param("😀" * 35, "UCS2", 1, id="35 emoji are 70 units"),
        pytest.param("😀" * 36, "UCS2", 2, id="36 emoji"),
        pytest.param("😀" * 66, "UCS2", 2, id="2 x 33 emoji, one unit is left in each part"),
        pytest.param("😀" * 67, "UCS2", 3, id="134 units, but no pair may be cut: 3 parts"),
        pytest.param("ž" + "😀" * 66, "UCS2", 2, id="133 units that fit"),
        pytest.param("\ud83d" * 70, "UCS2", 1, id="lone surrogates are one unit each"),
        pytest.param("👨\u200d👩\u200d👧" * 8, "UCS2", 1, id="families are joined code points: 64 units"),
    ],
)
def test_count(text: str, encoding: segments.Encoding, parts: int) -> None:
    assert segments.count(text) == Segments(encoding, parts)


def test_the_alphabet_is_whole() -> None:
    assert (len(gsm7.BASIC), len(set(gsm7.BASIC)), len(gsm7.EXTENSION)) == (127, 127, 10)
    assert not set(gsm7.BASIC) & set(gsm7.EXTENSION)
    assert "\x1b" not in gsm7.SEPTETS


GSM7_TEXT = st.text(st.sampled_from(sorted(gsm7.SEPTETS)), max_size=700)
ANY_TEXT = st.text(max_size=400)


@given(GSM7_TEXT)
def test_gsm7_stays_between_its_bounds(text: str) -> None:
    septets = sum(gsm7.SEPTETS[char] for char in text)
    counted = segments.count(text)

    assert counted.encoding == "GSM7"
    if septets <= 160:
        assert counted.parts == 1
    else:  # at most one septet is lost per part
        assert -(-septets // 153) <= counted.parts <= -(-septets // 152)


@given(ANY_TEXT)
def test_ucs2_stays_between_its_bounds(text: str) -> None:
    text += "ž"
    units = len(text.encode("utf-16-le", "surrogatepass")) // 2
    counted = segments.count(text)

    assert counted.encoding == "UCS2"
    if units <= 70:
        assert counted.parts == 1
    else:
        assert -(-units // 67) <= counted.parts <= -(-units // 66)


@given(ANY_TEXT, ANY_TEXT)
def test_more_text_never_takes_fewer_parts(head: str, tail: str) -> None:
    assert segments.count(head + tail).parts >= segments.count(head).parts


@given(GSM7_TEXT)
def test_the_parts_hold_the_text_and_cut_no_pair(text: str) -> None:
    counted, room = segments.count(text), 153
    parts: list[str] = [""]
    for char in text:
        if sum(gsm7.SEPTETS[c] for c in parts[-1] + char) > room:
            parts.append("")
        parts[-1] += char

    assert "".join(parts) == text
    assert counted.parts == (1 if sum(gsm7.SEPTETS[c] for c in text) <= 160 else len(parts))
