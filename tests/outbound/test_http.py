from __future__ import annotations

import gzip
import os
import socket
import ssl
import struct
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
import responses
import urllib3

from outbound import addresses, http, sockets
from outbound.addresses import AddressGuard
from outbound.values import CallFailure, HttpRequest, HttpResponse
from tests.outbound.servers import Server, certificate, dripping, reply, serving

Serve = Callable[[Server, socket.socket], None]
DEADLINE = 1.0
# What a busy machine may add: what hangs here hangs for ten seconds, and what drips drips for ever.
LATE = 4.0
OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture(autouse=True)
def _fresh_pools() -> Iterator[None]:
    sockets.forget_pools()
    addresses.forget()
    yield
    sockets.forget_pools()


@pytest.fixture
def authority(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    return certificate(tmp_path)


def _get(url: str, **overrides: object) -> HttpResponse | CallFailure:
    return http.call(HttpRequest("GET", url), **{"deadline": 5.0, "guard": None, **overrides})  # type: ignore[arg-type]


def _failed(outcome: HttpResponse | CallFailure) -> CallFailure:
    assert isinstance(outcome, CallFailure), outcome
    return outcome


def _expired(
    url: str, *, body: bytes = b"", deadline: float = DEADLINE, late: float = LATE, **overrides: Any
) -> CallFailure:
    """A call that ends at its deadline: not before, and not much later."""
    request = HttpRequest("POST" if body else "GET", url, {}, body)
    started = time.monotonic()
    failure = _failed(http.call(request, deadline=deadline, guard=None, **overrides))
    seconds = time.monotonic() - started
    assert deadline - 0.02 < failure.seconds <= seconds < deadline + late
    return failure


def _answered(outcome: HttpResponse | CallFailure) -> HttpResponse:
    assert isinstance(outcome, HttpResponse), outcome
    return outcome


# --- a process that stood still


@pytest.mark.parametrize("secure", [pytest.param(False, id="plain"), pytest.param(True, id="TLS")])
@pytest.mark.parametrize(
    "pooled", [pytest.param(False, id="new connection"), pytest.param(True, id="pooled")]
)
def test_time_that_runs_out_before_the_first_byte_is_not_sent(
    authority: tuple[Path, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch, secure: bool, pooled: bool
) -> None:
    """The connection stands, then the process stands still until its deadline is over."""
    ca_bundle, context = authority
    with serving(reply(), tls=context if secure else None) as server:
        url = server.url()
        if pooled:
            _answered(_get(url, ca_bundle=ca_bundle))
        request, heard = sockets.HTTPConnection.putrequest, len(server.requests)

        def stand_still(self: sockets.HTTPConnection, *args: Any, **kwargs: Any) -> None:
            request(self, *args, **kwargs)
            if self.sock is None:
                self.connect()
            time.sleep(sockets._current().left() + 0.01)

        monkeypatch.setattr(sockets.HTTPConnection, "putrequest", stand_still)
        failure = _failed(
            http.call(
                HttpRequest("POST", url, {}, b"text"), deadline=DEADLINE, guard=None, ca_bundle=ca_bundle
            )
        )
        assert (failure.code, failure.sent) == ("timeout", False)
        assert server.requests[heard:] == []


# --- answers


def test_a_call_goes_out_as_it_was_written_and_comes_back_whole() -> None:
    with serving(reply(b'{"a": 1}', status="201 Created", headers="Retry-After: 7\r\n")) as server:
        request = HttpRequest(
            "POST", server.url("/x?a=%2F&b=c+d"), {"X-Key": "v", "user-agent": "mine"}, b"\x00body"
        )
        answer = _answered(http.call(request, deadline=5, guard=None))

    assert (answer.status, answer.body, answer.truncated) == (201, b'{"a": 1}', False)
    assert (answer.headers["retry-after"], answer.headers["Retry-After"]) == ("7", "7")
    assert 0 < answer.seconds < 5
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /x?a=%2F&b=c+d HTTP/1.1"
    assert body == b"\x00body"
    assert sorted(lines[1:]) == [
        "Accept-Encoding: gzip",
        "Accept: */*",
        "Content-Length: 5",
        f"Host: 127.0.0.1:{server.port}",
        "X-Key: v",
        "user-agent: mine",
    ]


def test_our_name_is_on_each_call() -> None:
    with serving(reply()) as server:
        _answered(_get(server.url()))
    assert b"User-Agent: bloomreach-connector/0.1.0\r\n" in server.requests[0]


@pytest.mark.parametrize("status", ["204 None", "404 Not Found", "429 Too Many", "500 Oops", "302 Found"])
def test_any_status_is_an_answer(status: str) -> None:
    with serving(reply(b"", status=status, headers="Location: http://127.0.0.1:1/\r\n")) as server:
        answer = _answered(_get(server.url()))
    assert (answer.status, server.connections, len(server.requests)) == (int(status[:3]), 1, 1)


def test_a_redirect_to_a_malformed_place_is_still_only_an_answer() -> None:
    with serving(reply(b"moved", status="301 Moved", headers="Location: http://[bad\r\n")) as server:
        assert _answered(_get(server.url())).body == b"moved"


def test_no_cookie_is_kept() -> None:
    with serving(reply(headers="Set-Cookie: a=b\r\n")) as server:
        for _ in range(2):
            _answered(_get(server.url()))
    assert len(server.requests) == 2
    assert b"ookie" not in b"".join(server.requests)


def test_the_environment_changes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password pass\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere")
    with serving(reply()) as server:
        _answered(_get(server.url()))
    assert b"Authorization" not in server.requests[0]


# --- bodies


def _chunked(body: bytes) -> Serve:
    def handler(server: Server, conn: socket.socket) -> None:
        while server.read_request(conn):
            chunks = b"".join(
                b"%x\r\n%b\r\n" % (len(body[i : i + 7000]), body[i : i + 7000])
                for i in range(0, len(body), 7000)
            )
            conn.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")

    return handler


@pytest.mark.parametrize(
    ("server_of", "size", "kept", "truncated", "connections"),
    [
        pytest.param(reply, 999, 999, False, 1, id="below the cap"),
        pytest.param(reply, 1000, 1000, False, 1, id="at the cap"),
        pytest.param(reply, 1001, 1000, True, 1, id="one byte more, read to its end"),
        pytest.param(reply, 300_000, 1000, True, 2, id="far more, not read"),
        pytest.param(_chunked, 1000, 1000, False, 1, id="chunked, at the cap"),
        pytest.param(_chunked, 300_000, 1000, True, 2, id="chunked, far more"),
    ],
)
def test_bodies_are_capped(
    server_of: Callable[[bytes], Serve], size: int, kept: int, truncated: bool, connections: int
) -> None:
    with serving(server_of(b"x" * size)) as server:
        answers = [_answered(_get(server.url(), max_body=1000)) for _ in range(2)]
    assert [(answer.body, answer.truncated) for answer in answers] == [(b"x" * kept, truncated)] * 2
    assert server.connections == connections


def test_an_endless_body_is_cut_at_one_mebibyte() -> None:
    with serving(dripping(OK + b"\r\n", b"x" * 65536, 0)) as server:
        answer = _answered(_get(server.url()))
    assert (len(answer.body), answer.truncated) == (1024 * 1024, True)


@pytest.mark.parametrize("layers", [1, 2])
def test_a_gzip_bomb_is_capped_in_memory_too(layers: int) -> None:
    bomb = b"\0" * 100_000_000
    for _ in range(layers):
        bomb = gzip.compress(bomb, 6)
    encoding = ", ".join(["gzip"] * layers)
    with serving(reply(bomb, headers=f"Content-Encoding: {encoding}\r\n")) as server:
        tracemalloc.start()
        try:
            answer = _answered(_get(server.url()))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert (len(answer.body), answer.truncated) == (1024 * 1024, True)
    assert peak < 12_000_000


def test_gzip_is_understood() -> None:
    with serving(reply(gzip.compress(b"hello" * 1000), headers="Content-Encoding: gzip\r\n")) as server:
        assert _answered(_get(server.url())).body == b"hello" * 1000


# --- failures: what they are called, and whether anything may have been sent


def _then(answer: bytes, *, reset: bool) -> Serve:
    def handler(server: Server, conn: socket.socket) -> None:
        server.read_request(conn)
        conn.sendall(answer)
        if reset:
            time.sleep(0.05)  # a reset would overtake bytes that the client has not read
            conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return handler


@pytest.mark.parametrize(
    ("handler", "code"),
    [
        pytest.param(_then(b"", reset=False), "reset", id="closed before headers"),
        pytest.param(_then(b"", reset=True), "reset", id="reset before headers"),
        pytest.param(
            _then(OK + b"Content-Length: 9\r\n\r\nab", reset=False),
            "reset",
            id="closed in body",
        ),
        pytest.param(_then(OK + b"Content-Length: 9\r\n\r\nab", reset=True), "reset", id="reset in body"),
        pytest.param(
            _then(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab", reset=False),
            "reset",
            id="closed in a chunk",
        ),
        pytest.param(_then(b"SSH-2.0-OpenSSH\r\n\r\n", reset=False), "bad_response", id="another protocol"),
        pytest.param(
            _then(OK + b"" + b"X: y\r\n" * 200 + b"\r\n", reset=False),
            "bad_response",
            id="200 headers",
        ),
        pytest.param(
            _then(OK + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope", reset=False),
            "bad_response",
            id="not gzip",
        ),
        pytest.param(
            _then(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", reset=False),
            "bad_response",
            id="not chunked",
        ),
    ],
)
def test_after_the_request_was_written_the_outcome_is_unknown(handler: Serve, code: str) -> None:
    with serving(handler) as server:
        failure = _failed(
            http.call(HttpRequest("POST", server.url("/?key=s3cret"), {}, b"x"), deadline=5, guard=None)
        )
    assert (failure.code, failure.sent, len(server.requests)) == (code, True, 1)
    assert "s3cret" not in failure.text
    assert failure.seconds < 5


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_refused_is_not_sent() -> None:
    failure = _failed(_get(f"http://127.0.0.1:{_closed_port()}/?key=s3cret"))
    assert (failure.code, failure.text, failure.sent) == (
        "unreachable",
        "no connection: Connection refused",
        False,
    )


def test_an_unknown_name_is_not_sent() -> None:
    failure = _failed(_get("http://host.invalid/"))
    assert (failure.code, failure.text, failure.sent) == ("dns", "the host name was not resolved", False)


def test_a_listener_that_accepts_nobody_is_not_sent() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        failure = _expired(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        for filler in fillers:
            filler.close()
    assert (failure.code, failure.text, failure.sent) == (
        "unreachable",
        "no connection: no answer in time",
        False,
    )


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        pytest.param(HttpRequest("GET", "ftp://127.0.0.1/"), "bad_url", id="scheme"),
        pytest.param(HttpRequest("GET", "http://user:s3cret@127.0.0.1/"), "bad_url", id="userinfo"),
        pytest.param(HttpRequest("GET", "http://[::1/"), "bad_url", id="malformed"),
        pytest.param(HttpRequest("GET", ""), "bad_url", id="empty"),
        pytest.param(
            HttpRequest("GET", "http://127.0.0.1:1/", {"A": "b\r\nC: d"}), "bad_request", id="header"
        ),
        pytest.param(HttpRequest("G E\r\nT", "http://127.0.0.1:{port}/"), "bad_request", id="method"),
        pytest.param(
            HttpRequest("GET", "http://127.0.0.1:{port}/", {"A": "\u017e"}), "bad_request", id="not latin-1"
        ),
    ],
)
def test_what_cannot_be_written_is_not_sent(request_: HttpRequest, code: str) -> None:
    with serving(reply()) as server:
        url = request_.url.replace("{port}", str(server.port))
        failure = _failed(
            http.call(HttpRequest(request_.method, url, request_.headers), deadline=5, guard=None)
        )
    assert (failure.code, failure.sent, server.requests) == (code, False, [])
    assert "s3cret" not in failure.text


def test_a_forbidden_address_is_not_dialled() -> None:
    with serving(reply()) as server:
        failure = _failed(_get(server.url(), guard=AddressGuard()))
        assert _answered(_get(server.url(), guard=AddressGuard(allow_loopback=True))).status == 200
        again = _failed(_get(server.url(), guard=AddressGuard()))
    assert (failure.code, failure.sent) == (again.code, again.sent) == ("refused_address", False)
    assert server.connections == 1


# --- the deadline


SLOW = [
    pytest.param(dripping(b"", b"", 1), id="silent"),
    pytest.param(dripping(OK + b"X-Drip: ", b"x", 0.1), id="drips a header"),
    pytest.param(dripping(OK, b"X: y\r\n", 0.1), id="drips headers"),
    pytest.param(dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.1), id="continues for ever"),
    pytest.param(dripping(OK + b"Content-Length: 999\r\n\r\n", b"x", 0.1), id="drips a body"),
    pytest.param(dripping(OK + b"\r\n", b"x", 0.1), id="drips a body without length"),
    pytest.param(
        dripping(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", 0.1),
        id="drips chunks",
    ),
    pytest.param(
        dripping(OK + b"Content-Encoding: gzip\r\n\r\n", gzip.compress(b""), 0.1),
        id="drips gzip",
    ),
]


@pytest.mark.parametrize("handler", SLOW)
def test_the_deadline_holds_for_the_whole_exchange(handler: Serve) -> None:
    with serving(handler) as server:
        failure = _expired(server.url())
    assert (failure.code, failure.sent) == ("timeout", True)
    assert failure.text == f"no complete answer within {DEADLINE:g} s"


@pytest.mark.parametrize("handler", SLOW)
def test_the_deadline_holds_inside_tls(handler: Serve, authority: tuple[Path, ssl.SSLContext]) -> None:
    bundle, context = authority
    with serving(handler, tls=context) as server:
        failure = _expired(server.url(), ca_bundle=bundle)
    assert (failure.code, failure.sent) == ("timeout", True)


def test_a_handshake_that_drips_is_cut_and_nothing_was_sent() -> None:
    # A TLS record header that announces 16 KiB, of which one byte comes at a time.
    def handler(server: Server, conn: socket.socket) -> None:
        conn.sendall(b"\x16\x03\x03\x40\x00")
        while not server.stopping.wait(0.1):
            conn.sendall(b"\x02")

    with serving(handler) as server:
        failure = _expired(server.url().replace("http:", "https:"))
    assert (failure.code, failure.sent) == ("timeout", False)


def test_a_slow_connect_leaves_less_time_for_the_handshake(monkeypatch: pytest.MonkeyPatch) -> None:
    real = sockets._connect

    def slow(answer: addresses.Answer, timeout: float) -> socket.socket:
        time.sleep(2.9)
        return real(answer, timeout)

    monkeypatch.setattr(sockets, "_connect", slow)
    with serving(dripping(b"", b"", 1)) as server:
        failure = _expired(server.url().replace("http:", "https:"), deadline=3, late=2.5)  # not 2.9 + 3
    assert (failure.code, failure.sent) == ("timeout", False)


def test_a_record_that_drips_inside_tls_is_cut(authority: tuple[Path, ssl.SSLContext]) -> None:
    bundle, context = authority

    def handler(server: Server, conn: socket.socket) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = context.wrap_bio(incoming, outgoing, server_side=True)
        while True:
            try:
                session.do_handshake()
                break
            except ssl.SSLWantReadError:
                conn.sendall(outgoing.read())
                incoming.write(conn.recv(65536))
        conn.sendall(outgoing.read())
        conn.recv(65536)
        session.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        for byte in outgoing.read():
            if server.stopping.wait(0.1):
                return
            conn.sendall(bytes([byte]))

    with serving(handler) as server:
        failure = _expired(server.url().replace("http:", "https:"), ca_bundle=bundle)
    assert (failure.code, failure.sent) == ("timeout", True)


def test_a_server_that_does_not_read_is_cut() -> None:
    def handler(server: Server, conn: socket.socket) -> None:
        server.stopping.wait(10)

    with serving(handler) as server:
        failure = _expired(server.url(), body=b"x" * 30_000_000)
    assert (failure.code, failure.sent) == ("timeout", True)


def test_a_name_server_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    release, asked = threading.Event(), []
    real = socket.getaddrinfo

    def hang(host: str, *args: object, **kwargs: object) -> object:
        if host == "slow.example" and not kwargs.get("flags"):
            asked.append(host)
            release.wait(10)
        return real("127.0.0.1" if host == "fast.example" else host, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    with serving(reply()) as server, ThreadPoolExecutor(5) as pool:
        calls = [pool.submit(_expired, "http://slow.example/") for _ in range(4)]
        assert _answered(_get(f"http://fast.example:{server.port}/")).status == 200
        failures = [call.result() for call in calls]
    release.set()
    assert {(f.code, f.text, f.sent) for f in failures} == {
        ("dns", "the host name was not resolved in time", False)
    }
    assert asked == ["slow.example"]


def test_an_address_that_swallows_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(reply()) as server, socket.socket() as listener:
        listener.bind(("127.0.0.2", server.port))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        found = [
            (socket.AF_INET, ("127.0.0.2", server.port)),
            (socket.AF_INET, ("127.0.0.1", server.port)),
        ]
        monkeypatch.setattr(sockets, "resolve", lambda *args, **kwargs: found)
        answer = _answered(_get(f"http://two.example:{server.port}/", deadline=4.0))
        for filler in fillers:
            filler.close()
    assert 2.0 - 0.02 < answer.seconds < 4.0


def test_the_next_call_of_the_thread_has_its_own_deadline() -> None:
    with serving(reply()) as server, serving(dripping(b"", b"", 1)) as slow:
        _expired(slow.url())
        assert _answered(_get(server.url(), deadline=2.0)).status == 200
        time.sleep(2.1)  # what the connection was given before is over
        assert _answered(_get(server.url())).status == 200
    assert server.connections == 1


# --- connections


def test_connections_are_used_again() -> None:
    with serving(reply()) as server:
        for _ in range(5):
            _answered(_get(server.url()))
    assert (server.connections, len(server.requests)) == (1, 5)


def test_an_idle_connection_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sockets.IDLE_MAX == 4.0
    with serving(reply()) as server:
        _answered(_get(server.url()))
        monkeypatch.setattr(sockets, "IDLE_MAX", 0.1)
        time.sleep(0.2)
        _answered(_get(server.url()))
    assert (server.connections, len(server.requests)) == (2, 2)


def test_a_connection_that_the_server_closed_is_not_used_again() -> None:
    closed = threading.Semaphore(0)

    def once(server: Server, conn: socket.socket) -> None:
        server.read_request(conn)
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        conn.shutdown(socket.SHUT_RDWR)
        closed.release()

    with serving(once) as server:
        for _ in range(3):
            _answered(_get(server.url()))
            assert closed.acquire(timeout=10)
    assert server.connections == 3


def test_a_failed_connection_is_not_used_again() -> None:
    def lame(server: Server, conn: socket.socket) -> None:
        while server.read_request(conn):
            if len(server.requests) == 1:
                conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")
                server.stopping.wait(DEADLINE + 3)
                conn.sendall(b"cde")
            else:
                conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with serving(lame) as server:
        _expired(server.url())
        assert _answered(_get(server.url())).body == b"ok"
    assert server.connections == 2


def test_sixty_four_threads_keep_sixty_four_connections() -> None:
    together = threading.Barrier(64)

    def handler(server: Server, conn: socket.socket) -> None:
        while server.read_request(conn):
            together.wait(10)
            conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with serving(handler) as server, ThreadPoolExecutor(64) as pool:
        for _ in range(2):
            answers = list(pool.map(lambda _: _get(server.url(), deadline=10.0), range(64)))
            assert [_answered(answer).body for answer in answers] == [b"ok"] * 64
    assert (server.connections, len(server.requests)) == (64, 128)


def test_a_forked_child_opens_its_own_connection() -> None:
    with serving(reply()) as server:
        _answered(_get(server.url()))
        child = os.fork()
        if child == 0:  # pragma: no cover - runs in the child
            os._exit(0 if isinstance(_get(server.url()), HttpResponse) else 1)
        assert os.waitpid(child, 0)[1] == 0
        _answered(_get(server.url()))
    assert (server.connections, len(server.requests)) == (2, 3)


# --- TLS


def test_tls_is_verified_and_connections_are_used_again(authority: tuple[Path, ssl.SSLContext]) -> None:
    bundle, context = authority
    with serving(reply(), tls=context) as server:
        for _ in range(3):
            assert _answered(_get(server.url(), ca_bundle=bundle)).body == b"ok"
    assert (server.connections, len(server.requests)) == (1, 3)


def test_an_untrusted_certificate_is_not_sent_to(authority: tuple[Path, ssl.SSLContext]) -> None:
    with serving(reply(), tls=authority[1]) as server:
        failure = _failed(_get(server.url()))
    assert (failure.code, failure.sent, server.requests) == ("tls", False, [])
    assert failure.text == "no secure connection: the certificate is not trusted (self-signed certificate)"


def test_a_certificate_for_another_name_is_not_sent_to(tmp_path: Path) -> None:
    bundle, context = certificate(tmp_path, name="127.0.0.9")
    with serving(reply(), tls=context) as server:
        failure = _failed(_get(server.url(), ca_bundle=bundle))
    assert (failure.code, failure.sent, server.requests) == ("tls", False, [])
    assert "IP address mismatch" in failure.text


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", id="speaks plain HTTP"),
        pytest.param(b"", id="hangs up"),
    ],
)
def test_a_server_without_tls_is_not_sent_to(words: bytes) -> None:
    def handler(server: Server, conn: socket.socket) -> None:
        conn.recv(65536)
        conn.sendall(words)

    with serving(handler) as server:
        failure = _failed(_get(server.url().replace("http:", "https:")))
    assert (failure.code, failure.sent) == ("tls", False)
    assert failure.text == "no secure connection: the other side broke off"


# --- simulated by the `responses` library, as other tests do it


@responses.activate
def test_simulated_answers() -> None:
    responses.post("https://api.example/x", body=b"made up", status=202, headers={"X-A": "b"})
    answer = _answered(
        http.call(HttpRequest("POST", "https://api.example/x", {"K": "v"}, b"body"), deadline=5, guard=None)
    )
    assert (answer.status, answer.body, answer.headers["x-a"], answer.truncated) == (
        202,
        b"made up",
        "b",
        False,
    )
    assert responses.calls[0].request.body == b"body"
    assert responses.calls[0].request.headers["K"] == "v"


@responses.activate
def test_simulated_long_answers_are_cut() -> None:
    responses.get("https://api.example/", body=b"x" * 2000)
    answer = _answered(_get("https://api.example/", max_body=1000))
    assert (len(answer.body), answer.truncated) == (1000, True)


@pytest.mark.parametrize(
    ("error", "code", "sent"),
    [
        pytest.param(requests.ConnectTimeout(), "timeout", False, id="connect time-out"),
        pytest.param(requests.ConnectionError(), "unreachable", False, id="no connection"),
        pytest.param(requests.exceptions.SSLError(), "unreachable", False, id="TLS"),
        pytest.param(requests.exceptions.ProxyError(), "unreachable", False, id="proxy"),
        pytest.param(requests.ReadTimeout(), "timeout", True, id="read time-out"),
        pytest.param(
            requests.ConnectionError(
                urllib3.exceptions.ProtocolError("Connection aborted.", ConnectionResetError())
            ),
            "reset",
            True,
            id="reset",
        ),
        pytest.param(requests.exceptions.ChunkedEncodingError(), "bad_request", True, id="chunks"),
    ],
)
@responses.activate
def test_simulated_failures(error: Exception, code: str, sent: bool) -> None:
    responses.get("https://api.example/", body=error)
    failure = _failed(_get("https://api.example/"))
    assert (failure.code, failure.sent) == (code, sent)
