"""The settings of the generic adapter, and presets for gateways that many run themselves.

Kannel: User Guide 1.4.5, chapter "SMS Push" and the escape codes of `dlr-url`. Jasmin: HTTP API, chapters "Sending
SMS-MT", "Receiving DLR" and "Receiving SMS-MO".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vendors import meanings
from vendors.base import Setting, api_address
from vendors.values import Status

NONE, KANNEL, JASMIN = "none", "kannel", "jasmin"
REPORT, LOOK_UP, REPEAT = "report", "look_up", "repeat"
URL, HEADER, QUERY, HMAC = "url", "header", "query", "hmac"
HEX, BASE64 = "hex", "base64"
REFERENCE = "ref"  # the query field of `report_url` that holds our reference

# What the right sides of tables may say.
MEANINGS: Mapping[str, meanings.Meaning] = {
    one.code: one for one in vars(meanings).values() if isinstance(one, meanings.Meaning)
}
STATUSES: Mapping[str, Status] = {one.value: one for one in Status if one is not Status.UNKNOWN}
REPORT_CODES = frozenset(MEANINGS) | {"unreachable", "expired"}

_PLACE = "A dotted path (messages.0.id), or re: and a regular expression whose first group counts."
_FIELD = "The field, or a dotted path, in the call's JSON, form or query."
_TABLE = "One a line: word = meaning. A word may end in *."


def _lines(name: str, label: str, help: str) -> Setting:
    return Setting(name, label, help, required=False, multiline=True)


def _line(name: str, label: str, help: str = "") -> Setting:
    return Setting(name, label, help, required=False)


def _secret(name: str, label: str, help: str = "") -> Setting:
    return Setting(name, label, help, required=False, secret=True)


def _choice(name: str, label: str, help: str, *choices: tuple[str, str]) -> Setting:
    return Setting(name, label, help, required=False, choices=choices)


_ACCOUNT = (
    Setting(
        "preset",
        "Preset",
        "Fills in what is left empty here.",
        choices=((NONE, "none"), (KANNEL, "Kannel"), (JASMIN, "Jasmin")),
        default=NONE,
    ),
    api_address(text="The gateway's; {{ base_url }} in templates.", required=True),
    _line("username", "User name", "{{ username }} in templates."),
    _secret("password", "Password", "{{ password }} in templates."),
    _secret("api_key", "API key", "{{ api_key }} in templates."),
)
_REQUEST = (
    _choice("method", "Method", "", ("GET", "GET"), ("POST", "POST"), ("PUT", "PUT")),
    _lines("url", "URL", "A template; line breaks in it are left out. Quote values: {{ text | url_quote }}."),
    _lines("headers", "Headers", "One a line, Name: value; values are templates."),
    _line("content_type", "Content type of the body"),
    _lines(
        "body", "Body", 'A template. JSON: {"text": {{ text | json }}}; forms: text={{ text | url_quote }}.'
    ),
    _lines("mms_url", "MMS URL", "A template; empty: the same URL. Without it and MMS body there is no MMS."),
    _lines(
        "mms_body",
        "MMS body",
        "A template that also knows {{ subject }}, {{ fallback_text }} and {{ media }}: files with url, "
        "content_type and name, such as {{ media | json }} or {{ media[0].url | json }}.",
    ),
)
_ANSWER = (
    _line("success_status", "HTTP statuses of a yes", "Such as: 200-299, 409."),
    _line("success_when", "Further condition of a yes", "path=value, a path that must be there, or re:..."),
    _line("id_place", "Gateway's message id", f"{_PLACE} Empty: it gives none."),
    _line("error_place", "Error code", _PLACE),
    _line("text_place", "Error text", _PLACE),
    _line("parts_place", "Number of parts", _PLACE),
    _lines("errors", "What error codes mean", f"{_TABLE} * alone: any other code that the gateway gives."),
    _lines(
        "http_errors",
        "What HTTP statuses mean",
        "As above, such as: 503 = vendor_unavailable. 5* is allowed.",
    ),
)
_UNKNOWN_OUTCOME = (
    _choice(
        "unknown_outcome",
        "When the outcome of a call is unknown",
        "Resend only if the gateway drops what it has seen under the same reference.",
        (REPORT, "only a report tells"),
        (LOOK_UP, "ask by our reference"),
        (REPEAT, "send the same again: the gateway deduplicates by our reference"),
    ),
    _line("repeat_hours", "Hours in which it deduplicates", "1 to 168."),
    _lines("look_up_url", "URL of the look-up", "A template for a GET with {{ reference }}."),
    _line("found_when", "The message is there when", "path=value, a path that must be there, or re:..."),
    _line(
        "absent_when", "It was surely never taken when", "Fill in only what proves it: it is sent once more."
    ),
    _line("look_up_id", "Message id in the look-up", _PLACE),
    _line("look_up_status", "Status in the look-up", _PLACE),
    _lines(
        "check_url", "URL to test the credentials", "A template for a GET that sends nothing; may be empty."
    ),
)
_REPORTS = (
    _line(
        "hook_items",
        "List in the gateway's calls",
        "Path to the list of reports in a JSON call; empty: none.",
    ),
    _line("report_status", "Status in reports", f"{_FIELD} Empty: the gateway reports nothing."),
    _line(
        "report_reference",
        "Our reference in reports",
        f"{REFERENCE}, where templates send {{{{ report_url }}}}.",
    ),
    _line("report_id", "Message id in reports", _FIELD),
    _line("report_error", "Error code in reports", _FIELD),
    _line("report_text", "Text in reports", f"{_FIELD} Not the message's own text."),
    _line("report_time", "Time in reports", "ISO 8601 with a zone, or Unix time."),
    _lines(
        "statuses", "What status words mean", f"{_TABLE} sent, delivered, undelivered, expired or rejected."
    ),
    _lines("report_errors", "What error codes in reports mean", _TABLE),
)
_INBOUND = (
    _line("inbound_when", "A call is an inbound message when", "A field that is there, or field=value."),
    _line("inbound_id", "Its id", "Empty: only the same call within 90 s is a repeat."),
    _line("inbound_from", "Its sender", _FIELD),
    _line("inbound_to", "Its recipient", _FIELD),
    _line("inbound_text", "Its text", _FIELD),
    _line(
        "inbound_media", "Its files", "An address, a list of them, or of objects with url and content_type."
    ),
    _line("inbound_time", "Its time", "ISO 8601 with a zone, or Unix time."),
    _line(
        "inbound_coding",
        "Its data coding",
        "Where 8 (or 2) means UTF-16BE: in the next field, else in the text.",
    ),
    _line("inbound_hex", "Its bytes in hexadecimal", _FIELD),
    _line("inbound_charset", "Its charset", "The field that names the charset of the text."),
    _line(
        "hook_charset",
        "Charset of the gateway's calls",
        "Such as ISO-8859-1. Empty: as a call says, else UTF-8.",
    ),
)
_PROOF = (
    _choice(
        "proof",
        "How the gateway's calls prove themselves",
        "The hook address is secret in any case.",
        (URL, "by the secret address alone"),
        (HEADER, "a secret in a header"),
        (QUERY, "a secret in the query"),
        (HMAC, "HMAC-SHA256 of the body in a header"),
    ),
    _line("proof_name", "Name of that header or query field"),
    _choice("proof_encoding", "Writing of the HMAC", "", (HEX, "hexadecimal"), (BASE64, "base64")),
    _secret("hook_secret", "Secret of the gateway's calls"),
    _line(
        "hook_reply", "What the gateway wants to hear", "The body of our answer to its calls; mostly nothing."
    ),
)
SETTINGS = (*_ACCOUNT, *_REQUEST, *_ANSWER, *_UNKNOWN_OUTCOME, *_REPORTS, *_INBOUND, *_PROOF)

_KANNEL = {
    "method": "GET",
    "url": """{{ base_url }}/cgi-bin/sendsms?username={{ username | url_quote }}&password={{ password | url_quote }}
        &from={{ sender | url_quote }}&to={{ recipient | url_quote }}&text={{ text | url_quote }}
        &charset=UTF-8&coding={% if encoding == "UCS2" %}2{% else %}0{% endif %}&validity={{ validity_minutes }}
        &dlr-mask=31&dlr-url={{ report_url | append: "&status=%d" | url_quote }}""",
    "success_status": "202, 200",
    "success_when": r"re:^[03]: ",  # accepted; queued, because no connection to an SMSC is up
    "error_place": r"re:^([A-Z][A-Za-z ]+)",
    "text_place": r"re:^([A-Z][A-Za-z ,.]+)",
    # 503 is an answer of smsbox only with these words: a proxy's own 503 stays an unknown outcome.
    "errors": """Temporal failure = vendor_unavailable
        Authorization failed* = credentials_refused
        Not routable = no_route""",
    "http_errors": "403 = rejected_by_vendor",  # black lists, white lists, senders: about one message
    "report_reference": REFERENCE,
    "report_status": "status",
    "statuses": """1 = delivered
        2 = undelivered
        4 = sent
        8 = sent
        16 = rejected""",
    "inbound_when": "type=mo",
    "inbound_id": "id",
    "inbound_from": "from",
    "inbound_to": "to",
    "inbound_text": "text",
    "inbound_time": "time",
    "inbound_coding": "coding",
    "inbound_charset": "charset",
}
_JASMIN = {
    "method": "POST",
    "url": "{{ base_url }}/send",
    "content_type": "application/x-www-form-urlencoded",
    "body": """username={{ username | url_quote }}&password={{ password | url_quote }}
        &from={{ sender | url_quote }}&to={{ recipient | url_quote }}
        {% if encoding == "UCS2" %}&coding=8&hex-content={{ text | utf16_hex }}
        {% else %}&coding=0&content={{ text | url_quote }}{% endif %}
        &validity-period={{ validity_minutes }}
        &dlr=yes&dlr-level=3&dlr-method=POST&dlr-url={{ report_url | url_quote }}""",
    "success_status": "200",
    "success_when": r're:^Success "',
    "id_place": r're:^Success "([^"]+)"',
    "error_place": r're:^Error "([^":]+)',  # what follows a colon is a value, which may be a number or a name
    "text_place": r're:^Error "([^"]+)"',
    "errors": """Authentication failure* = credentials_refused
        Authorization failed* = credentials_refused
        Cannot charge* = no_credit
        No route found = no_route
        Argument * = invalid_request
        Mandatory arg* = invalid_request""",
    "http_errors": "403 = rejected_by_vendor",
    "check_url": "{{ base_url }}/balance?username={{ username | url_quote }}&password={{ password | url_quote }}",
    "report_reference": REFERENCE,
    "report_id": "id",
    "report_status": "message_status",
    "report_error": "err",
    # ESME_*: the SMSC's answer to the submission (level 1); with these two Jasmin tries again by itself.
    "statuses": """ESME_ROK = sent
        ESME_RTHROTTLED = sent
        ESME_RMSGQFUL = sent
        ESME_* = rejected
        ACCEPTD = sent
        ENROUTE = sent
        UNKNOWN = sent
        DELIVRD = delivered
        UNDELIV = undelivered
        DELETED = undelivered
        EXPIRED = expired
        REJECTD = rejected""",
    "inbound_when": "origin-connector",
    "inbound_id": "id",
    "inbound_from": "from",
    "inbound_to": "to",
    "inbound_text": "content",
    "inbound_coding": "coding",
    "inbound_hex": "binary",
    "hook_reply": "ACK/Jasmin",
}
_PLAIN = {
    "preset": NONE,
    "method": "POST",
    "url": "{{ base_url }}",
    "success_status": "200-299",
    "unknown_outcome": REPORT,
    "proof": URL,
    "proof_encoding": HEX,
}
_PRESETS: Mapping[str, Mapping[str, str]] = {KANNEL: _KANNEL, JASMIN: _JASMIN}


def has_mms(settings: Mapping[str, Any]) -> bool:
    """Whether there is a template for MMS. Accounts that are older than these settings lack them."""
    return bool(settings.get("mms_url") or settings.get("mms_body"))


def filled(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with the preset's own, and then the plain ones, in the place of those left empty."""
    defaults = {**_PLAIN, **_PRESETS.get(str(values.get("preset") or ""), {})}
    if defaults["method"] != "GET" and not values.get("content_type"):
        defaults.setdefault("content_type", "application/json")
    given = {name: value for name, value in values.items() if str(value or "").strip()}
    return {**dict.fromkeys(values, ""), **_dedented(defaults), **given}


def said(settings: Mapping[str, Any], name: str) -> str:
    """A setting, or the preset's for an account that was saved before there was such a setting in it."""
    return str(settings.get(name) or _PRESETS.get(str(settings.get("preset")), {}).get(name, ""))


def _dedented(defaults: Mapping[str, str]) -> dict[str, str]:
    return {name: "\n".join(map(str.strip, text.splitlines())) for name, text in defaults.items()}
