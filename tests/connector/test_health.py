"""/healthz asks nobody; /readyz tells what keeps messages from moving."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test import Client, override_settings

from connector import health
from messaging.models import Destination, Inbox, Slot
from messaging.rules.ids import uuid7
from messaging.rules.values import MessageState
from tests.factories import make_account, make_event, make_message

pytestmark = pytest.mark.django_db


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


@pytest.fixture
def beating() -> Slot:
    return Slot.objects.create(worker="w1", n=0, beat_at=ago(1))


@pytest.fixture(autouse=True)
def fresh_migrations_look() -> Iterator[None]:
    health._require_migrations.cache_clear()
    yield
    health._require_migrations.cache_clear()


def test_healthz_needs_no_database(client: Client, django_assert_num_queries: pytest.FixtureRequest) -> None:
    with django_assert_num_queries(0):
        answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_ready(client: Client, beating: Slot) -> None:
    answer = client.get("/readyz")
    body = answer.json()
    assert answer.status_code == 200
    assert 0.5 < body.pop("beat_age") < 10
    assert body == {
        "ready": True,
        "database": True,
        "migrated": True,
        "oldest_due": {"dispatch": None, "callbacks": None, "inbox": None},
        "refusing": {"vendor": 0, "callback": 0, "inbound": 0},
        "problems": [],
    }


def test_one_query_once_the_migrations_were_seen(
    client: Client, beating: Slot, django_assert_num_queries: pytest.FixtureRequest
) -> None:
    client.get("/readyz")
    with django_assert_num_queries(1):
        client.get("/readyz")


def test_no_pump(client: Client) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    assert answer.json()["problems"] == ["no pump is alive: is manage.py worker running?"]


def test_a_silent_pump(client: Client, beating: Slot) -> None:
    Slot.objects.create(worker="w2", n=0, beat_at=ago(100))
    assert client.get("/readyz").status_code == 200
    Slot.objects.update(beat_at=ago(16))
    assert client.get("/readyz").json()["problems"] == ["no pump is alive: is manage.py worker running?"]


def test_the_oldest_due_work_of_each_kind(client: Client, beating: Slot) -> None:
    make_message(due_at=ago(20))
    make_message(due_at=ago(40))
    make_message(due_at=ago(-50))
    make_message(due_at=ago(90), state=MessageState.SENT)
    make_event(due_at=ago(60))
    Inbox.objects.create(exchange_id=uuid7(), exchange_at=ago(80), due_at=ago(80), account=make_account())
    parked = {"exchange_at": ago(200), "due_at": ago(200), "parked_at": ago(100)}
    Inbox.objects.create(exchange_id=uuid7(), account=make_account(), **parked)
    found = client.get("/readyz").json()
    ages = {kind: round(age, -1) for kind, age in found["oldest_due"].items()}
    assert ages == {"dispatch": 40, "callbacks": 60, "inbox": 80}
    assert found["ready"] is True
    with override_settings(READY_MAX_AGE=50):
        answer = client.get("/readyz")
    assert answer.status_code == 503
    assert [problem.split(" waits")[0] for problem in answer.json()["problems"]] == [
        "the oldest due work of callbacks",
        "the oldest due work of inbox",
    ]


@pytest.mark.parametrize(
    "field", [pytest.param("paused_at", id="paused"), pytest.param("open_until", id="circuit")]
)
def test_work_held_on_purpose_does_not_count(client: Client, beating: Slot, field: str) -> None:
    message = make_message(due_at=ago(1000))
    assert client.get("/readyz").status_code == 503
    setattr(message.queue, field, ago(-60))
    message.queue.save()
    assert client.get("/readyz").status_code == 200


def test_work_that_is_not_due_has_no_age(client: Client, beating: Slot) -> None:
    make_message(due_at=ago(-100))
    assert client.get("/readyz").json()["oldest_due"]["dispatch"] is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        pytest.param(
            1200.0, "a worker's clock is 1200 s ahead of the database's: is NTP running?", id="ahead"
        ),
        pytest.param(-31.0, "a worker's clock is 31 s behind the database's: is NTP running?", id="behind"),
        pytest.param(29.0, None, id="within reason"),
    ],
)
def test_a_worker_with_a_wrong_clock(
    client: Client, beating: Slot, seconds: float, words: str | None
) -> None:
    Slot.objects.create(worker="w2", n=0, beat_at=ago(1), clock_off=seconds)
    answer = client.get("/readyz")
    assert answer.json()["problems"] == ([words] if words else [])
    assert answer.status_code == (503 if words else 200)
    assert answer.json().get("clock_off", {}).get("worker") == (seconds if words else None)
    line = f'connector_clock_off_seconds{{process="worker"}} {seconds}'
    assert line in client.get("/metrics").content.decode().splitlines()


def test_a_wrong_clock_of_our_own(client: Client, beating: Slot, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    monkeypatch.setattr(health.time, "time", lambda: real() + 120)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["problems"] == ["a web's clock is 120 s ahead of the database's: is NTP running?"]


def test_missing_migrations(client: Client, beating: Slot) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'messaging'")
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["problems"] == ["migrations are not applied: run manage.py migrate"]


def test_refusing_destinations_are_told_and_do_not_make_us_unready(client: Client, beating: Slot) -> None:
    message = make_message()
    event = make_event(due_at=ago(1000))
    assert client.get("/readyz").status_code == 503
    message.queue.open_for = 10
    message.queue.save()
    Destination.objects.filter(pk=event.destination_id).update(open_for=300, open_until=ago(-60))
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json()["refusing"] == {"vendor": 1, "callback": 1, "inbound": 0}
    assert answer.json()["problems"] == [
        "1 vendor queues do not take anything",
        "1 callback addresses do not take anything",
    ]
    found = client.get("/metrics").content.decode()
    assert 'connector_refusing_destinations{kind="callback"} 1.0' in found
    assert 'connector_refusing_destinations{kind="inbound"} 0.0' in found
