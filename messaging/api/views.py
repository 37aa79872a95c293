"""What Bloomreach calls (contract 1-4). A view reads the request, calls one use case, and answers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import orjson
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts import limits
from accounts.authentication import Denied, Principal, TenantSnapshot, authenticate
from messaging.accept import intake, wire_paths, wire_recorder
from messaging.accept.verify import Verified, verify
from messaging.api import patience
from messaging.api.errors import USUAL, BadBody, Form, answer, error, handle
from messaging.contract import wire, wire_profile, wire_shape
from messaging.contract.envelope import REPAIR_RETRY_SECONDS, Answer
from messaging.contract.request_body import read_body
from vendors.values import Channel

NOT_ABOUT_THE_SHAPE = (405, 413, 503)
POST, GET = ["post"], ["get", "head"]

log = logging.getLogger(__name__)

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
    action: ClassVar[str]  # as the profile and the recorder name it
    request_id: str | None = None  # known once the body is read
    form: Form = USUAL
    tenant: TenantSnapshot | None = None  # known once the token is
    is_stranger: bool = False
    body: Any = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """The token is checked by the handlers, in words of their own."""
        self.form = Form(request.META.get("HTTP_ACCEPT", ""))

    def principal(self, request: Request) -> Principal:
        """Who speaks; from now on answers are in its profile's form. Raises Denied."""
        principal = authenticate(SentHeaders(request.META))
        self.tenant = principal.tenant
        self.form = replace(self.form, profile=wire_profile.loads(principal.tenant.wire_profile))
        return principal

    def handle_exception(self, exc: Exception) -> Any:
        if isinstance(exc, Denied):
            self.tenant = exc.tenant or self.tenant
            self.is_stranger = self.tenant is None
        return handle(exc, request_id=self.request_id, form=self.form)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            if self.tenant is not None or self.is_stranger:
                self._record(request, response)
        except Exception:  # what is recorded is for people: it may not cost an answer
            log.exception("shape of a request not recorded")
        return super().finalize_response(request, response, *args, **kwargs)

    def _record(self, request: Request, answer: Answer) -> None:
        """Notes the shape of a verification, and of a send whose answer has to do with it."""
        is_send = self.action.endswith("_send")
        if is_send and (answer.status_code in NOT_ABOUT_THE_SHAPE or answer.code == "rate_limited"):
            return
        keys = {}
        if is_send and self.tenant is not None:
            keys = wire_recorder.shape_of(self.body, request._request.content_type or "")
        wire_recorder.note(
            wire_recorder.Shape(
                tenant_id=self.tenant.id if self.tenant else None,
                action=self.action,
                code=answer.code,
                keys=keys,
                headers=wire_recorder.header_names(request.META),
                is_telling=bool(answer.code or wire_shape.unknown(keys, self.form.profile)),
            )
        )


class SendView(MachineView):
    """Takes one message. Exactly 200 means that it is committed, or that it already was (contract 4)."""

    http_method_names = POST
    parse: ClassVar[Parse]

    def post(self, request: Request) -> HttpResponse:
        principal = self.principal(request)
        if not patience.was_moved(request.META):
            limits.spend(principal.tenant)
        self.body = body = _json_object(request._request)
        send_request = type(self).parse(
            body,
            callback_hosts=principal.tenant.callback_hosts,
            demo=settings.DEMO,
            keys=wire_profile.request_keys(principal.tenant.wire_profile, mms=self.channel is Channel.MMS),
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
                words=f"accepted {accepted.message_id}",
                form=self.form,
            )
        status, retry_after = (503, REPAIR_RETRY_SECONDS) if refusal.retry else (400, None)
        message = refusal.text or "The provider refused the message."
        code = refusal.code or "rejected_by_vendor"
        return error(status, code, message, retry_after=retry_after, form=self.form)


class SmsSendView(SendView):
    channel = Channel.SMS
    action = "sms_send"
    parse = staticmethod(wire.parse_sms)


class MmsSendView(SendView):
    channel = Channel.MMS
    action = "mms_send"
    parse = staticmethod(wire.parse_mms)


class VerifyView(MachineView):
    """Says whether messages would be accepted, or what is wrong, for the person at the integration screen."""

    http_method_names = GET

    def get(self, request: Request) -> HttpResponse:
        message = self.verify(self.principal(request)).message
        return answer(200, {"status": "ok", "message": message}, words=message, form=self.form)

    def verify(self, principal: Principal) -> Verified:
        """Raises NoAccount, CredentialsRefused."""
        return verify(principal=principal, channel=self.channel)


class SmsVerifyView(VerifyView):
    channel = Channel.SMS
    action = "sms_verify"


class MmsVerifyView(VerifyView):
    channel = Channel.MMS
    action = "mms_verify"


class EitherVerifyView(VerifyView):
    """For a base address that both channels share: SMS, or MMS where no account carries SMS."""

    channel = Channel.SMS
    action = "verify"

    def verify(self, principal: Principal) -> Verified:
        try:
            return super().verify(principal)
        except intake.NoAccount as nothing:
            try:
                return verify(principal=principal, channel=Channel.MMS)
            except intake.NoAccount:
                raise nothing from None


# What a tenant's profile can give an address of its own to (wire_profile.ACTIONS).
ACTIONS = {
    "sms_send": SmsSendView.as_view(),
    "sms_verify": SmsVerifyView.as_view(),
    "mms_send": MmsSendView.as_view(),
    "mms_verify": MmsVerifyView.as_view(),
}


def agreed(request: HttpRequest) -> HttpResponseBase:
    """Any other address: served when the profile of the token's tenant names it (contract 8). Raises Http404."""
    path = request.path_info
    if not wire_profile.may_name(path):
        raise Http404
    try:
        principal = authenticate(SentHeaders(request.META))
        action = wire_profile.loads(principal.tenant.wire_profile).paths.get(path, "")
    except Denied:  # the view will say so, where there is one
        action = wire_paths.action(path)
    if not action:
        raise Http404
    return ACTIONS[action](request)


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
