"""Adapter of Twilio: Programmable Messaging, the Messages resource of API 2010-04-01; status callbacks and incoming
messages by webhook."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count, takewhile
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from outbound.values import HttpRequest, HttpResponse
from vendors import meanings, reading, writing
from vendors.base import About, Adapter, BadPayload, BadSignature, Setting, api_address
from vendors.limits import NUMBERS, Limits
from vendors.meanings import Meaning
from vendors.twilio.codes import (
    ABOUT_A_MESSAGE,
    CANCELED,
    CHANNELS,
    NO_WAY_FOR_MMS,
    QUEUE_FULL,
    RECEIVED,
    REFUSALS,
    REPORT_CODES,
    REPORT_STATUSES,
    STATUSES,
)
from vendors.values import (
    Channel,
    CredentialCheck,
    Credentials,
    HookReply,
    HookRequest,
    Inbound,
    Media,
    Outcome,
    Outgoing,
    Report,
    SendResult,
    Sent,
    Status,
)

# Facts.
REGIONS: Mapping[str, tuple[str, str]] = {
    "us1": ("United States (US1)", "https://api.twilio.com"),
    "ie1": ("Ireland (IE1)", "https://api.dublin.ie1.twilio.com"),
    "au1": ("Australia (AU1)", "https://api.sydney.au1.twilio.com"),
}
OFFERED = tuple((name, label) for name, (label, _) in REGIONS.items())
BY_MESSAGE, BY_SERVICE = "message", "service"
CHOICES = ((BY_MESSAGE, "the message, out of the service's pool"), (BY_SERVICE, "the service"))
MOST_TEXT, MOST_FILES = 1600, 10
VALIDITY = (1, 36_000)  # seconds in Twilio's queue
QUEUE_FULL_WAIT = 300.0  # seconds
# Twilio calls once and repeats only when it could not connect. This asks for five repeats after any failure; they all
# happen within 15 s. The fragment stays at Twilio: it is neither sent nor signed.
REPEATS = "#rc=5&rp=all"
FORM = "application/x-www-form-urlencoded"

# Ids are two letters and 32 hexadecimal digits.
PREFIXES: Mapping[str, str] = {"account_sid": "AC", "api_key_sid": "SK", "messaging_service_sid": "MG"}

Pairs = Sequence[tuple[str, str]]


class Twilio(Adapter):
    key = "twilio"
    label = "Twilio"
    settings = (
        Setting("account_sid", "Account SID", "AC…, on the front page of Twilio's Console."),
        Setting("auth_token", "Auth Token", "Signs Twilio's calls: needed with an API key too.", secret=True),
        Setting("api_key_sid", "API key SID", "SK…; empty: calls use the Auth Token.", required=False),
        Setting(
            "api_key_secret", "API key secret", "Shown once, when it is made.", secret=True, required=False
        ),
        Setting("messaging_service_sid", "Messaging Service SID", "MG…; empty: no service.", required=False),
        Setting(
            "sender_choice", "Who picks the sender", "With a service.", choices=CHOICES, default=BY_MESSAGE
        ),
        Setting(
            "webhook_secret", "Webhook shared key", "For SHA-256 signatures.", secret=True, required=False
        ),
        Setting("region", "Region", "Each has credentials of its own.", choices=OFFERED, default="us1"),
        api_address(text="Only for a proxy or another edge; empty: the region's own."),
    )
    channels = frozenset({Channel.SMS, Channel.MMS})
    about = About(
        inbound=frozenset({Channel.SMS, Channel.MMS}),
        proof="HMAC-SHA1 over address and form, SHA-256 with a shared key",
        unknown_outcome="report",
        fallback="connector",
        stop="Twilio refuses later messages (opted_out); the reply is passed on as well",
    )

    def wrong(self, values: Mapping[str, str]) -> Mapping[str, str]:
        return _misshapen(values)

    def limits(self, channel: Channel, settings: Mapping[str, Any]) -> Limits:
        """A name sends no MMS; of the senders of a service's own choice nothing is known."""
        by_service = settings.get("sender_choice") == BY_SERVICE
        if channel is Channel.MMS and not by_service:
            return Limits(files=MOST_FILES, text=MOST_TEXT, senders=NUMBERS)
        return Limits(files=MOST_FILES, text=MOST_TEXT)

    def build(self, batch: Sequence[Outgoing], credentials: Credentials) -> HttpRequest:
        (message,) = batch
        low, high = VALIDITY
        fields = [("To", message.recipient), *_from(message, credentials)]
        if message.text or message.channel is Channel.SMS:
            fields.append(("Body", message.text))
        if message.channel is Channel.MMS:
            fields += [("MediaUrl", file.url) for file in message.media]
        fields += [
            ("ValidityPeriod", str(min(max(int(message.validity), low), high))),
            ("StatusCallback", writing.with_query(credentials.hook_url, ref=message.reference) + REPEATS),
        ]
        return writing.form_request(_url(credentials, "/Messages.json"), fields, _credentials(credentials))

    def parse(
        self, batch: Sequence[Outgoing], response: HttpResponse, credentials: Credentials
    ) -> tuple[SendResult, ...]:
        (message,) = batch
        answer = reading.json_object(response.body)
        if not 200 <= response.status < 300:
            return (_refused(message.channel, answer, response),)
        sid = reading.text(answer, "sid")
        if not sid:
            return (meanings.unreadable(response),)
        return (SendResult(Outcome.TAKEN, vendor_id=sid, segments=_segments(answer)),)

    def poll(self, sent: Sent, credentials: Credentials) -> HttpRequest | None:
        if not sent.vendor_id:
            return None
        url = _url(credentials, f"/Messages/{sent.vendor_id}.json")
        return writing.json_request("GET", url, headers=_credentials(credentials))

    def parse_poll(self, sent: Sent, response: HttpResponse, credentials: Credentials) -> Report | None:
        answer = reading.json_object(response.body)
        if response.status != 200 or reading.text(answer, "sid") != sent.vendor_id:
            return None
        report = _report(
            sent.vendor_id, reading.text(answer, "status"), reading.text(answer, "error_code"), sent.reference
        )
        return replace(
            report,
            text=reading.text(answer, "error_message"),
            segments=_segments(answer),
            occurred_at=reading.moment(reading.text(answer, "date_updated")),
        )

    def credential_check(self, credentials: Credentials) -> HttpRequest | None:
        """The balance: the account itself would show its Auth Token."""
        return writing.json_request(
            "GET", _url(credentials, "/Balance.json"), headers=_credentials(credentials)
        )

    def parse_credential_check(self, response: HttpResponse, credentials: Credentials) -> CredentialCheck:
        if response.status in (403, 404):
            text = "Twilio shows no balance: a subaccount, a restricted API key or a wrong Account SID"
            return CredentialCheck(None, text)
        return super().parse_credential_check(response, credentials)

    def verify(self, hook: HookRequest, credentials: Credentials) -> None:
        signed = _signed_part(hook)
        key, digest = _signing(hook.headers.get("x-twilio-webhooks-signature-settings", ""), credentials)
        given = hook.headers.get("x-twilio-signature", "").encode("utf-8", "replace")
        fits = [
            hmac.compare_digest(_signature(key, f"{url}{signed}", digest), given) for url in _urls(hook.url)
        ]
        if not any(fits):
            raise BadSignature("the signature does not fit address and form")

    def parse_hook(self, hook: HookRequest, credentials: Credentials) -> Sequence[Report | Inbound]:
        fields = dict(_fields(hook))
        sid = fields.get("MessageSid") or fields.get("SmsSid") or ""
        word = fields.get("MessageStatus") or fields.get("SmsStatus") or ""
        # A status may quote its message; an incoming one has no status, or says that it was received.
        if sid and word in ("", *RECEIVED) and ("Body" in fields or "NumMedia" in fields):
            return (_inbound(sid, fields),)
        if not sid or not word:
            raise BadPayload("neither a status callback nor an incoming message")
        return (_report(sid, word, fields.get("ErrorCode", ""), hook.query.get("ref", "")),)

    def hook_reply(self, credentials: Credentials) -> HookReply:
        """Nothing: a text would go back to whoever wrote."""
        return HookReply(204)


