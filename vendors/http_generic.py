"""Adapter of gateways that have none of their own: settings say everything (docs/vendors/http_generic.md)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

from outbound.values import HttpRequest, HttpResponse
from phone import segments
from vendors import charsets, entries, http_checks, http_settings, meanings, reading, writing
from vendors.base import About, Adapter, BadPayload, BadSignature
from vendors.http_checks import body_source, header_lines, joined
from vendors.http_patterns import Body, at, find, holds, meaning_of, statuses, table
from vendors.http_settings import BASE64, HEADER, HMAC, LOOK_UP, MEANINGS, QUERY, REFERENCE, REPEAT, URL
from vendors.http_templates import TemplateError, render
from vendors.meanings import Meaning
from vendors.values import (
    Channel,
    Credentials,
    Found,
    HookReply,
    HookRequest,
    Inbound,
    Media,
    Outcome,
    Outgoing,
    Presence,
    Report,
    Said,
    SendResult,
    Sent,
    Status,
)

_UCS2_CODINGS = ("8", "2")  # of SMPP, of Kannel
_MILLIS = 13  # digits of a Unix time in milliseconds


class HttpGeneric(Adapter):
    key = "http_generic"
    label = "Generic HTTP"
    settings = http_settings.SETTINGS
    channels = frozenset({Channel.SMS, Channel.MMS})
    mms_needs = "a template for it: fill in MMS body (with GET: MMS URL)"
    absence_is_proof = True  # what proves an absence is the operator's word: `absent_when`, empty by default
    about = About(
        inbound=frozenset({Channel.SMS, Channel.MMS}),
        proof="as set: secret URL, secret in a header or query, HMAC-SHA256",
        unknown_outcome="as set: report, look-up or the same again",
        fallback="connector",
        stop="as the gateway does; replies are passed on",
    )

    def clean(self, values: Mapping[str, Any]) -> dict[str, str]:
        return super().clean(http_settings.filled(values))

    def wrong(self, values: Mapping[str, str]) -> Mapping[str, str]:
        return http_checks.problems(values)

    def carries(self, settings: Mapping[str, Any]) -> frozenset[Channel]:
        return self.channels if http_settings.has_mms(settings) else frozenset({Channel.SMS})

    def repeat_window(self, credentials: Credentials) -> timedelta | None:
        if credentials.settings["unknown_outcome"] != REPEAT:
            return None
        return timedelta(hours=int(credentials.settings["repeat_hours"]))

    def build(self, batch: Sequence[Outgoing], credentials: Credentials) -> HttpRequest:
        (message,) = batch
        settings, values = credentials.settings, _values(message, credentials)
        url, source = "url", "body"
        if message.channel == Channel.MMS:
            if not http_settings.has_mms(settings):
                raise TemplateError("there is no template for an MMS")
            url, source = "mms_url" if settings.get("mms_url") else "url", "mms_body"
            values |= _of_mms(message)
        body = render(body_source(settings, source), values).encode()
        kind = {"Content-Type": str(settings["content_type"])} if body else {}
        headers = {**kind, **_headers(credentials, values)}
        return HttpRequest(settings["method"], _url(url, credentials, values), headers, body)

    def parse(
        self, batch: Sequence[Outgoing], response: HttpResponse, credentials: Credentials
    ) -> tuple[SendResult, ...]:
        body, settings = Body.of(response.body), credentials.settings
        condition = settings["success_when"]
        if response.status in statuses(settings["success_status"]) and (
            not condition or holds(condition, body)
        ):
            return (_taken(body, response, settings),)
        return (_refused(body, response, settings),)

    def look_up(self, sent: Sent, credentials: Credentials) -> HttpRequest | None:
        if credentials.settings["unknown_outcome"] != LOOK_UP:
            return None
        values = {
            **_shared(credentials),
            "reference": sent.reference,
            "reference_hex": UUID(sent.reference).hex,
        }
        headers = _headers(credentials, values, strict=False)
        return HttpRequest("GET", _url("look_up_url", credentials, values), headers)

    def parse_look_up(self, sent: Sent, response: HttpResponse, credentials: Credentials) -> Found:
        body, settings = Body.of(response.body), credentials.settings
        there, gone = holds(settings["found_when"], body), holds(settings["absent_when"], body)
        if response.status >= 500 or there is gone:
            return Found(Presence.CANNOT_TELL)
        if gone:
            return Found(Presence.ABSENT)
        vendor_id, word = find(settings["look_up_id"], body), find(settings["look_up_status"], body)
        report = _told(word, settings, vendor_id=vendor_id, reference=sent.reference) if word else None
        return Found(Presence.FOUND, vendor_id, report)

    def credential_check(self, credentials: Credentials) -> HttpRequest | None:
        if not credentials.settings["check_url"]:
            return None
        values = _shared(credentials)
        return HttpRequest(
            "GET", _url("check_url", credentials, values), _headers(credentials, values, strict=False)
        )

    def verify(self, hook: HookRequest, credentials: Credentials) -> None:
        how, name = credentials.settings["proof"], str(credentials.settings["proof_name"])
        if how == URL:
            return
        secret = credentials.secrets.get("hook_secret", "")
        given = hook.query.get(name, "") if how == QUERY else hook.headers.get(name.lower(), "")
        if how == HMAC:
            if not hook.body:
                raise BadSignature("a call without a body proves nothing")
            expected = signature(secret, hook.body, str(credentials.settings["proof_encoding"]))
            given = given.removeprefix("sha256=")
            given = given if credentials.settings["proof_encoding"] == BASE64 else given.lower()
        else:
            assert how in (HEADER, QUERY)
            expected = secret
        if not secret or not hmac.compare_digest(expected.encode(), given.encode()):
            raise BadSignature(f"{name} does not hold the proof")

    def caution(self, credentials: Credentials) -> str:
        reads = credentials.settings.get("report_status")
        return "" if reads else "its settings read no delivery reports: each message ends unconfirmed"

    def charsets(self, fields: Mapping[str, str], credentials: Credentials) -> Mapping[str, str]:
        settings = credentials.settings
        stated = fields.get(http_settings.said(settings, "inbound_charset"), "")
        coding = fields.get(http_settings.said(settings, "inbound_coding"), "")
        if not charsets.name_of(stated) and coding in _UCS2_CODINGS and not settings.get("inbound_hex"):
            stated = charsets.UCS2
        everywhere = {charsets.EVERY: str(settings.get("hook_charset") or "")}
        return {**everywhere, str(settings.get("inbound_text")): stated} if stated else everywhere

    def proof_fields(self, credentials: Credentials) -> Collection[str]:
        name = str(credentials.settings.get("proof_name") or "")
        return (name,) if name else ()

    def parse_hook(self, hook: HookRequest, credentials: Credentials) -> Sequence[Said]:
        told = _told_of(hook, str(credentials.settings["hook_items"]))
        return entries.read_each(told, lambda entry: _read(entry, hook.query, credentials.settings))

    def hook_reply(self, credentials: Credentials) -> HookReply:
        return HookReply(200, str(credentials.settings["hook_reply"]).encode())


def signature(secret: str, body: bytes, encoding: str) -> str:
    """HMAC-SHA256 of the body, in hexadecimal or base64."""
    digest = hmac.new(secret.encode(), body, hashlib.sha256).digest()
    return base64.b64encode(digest).decode() if encoding == BASE64 else digest.hex()


def _shared(credentials: Credentials) -> dict[str, Any]:
    """Variables that are the same for all messages."""
    return {
        "base_url": credentials.settings["base_url"],
        "username": credentials.settings["username"],
        "password": credentials.secrets.get("password", ""),
        "api_key": credentials.secrets.get("api_key", ""),
        "hook_url": credentials.hook_url,
    }


def _values(message: Outgoing, credentials: Credentials) -> dict[str, Any]:
    counted = segments.count(message.text)
    return {
        **_shared(credentials),
        "recipient": message.recipient,
        "sender": message.sender,
        "text": message.text,
        "message_id": message.message_id,
        "reference": message.reference,
        "reference_hex": UUID(message.reference).hex,
        "report_url": _report_url(message.reference, credentials),
        "validity": int(message.validity),
        "validity_minutes": max(1, int(message.validity // 60)),
        "encoding": counted.encoding,
        "parts": counted.parts,
        "metadata": dict(message.metadata),
    }


def _of_mms(message: Outgoing) -> dict[str, Any]:
    """Variables that only an MMS has."""
    media = [{"url": one.url, "content_type": one.content_type, "name": one.name} for one in message.media]
    return {"subject": message.subject, "fallback_text": message.fallback_text, "media": media}


def _report_url(reference: str, credentials: Credentials) -> str:
    """The hook address with our reference, and with the secret where the query holds the proof."""
    proof = {}
    if credentials.settings["proof"] == QUERY:
        proof[str(credentials.settings["proof_name"])] = credentials.secrets.get("hook_secret", "")
    return writing.with_query(credentials.hook_url, **{REFERENCE: reference, **proof})


def _url(name: str, credentials: Credentials, values: Mapping[str, Any]) -> str:
    return render(joined(str(credentials.settings[name])), values)


def _headers(credentials: Credentials, values: Mapping[str, Any], *, strict: bool = True) -> dict[str, str]:
    """Not strict: a header about a message is left out where there is none."""
    headers: dict[str, str] = {}
    for name, source in header_lines(str(credentials.settings["headers"])):
        try:
            headers[name] = render(source, values)
        except TemplateError:
            if strict:
                raise
            continue
        if not (headers[name].isprintable() and headers[name].isascii()):
            raise TemplateError(f"the value of {name} does not fit into a header")
    return headers


def _taken(body: Body, response: HttpResponse, settings: Mapping[str, Any]) -> SendResult:
    vendor_id = find(settings["id_place"], body)
    if settings["id_place"] and not vendor_id:
        return meanings.unreadable(response)
    parts = reading.number({"parts": find(settings["parts_place"], body)}, "parts")
    return SendResult(Outcome.TAKEN, vendor_id=vendor_id, segments=parts)


def _refused(body: Body, response: HttpResponse, settings: Mapping[str, Any]) -> SendResult:
    code = find(settings["error_place"], body)
    meaning = _meaning(code, response.status, settings)
    if meaning is None and response.status < 300:
        return meanings.unreadable(response)
    meaning = meaning or meanings.by_status(response.status)
    return meanings.refused(meaning, response, vendor_code=code, text=find(settings["text_place"], body))


def _meaning(code: str, status: int, settings: Mapping[str, Any]) -> Meaning | None:
    """What the tables say of the code, else of the status. `*` is for codes, and never makes a fault a refusal."""
    name = meaning_of(code, settings["errors"]) if code else ""
    name = name or meaning_of(str(status), settings["http_errors"])
    if not name and code and status < 500 and status != 429:
        name = table(settings["errors"]).get("*", "")
    return MEANINGS.get(name)


def _told_of(hook: HookRequest, items: str) -> Sequence[Any]:
    """The fields of each thing that the call tells of."""
    kind = hook.headers.get("content-type", "")
    if "json" in kind or hook.body.lstrip()[:1] in (b"{", b"["):
        said = reading.json_value(hook.body)
        said = at(items, said) if items else said
        listed = said if isinstance(said, list) else [said]
        if said is None or (listed and not any(isinstance(entry, dict) for entry in listed)):
            raise BadPayload("no JSON object where the reports are said to be")
        return listed
    form = parse_qsl(hook.body.decode("utf-8", "replace"), keep_blank_values=True)
    return [dict(form)]


def _read(told: Any, query: Mapping[str, str], settings: Mapping[str, Any]) -> Report | Inbound:
    """One thing that a call tells; its fields go before those of the call's query."""
    if not isinstance(told, dict):
        raise BadPayload("an entry that is no JSON object")
    entry = {**query, **told}
    body = Body("", entry)
    if holds(settings["inbound_when"], body):
        return _inbound(body, entry, settings)
    word = find(settings["report_status"], body)
    reference, vendor_id = find(settings["report_reference"], body), find(settings["report_id"], body)
    if not word or not (reference or vendor_id):
        raise BadPayload("neither an inbound message nor a report with a status and a reference or id")
    error = find(settings["report_error"], body)
    code = meaning_of(error, settings["report_errors"]) if error else ""
    return _told(
        word,
        settings,
        vendor_id=vendor_id,
        reference=reference,
        code=code,
        vendor_code=error,
        text=find(settings["report_text"], body),
        mms_unsupported=code == meanings.MMS_UNSUPPORTED.code,
        occurred_at=_moment(find(settings["report_time"], body)),
    )


