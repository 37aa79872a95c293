"""What vendors call: a hook stores the call and answers; pumps read it later.

Never a 4xx for a fault of ours: vendors do not repeat those. What breaks here leaves as 503 with Retry-After.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote

import orjson
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from accounts.crypto import SealError
from messaging.contract.request_body import BodyTooLarge, BodyUnreadable, read_body
from messaging.contract.wire import envelope
from messaging.reports import hook_intake
from messaging.reports.hook_intake import UnknownHook
from messaging.watch import counters, seldom
from vendors.base import BadSignature
from vendors.values import HookRequest

METHODS = ("GET", "POST")
RETRY_SECONDS = 30
DATABASE_RETRY_SECONDS = 5

logger = logging.getLogger(__name__)
logger.addFilter(seldom.once_a_minute)


@csrf_exempt
def hook(request: HttpRequest, vendor: str, public_id: str, path: str = "") -> HttpResponse:
    """One call of a vendor."""
    if request.method not in METHODS:
        return _refuse(405, "method_not_allowed", "Use GET or POST.", {"Allow": ", ".join(METHODS)})
    try:
        return _take(request, vendor, public_id, path)
    except UnknownHook:
        return _refuse(404, "unknown_hook", "There is nothing at this address.")
    except BadSignature as error:
        return _unproved(error)
    except BodyTooLarge as error:
        counters.hooks_refused.labels(reason="too_large").inc()
        return _refuse(413, "body_too_large", str(error))
    except BodyUnreadable as error:
        return _refuse(400, "body_unreadable", str(error))
    except (OperationalError, InterfaceError) as error:
        told = {"cause": "database", "error": type(error).__name__}
        logger.warning("hook not stored, database unavailable", extra=told)
        return _refuse(503, "database_unavailable", "Try again.", _retry(DATABASE_RETRY_SECONDS))
    except SealError:
        told = {"cause": public_id, "vendor": vendor}
        logger.error("hook not stored: the account's secrets cannot be opened", extra=told)
        return _refuse(503, "credentials_unreadable", "Try again.", _retry(RETRY_SECONDS))


def _unproved(error: BadSignature) -> HttpResponse:
    if error.again:
        return _refuse(503, "no_signature", "Send it again, with its signature.", _retry(RETRY_SECONDS))
    # RFC 9110 wants the header; some vendors give a hook's user and password only after they have seen it.
    challenge = {"WWW-Authenticate": 'Basic realm="hooks"'}
    return _refuse(401, "bad_signature", "The call does not prove that it comes from the vendor.", challenge)


def _take(request: HttpRequest, vendor: str, public_id: str, path: str) -> HttpResponse:
    receiver = hook_intake.receiver(vendor=vendor, public_id=public_id)
    reply = hook_intake.store(receiver=receiver, hook=_hook_request(request, path))
    return HttpResponse(reply.body, content_type=reply.content_type, status=reply.status)


def _hook_request(request: HttpRequest, path: str) -> HookRequest:
    query = request.META.get("QUERY_STRING", "")
    return HookRequest(
        method=request.method or "",
        url=_url(request, query),
        path=path.strip("/"),
        query=dict(parse_qsl(query, keep_blank_values=True, errors="replace")),
        headers={name.lower(): value for name, value in request.headers.items()},
        body=read_body(request, limit=settings.MAX_BODY),
    )


def _url(request: HttpRequest, query: str) -> str:
    """The address as the vendor dialled it: signatures cover it to the letter, a slash at the end too."""
    path = quote(request.META.get("PATH_INFO", "").encode("latin-1"), safe="/~:@!$&'()*+,;=")
    return f"{settings.PUBLIC_URL}{path}{'?' if query else ''}{query}"


def _refuse(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> HttpResponse:
    body: dict[str, Any] = envelope(code, message)
    return HttpResponse(
        orjson.dumps(body), content_type="application/json", status=status, headers=dict(headers or {})
    )


def _retry(seconds: int) -> dict[str, str]:
    return {"Retry-After": str(seconds)}
