"""`trace` tells the story of a message by its id, its request id, or that of the message it is a resend of."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command

from messaging.rules.values import MessageState
from tests.admin.conftest import SECRETS, Desk
from tests.admin.conftest import desk as desk
from tests.factories import make_message

pytestmark = pytest.mark.django_db


def trace(name: str, **options: bool) -> str:
    out = io.StringIO()
    call_command("trace", name, stdout=out, **options)
    return out.getvalue()


def test_by_id(desk: Desk) -> None:
    told = trace(str(desk.message.pk)).splitlines()
    assert told[0] == f"SMS {desk.message.pk} of acme: delivered"
    assert [line[16:] for line in told[1:] if line[:1].isdigit()] == [
        "Accepted from Bloomreach",
        "Attempt 1 as SMS through acme/main: taken",
        "Report: delivered",
        "Final: delivered",
        "To tell Bloomreach: delivered (final)",
        "Bloomreach acknowledged: delivered (final)",
        "The handset wrote back",
    ]
    assert "                Vendor's words: DELIVRD" in told


def test_by_request_id_with_its_resend(desk: Desk) -> None:
    repeat = make_message(
        account=desk.account, request_id="campaign-1:42", dedupe_key=None, replay_of=desk.message.pk
    )
    told = trace("campaign-1:42")
    assert [line for line in told.splitlines() if line.startswith("SMS")] == [
        f"SMS {desk.message.pk} of acme: delivered",
        f"SMS {repeat.pk} of acme: waiting",
    ]
    assert f"Resend of: {desk.message.pk}" in told


def test_raw_adds_the_wire_and_no_secret(desk: Desk) -> None:
    assert 'DELIVRD"' not in trace(str(desk.message.pk))
    told = trace(str(desk.message.pk), exchanges=True)
    assert '"said": "DELIVRD"' in told
    assert '"status": 202' in told
    assert not [secret for secret in SECRETS if secret in told]


@pytest.mark.parametrize("name", ["nobody", "00000000-0000-7000-8000-000000000000", ""])
def test_an_unknown_name_is_an_error(desk: Desk, name: str) -> None:
    with pytest.raises(CommandError, match="no message has this id"):
        trace(name)


def test_states_are_said_in_the_words_of_the_desk() -> None:
    message = make_message(state=MessageState.UNKNOWN_OUTCOME)
    assert "unknown outcome" in trace(str(message.pk)).splitlines()[0]
