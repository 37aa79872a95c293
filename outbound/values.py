"""An HTTP exchange as values: the request, the response, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A call that an adapter wants made. Header names as the vendor writes them."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False, default_factory=dict)
    body: bytes = field(repr=False, default=b"")


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What came back, whole. `truncated` when the body was cut at the cap."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    seconds: float = 0.0
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class CallFailure:
    """No usable answer. `sent`: bytes may have reached the other side, so the outcome is unknown."""

    code: str  # unreachable | dns | tls | refused_address | timeout | reset | ...
    text: str
    sent: bool
    seconds: float = 0.0
