"""What an account can never carry, judged before anything is sent."""

from __future__ import annotations

import pytest

from vendors.limits import NUMBERS, Limits, Payload, objection

PLAIN = Limits()
NAMES = Limits(names="[A-Za-z0-9 ]{1,11}")


@pytest.mark.parametrize(
    ("limits", "sender", "content", "expected"),
    [
        pytest.param(PLAIN, "Demo Shop", Payload("a" * 10_000, 10), None, id="no limits"),
        pytest.param(Limits(files=1), "12345", Payload(files=1), None, id="one file of one"),
        pytest.param(
            Limits(files=1),
            "12345",
            Payload(files=2),
            "media must not name more than one file: this account carries no more",
            id="two files of one",
        ),
        pytest.param(
            Limits(files=8),
            "12345",
            Payload(files=9),
            "media must not name more than 8 files: this account carries no more",
            id="nine files of eight",
        ),
        pytest.param(Limits(text=1600), "12345", Payload("ž" * 1600), None, id="a text of that length"),
        pytest.param(
            Limits(text=1600),
            "12345",
            Payload("a" * 1601),
            "text must not be longer than 1600 characters: this account carries no more",
            id="a longer text",
        ),
        pytest.param(Limits(text=1600, ucs2_text=737), "12345", Payload("a" * 1600), None, id="GSM-7"),
        pytest.param(
            Limits(text=1600, ucs2_text=737),
            "12345",
            Payload("ž" * 738),
            "text must not be longer than 737 characters: this account carries no more",
            id="letters outside GSM-7",
        ),
        pytest.param(Limits(parts=2), "12345", Payload("a" * 306), None, id="two parts"),
        pytest.param(
            Limits(parts=2),
            "12345",
            Payload("a" * 307),
            "text must not take more than 2 parts: this account carries no more",
            id="three parts",
        ),
        pytest.param(Limits(senders=NUMBERS), "+15550100123", Payload(), None, id="a number"),
        pytest.param(Limits(senders=NUMBERS), "12345", Payload(), None, id="a short code"),
        pytest.param(Limits(senders=NUMBERS), "", Payload(), None, id="no sender in particular"),
        pytest.param(
            Limits(senders=NUMBERS), "not a sender!?*", Payload(), None, id="one of the vendor's own"
        ),
        pytest.param(
            Limits(senders=NUMBERS),
            "Demo Shop",
            Payload(),
            "from must be a number or short code: this account sends such messages from no name",
            id="a name",
        ),
        pytest.param(NAMES, "Demo Shop", Payload(), None, id="a name of the right form"),
        pytest.param(NAMES, "12345", Payload(), None, id="a number is no name"),
        pytest.param(
            NAMES,
            "Shop!",
            Payload(),
            "from is a name with a character or a form that this account does not carry",
            id="a name of another form",
        ),
    ],
)
def test_objections(limits: Limits, sender: str, content: Payload, expected: str | None) -> None:
    found = objection(limits, sender=sender, content=content)
    assert (str(found) if found else None) == expected