def _told(word: str, settings: Mapping[str, Any], **fields: Any) -> Report:
    name = meaning_of(word, settings["statuses"])
    return Report(http_settings.STATUSES.get(name, Status.UNKNOWN), word, **fields)


def _inbound(body: Body, entry: Mapping[str, Any], settings: Mapping[str, Any]) -> Inbound:
    sender = find(settings["inbound_from"], body)
    if not sender:
        raise BadPayload("an inbound message without a sender")
    text, guessed = find(settings["inbound_text"], body), False
    if find(settings["inbound_coding"], body) in _UCS2_CODINGS:
        said, guessed = _from_hex(find(settings["inbound_hex"], body))
        text = said or text
    place = str(settings.get("inbound_media") or "")  # accounts that are older than this setting lack it
    media = _media(at(place, entry)) if place else ()
    return Inbound(
        vendor_id=find(settings["inbound_id"], body),
        sender=sender,
        recipient=find(settings["inbound_to"], body),
        channel=Channel.MMS if media else Channel.SMS,
        text=text,
        media=media,
        occurred_at=_moment(find(settings["inbound_time"], body)),
        guessed=guessed,
    )


def _media(said: Any) -> tuple[Media, ...]:
    """One address or object, or a list of them; what names no address is left out."""
    files = [
        {"url": one} if isinstance(one, str) else one for one in (said if isinstance(said, list) else [said])
    ]
    return tuple(
        Media(reading.text(one, "url"), reading.text(one, "content_type"))
        for one in files
        if reading.text(one, "url")
    )


def _from_hex(written: str) -> tuple[str, bool]:
    """The text, and whether it is a guess."""
    try:
        raw = bytes.fromhex(written)
    except ValueError:
        return "", bool(written)
    try:
        return raw.decode(charsets.UCS2), False
    except UnicodeDecodeError:
        return raw.decode(charsets.UCS2, "replace"), True


def _moment(written: str) -> datetime | None:
    """ISO 8601 or RFC 2822 with a zone, or Unix time in seconds or milliseconds."""
    if not (written.isdecimal() and len(written) <= _MILLIS):
        return reading.moment(written)
    return datetime.fromtimestamp(int(written) / (1000 if len(written) == _MILLIS else 1), UTC)
