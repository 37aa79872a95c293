"""Outbound HTTP: one call, one deadline for all of it, no retries, no redirects, no proxies, no cookies.

A failure is a value that says whether the other side may have heard of the request.
"""

from __future__ import annotations

import http.client
import os
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import requests
import urllib3
from requests.structures import CaseInsensitiveDict

from outbound.addresses import AddressError, AddressGuard, destination
from outbound.redaction import trace
from outbound.sockets import CallUnderWay, Stage, adapter, exchange
from outbound.values import CallFailure, HttpRequest, HttpResponse

__all__ = ["MAX_BODY", "USER_AGENT", "AddressGuard", "call", "trace"]

VERSION = "0.1.0"
USER_AGENT = f"bloomreach-connector/{VERSION}"
MAX_BODY = 1024 * 1024  # bytes of an answer that are read, decompressed
CHUNK = 64 * 1024

_DEFAULT_HEADERS = {"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "gzip"}
_FAULTS = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
)
_BROKEN = (ConnectionError, ssl.SSLError, http.client.IncompleteRead)


def call(
    request: HttpRequest,
    *,
    deadline: float,
    guard: AddressGuard | None,
    max_body: int = MAX_BODY,
    ca_bundle: Path | None = None,
) -> HttpResponse | CallFailure:
    """One exchange within `deadline` seconds, from the name look-up to the last byte of the body.

    Any status is an answer, redirects too. Header names fit in any case; a longer body is cut (`truncated`).
    `guard` judges the address; None dials any, for what a person at a terminal names. `ca_bundle` replaces the
    public authorities.
    """
    started = time.monotonic()
    with exchange(deadline=deadline, guard=guard) as current:
        try:
            destination(request.url)
            response = adapter(guard, ca_bundle).send(
                _prepared(request), stream=True, timeout=deadline, verify=True, cert=None, proxies={}
            )
            try:
                body, truncated = _read(response, max_body)
            finally:
                response.close()
        except _FAULTS as error:
            return _failure(error, current, deadline=deadline, seconds=time.monotonic() - started)
    seconds = time.monotonic() - started
    return HttpResponse(response.status_code, CaseInsensitiveDict(response.headers), body, seconds, truncated)


def warm_up() -> None:
    """Loads the public authorities, which takes longer than a call should wait."""
    adapter(None)


def _prepared(request: HttpRequest) -> requests.PreparedRequest:
    headers: CaseInsensitiveDict[str] = CaseInsensitiveDict(_DEFAULT_HEADERS)
    headers.update(request.headers)
    return requests.Request(request.method, request.url, headers=headers, data=request.body or None).prepare()


def _read(response: requests.Response, most: int) -> tuple[bytes, bool]:
    body = bytearray()
    for piece in response.raw.stream(CHUNK, decode_content=True):
        body += piece
        if len(body) > most:
            return bytes(body[:most]), True
    return bytes(body), False


def _failure(error: Exception, current: CallUnderWay, *, deadline: float, seconds: float) -> CallFailure:
    code, text = _fault(error, current.stage, late=seconds >= deadline - 0.01, deadline=deadline)
    return CallFailure(code, text, sent=_sent(error, current.stage), seconds=seconds)


def _sent(error: Exception, stage: Stage) -> bool:
    """The stage that the socket recorded. Without a real socket (in tests), it is inferred from the error's type."""
    if stage > Stage.START:
        return stage >= Stage.WRITING
    kinds = (requests.ReadTimeout, requests.exceptions.ChunkedEncodingError, urllib3.exceptions.HTTPError)
    return any(isinstance(link, (*kinds, http.client.HTTPException)) for link in _links(error))


def _fault(error: Exception, stage: Stage, *, late: bool, deadline: float) -> tuple[str, str]:
    """Our code and a text for a human, never the library's own, which holds the URL."""
    links = list(_links(error))
    if isinstance(error, AddressError):
        return "bad_url", str(error)
    if stage == Stage.RESOLVING:
        return "dns", "the host name was not resolved" + (" in time" if late else "")
    if stage == Stage.CHECKING:
        return "refused_address", "the URL leads to an address that is not allowed"
    if stage == Stage.CONNECTING:
        return "unreachable", f"no connection: {_reason(links, late)}"
    if late or any(isinstance(link, (requests.Timeout, urllib3.exceptions.TimeoutError)) for link in links):
        return "timeout", f"no complete answer within {deadline:g} s"
    if stage == Stage.SECURING:
        return "tls", f"no secure connection: {_reason(links, late)}"
    garbled = any(isinstance(link, urllib3.exceptions.InvalidChunkLength) for link in links)
    if not garbled and any(isinstance(link, _BROKEN) for link in links):
        return "reset", "the connection was closed before the answer was complete"
    if stage >= Stage.WRITING:
        return "bad_response", "the answer is not proper HTTP"
    if any(isinstance(link, requests.ConnectionError) for link in links):
        return "unreachable", "no connection"
    return "bad_request", "the request cannot be written as HTTP"


def _reason(links: list[BaseException], late: bool) -> str:
    if late:
        return "no answer in time"
    for link in links:
        if isinstance(link, ssl.SSLCertVerificationError):
            return f"the certificate is not trusted ({link.verify_message})"
    numbers = [link.errno for link in links if isinstance(link, OSError) and link.errno and link.errno > 0]
    if any(isinstance(link, ssl.SSLError) for link in links) or not numbers:
        return "the other side broke off"
    return os.strerror(numbers[0])


def _links(error: BaseException) -> Iterator[BaseException]:
    """The error and what it wraps: these libraries keep the cause among the arguments or in `reason`."""
    yield error
    inner = [*error.args, getattr(error, "reason", None)]
    for part in dict.fromkeys(part for part in inner if isinstance(part, BaseException)):
        yield from _links(part)
