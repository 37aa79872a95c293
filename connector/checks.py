"""Mistakes of a deployment, found by `manage.py check` and before every command: connector.E001 and on."""

import os
from typing import Any
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from django.conf import settings
from django.core.checks import CheckMessage, Error, register

BOX_MARGIN = 10  # seconds for a pump to record its last calls after its box has ended


@register("connector")
def check_times(**kwargs: Any) -> list[CheckMessage]:
    """The times' order: box + call + 10 < queue time-out < queue retry (ADR 2)."""
    found: list[CheckMessage] = []
    queue = settings.Q_CLUSTER
    pump = settings.PUMP_BOX + settings.CALL_DEADLINE + BOX_MARGIN
    if not pump < queue["timeout"]:
        text = (
            f"A pump may take {pump:g} s, the queue kills it after {queue['timeout']} s: lower CALL_DEADLINE."
        )
        found.append(Error(text, id="connector.E001"))
    if not queue["timeout"] < queue["retry"]:
        text = (
            f"The queue repeats a task after {queue['retry']} s, before its time-out of {queue['timeout']} s."
        )
        found.append(Error(text, id="connector.E002"))
    return found


@register("connector")
def check_field_keys(**kwargs: Any) -> list[CheckMessage]:
    """Each of FIELD_KEY's parts must be a Fernet key; the text never repeats a key."""
    wrong = [place for place, key in enumerate(settings.FIELD_KEYS, 1) if not _is_fernet_key(key)]
    if settings.FIELD_KEYS and not wrong:
        return []
    which = f"key {', '.join(map(str, wrong))} is" if wrong else "it is empty,"
    text = f"FIELD_KEY: {which} not urlsafe base64 of 32 bytes."
    hint = (
        'Make one: python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'
    )
    return [Error(text, id="connector.E004", hint=hint)]


@register("connector")
def check_public_url(**kwargs: Any) -> list[CheckMessage]:
    """PUBLIC_URL is https in production, and has a host, no query and no fragment."""
    url = urlsplit(settings.PUBLIC_URL)
    found: list[CheckMessage] = []
    if not settings.DEBUG and url.scheme != "https":
        found.append(Error("PUBLIC_URL must begin with https:// in production.", id="connector.E005"))
    if not url.hostname or url.query or url.fragment or url.username:
        found.append(Error("PUBLIC_URL must be scheme://host[:port] and nothing else.", id="connector.E006"))
    return found


@register("connector")
def check_pool(**kwargs: Any) -> list[CheckMessage]:
    """A connection pool in a queue process would share its sockets among forks: tasks get lost."""
    pooled = "pool" in settings.DATABASES["default"].get("OPTIONS", {})
    if pooled and os.environ.get("Q_CLUSTER_NAME"):
        text = "DB_POOL is set in a queue process; it is for `manage.py web` only, which sets it by itself."
        return [Error(text, id="connector.E007", hint="Unset DB_POOL.")]
    return []


def _is_fernet_key(key: str) -> bool:
    try:
        Fernet(key)
    except ValueError:
        return False
    return True
