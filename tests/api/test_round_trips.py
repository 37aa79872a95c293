"""What the accept path costs on the wire (architecture "Accepting"): counted at PostgreSQL's own socket."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.utils import timezone

from accounts import authentication
from accounts.models import ApiToken
from messaging.models import Message
from messaging.queues import routes
from tests.api.conftest import SMS, make_caller
from tests.postgres_proxy import counting_relay, in_other_process_settings

pytestmark = pytest.mark.django_db(transaction=True)

POOL = {"min_size": 1, "max_size": 1, "timeout": 5}


@pytest.fixture(params=["pool", "lasting connection"])
def send(request: pytest.FixtureRequest, client: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Posts bodies through the whole WSGI application, in a process-like place of its own; trips per answer."""
    for kept in (authentication._tokens, authentication._headers, routes._tables):
        monkeypatch.setattr(kept, "_seconds", 600.0)  # a slow machine may take longer than two seconds
    caller = make_caller(client)
    application = WSGIHandler()
    pooled = request.param == "pool"

    def post(body: dict[str, Any]) -> int:
        raw = json.dumps(body).encode()
        started: list[str] = []
        environ = {
            "REQUEST_METHOD": "POST",
            "PATH_INFO": "/sms/send",
            "SERVER_NAME": "testserver",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_CHAN_TOKEN": caller.secret,
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(raw)),
            "wsgi.input": io.BytesIO(raw),
            "wsgi.url_scheme": "http",
            "wsgi.errors": io.StringIO(),
        }
        response = application(environ, lambda status, headers: started.append(status))
        b"".join(response)
        response.close()
        return int(started[0][:3])

    def run(steps: list[dict[str, Any] | Callable[[], Any]]) -> list[tuple[int, int]]:
        """(status, round trips) of each body; callables are run in between."""
        with counting_relay() as counted:

            def work() -> list[tuple[int, int]]:
                seen = []
                for step in steps:
                    if callable(step):
                        step()
                        continue
                    before = counted.trips
                    status = post(step)
                    seen.append((status, counted.trips - before))
                return seen

            options = {"sslmode": "disable", "gssencmode": "disable", "prepare_threshold": 3}
            return in_other_process_settings(
                work,
                HOST="127.0.0.1",
                PORT=str(counted.port),
                CONN_MAX_AGE=0 if pooled else 600,
                OPTIONS={**options, **({"pool": POOL} if pooled else {})},
            )

    return run


def bodies(first: int, count: int) -> list[dict[str, Any]]:
    return [{**SMS, "request_id": f"r-{n}"} for n in range(first, first + count)]


def test_a_new_message_is_one_round_trip(send: Any):
    seen = send(bodies(0, 20))
    # Warm: the token, the accounts and the statement are known. One trip is spent on preparing the statement.
    assert [status for status, _ in seen] == [200] * 20
    trips = [trips for _, trips in seen[1:]]
    assert sorted(trips) == [1] * 18 + [2]
    assert trips[-10:] == [1] * 10
    assert Message.objects.count() == 20


def test_a_duplicate_is_two(send: Any):
    seen = send([*bodies(0, 10), *bodies(9, 1), *bodies(9, 1)])
    assert seen[-2:] == [(200, 2), (200, 2)]
    assert Message.objects.count() == 10


def test_a_token_revoked_a_moment_ago_is_two_and_stores_nothing(send: Any):
    def revoke() -> None:
        ApiToken.objects.update(revoked_at=timezone.now())

    seen = send([*bodies(0, 10), revoke, *bodies(10, 1)])
    assert seen[-1] == (401, 2)
    assert Message.objects.count() == 10
