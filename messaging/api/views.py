"""What Bloomreach calls (contract 1-4). A view reads the request, calls one service, and answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

import orjson
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts import limits
from accounts.authentication import authenticate
from messaging import wire
from messaging.api import patience
from messaging.api.errors import BadBody, answer, error, handle
from messaging.request_body import read_body
from messaging.services import intake
from messaging.services.verify import verify
from messaging.types import Channel

REFUSED_RETRY_SECONDS = 30
POST, GET = ["post"], ["get", "head"]

Parse = Callable[..., wire.SendRequest]


class SentHeaders(Mapping[str, str]):
    """Headers by name in any case, read where WSGI put them: Django's own view of them copies all of them first."""

    def __init__(self, meta: Mapping[str, Any]) -> None:
        self._meta = meta

    def __getitem__(self, name: str) -> str:
        value: str = self._meta[f"HTTP_{name.upper().replace('-', '_')}"]
        return value

    def __iter__(self) -> Iterator[str]:
        return (key.removeprefix("HTTP_") for key in self._meta if key.startswith("HTTP_"))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class MachineView(APIView):
    """No content negotiation and no sessions: JSON in, JSON out, and one handler for every exception."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()
    channel: ClassVar[Channel]
    request_id: str | None = None  # known once the body is read

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Nothing to negotiate: the token is checked by the handlers, in words of their own."""

    def handle_exception(self, exc: Exception) -> Any:
        return handle(exc, request_id=self.request_id)


class SendView(MachineView):
    """Takes one message. Exactly 200 means that it is committed, or that it already was (contract 4)."""

    http_method_names = POST
    parse: ClassVar[Parse]

    def post(self, request: Request) -> HttpResponse:
        principal = authenticate(SentHeaders(request.META))
        if not patience.was_moved(request.META):
            limits.spend(principal.tenant)
        body = _json_object(request._request)
        send_request = type(self).parse(
            body, callback_hosts=principal.tenant.callback_hosts, demo=settings.DEMO
        )
        self.request_id = send_request.request_id
        if send_request.request_id is None and not patience.may_wait(request.META):
            patience.move(request.META)
            return HttpResponse()
        accepted = intake.accept(principal=principal, request=send_request)
        return self._answer(accepted)

    def _answer(self, accepted: intake.Accepted) -> HttpResponse:
        refusal = accepted.refusal
        if refusal is None:
            return answer(
                200,
                wire.acceptance(
                    message_id=accepted.message_id,
                    request_id=self.request_id,
                    duplicate=accepted.duplicate,
                ),
            )
        status, retry_after = (503, REFUSED_RETRY_SECONDS) if refusal.retry else (400, None)
        message = refusal.text or "The provider refused the message."
        return error(status, refusal.code or "rejected_by_vendor", message, retry_after=retry_after)


class SmsSendView(SendView):
    channel = Channel.SMS
    parse = staticmethod(wire.parse_sms)


class MmsSendView(SendView):
    channel = Channel.MMS
    parse = staticmethod(wire.parse_mms)


class VerifyView(MachineView):
    """Says whether messages would be accepted, or what is wrong, for the person at the integration screen."""

    http_method_names = GET

    def get(self, request: Request) -> HttpResponse:
        principal = authenticate(SentHeaders(request.META))
        verified = verify(principal=principal, channel=self.channel)
        return answer(200, {"status": "ok", "message": verified.message})


class SmsVerifyView(VerifyView):
    channel = Channel.SMS


class MmsVerifyView(VerifyView):
    channel = Channel.MMS


def _json_object(request: HttpRequest) -> dict[str, Any]:
    """The body. Raises BadBody, BodyTooLarge, BodyUnreadable."""
    _require_json(request)
    raw = read_body(request, limit=settings.MAX_BODY)
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as problem:
        where = f"line {problem.lineno}, column {problem.colno}"
        raise BadBody(400, "invalid_json", f"The body is not valid JSON ({where}).") from None
    if not isinstance(body, dict):
        raise BadBody(400, "invalid_json", "The body must be a JSON object.")
    return body


def _require_json(request: HttpRequest) -> None:
    charset = request.content_params.get("charset", "utf-8") if request.content_params else "utf-8"
    if request.content_type != "application/json" or charset.lower() not in ("utf-8", "utf8"):
        raise BadBody(415, "unsupported_media_type", "Send JSON: Content-Type: application/json, in UTF-8.")
    if request.META.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise BadBody(415, "unsupported_media_type", "Send the body without compression.")
