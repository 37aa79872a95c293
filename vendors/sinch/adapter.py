"""Adapter of Sinch: SMS REST API (XMS batches, `mt_media` included) and the separate MMS JSON API (`sendmms`)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

from outbound.values import HttpRequest, HttpResponse
from vendors import meanings, reading, writing
from vendors.base import About, Adapter, BadPayload, BadSignature, Setting, api_address
from vendors.limits import Limits
from vendors.sinch import mms, xms
from vendors.values import (
    Channel,
    CredentialCheck,
    Credentials,
    Found,
    HookRequest,
    Inbound,
    Outcome,
    Outgoing,
    Presence,
    Report,
    SendResult,
    Sent,
)

# Facts.
REGIONS = (("us", "United States"), ("eu", "Europe"), ("au", "Australia"), ("br", "Brazil"), ("ca", "Canada"))
PLAN, PROJECT = "service_plan", "project"
HOSTS = {PLAN: "https://{region}.sms.api.sinch.com", PROJECT: "https://zt.{region}.sms.api.sinch.com"}
AUTH_URL = "https://auth.sinch.com"
XMS, JSON = "xms", "json"  # ways of sending MMS
MMS_PATH = "mms"  # below the hook address: where the MMS API's postbacks, which are not signed, may go
LOOK_BACK = 7 * 24 * 3600.0  # seconds; without a start, a search covers a day
REPEATS = timedelta(hours=22, minutes=45)  # how long Sinch repeats a call, perhaps under its first signature
SIGNATURE = "x-sinch-webhook-signature"
NONCE, TIMESTAMP = f"{SIGNATURE}-nonce", f"{SIGNATURE}-timestamp"

BY_POSTBACK = "reports on MMS come only to the postback address that is entered at Sinch for its MMS API"

# Fields that a choice makes necessary.
NEEDED: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("credentials", PLAN): ("service_plan_id", "api_token"),
    ("credentials", PROJECT): ("project_id", "key_id", "key_secret"),
    ("mms", JSON): ("mms_api_key", "mms_service_id"),
}


_ID = re.compile(r"[A-Za-z0-9._-]+")
_SETTINGS = (
    Setting("region", "Region", "Where the service plan or project lives.", choices=REGIONS),
    Setting(
        "credentials",
        "Credentials",
        "What the SMS API is called with.",
        choices=((PLAN, "service plan: API token"), (PROJECT, "project: access key (OAuth 2.0)")),
        default=PLAN,
    ),
    Setting(
        "service_plan_id", "Service plan ID", "Dashboard: SMS, APIs, REST configuration.", required=False
    ),
    Setting("api_token", "API token", "That of the service plan.", secret=True, required=False),
    Setting("project_id", "Project ID", "Dashboard: Settings, Projects.", required=False),
    Setting("key_id", "Access key ID", "Dashboard: Settings, Access keys.", required=False),
    Setting(
        "key_secret", "Access key secret", "Shown once, with the access key.", secret=True, required=False
    ),
    Setting(
        "mms",
        "MMS through",
        "The SMS API carries one file; the MMS API several, and an SMS of its own where MMS fails.",
        choices=((XMS, "SMS API (mt_media)"), (JSON, "MMS API (sendmms)")),
        default=XMS,
    ),
    Setting("mms_api_key", "MMS API key", "From the account manager.", secret=True, required=False),
    Setting("mms_service_id", "MMS service ID", "The ID of the MMS campaign.", required=False),
    Setting(
        "hook_secret",
        "Webhook secret",
        "Once the account manager has set up signatures: calls without one are refused then.",
        secret=True,
        required=False,
    ),
    Setting(
        "hook_user", "Webhook user", "If the account manager has set up Basic credentials.", required=False
    ),
    Setting("hook_password", "Webhook password", "Goes with the webhook user.", secret=True, required=False),
    api_address(text="The one for SMS. Only for a proxy; empty: the region's own."),
    Setting("auth_url", "Token API", "Only for a proxy.", required=False, default=AUTH_URL, url=True),
    Setting("mms_url", "MMS API", "Only for a proxy.", required=False, default=mms.BASE_URL, url=True),
)


class Sinch(Adapter):
    key = "sinch"
    label = "Sinch"
    settings = _SETTINGS
    channels = frozenset({Channel.SMS, Channel.MMS})
    proof_age = REPEATS
    about = About(
        inbound=frozenset({Channel.SMS, Channel.MMS}),
        proof="HMAC-SHA256 and timestamp, or Basic, where Sinch has set it up; else secret URL",
        unknown_outcome="look-up, report",
        fallback="connector",  # the MMS API does it by itself
        stop="Bloomreach: the reply is passed on",
    )

    def wrong(self, values: Mapping[str, str]) -> Mapping[str, str]:
        return _problems(values, {one.name: one.label for one in self.settings})

    def caution(self, credentials: Credentials) -> str:
        return BY_POSTBACK if credentials.settings.get("mms") == JSON else ""

    def limits(self, channel: Channel, settings: Mapping[str, Any]) -> Limits:
        """The text of a batch has a limit; how long that of a slide may be is not documented."""
        if channel is Channel.SMS:
            return Limits(text=xms.MOST_TEXT)
        return Limits(files=mms.MOST_FILES) if settings.get("mms") == JSON else xms.MEDIA_LIMITS

    def token_request(self, credentials: Credentials) -> HttpRequest | None:
        if credentials.settings["credentials"] != PROJECT:
            return None
        address = f"{credentials.settings.get('auth_url') or AUTH_URL}/oauth2/token"
        user = writing.basic(str(credentials.settings["key_id"]), credentials.secrets["key_secret"])
        return writing.form_request(address, [("grant_type", "client_credentials")], user)

    def build(self, batch: Sequence[Outgoing], credentials: Credentials) -> HttpRequest:
        (message,) = batch
        if _by_mms_api(message.channel, credentials):
            headers = {
                "x-api-key": credentials.secrets["mms_api_key"],
                "Content-Type": "application/json; charset=utf-8",
            }
            address = f"{credentials.settings.get('mms_url') or mms.BASE_URL}/ep/v2/"
            return writing.json_request("POST", address, mms.request(message, credentials), headers)
        return _call("POST", "/batches", credentials, xms.batch(message, credentials))

    def parse(
        self, batch: Sequence[Outgoing], response: HttpResponse, credentials: Credentials
    ) -> tuple[SendResult, ...]:
        (message,) = batch
        answer = reading.json_object(response.body)
        if _by_mms_api(message.channel, credentials):
            return (mms.result(answer, response),)
        vendor_id = reading.text(answer, "id")
        if response.status < 300:
            return (SendResult(Outcome.TAKEN, vendor_id) if vendor_id else meanings.unreadable(response),)
        return (xms.refused(answer, response),)

    def look_up(self, sent: Sent, credentials: Credentials) -> HttpRequest | None:
        if _by_mms_api(sent.channel, credentials):
            return None  # its messages are not among the batches, and no search for them is known
        since, reference = xms.instant(time.time() - LOOK_BACK), sent.reference
        return _call(
            "GET", "/batches", credentials, client_reference=reference, start_date=since, page_size="10"
        )

    def parse_look_up(self, sent: Sent, response: HttpResponse, credentials: Credentials) -> Found:
        answer = reading.json_object(response.body)
        if response.status != 200 or not isinstance(answer.get("batches"), list):
            return Found(Presence.CANNOT_TELL)
        for batch in reading.items(answer, "batches"):
            if reading.text(batch, "client_reference") == sent.reference and reading.text(batch, "id"):
                return Found(Presence.FOUND, reading.text(batch, "id"))
        nothing = reading.number(answer, "count") == 0 and not answer["batches"]
        return Found(Presence.ABSENT if nothing else Presence.CANNOT_TELL)

    def poll(self, sent: Sent, credentials: Credentials) -> HttpRequest | None:
        if not sent.vendor_id or _by_mms_api(sent.channel, credentials):
            return None
        return _call(
            "GET", f"/batches/{quote(sent.vendor_id, safe='')}/delivery_report", credentials, type="summary"
        )

    def parse_poll(self, sent: Sent, response: HttpResponse, credentials: Credentials) -> Report | None:
        answer = reading.json_object(response.body)
        if response.status != 200 or reading.text(answer, "batch_id") != sent.vendor_id:
            return None
        if not reading.items(answer, "statuses"):
            return None
        return next(iter(xms.batch_reports(answer)), None)

    def credential_check(self, credentials: Credentials) -> HttpRequest | None:
        """A search that finds nothing: any other would show the last message."""
        return _call("GET", "/batches", credentials, page_size="1", client_reference="credential-check")

    def parse_credential_check(self, response: HttpResponse, credentials: Credentials) -> CredentialCheck:
        if response.status == 404:
            return CredentialCheck(
                False, "Sinch knows no such service plan or project in this region (HTTP 404)"
            )
        return super().parse_credential_check(response, credentials)

    def verify(self, hook: HookRequest, credentials: Credentials) -> None:
        secret = credentials.secrets.get("hook_secret", "")
        by_mms_api = hook.path == MMS_PATH and credentials.settings.get("mms") == JSON
        if secret and not by_mms_api:
            _verify_signature(hook, secret)
        elif credentials.settings.get("hook_user"):
            _verify_basic(hook, credentials)

    def parse_hook(self, hook: HookRequest, credentials: Credentials) -> Sequence[Report | Inbound]:
        body = reading.json_object(hook.body)
        origin, kind = reading.text(body, "origin"), reading.text(body, "type")
        if origin == "MMS_MT":
            return (mms.report(body),)
        if origin == "MMS_MO":
            return (mms.inbound(body),)
        if hook.path == MMS_PATH:
            raise BadPayload("no postback of the MMS API")
        if kind.startswith("recipient_delivery_report"):
            return (xms.report(body, body),)
        if kind.startswith("delivery_report"):
            return xms.batch_reports(body)
        if kind.startswith("mo_"):
            return (xms.inbound(body),)
        raise BadPayload("neither a delivery report nor an inbound message")


def signature(secret: str, nonce: str, timestamp: str, body: bytes) -> bytes:
    """HMAC-SHA256 over `<body>.<nonce>.<timestamp>`, in base64."""
    signed = b".".join((body, nonce.encode(), timestamp.encode()))
    return base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest())


def _problems(given: Mapping[str, str], labels: Mapping[str, str]) -> dict[str, str]:
    """What no single field shows: what the choices need, what goes together, what cannot be an ID."""
    problems = {}
    for (choice, value), names in NEEDED.items():
        for name in names:
            if given[choice] == value and not given[name]:
                problems[name] = f"{labels[name]} is required with this choice of {labels[choice]}"
    for name, other in (("hook_user", "hook_password"), ("hook_password", "hook_user")):
        if given[other] and not given[name]:
            problems[name] = f"{labels[name]} is required with a {labels[other]}"
    for name in ("service_plan_id", "project_id", "key_id"):
        if given[name] and not _ID.fullmatch(given[name]):
            problems[name] = f"{labels[name]} has letters, digits and dashes only: copy it from the dashboard"
    return problems


def _by_mms_api(channel: Channel, credentials: Credentials) -> bool:
    return channel is Channel.MMS and credentials.settings.get("mms") == JSON


def _call(
    method: str, path: str, credentials: Credentials, body: Mapping[str, Any] | None = None, **query: str
) -> HttpRequest:
    """A call of the SMS API. In the project model the token is put in where the call is made."""
    settings = credentials.settings
    is_project = settings["credentials"] == PROJECT
    host = HOSTS[settings["credentials"]].format(region=settings["region"])
    plan = quote(str(settings["project_id" if is_project else "service_plan_id"]), safe="")
    address = f"{writing.base_url(credentials, host)}/xms/v1/{plan}{path}"
    token = {} if is_project else writing.bearer(credentials.secrets["api_token"])
    return writing.json_request(method, f"{address}?{urlencode(query)}" if query else address, body, token)


def _verify_signature(hook: HookRequest, secret: str) -> None:
    given, nonce = hook.headers.get(SIGNATURE, ""), hook.headers.get(NONCE, "")
    stamp = hook.headers.get(TIMESTAMP, "")
    if not stamp.isdecimal() or len(stamp) > 12 or abs(time.time() - int(stamp)) > REPEATS.total_seconds():
        raise BadSignature("the timestamp is missing, or older than Sinch repeats a call")
    if not hmac.compare_digest(signature(secret, nonce, stamp, hook.body), given.encode()):
        raise BadSignature("the signature does not fit the body")


def _verify_basic(hook: HookRequest, credentials: Credentials) -> None:
    user, password = str(credentials.settings["hook_user"]), credentials.secrets.get("hook_password", "")
    expected = writing.basic(user, password)["Authorization"]
    if not hmac.compare_digest(expected.encode(), hook.headers.get("authorization", "").encode()):
        raise BadSignature("the webhook user or password is missing or wrong")
