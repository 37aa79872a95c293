"""Writing what vendors read: JSON, forms, credentials and number forms."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from outbound.values import HttpRequest
from vendors.values import Credentials


def base_url(credentials: Credentials, default: str) -> str:
    """The address that the account's setting names, or else the vendor's own; without a slash at the end."""
    return str(credentials.settings.get("base_url") or default)


def json_request(
    method: str, url: str, body: Any = None, headers: Mapping[str, str] | None = None
) -> HttpRequest:
    """A call with a JSON body (none when `body` is None) that wants JSON back."""
    sent = {"Accept": "application/json", **(headers or {})}
    if body is None:
        return HttpRequest(method, url, sent)
    sent.setdefault("Content-Type", "application/json")
    return HttpRequest(method, url, sent, json.dumps(body, ensure_ascii=False).encode())


def form_request(
    url: str, fields: Sequence[tuple[str, str]], headers: Mapping[str, str] | None = None
) -> HttpRequest:
    """A POST of form fields, in their order; a name may come several times."""
    sent = {
        "Accept": "application/json",
        "Content-Type": "application/x-www-form-urlencoded",
        **(headers or {}),
    }
    return HttpRequest("POST", url, sent, urlencode(fields).encode())


def basic(user: str, password: str) -> dict[str, str]:
    """The header of HTTP Basic authentication (RFC 7617, UTF-8)."""
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def bearer(token: str) -> dict[str, str]:
    """The header of a bearer token (RFC 6750)."""
    return {"Authorization": f"Bearer {token}"}


def with_query(url: str, **fields: str) -> str:
    """The address with more query fields; those that it has stay."""
    address = urlsplit(url)
    query = parse_qsl(address.query, keep_blank_values=True) + list(fields.items())
    return urlunsplit(address._replace(query=urlencode(query, quote_via=quote)))


def bare(number: str) -> str:
    """A sender or recipient as digits without `+`; short codes and names pass unchanged."""
    return number.removeprefix("+")
