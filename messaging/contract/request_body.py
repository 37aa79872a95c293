"""The bytes of a request, never more than a cap of them, whatever its headers claim about their length."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, UnreadablePostError


class BodyTooLarge(Exception):
    """More bytes than `limit`."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"The body is larger than {limit} bytes.")


class BodyUnreadable(Exception):
    """The other side broke off while it was sending."""


def read_body(request: HttpRequest, *, limit: int) -> bytes:
    """The whole body, also of a chunked request. Raises BodyTooLarge before reading on, BodyUnreadable."""
    length = _declared_length(request)
    if length is not None and length > limit:
        raise BodyTooLarge(limit)
    body = _read(_stream(request, length), limit)
    if len(body) > limit:
        raise BodyTooLarge(limit)
    return body


def _declared_length(request: HttpRequest) -> int | None:
    value = request.META.get("CONTENT_LENGTH") or ""
    return int(value) if value.isascii() and value.isdigit() else None


def _stream(request: HttpRequest, length: int | None) -> Any:
    # Django takes a missing length for an empty body. A server that ends the stream by itself says so; on any
    # other reading on would wait for ever.
    if length is None and request.META.get("wsgi.input_terminated"):
        return request.META["wsgi.input"]
    return request


def _read(stream: Any, limit: int) -> bytes:
    pieces: list[bytes] = []
    room = limit + 1
    try:
        while room > 0 and (piece := stream.read(room)):
            pieces.append(piece)
            room -= len(piece)
    except (UnreadablePostError, OSError) as error:
        raise BodyUnreadable("The body broke off.") from error
    return b"".join(pieces)
