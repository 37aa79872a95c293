"""Adapter of Vonage: Messages API v1 (SMS and MMS), its status and inbound webhooks, Application API v2."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import uuid4

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from outbound.values import HttpRequest, HttpResponse
from vendors import entries, meanings, reading, writing
from vendors.base import About, Adapter, BadPayload, BadSignature, Setting, api_address
from vendors.limits import NUMBERS, Limits
from vendors.meanings import Meaning
from vendors.values import (
    Channel,
    CredentialCheck,
    Credentials,
    HookRequest,
    Inbound,
    Media,
    Outcome,
    Outgoing,
    Report,
    Said,
    SendResult,
    Status,
)
from vendors.vonage.codes import ERRORS, INVALID, NOT_REFUSED, REPORT_CODES, STATUSES, TTL_RAN_OUT

# Facts.
DEFAULT_BASE_URL = "https://api.nexmo.com"
BALANCE_URL = "https://rest.nexmo.com"  # the balance has a host of its own
JWT, BASIC = "jwt", "basic"
AUTHENTICATIONS = (
    (JWT, "JWT, made with the application's private key"),
    (BASIC, "API key and secret (no delivery reports, no replies)"),
)
JWT_SECONDS = 900
TTL = {Channel.SMS: (20, 604_800), Channel.MMS: (300, 259_200)}  # seconds, least and most
MOST_CAPTION = 3000  # characters
REPEATS = timedelta(hours=24)  # how long Vonage repeats a call, perhaps under its first signature
ISSUER = "Vonage"

# What a file is: by its content type, else by the end of its address, else a "file".
KINDS = ("image", "audio", "video", "vcard", "file")
VCARDS = ("text/vcard", "text/x-vcard", "text/directory")
ENDINGS = {**dict.fromkeys(("jpg", "jpeg", "png", "gif"), "image"), "mp4": "video", "vcf": "vcard"}

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# Vonage's page on authentication: with API key and secret, the Messages API has no webhooks.
AUTH_HELP = (
    "JWT, unless messages may go out blind: with API key and secret no delivery reports and no replies come."
)
SILENT = (
    "with API key and secret Vonage calls nobody: no delivery reports and no replies will come, and each message ends"
    " unconfirmed; choose JWT"
)

# What is wrong with settings, and what to do.
NO_UUID = (
    "An application ID looks like aaaaaaaa-bbbb-cccc-dddd-0123456789ab: copy it from the application's page"
)
NO_PEM = (
    "This is no RSA key in PEM form: paste the whole file private.key, from the line BEGIN PRIVATE KEY to the line"
    " END PRIVATE KEY, with its line breaks"
)


class Vonage(Adapter):
    key = "vonage"
    label = "Vonage"
    settings = (
        Setting("auth", "Authentication", AUTH_HELP, choices=AUTHENTICATIONS, default=JWT),
        Setting("application_id", "Application ID", "Of the application. Needed with JWT.", required=False),
        Setting(
            "private_key",
            "Private key",
            "The whole file private.key that came with the application. Needed with JWT.",
            secret=True,
            required=False,
            multiline=True,
        ),
        Setting("api_key", "API key", "Dashboard, API settings. Vonage's calls to us name it."),
        Setting(
            "api_secret", "API secret", "With JWT only for *Test credentials*.", secret=True, required=False
        ),
        Setting("signature_secret", "Signature secret", "Proves Vonage's calls to us.", secret=True),
        api_address(DEFAULT_BASE_URL),
    )
    channels = frozenset({Channel.SMS, Channel.MMS})
    proof_age = REPEATS
    about = About(
        inbound=frozenset({Channel.SMS, Channel.MMS}),
        proof="JWT (HS256) with a hash of the body",
        fallback="vendor",
        stop="the vendor in the US and Canada (code 1240), elsewhere the sender",
    )

    def wrong(self, values: Mapping[str, str]) -> Mapping[str, str]:
        """What one way of authentication lacks, and the forms of the application's id and key."""
        needed = ("api_secret",) if values["auth"] == BASIC else ("application_id", "private_key")
        way = dict(AUTHENTICATIONS)[BASIC if values["auth"] == BASIC else JWT]
        wrong = {name: f"This is required for: {way}" for name in needed if not values[name]}
        if values["application_id"] and not _UUID.fullmatch(values["application_id"]):
            wrong["application_id"] = NO_UUID
        if values["private_key"] and not _private_key(values["private_key"]):
            wrong["private_key"] = NO_PEM
        return wrong

    def caution(self, credentials: Credentials) -> str:
        return SILENT if _uses_basic(credentials) else ""

    def limits(self, channel: Channel, settings: Mapping[str, Any]) -> Limits:
        """MMS go from US and Canadian numbers alone, and their text is a caption."""
        return Limits(text=MOST_CAPTION, senders=NUMBERS) if channel is Channel.MMS else Limits()

    def build(self, batch: Sequence[Outgoing], credentials: Credentials) -> HttpRequest:
        (message,) = batch
        body = _mms(message) if message.channel is Channel.MMS else _sms(message, message.text)
        echoed = {
            "client_ref": message.reference,
            "webhook_url": credentials.hook_url,
            "webhook_version": "v1",
        }
        if message.channel is Channel.MMS and message.fallback_text:
            body["failover"] = [{**_sms(message, message.fallback_text), **echoed}]
        url = f"{writing.base_url(credentials, DEFAULT_BASE_URL)}/v1/messages"
        return writing.json_request("POST", url, {**body, **echoed}, _authorization(credentials))

    def parse(
        self, batch: Sequence[Outgoing], response: HttpResponse, credentials: Credentials
    ) -> tuple[SendResult, ...]:
        answer = reading.json_object(response.body)
        if response.status >= 300:
            return (_refused(response, answer),)
        vendor_id = reading.text(answer, "message_uuid").lower()
        if not vendor_id:
            return (meanings.unreadable(response),)
        return (SendResult(Outcome.TAKEN, vendor_id=vendor_id),)

    def credential_check(self, credentials: Credentials) -> HttpRequest | None:
        """With JWT the application, with Basic the balance. Neither sends; neither proves the private key."""
        secret = credentials.secrets.get("api_secret", "")
        if not secret:
            return None
        headers = writing.basic(str(credentials.settings.get("api_key", "")), secret)
        base = writing.base_url(credentials, DEFAULT_BASE_URL)
        if _uses_basic(credentials):
            host = BALANCE_URL if base == DEFAULT_BASE_URL else base
            return writing.json_request("GET", f"{host}/account/get-balance", None, headers)
        application = quote(str(credentials.settings.get("application_id", "")), safe="")
        return writing.json_request("GET", f"{base}/v2/applications/{application}", None, headers)

    def parse_credential_check(self, response: HttpResponse, credentials: Credentials) -> CredentialCheck:
        if _uses_basic(credentials) or response.status not in (200, 404):
            return super().parse_credential_check(response, credentials)
        if response.status == 404:
            return CredentialCheck(False, "Vonage knows no application of that ID in this account")
        text = (
            "Vonage accepts these credentials; whether the private key is right shows with the first message"
        )
        return CredentialCheck(True, text)

    def verify(self, hook: HookRequest, credentials: Credentials) -> None:
        scheme, _, token = hook.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            # After a fault of its own Vonage may send a call unsigned, and sends it again, signed, after a 5xx. A GET
            # is of its old SMS API, which never signs.
            raise BadSignature("there is no signature", again=hook.method == "POST")
        claims = _claims(token.strip(), credentials.secrets.get("signature_secret", ""))
        signed_at = claims.get("iat")
        most = self.proof_age.total_seconds()
        if not isinstance(signed_at, int | float) or not abs(time.time() - signed_at) <= most:
            raise BadSignature("the signature is older than Vonage repeats a call")
        expected = {"iss": ISSUER, "api_key": credentials.settings.get("api_key", "")}
        if "application_id" in claims and credentials.settings.get("application_id"):
            expected["application_id"] = credentials.settings["application_id"]
        expected["payload_hash"] = hashlib.sha256(hook.body).hexdigest()
        for name, value in expected.items():
            if not hmac.compare_digest(str(claims.get(name, "")).encode(), str(value).encode()):
                raise BadSignature(f"the signature is of another {name}")

    def parse_hook(self, hook: HookRequest, credentials: Credentials) -> Sequence[Said]:
        value = reading.json_value(hook.body)
        return entries.read_each(value if isinstance(value, list) else [value], _entry)


