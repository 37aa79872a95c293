"""Requests as bytes on the wire: what is framed wrongly, cut off, or poses as something else is not taken for whole."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.process.stage import Stage, Tenant, database, stage
from tests.waiting import free_port

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

LENGTH, CHUNKS = b"Content-Length: %d\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def running() -> Iterator[Stage]:
    with database() as url, stage(url) as made:
        yield made


@pytest.fixture(scope="module")
def tenant(running: Stage) -> tuple[Tenant, int]:
    """A tenant, and the port of the web that serves it."""
    [well] = running.onboard("well")
    port = free_port()
    running.start_web("web", port)
    return well, port


def sms() -> bytes:
    return json.dumps(
        {
            "from": "Demo Shop",
            "to": "00421900000100",
            "text": "Your parcel is on its way.",
            "request_id": str(uuid4()),
            "custom_data": "c",
            "callback_url": "http://127.0.0.1:9/callbacks",
            "metadata": {},
        }
    ).encode()


def ask(port: int, *pieces: bytes, break_off: bool = False) -> tuple[int, str]:
    """The status and the code of the answer to these bytes; then the connection is closed, or was by then."""
    head = b"POST /sms/send HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=15) as connection:
        connection.sendall(head + b"".join(pieces))
        if break_off:
            connection.shutdown(socket.SHUT_WR)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        body = answer.read()
        said = json.loads(body) if body else {}
        return answer.status, said.get("error", {}).get("code", said.get("status", ""))


@pytest.mark.parametrize(
    ("framed", "break_off"),
    [
        pytest.param(CHUNKS + b"%x\r\n%s\r\n", True, id="no last chunk"),
        pytest.param(CHUNKS + b"fff\r\n", True, id="half a chunk"),
        pytest.param(CHUNKS, True, id="no chunk"),
        pytest.param(CHUNKS + b"%x\r\n%s\r\nzz\r\n", False, id="a length in letters"),
        pytest.param(CHUNKS + b"%x\r\n%s\r\n-1\r\n", False, id="a negative length"),
        pytest.param(CHUNKS + b"%x\r\n%s\r\nFFFFFFFFFFFFFFFFF\r\n", False, id="a length beyond all numbers"),
        pytest.param(CHUNKS + b"%x\n%s\n0\n\n", False, id="chunks with bare line feeds"),
        pytest.param(CHUNKS + b"%x\r\n%s\r\n0\r\nChan-Token: other\r\n\r\n", False, id="headers behind it"),
    ],
)
def test_a_body_that_is_not_whole_is_not_read(
    tenant: tuple[Tenant, int], framed: bytes, break_off: bool
) -> None:
    well, port = tenant
    body = sms()
    filled = framed % (len(body), body) if b"%x" in framed else framed
    token = b"Chan-Token: %s\r\n" % well.token.encode()
    assert ask(port, token, filled, break_off=break_off) == (400, "body_unreadable")


def test_callers_who_break_off_leave_no_traceback(running: Stage, tenant: tuple[Tenant, int]) -> None:
    well, port = tenant
    token = b"Chan-Token: %s\r\n" % well.token.encode()
    for _ in range(3):
        assert ask(port, token, LENGTH % 1000, b"{", break_off=True) == (400, "body_unreadable")
    assert "Traceback" not in (running.directory / "web.log").read_text()


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        pytest.param(b"Chan-Token: TOKEN\r\n", (200, "accepted"), id="a dash"),
        pytest.param(b"Chan_Token: TOKEN\r\n", (401, "token_missing"), id="an underscore"),
        pytest.param(b"Chan-Token: TOKEN\r\nChan_Token: other\r\n", (200, "accepted"), id="both"),
        pytest.param(b"Chan-Token: TOKEN\r\nContent_Length: 3\r\n", (200, "accepted"), id="another length"),
        pytest.param(b"Chan-Token: TOKEN\r\nChan-Token: other\r\n", (401, "token_unknown"), id="two tokens"),
        pytest.param(b"Chan-Token: TOKEN\r\nContent-Length: 3\r\n", (400, ""), id="two lengths"),
        pytest.param(
            b"Chan-Token: TOKEN\r\nTransfer-Encoding : chunked\r\n", (400, ""), id="a blank before :"
        ),
        pytest.param(
            b"Chan-Token: TOKEN\r\nTransfer-Encoding: identity\r\n", (400, ""), id="another encoding"
        ),
        pytest.param(b"Chan-Token: TOKEN\r\nX-A: b\r\n c\r\n", (400, ""), id="a header of two lines"),
        pytest.param(b"Chan-Token: TOKEN\r\nX-A: b\rX-C: d\r\n", (400, ""), id="a bare carriage return"),
        pytest.param(b"Chan-Token: TOKEN\r\nX-A: \x00\r\n", (400, ""), id="a NUL"),
    ],
)
def test_headers_that_pose_as_others(
    tenant: tuple[Tenant, int], headers: bytes, answer: tuple[int, str]
) -> None:
    well, port = tenant
    body = sms()
    sent = headers.replace(b"TOKEN", well.token.encode())
    assert ask(port, sent, LENGTH % len(body), body) == answer


@pytest.mark.parametrize("length_first", [True, False])
def test_of_a_length_beside_chunks_nothing_is_left_for_a_second_request(
    tenant: tuple[Tenant, int], length_first: bool
) -> None:
    """The chunks count, and the connection ends: what follows on it is nobody's request."""
    well, port = tenant
    body = sms()
    lines = [b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n"]
    framing = b"".join(lines if length_first else reversed(lines))
    head = b"POST /sms/send HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    token = b"Chan-Token: %s\r\n" % well.token.encode()
    second = b"GET /sms/verify HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=15) as connection:
        connection.sendall(head + token + framing + b"\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) + second)
        said = b"".join(iter(lambda: connection.recv(65536), b""))
    assert said.count(b"HTTP/1.1 ") == said.count(b"HTTP/1.1 200 OK") == 1
