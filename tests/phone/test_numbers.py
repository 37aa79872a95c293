from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phone import numbers
from phone.numbers import NumberError, Sender


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        pytest.param("00421900000123", "+421900000123", id="Slovak"),
        pytest.param("0015550100", "+15550100", id="short reserved form"),
        pytest.param("00447700900000", "+447700900000", id="British"),
        pytest.param("00" + "1" * 7, "+" + "1" * 7, id="7 digits"),
        pytest.param("00" + "1" * 15, "+" + "1" * 15, id="15 digits"),
    ],
)
def test_parse_recipient(raw: str, canonical: str) -> None:
    assert numbers.parse_recipient(raw) == canonical
    assert numbers.double_zero(canonical) == raw


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param("", id="empty"),
        pytest.param("+421900000123", id="plus"),
        pytest.param("421900000123", id="bare"),
        pytest.param("0900000123", id="national"),
        pytest.param("00" + "1" * 6, id="6 digits"),
        pytest.param("00" + "1" * 16, id="16 digits"),
        pytest.param("00421 900 000 123", id="blanks inside"),
        pytest.param(" 00421900000123", id="blank before"),
        pytest.param("00421900000123\n", id="line end after"),
        pytest.param("00\u0664\u0662\u0661" + "900000123", id="digits of another script"),
        pytest.param("00421900000123;drop", id="words after"),
    ],
)
def test_no_recipient(raw: str) -> None:
    with pytest.raises(NumberError) as raised:
        numbers.parse_recipient(raw)
    assert str(raised.value) == "must be an international number written 00 and 7 to 15 digits"


@pytest.mark.parametrize(
    ("raw", "sender"),
    [
        pytest.param("+421900000123", Sender("numeric", "+421900000123"), id="plus"),
        pytest.param("00421900000123", Sender("numeric", "+421900000123"), id="00"),
        pytest.param("421900000123", Sender("numeric", "+421900000123"), id="bare"),
        pytest.param("  +421900000123 ", Sender("numeric", "+421900000123"), id="blanks around"),
        pytest.param("+15550100", Sender("numeric", "+15550100"), id="8 digits with plus are a number"),
        pytest.param("0015550100", Sender("numeric", "+15550100"), id="8 digits with 00 are a number"),
        pytest.param("15550100", Sender("short", "15550100"), id="8 bare digits are a short code"),
        pytest.param("155501000", Sender("numeric", "+155501000"), id="9 bare digits are a number"),
        pytest.param("421900000123456", Sender("numeric", "+421900000123456"), id="15 bare digits"),
        pytest.param("0900000123", Sender("short", "0900000123"), id="national number"),
        pytest.param("090000012345", Sender("short", "090000012345"), id="12 digits that begin with 0"),
        pytest.param("090000012345678", Sender("short", "090000012345678"), id="15 digits that begin with 0"),
        pytest.param("123", Sender("short", "123"), id="3 digits"),
        pytest.param("0800", Sender("short", "0800"), id="short code with a leading zero"),
        pytest.param("A", Sender("alpha", "A"), id="one letter"),
        pytest.param("Bloomreach1", Sender("alpha", "Bloomreach1"), id="11 characters"),
        pytest.param("My Shop", Sender("alpha", "My Shop"), id="blank inside"),
        pytest.param("ÄÖÜ & Söhne", Sender("alpha", "ÄÖÜ & Söhne"), id="GSM umlauts"),
        pytest.param("3M", Sender("alpha", "3M"), id="begins with a digit"),
        pytest.param("A€BCDEFGHI", Sender("alpha", "A€BCDEFGHI"), id="11 septets with a euro"),
    ],
)
def test_parse_sender(raw: str, sender: Sender) -> None:
    assert numbers.parse_sender(raw) == sender


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        pytest.param("", "empty", id="empty"),
        pytest.param("   ", "empty", id="blanks"),
        pytest.param("12", "short code of 3 to 8", id="2 digits"),
        pytest.param("+0900000123", "country code", id="no country begins with 0"),
        pytest.param("+12345", "country code", id="short code with a plus"),
        pytest.param("00123", "country code", id="short code with 00"),
        pytest.param("1" * 16, "7 to 15 digits", id="16 digits"),
        pytest.param("0" + "9" * 15, "7 to 15 digits", id="16 digits that begin with 0"),
        pytest.param("Bloomreach12", "too long.*1 to 11 characters", id="12 characters"),
        pytest.param("A€BCDEFGHIJ", "too long.*1 to 11 characters", id="12 septets with a euro"),
        pytest.param("Žabka", "GSM alphabet", id="not in the alphabet"),
        pytest.param("Shop\nX", "GSM alphabet", id="line end inside"),
        pytest.param("555-0100", "at least one letter", id="number with a dash"),
        pytest.param("+421 900", "at least one letter", id="number with blanks"),
    ],
)
def test_no_sender(raw: str, problem: str) -> None:
    with pytest.raises(NumberError, match=problem) as raised:
        numbers.parse_sender(raw)
    assert not raw.strip() or raw.strip() not in str(raised.value)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        pytest.param("+421900000123", "00421900000123", id="number"),
        pytest.param("12345", "12345", id="short code"),
        pytest.param("Bloomreach", "Bloomreach", id="name"),
    ],
)
def test_double_zero(value: str, written: str) -> None:
    assert numbers.double_zero(value) == written


