"""Callers that are slow or hostile, and vendors that hang, take no thread that sends need (ADR 12)."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from uuid import uuid4

import pytest

from tests.process.stage import ROOT, Stage, Tenant, database, stage
from tests.waiting import free_port

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(300)]

SENDS = 400
LARGE_TOTAL = 64 * 1024 * 1024  # bytes, as ADR 12 says
SLOW_PATHS = ("/hooks/simulator/nobody", "/sms/send", "/admin/login/", "/mms/send")


@pytest.fixture(scope="module")
def running() -> Iterator[Stage]:
    """One stage for all: nothing here changes it."""
    with database() as url, stage(url) as made:
        yield made


@pytest.fixture(scope="module")
def tenants(running: Stage) -> tuple[Tenant, Tenant, int]:
    """Who is well, whose vendor hangs, and the port of the web that serves both."""
    well, hung = running.onboard("well", "hung")
    body = json.dumps({"mode": "hang", "seconds": 600, "account": "hung"}).encode()
    fault = urllib.request.Request(
        f"{running.carrier_url}/faults", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(fault, timeout=10) as answer:
        assert answer.status == 200
    port = free_port()
    running.start_web("web", port)
    return well, hung, port


def send(client: http.client.HTTPConnection, tenant: Tenant, request_id: str | None) -> int:
    body = {
        "from": "Demo Shop",
        "to": "00421900000100",
        "text": "Your parcel is on its way.",
        "request_id": request_id,
        "custom_data": "c",
        "callback_url": "http://127.0.0.1:9/callbacks",
        "metadata": {},
    }
    headers = {"Chan-Token": tenant.token, "Content-Type": "application/json"}
    client.request("POST", "/sms/send", json.dumps(body), headers)
    answer = client.getresponse()
    answer.read()
    return answer.status


def slow_body(port: int, path: str, token: str, promised: int = 1000) -> socket.socket:
    """A connection that promises so many bytes and has sent one."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nChan-Token: {token}\r\nContent-Type: application/json\r\n"
    connection.sendall(f"{head}Content-Length: {promised}\r\n\r\n{{".encode())
    return connection


