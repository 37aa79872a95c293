"""What vendors call: a hook stores the call and answers; pumps read it later.

Never a 4xx for a fault of ours: vendors do not repeat those. What breaks here leaves as 503 with Retry-After.
"""

from __future__ import annotations

import logging
from urllib.parse import parse_qsl, quote

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from accounts.crypto import SealError
from messaging.contract.envelope import DATABASE_RETRY_SECONDS, REPAIR_RETRY_SECONDS, refusal
from messaging.contract.request_body import BodyTooLarge, BodyUnreadable, read_body
from messaging.reports import hook_intake
from messaging.reports.hook_intake import UnknownHook
from messaging.watch import counters, seldom
from vendors.base import BadSignature
from vendors.values import HookRequest

METHODS = ("GET", "POST")

log = logging.getLogger(__name__)
log.addFilter(seldom.once_a_minute)


@csrf_exempt
def hook(request: HttpRequest, vendor: str, public_id: str, path: str = "") -> HttpResponse:
    """One call of a vendor."""
    if request.method not in METHODS:
        return refusal(405, "method_not_allowed", "Use GET or POST.", headers={"Allow": ", ".join(METHODS)})
    try:
        return _take(request, vendor, public_id, path)
    except UnknownHook:
        return refusal(404, "unknown_hook", "There is nothing at this address.")
    except BadSignature as error:
        return _unproved(error)
    except BodyTooLarge as error:
        counters.hooks_refused.labels(reason="too_large").inc()
        return refusal(413, "body_too_large", str(error))
    except BodyUnreadable as error:
        return refusal(400, "body_unreadable", str(error))
    except (OperationalError, InterfaceError) as error:
        told = {"cause": "database", "error": type(error).__name__}
        log.warning("hook not stored, database unavailable", extra=told)
        return refusal(503, "database_unavailable", "Try again.", retry_after=DATABASE_RETRY_SECONDS)
    except SealError:
        told = {"cause": public_id, "vendor": vendor}
        log.error("hook not stored: the account's secrets cannot be opened", extra=told)
        return refusal(503, "credentials_unreadable", "Try again.", retry_after=REPAIR_RETRY_SECONDS)


def _unproved(error: BadSignature) -> HttpResponse:
    if error.again:
        return refusal(
            503, "no_signature", "Send it again, with its signature.", retry_after=REPAIR_RETRY_SECONDS
        )
    # RFC 9110 wants the header; some vendors give a hook's user and password only after they have seen it.
    challenge = {"WWW-Authenticate": 'Basic realm="hooks"'}
    return refusal(
        401, "bad_signature", "The call does not prove that it comes from the vendor.", headers=challenge
    )


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