@pytest.mark.parametrize(
    ("value", "bare"),
    [
        pytest.param("+421900000123", "421900000123", id="plus"),
        pytest.param("00421900000123", "421900000123", id="00"),
        pytest.param("421900000123", "421900000123", id="bare"),
        pytest.param("+421 900/000-123", "421900000123", id="punctuation"),
        pytest.param("12345", "12345", id="short code"),
        pytest.param("Shop24", "", id="a name has none"),
        pytest.param("", "", id="empty"),
    ],
)
def test_digits(value: str, bare: str) -> None:
    assert numbers.digits(value) == bare


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        pytest.param("+421900000123", "00421900000123", True, id="plus and 00"),
        pytest.param("421900000123", "00421900000123", True, id="bare and 00"),
        pytest.param("+421 900 000 123", "421900000123", True, id="blanks"),
        pytest.param("+1 (555) 010-0100", "0015550100100", True, id="American writing"),
        pytest.param("12345", "12345", True, id="short codes"),
        pytest.param("12345", "12346", False, id="other short code"),
        pytest.param("+421900000123", "+421900000124", False, id="other number"),
        pytest.param("Shop", "SHOP ", True, id="names whatever their case"),
        pytest.param("Shop", "Shop2", False, id="other name"),
        pytest.param("Shop", "12345", False, id="name and number"),
    ],
)
def test_same_number(a: str, b: str, same: bool) -> None:
    assert numbers.same_number(a, b) is same
    assert numbers.same_number(b, a) is same


@pytest.mark.parametrize(
    ("msisdn", "region"),
    [
        pytest.param("+421900000123", "SK", id="a code of one country"),
        pytest.param("+420900000123", "CZ", id="its neighbour"),
        pytest.param("+447700900123", "GB", id="shared code, Britain"),
        pytest.param("+14165550123", "CA", id="shared code, Canada"),
        pytest.param("+12025550123", "US", id="shared code, United States"),
        pytest.param("+15550100", "US", id="shared code, unknown range: its main country"),
        pytest.param("+77010000000", "KZ", id="shared code, Kazakhstan"),
        pytest.param("+88216000000", "", id="satellite"),
        pytest.param("+80012345678", "", id="international free phone"),
        pytest.param("+21012345678", "", id="unassigned code"),
        pytest.param("00421900000123", "", id="not canonical"),
        pytest.param("12345", "", id="short code"),
        pytest.param("Shop", "", id="name"),
        pytest.param("", "", id="empty"),
    ],
)
def test_country(msisdn: str, region: str) -> None:
    assert numbers.country(msisdn) == region


@pytest.mark.parametrize(
    ("value", "masked"),
    [
        pytest.param("+421900000123", "+4219…23", id="number"),
        pytest.param("+15550100", "+1…0", id="short number"),
        pytest.param("12345", "…", id="short code"),
        pytest.param("", "…", id="empty"),
    ],
)
def test_mask(value: str, masked: str) -> None:
    assert numbers.mask(value) == masked


@given(st.text(max_size=30))
def test_anything_may_come(raw: str) -> None:
    assert numbers.country(raw) == "" or raw.startswith("+")
    assert numbers.same_number(raw, raw)
    numbers.mask(raw)
    try:
        sender = numbers.parse_sender(raw)
    except NumberError:
        return
    assert numbers.parse_sender(sender.value) == sender


@given(st.from_regex(r"00[0-9]{7,15}", fullmatch=True))
def test_every_recipient_comes_back_as_it_was_written(raw: str) -> None:
    canonical = numbers.parse_recipient(raw)
    assert numbers.double_zero(canonical) == raw
    numbers.country(canonical)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param("+22395", "22395", id="a plus"),
        pytest.param("0022395", "22395", id="two zeros"),
        pytest.param("+123456", "123456", id="six digits"),
        pytest.param("22395", "22395", id="neither"),
        pytest.param("+4219000", "004219000", id="seven digits are a number"),
        pytest.param("+12", "0012", id="two digits are none of ours"),
        pytest.param("+02395", "0002395", id="no short code begins with 0"),
    ],
)
def test_a_short_code_is_never_written_as_an_international_number(written: str, expected: str) -> None:
    assert numbers.double_zero(written) == expected