@contextmanager
def repeated(threads: int, deed: Callable[[], object]) -> Iterator[None]:
    """Does it again and again in so many threads; an end of the connection is no news."""
    over = threading.Event()

    def run() -> None:
        while not over.is_set():
            try:
                deed()
            except (OSError, http.client.HTTPException):
                over.wait(0.05)

    running = [threading.Thread(target=run) for _ in range(threads)]
    for thread in running:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in running:
            thread.join()


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def timed_sends(port: int, tenant: Tenant) -> list[float]:
    """Seconds that each of SENDS requests took; all of them are accepted."""
    command = [sys.executable, "-m", "tests.process.timed_sends", str(port), tenant.token, str(SENDS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    took: list[float] = json.loads(done.stdout)
    return took


def test_sends_go_on_beside_slow_bodies_guessers_and_a_hung_vendor(
    running: Stage, tenants: tuple[Tenant, Tenant, int]
) -> None:
    well, hung, port = tenants

    def guess() -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as client:
            client.request("GET", "/admin/login/")
            page = client.getresponse()
            cookie = (page.getheader("Set-Cookie") or "").split(";")[0]
            page.read()
            form = f"csrfmiddlewaretoken={cookie.partition('=')[2]}&username=demo&password=guess"
            headers = {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
            client.request("POST", "/admin/login/", form, headers)
            client.getresponse().read()

    def verify() -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as client:
            client.request("GET", "/sms/verify", headers={"Chan-Token": hung.token})
            client.getresponse().read()

    def test_message() -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as client:
            send(client, hung, None)

    def health() -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as answer:
            assert answer.status == 200
        answered.append(time.monotonic())
        time.sleep(0.1)

    answered: list[float] = []
    with ExitStack() as stack:
        stack.enter_context(repeated(50, guess))
        stack.enter_context(repeated(8, verify))
        stack.enter_context(repeated(8, test_message))
        stack.enter_context(repeated(1, health))
        for n in range(200):
            stack.enter_context(slow_body(port, SLOW_PATHS[n % 4], well.token))
        took = timed_sends(port, well)

    assert percentile(took, 0.99) < 0.3
    assert len(answered) >= 10


def test_slow_bodies_take_nobodys_place(tenants: tuple[Tenant, Tenant, int]) -> None:
    """More of them than may wait for a login's thread in both processes."""
    _, _, port = tenants
    with ExitStack() as stack:
        for _ in range(120):
            stack.enter_context(slow_body(port, "/admin/login/", "none"))
        for _ in range(6):
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as client:
                client.request("POST", "/admin/login/", "username=nobody")
                assert client.getresponse().status == 403  # by its form, which was read: it has no CSRF token


def test_a_body_that_does_not_arrive_is_answered_in_time(tenants: tuple[Tenant, Tenant, int]) -> None:
    well, _, port = tenants
    started = time.monotonic()
    with ExitStack() as stack:
        connections = [stack.enter_context(slow_body(port, path, well.token)) for path in SLOW_PATHS]
        for connection in connections:
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            assert b"did not arrive within 10 s" in answer.read()
            assert (answer.status, answer.getheader("Retry-After")) == (503, "2")
            assert answer.getheader("Connection") == "close"
    assert 9 < time.monotonic() - started < 20


def test_large_bodies_share_a_bounded_room(tenants: tuple[Tenant, Tenant, int]) -> None:
    well, _, port = tenants
    size = 1024 * 1024
    with ExitStack() as stack:
        for _ in range(LARGE_TOTAL // size):
            stack.enter_context(slow_body(port, "/sms/send", well.token, size))
        one_more = stack.enter_context(slow_body(port, "/sms/send", well.token, size))
        answer = http.client.HTTPResponse(one_more)
        answer.begin()
        assert (answer.status, b"no more large bodies" in answer.read()) == (503, True)
        client = stack.enter_context(closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)))
        assert send(client, well, str(uuid4())) == 200


REFUSED = [
    pytest.param("/sms/send", {}, 401, id="no token"),
    pytest.param("/sms/send", {"Chan-Token": "wrong"}, 401, id="wrong token"),
    pytest.param("/sms/send", {"Chan-Token": "TOKEN", "Content-Type": "text/plain"}, 415, id="no JSON"),
    pytest.param("/hooks/simulator/nobody", {}, 404, id="unknown hook"),
    pytest.param("/hooks/nobody/nobody", {}, 404, id="unknown vendor"),
    pytest.param("/sms/nothing", {}, 404, id="unknown address"),
]


@pytest.mark.parametrize("size", [60_000, 1_000_000])
@pytest.mark.parametrize(("path", "headers", "status"), REFUSED)
def test_a_refusal_is_heard_and_the_connection_goes_on(
    tenants: tuple[Tenant, Tenant, int], path: str, headers: dict[str, str], status: int, size: int
) -> None:
    well, _, port = tenants
    sent = {name: value.replace("TOKEN", well.token) for name, value in headers.items()}
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as client:
        for _ in range(10):
            client.request("POST", path, b"x" * size, sent)
            answer = client.getresponse()
            answer.read()
            assert (answer.status, answer.getheader("Connection")) == (status, None)
            assert send(client, well, str(uuid4())) == 200


@pytest.mark.parametrize("size", [2_100_000, 5_000_000, 20_000_000])
@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "in chunks"])
def test_a_body_that_is_too_large_hears_so(
    tenants: tuple[Tenant, Tenant, int], size: int, chunked: bool
) -> None:
    well, _, port = tenants
    headers = {"Chan-Token": well.token, "Content-Type": "application/json"}
    for _ in range(10):
        pieces = (b"x" * 50_000 for _ in range(size // 50_000))
        body = pieces if chunked else b"x" * size
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as client:
            client.request("POST", "/sms/send", body, headers, encode_chunked=chunked)
            answer = client.getresponse()
            assert (answer.status, json.loads(answer.read())["error"]["code"]) == (413, "body_too_large")
            assert send(client, well, str(uuid4())) == 200