@lru_cache(maxsize=256)
def _private_key(pem: str) -> RSAPrivateKey | None:
    """The key of a PEM text, None when it is none. Kept, because reading one takes longer than signing with it."""
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return key if isinstance(key, RSAPrivateKey) else None


def _uses_basic(credentials: Credentials) -> bool:
    return credentials.settings.get("auth") == BASIC


def _authorization(credentials: Credentials) -> dict[str, str]:
    if _uses_basic(credentials):
        return writing.basic(str(credentials.settings["api_key"]), credentials.secrets["api_secret"])
    now = int(time.time())
    name = credentials.settings["application_id"]
    claims = {"application_id": name, "iat": now, "exp": now + JWT_SECONDS, "jti": str(uuid4())}
    key = _private_key(credentials.secrets["private_key"])
    if key is None:
        raise ValueError("the private key cannot be read")
    return writing.bearer(jwt.encode(claims, key, algorithm="RS256"))


def _addressed(message: Outgoing, channel: Channel, kind: str) -> dict[str, Any]:
    least, most = TTL[channel]
    return {
        "channel": channel.value,
        "message_type": kind,
        "to": writing.bare(message.recipient),
        "from": writing.bare(message.sender),
        "ttl": min(max(int(message.validity), least), most),
    }


def _sms(message: Outgoing, text: str) -> dict[str, Any]:
    return {**_addressed(message, Channel.SMS, "text"), "text": text}


