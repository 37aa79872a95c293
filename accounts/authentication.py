"""Whose request it is: from headers to a tenant (contract 2).

A token identifies its tenant on its own; an operator may give it another header, and demand a second one
beside it. Only digests are compared, and answers are kept for two seconds: the accept statement checks again.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass

from accounts import last_used
from accounts.models import DEFAULT_HEADER, ApiToken, Tenant, TenantStatus, digest
from accounts.remembered import Remembered

TOKEN_MAX = 500  # characters; nothing longer was ever issued


class Denied(Exception):
    """The request may not pass: HTTP status, code and words for a person. No secret is repeated."""

    def __init__(self, status: int, code: str, message: str, *, tenant: TenantSnapshot | None = None) -> None:
        self.status = status
        self.code = code
        self.message = message
        self.tenant = tenant  # whose token it was, where that is known
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class TenantSnapshot:
    """What a request needs to know of its tenant, at most two seconds old."""

    id: int
    slug: str
    status: str
    callback_hosts: tuple[str, ...]
    rate: float | None  # requests per second; None: no limit
    burst: int | None
    wire_profile: str = ""  # JSON; empty: the default (contract 8)

    @property
    def is_paused(self) -> bool:
        """Its messages are accepted and held."""
        return self.status == TenantStatus.PAUSED


@dataclass(frozen=True, slots=True)
class Principal:
    """Who speaks: a live token and its tenant."""

    token_id: int
    tenant: TenantSnapshot


@dataclass(frozen=True, slots=True)
class _Known:
    """A live token as it is kept."""

    principal: Principal
    header: str
    second_header: str
    second_value: str


_tokens: Remembered[bytes, _Known | None] = Remembered()
_headers: Remembered[None, tuple[str, ...]] = Remembered()


def authenticate(headers: Mapping[str, str]) -> Principal:
    """The principal of a request; `headers` are looked up by name in any case. Raises Denied (401, 403)."""
    known = _first_known(headers)
    _require_second(known, headers)
    if known.principal.tenant.status == TenantStatus.SUSPENDED:
        raise suspended(known.principal.tenant)
    last_used.note(known.principal.token_id)
    return known.principal


def token_gone(header: str = "") -> Denied:
    """The token is unknown, or was revoked a moment ago."""
    where = f" in the header {header}" if header else ""
    message = f"The token{where} is unknown or was revoked. Ask the connector's operator for a new one."
    return Denied(401, "token_unknown", message)


def suspended(tenant: TenantSnapshot | None = None) -> Denied:
    """The tenant was switched off on purpose."""
    message = "This account is switched off. Ask the connector's operator to resume it."
    return Denied(403, "tenant_suspended", message, tenant=tenant)


def forget_all() -> None:
    """Empties what is kept: the next request asks the database. For a token found revoked, and for tests."""
    _tokens.clear()
    _headers.clear()


def _first_known(headers: Mapping[str, str]) -> _Known:
    """The first live token among the headers that tokens use."""
    names = _headers.get(None, _header_names)
    sent = ""
    for name in names:
        value = headers.get(name, "").strip()
        if not value:
            continue
        sent = sent or name
        known = _find(value)
        if known and known.header.lower() == name.lower():
            return known
    if sent:
        raise token_gone(sent)
    # The names that other tenants chose are nobody's business.
    where = f"the header {DEFAULT_HEADER}, or in the one that the connector's operator agreed with you"
    raise Denied(401, "token_missing", f"No token was sent. Send the account's token in {where}.")


def _require_second(known: _Known, headers: Mapping[str, str]) -> None:
    if not known.second_header:
        return
    value = headers.get(known.second_header, "").strip()
    if not value:
        message = f"The header {known.second_header} must be sent beside the token."
        raise Denied(401, "second_header_missing", message, tenant=known.principal.tenant)
    if not hmac.compare_digest(value.encode(), known.second_value.encode()):
        raise Denied(
            401,
            "second_header_wrong",
            f"The header {known.second_header} does not name the account that the token belongs to.",
            tenant=known.principal.tenant,
        )


def _find(value: str) -> _Known | None:
    if len(value) > TOKEN_MAX:
        return None
    key = digest(value)
    return _tokens.get(key, lambda: _load(key))


def _load(key: bytes) -> _Known | None:
    token = ApiToken.objects.live().select_related("tenant").filter(digest=key).first()
    if token is None:
        return None
    return _Known(
        principal=Principal(token.pk, snapshot(token.tenant)),
        header=token.header,
        second_header=token.second_header,
        second_value=token.second_value or token.tenant.slug,
    )


def snapshot(tenant: Tenant) -> TenantSnapshot:
    """The tenant as requests see it."""
    return TenantSnapshot(
        id=tenant.pk,
        slug=tenant.slug,
        status=tenant.status,
        callback_hosts=tenant.callback_hosts,
        rate=tenant.rate,
        burst=tenant.burst,
        wire_profile=json.dumps(tenant.wire_profile, sort_keys=True) if tenant.wire_profile else "",
    )


def _header_names() -> tuple[str, ...]:
    """Every header that a live token uses, ours first."""
    used = ApiToken.objects.live().order_by("header").values_list("header", flat=True).distinct()
    return (DEFAULT_HEADER, *(name for name in used if name.lower() != DEFAULT_HEADER.lower()))
