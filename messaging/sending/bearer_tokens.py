"""Calls to a vendor, with the bearer token that some of them want (OAuth 2.0 client credentials, RFC 6749, 4.4)."""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass, field, replace

from messaging.dialling import guards
from outbound import http
from outbound.values import CallFailure, HttpRequest, HttpResponse
from vendors.base import Adapter
from vendors.values import Credentials, Token

EARLY = 60.0  # seconds before its end at which a token is renewed
DEFAULT_LIFETIME = 300.0  # how long one is used whose life nobody told
KEPT = 1000  # accounts whose tokens are remembered


@dataclass(slots=True)
class _CachedToken:
    """The token of one account. The lock makes one thread fetch it while the others wait."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    value: str = field(repr=False, default="")
    until: float = 0.0  # monotonic


_tokens: dict[bytes, _CachedToken] = {}
_guard = threading.Lock()


def call(
    adapter: Adapter, credentials: Credentials, request: HttpRequest, *, deadline: float
) -> HttpResponse | CallFailure:
    """Makes one call within so many seconds, tokens included. Touches no database, raises nothing.

    A vendor that refuses a token hears the call once more with a new one: a 401 was never taken. A refusal of the
    credentials themselves is given as the answer to the call.
    """
    until = time.monotonic() + deadline
    asking = adapter.token_request(credentials)
    if asking is None:
        return http.call(request, deadline=deadline, guard=guards.for_vendors())
    cached = _of(asking)
    token = _token(adapter, cached, asking, until)
    if not isinstance(token, str):
        return token
    answer = _with(token, request, until)
    if not (isinstance(answer, HttpResponse) and answer.status == 401):
        return answer
    _drop(cached, token)
    token = _token(adapter, cached, asking, until)
    return _with(token, request, until) if isinstance(token, str) else token


def forget_tokens() -> None:
    """The next call fetches a token, for tests."""
    with _guard:
        _tokens.clear()


def _of(asking: HttpRequest) -> _CachedToken:
    """By the credentials themselves, so that changed ones never meet an old token."""
    name = repr((asking.url, sorted(asking.headers.items()), asking.body)).encode()
    key = hashlib.sha256(name).digest()
    with _guard:
        if key not in _tokens and len(_tokens) >= KEPT:
            _tokens.clear()
        return _tokens.setdefault(key, _CachedToken())


def _token(
    adapter: Adapter, cached: _CachedToken, asking: HttpRequest, until: float
) -> str | HttpResponse | CallFailure:
    """The token; or why there is none, as an answer that the adapter can read: nothing was sent."""
    if not cached.lock.acquire(timeout=max(until - time.monotonic(), 0)):
        return CallFailure("token", "no access token in time", sent=False)
    try:
        if cached.until > time.monotonic():
            return cached.value
        left = max(until - time.monotonic(), 0.001)
        answer = http.call(asking, deadline=left, guard=guards.for_vendors())
        if isinstance(answer, CallFailure):
            return replace(answer, text=f"no access token: {answer.text}", sent=False)
        token = adapter.parse_token(answer) if answer.status < 300 else None
        if token is None:
            return _no_token(answer)
        cached.value, cached.until = token.value, time.monotonic() + _lifetime(token)
        return token.value
    finally:
        cached.lock.release()


def _lifetime(token: Token) -> float:
    return max(token.seconds - EARLY, token.seconds / 2) if token.seconds else DEFAULT_LIFETIME


def _no_token(answer: HttpResponse) -> HttpResponse | CallFailure:
    """400 and 401 refuse the client (RFC 6749, 5.2); anything else may pass."""
    if answer.status in (400, 401, 403):
        return replace(answer, status=401)
    return CallFailure("token", f"no access token: HTTP {answer.status}", sent=False)


def _drop(cached: _CachedToken, token: str) -> None:
    with cached.lock:
        if cached.value == token:
            cached.until = 0.0


def _with(token: str, request: HttpRequest, until: float) -> HttpResponse | CallFailure:
    headers = {**request.headers, "Authorization": f"Bearer {token}"}
    left = max(until - time.monotonic(), 0.001)
    return http.call(replace(request, headers=headers), deadline=left, guard=guards.for_vendors())