def _misshapen(values: Mapping[str, str]) -> dict[str, str]:
    problems = {
        name: f"must be {prefix} and 32 hexadecimal digits: copy it from Twilio's Console"
        for name, prefix in PREFIXES.items()
        if values.get(name) and not re.fullmatch(f"{prefix}[0-9a-fA-F]{{32}}", values[name])
    }
    if values.get("api_key_sid") and not values.get("api_key_secret"):
        problems |= {"api_key_secret": "an API key needs its secret: enter it, or empty the key's SID"}
    if values.get("api_key_secret") and not values.get("api_key_sid"):
        problems |= {"api_key_sid": "an API key's secret needs the key's SID: enter it, or clear the secret"}
    if values.get("sender_choice") == BY_SERVICE and not values.get("messaging_service_sid"):
        problems |= {"messaging_service_sid": "name the Messaging Service that is to pick the sender (MG…)"}
    return problems


def _url(credentials: Credentials, path: str) -> str:
    region = str(credentials.settings.get("region") or "us1")
    base = writing.base_url(credentials, REGIONS[region][1])
    return f"{base}/2010-04-01/Accounts/{credentials.settings['account_sid']}{path}"


def _credentials(credentials: Credentials) -> dict[str, str]:
    if key := credentials.settings.get("api_key_sid"):
        return writing.basic(key, credentials.secrets["api_key_secret"])
    return writing.basic(credentials.settings["account_sid"], credentials.secrets["auth_token"])


def _from(message: Outgoing, credentials: Credentials) -> list[tuple[str, str]]:
    service = str(credentials.settings.get("messaging_service_sid") or "")
    chosen = [("MessagingServiceSid", service)] if service else []
    if service and credentials.settings.get("sender_choice") == BY_SERVICE:
        return chosen
    return [("From", message.sender), *chosen]