def _mms(message: Outgoing) -> dict[str, Any]:
    """The text is the first file's caption: an MMS has no text beside its files here, and no subject."""
    files = [(_kind(media), {"url": media.url}) for media in message.media]
    if message.text:
        files[0][1]["caption"] = message.text
    if len(files) == 1:
        ((kind, file),) = files
        return {**_addressed(message, Channel.MMS, kind), kind: file}
    content = [{"type": kind, **file} for kind, file in files]
    return {**_addressed(message, Channel.MMS, "content"), "content": content}


def _kind(media: Media) -> str:
    content_type = media.content_type.partition(";")[0].strip().lower()
    if content_type in VCARDS:
        return "vcard"
    if content_type:
        major = content_type.partition("/")[0]
        return major if major in KINDS else "file"
    return ENDINGS.get(urlsplit(media.url).path.rpartition(".")[2].lower(), "file")


def _refused(response: HttpResponse, answer: Mapping[str, Any]) -> SendResult:
    code = reading.text(answer, "type").rpartition("#")[2]
    names = [reading.text(field, "name") for field in reading.items(answer, "invalid_parameters")]
    title = reading.text(answer, "title")
    text = f"{title} ({', '.join(names)})" if any(names) else title
    meaning = _meaning(response.status, code, names)
    return meanings.refused(meaning, response, vendor_code=code, text=text)


def _meaning(status: int, code: str, names: Sequence[str]) -> Meaning:
    """The HTTP status says the class: the documented code numbers are not reliable. The code says more within it."""
    if status in (401, 402, 429) or not 400 <= status < 500:
        return meanings.by_status(status)
    meaning = ERRORS.get(code)
    # A 403 may be about a feature of this message: only these codes make it one about the account.
    fitting = (Outcome.PERMANENT, Outcome.CONFIGURATION) if status == 403 else (Outcome.PERMANENT,)
    if meaning is None or meaning.outcome not in fitting:
        meaning = meanings.INVALID_REQUEST if status == 422 else meanings.REJECTED
    if meaning in (meanings.INVALID_REQUEST, meanings.REJECTED):
        return next((INVALID[name] for name in names if name in INVALID), meaning)
    return meaning


