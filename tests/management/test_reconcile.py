"""`manage.py reconcile`: what it prints and how it exits."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from messaging.models import Content, Message
from messaging.rules.values import EventState, MessageState
from tests import factories
from vendors.values import Outcome

pytestmark = pytest.mark.django_db


def run(*args: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("reconcile", *args, stdout=out)
    except SystemExit as left:
        assert isinstance(left.code, int)
        return left.code, out.getvalue()
    return 0, out.getvalue()


def make_delivered(**overrides: Any) -> Message:
    message = factories.make_message(state=MessageState.DELIVERED, attempts=1, **overrides)
    factories.make_attempt(message, outcome=Outcome.TAKEN)
    factories.make_event(message, state=EventState.ACKED)
    return message


def test_a_clean_system() -> None:
    make_delivered()
    factories.make_message()
    code, text = run()
    assert code == 0
    assert [line.split() for line in text.splitlines()] == [
        ["accepted", "2"],
        ["final", "1"],
        ["delivered", "1"],
        ["in", "progress", "1"],
        ["accepted", "1"],
        ["events", "1"],
        ["acknowledged", "1"],
        ["vendor", "calls", "0"],
        ["reports", "to", "look", "at", "0"],
        ["overdue", "0"],
        ["copies", "made", "by", "a", "replay", "0"],
        ["maybe", "sent", "twice", "0"],
        ["stalled", "0"],
        ["unaccounted", "0"],
    ]


def test_a_broken_row_is_named_and_exits_1() -> None:
    message = make_delivered()
    Content.objects.filter(message_id=message.pk).delete()
    code, text = run()
    assert code == 1
    last = f"  message {message.pk}: its content is missing"
    assert text.splitlines()[-2:] == ["unaccounted 1", last]


def test_stalled_rows_are_named_but_accounted_for() -> None:
    past = datetime.now(UTC) - timedelta(minutes=5)
    message = factories.make_message(state=MessageState.SENDING, attempts=1, due_at=past)
    factories.make_attempt(message)
    code, text = run()
    assert code == 0
    assert f"  message {message.pk}: its lease ran out and nobody swept it" in text.splitlines()


def test_json_says_the_same() -> None:
    message = make_delivered()
    make_delivered()
    Content.objects.filter(message_id=message.pk).delete()
    code, text = run("--json")
    seen = json.loads(text)
    assert (code, seen["accepted"], seen["final"]["delivered"], seen["unaccounted"]) == (1, 2, 2, 1)
    assert seen["findings"] == [
        {"what": "message", "id": str(message.pk), "why": "no_content", "text": "its content is missing"}
    ]


def test_one_tenant_and_one_period() -> None:
    old = make_delivered(created_at=datetime.now(UTC) - timedelta(days=2))
    make_delivered()
    assert json.loads(run("--json")[1])["accepted"] == 2
    assert json.loads(run("--json", "--tenant", old.tenant.slug)[1])["accepted"] == 1
    assert json.loads(run("--json", "--since", "1d")[1])["accepted"] == 1
    assert json.loads(run("--json", "--since", "2020-01-01")[1])["accepted"] == 2


def test_questions_that_make_no_sense() -> None:
    with pytest.raises(CommandError, match="Unknown tenant 'nobody'") as refused:
        run("--tenant", "nobody")
    assert refused.value.returncode == 2
    with pytest.raises(CommandError, match="neither a time"):
        run("--since", "yesterday")
