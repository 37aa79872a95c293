"""What `manage.py web` serves: bodies are read before a thread is taken, and callers do not share threads (ADR 12).

The event loop holds every slow connection. A request gets a thread of its group when all of it is here. So nothing
that a caller can prolong (a body, a password's hash, a page, a vendor's answer) holds a thread that sends need.
"""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.urls import get_resolver
from granian.rsgi import ProtocolClosed  # type: ignore[attr-defined]  # their documented name

from connector.failures import is_machine_path
from connector.threads import Group, Groups
from connector.wsgi import application as wsgi_application
from messaging.api import patience
from messaging.contract.envelope import encoded, envelope

BODY_SECONDS = 10.0  # for a whole body: Bloomreach and vendors send a few kilobytes
CHUNK_SECONDS = 30.0  # for the reader of a streamed answer to take one piece
LARGE = 64 * 1024  # bytes; bodies larger than that share LARGE_TOTAL
LARGE_TOTAL = 64 * 1024 * 1024  # bytes of large bodies that a process holds at a time
DRAIN = 32 * 1024 * 1024  # bytes of a refused body that are read, so that its sender hears the refusal
RETRY_SECONDS = 2

django: Any = wsgi_application


@dataclass(frozen=True, slots=True)
class WholeAnswer:
    """What Django answered, whole."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class BodyBroken(Exception):
    """The connection ended in the middle of the body. What arrived must not be read as if it were all."""


class Application:
    """The RSGI application: granian calls `__rsgi_init__` once a process, and `__rsgi__` once a request."""

    def __init__(self) -> None:
        self.large = 0  # bytes of large bodies that are being read, or whose requests are not answered yet

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # A page that is being made gives the interpreter to a send five times as often as Python would by itself.
        sys.setswitchinterval(0.001)
        get_resolver().url_patterns  # noqa: B018  (imports every view, before the first request waits for it)
        self.loop = loop
        self.groups = Groups(settings.WEB_THREADS)

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.groups.end()

    async def __rsgi__(self, scope: Any, proto: Any) -> None:
        length, limit = _declared(scope)
        held = min(length, limit) if length > LARGE else 0
        if self.large + held > LARGE_TOTAL:
            _refuse(proto, "busy", "The connector takes no more large bodies just now; try again shortly.")
            return
        self.large += held
        try:
            await self._take(scope, proto, length, limit)
        finally:
            self.large -= held

    async def _take(self, scope: Any, proto: Any, length: int, limit: int) -> None:
        try:
            length, body = await _body(scope, proto, length, limit)
        except TimeoutError:
            _refuse(proto, "body_late", f"The body did not arrive within {BODY_SECONDS:.0f} s.")
            return
        except BodyBroken:
            _refuse(proto, "body_unreadable", "The body broke off.", status=400)
            return
        group = self.groups.of(scope.method, scope.path)
        if group.is_full:
            _refuse(proto, "busy", "The connector is busy; try again shortly.")
            return
        group.inside += 1  # now that its body is here: a slow one takes nobody's place
        try:
            await self._serve(_environ(scope, length), body, proto, group)
        finally:
            group.inside -= 1

    async def _serve(self, environ: dict[str, Any], body: bytes, proto: Any, group: Group) -> None:
        environ[patience.MAY_WAIT] = group is not self.groups.machines
        answer = await self.loop.run_in_executor(group.pool, _run, environ, body, self.loop, proto)
        if patience.was_moved(environ):
            environ[patience.MAY_WAIT] = True
            answer = await self.loop.run_in_executor(
                self.groups.calls.pool, _run, environ, body, self.loop, proto
            )
        if answer is not None:
            proto.response_bytes(answer.status, answer.headers, answer.body)


def _declared(scope: Any) -> tuple[int, int]:
    """Bytes that the body has, or may have, and bytes that it may have at most."""
    limit = settings.MAX_BODY if is_machine_path(scope.path) else settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    declared = scope.headers.get("content-length")
    if declared is not None:
        return int(declared), limit
    return (limit if "transfer-encoding" in scope.headers else 0), limit


async def _body(scope: Any, proto: Any, length: int, limit: int) -> tuple[int, bytes]:
    """The length and the bytes; of a body over the limit the length alone. Raises BodyBroken, TimeoutError."""
    if not length:
        return 0, b""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            if "content-length" in scope.headers and length <= limit:
                return length, await proto()
            return await _read_bounded(proto, limit)
    except ProtocolClosed:
        raise BodyBroken from None


async def _read_bounded(proto: Any, limit: int) -> tuple[int, bytes]:
    """As `_body`; at most DRAIN bytes are read. Raises BodyBroken.

    granian ends the pieces without an error when the caller breaks off, or frames a piece wrongly: an empty piece
    stands for the fault, and another one for the end that every body has.
    """
    pieces: list[bytes] = []
    length = empty = 0
    async for piece in proto:
        length += len(piece)
        empty += not piece
        if length > DRAIN:
            break
        if empty > 1:
            raise BodyBroken
        if length <= limit:
            pieces.append(piece)
        else:
            pieces.clear()
    return length, b"".join(pieces)


def _environ(scope: Any, length: int) -> dict[str, Any]:
    """WSGI's environ, without the body. A header with an underscore could pose as one with a dash: it is dropped."""
    client, _, port = scope.client.rpartition(":")
    name, _, server_port = scope.server.rpartition(":")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": scope.path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "SERVER_NAME": name,
        "SERVER_PORT": server_port,
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": client,
        "REMOTE_PORT": port,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.errors": sys.stderr,
        "wsgi.input_terminated": True,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for header, value in scope.headers.items():
        if "_" in header:
            continue
        key = "HTTP_" + header.upper().replace("-", "_")
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    environ["CONTENT_TYPE"] = environ.pop("HTTP_CONTENT_TYPE", "")
    environ.pop("HTTP_CONTENT_LENGTH", None)
    environ["CONTENT_LENGTH"] = str(length)
    return environ


def _run(
    environ: dict[str, Any], body: bytes, loop: asyncio.AbstractEventLoop, proto: Any
) -> WholeAnswer | None:
    """In a thread: Django's answer, or None when its pieces have been sent already."""
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        started[:] = int(status[:3]), headers

    environ["wsgi.input"] = io.BytesIO(body)
    response: Any = django(environ, start_response)
    try:
        status, headers = started
        if getattr(response, "streaming", False):
            _stream(response, proto.response_stream(status, headers), loop)
            return None
        return WholeAnswer(status, headers, b"".join(response))
    finally:
        response.close()


def _stream(pieces: Iterable[bytes], transport: Any, loop: asyncio.AbstractEventLoop) -> None:
    """Sends piece by piece; a reader that is too slow is left."""

    async def send(piece: bytes) -> None:
        async with asyncio.timeout(CHUNK_SECONDS):
            await transport.send_bytes(piece)

    with suppress(TimeoutError, ProtocolClosed):
        for piece in pieces:
            asyncio.run_coroutine_threadsafe(send(piece), loop).result()


def _refuse(proto: Any, code: str, text: str, *, status: int = 503) -> None:
    """An answer before Django sees the request. After a 503 the same request may come again, on a new connection."""
    headers = [("Content-Type", "application/json"), ("Connection", "close")]
    if status == 503:
        headers.append(("Retry-After", str(RETRY_SECONDS)))
    proto.response_bytes(status, headers, encoded(envelope(code, text)))


application = Application()
