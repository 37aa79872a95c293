"""Each deployment mistake has a number."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.conf import settings
from django.contrib import admin
from django.core.checks import CheckMessage, run_checks
from django.test import override_settings

from connector import checks

KEY = Fernet.generate_key().decode()
QUEUE = {"timeout": 60, "retry": 300}


def ids(found: list[CheckMessage]) -> list[str | None]:
    return [message.id for message in found]


@pytest.mark.parametrize(
    ("check", "changed", "expected"),
    [
        pytest.param(checks.check_times, {}, [], id="times fit"),
        pytest.param(
            checks.check_times,
            {"CALL_DEADLINE": 30.0, "ROW_LEASE": 120.0},
            ["connector.E001"],
            id="box + call + 10 = 60",
        ),
        pytest.param(
            checks.check_times, {"CALL_DEADLINE": 29.0, "ROW_LEASE": 116.0}, [], id="box + call + 10 = 59"
        ),
        pytest.param(
            checks.check_times,
            {"Q_CLUSTER": QUEUE | {"retry": 60}},
            ["connector.E002"],
            id="retry = time-out",
        ),
        pytest.param(checks.check_field_keys, {"FIELD_KEYS": [KEY]}, [], id="a key"),
        pytest.param(checks.check_field_keys, {"FIELD_KEYS": []}, ["connector.E004"], id="no key"),
        pytest.param(
            checks.check_field_keys, {"FIELD_KEYS": [KEY, "abc"]}, ["connector.E004"], id="second key bad"
        ),
        pytest.param(checks.check_public_url, {"PUBLIC_URL": "https://a.example"}, [], id="https"),
        pytest.param(
            checks.check_public_url, {"PUBLIC_URL": "http://a.example"}, ["connector.E005"], id="http"
        ),
        pytest.param(
            checks.check_public_url,
            {"PUBLIC_URL": "http://a.example", "DEBUG": True},
            [],
            id="http in development",
        ),
        pytest.param(checks.check_public_url, {"PUBLIC_URL": "https://"}, ["connector.E006"], id="no host"),
        pytest.param(
            checks.check_public_url, {"PUBLIC_URL": "https://a.example/?x=1"}, ["connector.E006"], id="query"
        ),
    ],
)
def test_each_mistake_has_its_number(
    check: Callable[[], list[CheckMessage]], changed: dict[str, Any], expected: list[str]
) -> None:
    times = {"CALL_DEADLINE": 15.0, "ROW_LEASE": 60.0, "PUMP_BOX": 20.0, "Q_CLUSTER": QUEUE}
    with override_settings(**{**times, **changed}):
        assert ids(check()) == expected


def test_a_bad_key_is_named_by_place_and_never_shown() -> None:
    with override_settings(FIELD_KEYS=[KEY, "not-a-key"]):
        [found] = checks.check_field_keys()
    assert "key 2" in found.msg
    assert "not-a-key" not in f"{found}" and KEY not in f"{found}"


@pytest.mark.parametrize(
    ("pool", "queue", "expected"),
    [
        pytest.param({"pool": {}}, "w1", ["connector.E007"], id="pool in a queue process"),
        pytest.param({"pool": {}}, None, [], id="pool in the web process"),
        pytest.param({}, "w1", [], id="no pool in a queue process"),
    ],
)
def test_no_pool_in_a_queue_process(
    monkeypatch: pytest.MonkeyPatch, pool: dict[str, Any], queue: str | None, expected: list[str]
) -> None:
    monkeypatch.setitem(settings.DATABASES["default"], "OPTIONS", pool)
    monkeypatch.delenv("Q_CLUSTER_NAME", raising=False)
    if queue:
        monkeypatch.setenv("Q_CLUSTER_NAME", queue)
    assert ids(checks.check_pool()) == expected


def test_the_checks_are_registered_and_the_project_passes_them() -> None:
    assert [message for message in run_checks() if str(message.id).startswith("connector.")] == []
    with override_settings(FIELD_KEYS=[]):
        assert "connector.E004" in ids(run_checks())


def test_the_desks_are_sound() -> None:
    """Django looks only at those that are registered by then, and urls.py registers them."""
    import_module(settings.ROOT_URLCONF)
    assert len(admin.site._registry) > 10
    assert run_checks(tags=["admin"]) == []