def _segments(answer: Mapping[str, Any]) -> int | None:
    """Unknown while it is 0: a Messaging Service counts later."""
    return reading.number(answer, "num_segments") or None


def _refused(channel: Channel, answer: Mapping[str, Any], response: HttpResponse) -> SendResult:
    """Errors come as Twilio's own object, or by RFC 9457 with `title` and `detail`."""
    code = reading.text(answer, "code")
    text = reading.text(answer, "message") or reading.text(answer, "detail") or reading.text(answer, "title")
    meaning = _meaning(code, channel, response.status)
    result = meanings.refused(meaning, response, vendor_code=code, text=text)
    if code == QUEUE_FULL and result.retry_after is None:
        return replace(result, retry_after=QUEUE_FULL_WAIT)
    return result


def _meaning(code: str, channel: Channel, status: int) -> Meaning:
    if not 400 <= status < 500:
        return meanings.VENDOR_FAULT
    if code == NO_WAY_FOR_MMS and channel is Channel.MMS:
        return meanings.MMS_UNSUPPORTED
    if status == 403 and code not in REFUSALS and code.startswith(ABOUT_A_MESSAGE):
        return meanings.REJECTED
    return REFUSALS.get(code) or meanings.by_status(status)


def _urls(url: str) -> Iterator[str]:
    """The address as we know it, without its port and with it: Twilio signs one or the other."""
    address = urlsplit(url)
    host = address.netloc.removesuffix(f":{address.port}")
    port = address.port or (443 if address.scheme == "https" else 80)
    for netloc in (host, f"{host}:{port}"):
        yield url.replace(f"://{address.netloc}", f"://{netloc}", 1)


def _signing(told: str, credentials: Credentials) -> tuple[str, str]:
    """Key and digest. `told`: `key=…,algorithm=HMAC_SHA256` where a shared key signs."""
    parts = dict(part.strip().partition("=")[::2] for part in told.split(","))
    algorithm = parts.get("algorithm", "").strip().upper() or "HMAC_SHA1"
    if algorithm == "HMAC_SHA1":
        name, digest = "auth_token", "sha1"
    elif algorithm == "HMAC_SHA256":
        name, digest = "webhook_secret", "sha256"
    else:
        raise BadSignature("signed by an algorithm that is not known here")
    if key := credentials.secrets.get(name):
        return key, digest
    raise BadSignature("signed with a shared key, but its secret is not among the settings")


def _signature(key: str, text: str, digest: str) -> bytes:
    return base64.b64encode(hmac.digest(key.encode(), text.encode("utf-8", "replace"), digest))


def _signed_part(hook: HookRequest) -> str:
    """What follows the address in the signed text: the form's distinct pairs, sorted. Another body is signed by its
    SHA-256 in the query."""
    if _is_form(hook):
        return "".join(name + value for name, value in sorted(set(_fields(hook))))
    told = hook.query.get("bodySHA256", "").encode("utf-8", "replace")
    actual = hashlib.sha256(hook.body).hexdigest().encode()
    if (hook.body or told) and not hmac.compare_digest(actual, told):
        raise BadSignature("the body is not the one that the signature covers")
    return ""


def _is_form(hook: HookRequest) -> bool:
    return hook.method == "POST" and hook.headers.get("content-type", FORM).lower().startswith(FORM)


def _fields(hook: HookRequest) -> Pairs:
    """All pairs of the form, names that come twice too; of a GET those of the query; of anything else none."""
    if hook.method == "GET":
        return list(hook.query.items())
    if not _is_form(hook):
        return []
    return parse_qsl(hook.body.decode("utf-8", "replace"), keep_blank_values=True, errors="replace")


def _report(sid: str, word: str, error: str, reference: str) -> Report:
    """`ErrorCode` has a meaning only where the message failed. A callback has no time of the event."""
    status = STATUSES.get(word, Status.UNKNOWN)
    error = error if status is Status.UNDELIVERED and error != "0" else ""
    code = REPORT_CODES.get(error, "")
    if not code and error in REFUSALS:
        code = _meaning(error, Channel.MMS if sid.startswith("MM") else Channel.SMS, 400).code
    if not code and error.startswith(CHANNELS) and len(error) == 5:
        code = meanings.REJECTED.code
    return Report(
        status=REPORT_STATUSES.get(error, status),
        vendor_status=word,
        vendor_id=sid,
        reference=reference,
        code=code or ("cancelled" if word == CANCELED else ""),
        vendor_code=error,
        mms_unsupported=code == meanings.MMS_UNSUPPORTED.code,
    )


def _inbound(sid: str, fields: Mapping[str, str]) -> Inbound:
    urls = takewhile(fields.get, (f"MediaUrl{n}" for n in count()))
    media = tuple(Media(fields[name], fields.get(f"MediaContentType{n}", "")) for n, name in enumerate(urls))
    return Inbound(
        vendor_id=sid,
        sender=fields.get("From", ""),
        recipient=fields.get("To", ""),
        channel=Channel.MMS if media or sid.startswith("MM") else Channel.SMS,
        text=fields.get("Body", ""),
        media=media,
    )