def _claims(token: str, secret: str) -> Mapping[str, Any]:
    """What a call says of itself, once its signature is proved. The age is checked elsewhere."""
    unchecked = ("verify_exp", "verify_nbf", "verify_iat", "verify_aud", "verify_sub", "verify_jti")
    options: Any = dict.fromkeys(unchecked, False)
    try:
        claims: dict[str, Any] = jwt.decode(token, secret, algorithms=["HS256"], options=options)
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise BadSignature("the signature is not of this account's signature secret") from None
    return claims


def _entry(entry: Any) -> Report | Inbound:
    if reading.text(entry, "status"):
        return _report(entry)
    if reading.text(entry, "message_type"):
        return _inbound(entry)
    raise BadPayload("neither a status nor an inbound message")


def _report(entry: Mapping[str, Any]) -> Report:
    word = reading.text(entry, "status")
    error = reading.part(entry, "error")
    title = reading.text(error, "title")
    code = title if title.isdecimal() else reading.text(error, "type").rpartition("#")[2]
    vendor_id = reading.text(entry, "message_uuid").lower()
    reference = reading.text(entry, "client_ref")
    if not vendor_id and not reference:
        raise BadPayload("a status without message_uuid and client_ref")
    return Report(
        status=_status(word, code, reading.part(entry, "workflow")),
        vendor_status=word,
        vendor_id=vendor_id,
        reference=reference,
        code=REPORT_CODES.get(code, ""),
        vendor_code=code,
        text=reading.text(error, "detail"),
        segments=reading.number(reading.part(entry, "sms"), "count_total"),
        occurred_at=reading.moment(reading.text(entry, "timestamp")),
        sent_as=Channel.SMS if reading.text(entry, "channel") == Channel.SMS else None,
    )


def _status(word: str, code: str, workflow: Mapping[str, Any]) -> Status:
    status = STATUSES.get(word.lower(), Status.UNKNOWN)
    if status not in (Status.UNDELIVERED, Status.REJECTED):
        return status
    item = reading.number(workflow, "item_number") or 1
    if item < (reading.number(workflow, "items_total") or reading.number(workflow, "total_items") or 1):
        return Status.SENT  # Vonage goes on to the next message of the failover
    if code == TTL_RAN_OUT:
        return Status.EXPIRED
    return Status.UNDELIVERED if code in NOT_REFUSED else status


def _inbound(entry: Mapping[str, Any]) -> Inbound:
    channel, vendor_id = reading.text(entry, "channel"), reading.text(entry, "message_uuid").lower()
    if channel not in tuple(Channel) or not vendor_id:
        raise BadPayload("an inbound message without message_uuid, or neither SMS nor MMS")
    kind = reading.text(entry, "message_type")
    first = reading.part(entry, kind) if kind in KINDS else {}
    files = [file for file in (first, *reading.items(entry, "content")) if reading.text(file, "url")]
    urls = {reading.text(file, "url"): reading.text(file, "name") for file in reversed(files)}
    if not files and kind != "text" and not reading.text(entry, "text"):
        raise BadPayload("an inbound message of a kind that has neither text nor files")
    return Inbound(
        vendor_id=vendor_id,
        sender=reading.text(entry, "from"),
        recipient=reading.text(entry, "to"),
        channel=Channel(channel),
        text=reading.text(entry, "text")
        or next(filter(None, (reading.text(f, "caption") for f in files)), ""),
        media=tuple(Media(url, name=urls[url]) for url in reversed(urls)),
        occurred_at=reading.moment(reading.text(entry, "timestamp")),
    )
