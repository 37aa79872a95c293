"""The built-in load generator, against a real server on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest

from bench import generator
from bench.generator import MARK, Measured, Requests, percentile
from simulator.listener import Call, Listener, Reply

BODY = json.dumps({"request_id": MARK, "text": "Hello"})
CONNECTIONS = 4


class Receiver:
    """Remembers what came; answers 503 to every `fail_every`-th request."""

    def __init__(self, fail_every: int = 0) -> None:
        self.calls: list[Call] = []
        self.failures = 0
        self._fail_every = fail_every
        self._lock = threading.Lock()

    def __call__(self, call: Call) -> Reply:
        with self._lock:
            self.calls.append(call)
            fails = bool(self._fail_every) and len(self.calls) % self._fail_every == 0
            self.failures += fails
        return Reply(503 if fails else 200, {"status": "x" * 5000})

    @property
    def ids(self) -> list[str]:
        return [json.loads(call.body)["request_id"] for call in self.calls]


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def listener(receiver: Receiver) -> Iterator[Listener]:
    server = Listener(receiver)
    server.start()
    yield server
    server.stop()


def _run(listener: Listener, *, same: bool = False) -> Measured:
    requests = Requests(listener.url, "/sms/send", "secret-token", BODY, "run-1", same)
    return generator.run(requests, connections=CONNECTIONS, seconds=0.3)


def test_every_request_has_an_id_of_its_own(listener: Listener, receiver: Receiver) -> None:
    measured = _run(listener)
    assert measured.requests > CONNECTIONS
    assert measured.errors == 0
    ids = receiver.ids  # read once: what was in flight at the end may still be arriving
    assert measured.requests <= len(ids) <= measured.requests + CONNECTIONS
    assert len(set(ids)) == len(ids)
    assert ids[0].startswith("run-1-")


def test_the_same_request_over_and_over(listener: Listener, receiver: Receiver) -> None:
    assert _run(listener, same=True).errors == 0
    assert set(receiver.ids) == {"run-1-000000000"}


def test_a_request_is_as_bloomreach_sends_it(listener: Listener, receiver: Receiver) -> None:
    _run(listener)
    call = receiver.calls[0]
    assert (call.method, call.path) == ("POST", "/sms/send")
    assert call.headers["chan-token"] == "secret-token"
    assert call.headers["content-type"] == "application/json"
    assert json.loads(call.body)["text"] == "Hello"


@pytest.mark.parametrize("receiver", [Receiver(fail_every=3)], ids=["every third fails"])
def test_other_answers_than_200_are_errors(listener: Listener, receiver: Receiver) -> None:
    measured = _run(listener)
    assert 0 <= receiver.failures - measured.errors <= CONNECTIONS
    assert measured.errors > 0


def test_a_server_that_is_not_there_is_an_error() -> None:
    requests = Requests("http://127.0.0.1:1", "/", "token", BODY, "run-1")
    with pytest.raises(ConnectionRefusedError):
        generator.run(requests, connections=1, seconds=0.1)


def test_the_rate_is_of_answers_per_second(listener: Listener) -> None:
    measured = _run(listener)
    assert measured.rate == measured.requests / measured.seconds
    assert 0.3 <= measured.seconds < 5
    assert 0 < measured.p50_ms <= measured.p99_ms


@pytest.mark.parametrize(
    ("buffer", "status"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 200, id="whole"),
        pytest.param(b"HTTP/1.1 503 Nope\r\ncontent-length: 0\r\n\r\n", 503, id="lower case, empty"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 2\r\nC: d\r\n\r\n{}", 200, id="in between"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{", None, id="half a body"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", None, id="half a head"),
        pytest.param(b"", None, id="nothing"),
    ],
)
def test_when_an_answer_is_whole(buffer: bytes, status: int | None) -> None:
    assert generator.answered(buffer) == status


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        pytest.param([], 99, 0.0, id="none"),
        pytest.param([7], 99, 7.0, id="one"),
        pytest.param(list(range(1, 101)), 50, 51.0, id="middle"),
        pytest.param(list(range(1, 101)), 99, 100.0, id="99 of 100"),
        pytest.param(list(range(1, 1001)), 99, 991.0, id="99 of 1000"),
    ],
)
def test_percentiles(values: list[int], percent: float, expected: float) -> None:
    assert percentile(values, percent) == expected
