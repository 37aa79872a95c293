"""The HTTP client of the stand-ins: one connection per destination, kept open. Not shared between threads."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

TIMEOUT = 20.0  # seconds for each read
IDLE = 4.0  # seconds after which a server may have closed a kept connection


class Unanswered(OSError):
    """No usable answer came."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What came back."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes = field(repr=False)

    def json(self) -> dict[str, Any]:
        """The body's object; empty when it is none."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


class Client:
    """Calls over kept connections."""

    def __init__(self, *, timeout: float = TIMEOUT) -> None:
        self._timeout = timeout
        self._kept: dict[str, tuple[http.client.HTTPConnection, float]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes what is kept open."""
        while self._kept:
            self._kept.popitem()[1][0].close()

    def call(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes = b"") -> HttpAnswer:
        """One exchange. Raises Unanswered."""
        target = urlsplit(url)
        origin = f"{target.scheme}://{target.netloc}"
        path = f"{target.path or '/'}{'?' + target.query if target.query else ''}"
        connection = self._connection(origin)
        try:
            connection.request(method, path, body=body or None, headers=dict(headers))
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise Unanswered(f"{type(error).__name__} from {origin}") from error
        if not response.will_close:
            self._kept[origin] = (connection, time.monotonic())
        return HttpAnswer(
            response.status, {name.lower(): value for name, value in response.getheaders()}, content
        )

    def _connection(self, origin: str) -> http.client.HTTPConnection:
        kept = self._kept.pop(origin, None)
        if kept is not None:
            if time.monotonic() - kept[1] < IDLE:
                return kept[0]
            kept[0].close()
        target = urlsplit(origin)
        kind = http.client.HTTPSConnection if target.scheme == "https" else http.client.HTTPConnection
        return kind(target.hostname or "", target.port, timeout=self._timeout)
