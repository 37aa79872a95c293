"""`manage.py wire`: what an operator reads and what is stored."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.models import Tenant
from tests.contract.test_wire_import import CALLBACK, SEND, document
from tests.factories import make_tenant

pytestmark = pytest.mark.django_db

PROFILE = {"spelling": "camel", "spelling_in": "camel", "keys_in": {"text": "messageText"}, "outbound": ""}


@pytest.fixture
def description(tmp_path: Path) -> Path:
    file = tmp_path / "description.json"
    file.write_text(json.dumps(document(sms__send=SEND, callbacks=CALLBACK)))
    return file


def wire(*args: Any, **options: Any) -> str:
    out = StringIO()
    call_command("wire", *map(str, args), stdout=out, **options)
    return out.getvalue()


def test_import_makes_the_profile_and_lists_every_key(description: Path) -> None:
    tenant = make_tenant(slug="acme")
    said = wire("import", description, "--tenant", "acme")
    assert [line for line in said.splitlines() if line] == [
        "POST /sms/send: send an SMS",
        "  known      from",
        "  known      to",
        "  known      requestId  (ours: request_id)",
        "  known      customData  (ours: custom_data)",
        "  known      callbackUrl  (ours: callback_url)",
        "  known      metadata",
        "  guessed    messageText  (ours: text)",
        "  not known  priority",
        "POST /callbacks: delivery events, from us",
        "  known      from",
        "  known      to",
        "  known      customData  (ours: custom_data)",
        "  known      requestId  (ours: request_id)",
        "  known      timestamp",
        "  known      status",
        "  not known  userId",
        "  missing    event_id",
        "  missing    channel",
        "  missing    message_id",
        "  missing    segments",
        "  missing    sent_as",
        "  missing    metadata",
        "  missing    error",
        "  missing    correction",
        'spelling: "snake" → "camel"',
        'spelling_in: "snake" → "camel"',
        'keys_in: {} → {"text": "messageText"}',
        'outbound: "events" → ""',
        "Stored for acme; requests follow it within two seconds.",
    ]
    tenant.refresh_from_db()
    assert tenant.wire_profile == PROFILE
    again = wire("import", description, "--tenant", "acme")
    assert "Nothing differs from the profile that there is." in again


def test_a_dry_run_stores_nothing(description: Path) -> None:
    make_tenant(slug="acme")
    assert "Nothing was stored." in wire("import", description, "--tenant", "acme", "--dry-run")
    assert Tenant.objects.get().wire_profile == {}


def test_without_a_tenant_the_profile_is_shown(description: Path) -> None:
    said = wire("import", description)
    assert json.loads(said[said.index("Profile: ") + 9 : said.index("Nothing was stored")]) == PROFILE


@pytest.mark.parametrize(
    ("args", "words"),
    [
        pytest.param(["import"], "name at least one FILE", id="no file"),
        pytest.param(["import", "/nonexistent.json"], "cannot be read: No such file", id="not there"),
        pytest.param(["import", __file__], "holds no OpenAPI description", id="something else"),
        pytest.param(["show", "--tenant", "nobody"], "no tenant named nobody", id="no tenant"),
    ],
)
def test_what_is_refused(args: list[str], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        wire(*args)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "binary"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(CommandError, match="no text in UTF-8"):
        wire("import", file)


def test_show_gives_samples_in_the_profile() -> None:
    make_tenant(slug="acme", wire_profile={**PROFILE, "bearer": True, "success": "text"})
    said = wire("show", "--tenant", "acme")
    assert '"messageText": "Your order is on its way."' in said
    assert "Authorization: Bearer <token>" in said
    assert '"customData"' in said and '"custom_data"' not in said
    assert "accepted 0199a2b4" in said
    assert "Profile: {}" in wire("show")
