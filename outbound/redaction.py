"""What a call looked like, as JSON that people may see: without secrets, and small where it is stored so.

Nothing here is ever read as data again. A value is masked by the name of its field, or because it is a secret as a
whole; within other text only secrets that cannot be a part of anybody's words are (`_is_unmistakable`).
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus, unquote_plus

from outbound.values import CallFailure, HttpRequest, HttpResponse

MASK = "***"
MAX_TRACE = 8 * 1024  # bytes of the whole trace as JSON
MAX_HEADERS = 1500  # bytes of one side's headers
MAX_LINE = 300  # bytes of one header or text
MAX_URL = 1500
LEAST_WHOLE = 4  # characters of a secret that is masked where it is the whole of a value
LEAST_WITHIN = 8  # of one that is masked within other text too
LEAST_LETTERS = 16  # the same, of one that is made of letters only: shorter ones may be words

_SENSITIVE = (
    r"auth(?!entic)|cookie|(?:api|access|private|signing)[-_]?key|token|secret|signature|passw|credential"
)
_HEADER = re.compile(_SENSITIVE, re.I)
_NAMED = re.compile(rf"{_SENSITIVE}|key(?!word)|sig(?!nal)", re.I)
_WORDING = re.compile(
    r"text|body|message|content|caption|subject|keyword|msg", re.I
)  # what people write is in them
_PAIR = re.compile(r"(?P<before>(?:^|[?&;])(?P<name>[^=&;#?\s]{1,100}+)=)(?P<value>[^&;#\s]++)")
_MEMBER = re.compile(r'(?P<before>"(?P<name>[^"\\]{1,100}+)"\s*+:\s*+")(?P<value>(?:[^"\\]|\\.)++)', re.S)
_ELEMENT = re.compile(r"(?P<before><(?P<name>[\w:.-]{1,100}+)[^<>]*+>)(?P<value>[^<]++)")
_USERINFO = re.compile(r"(://)[^/?#]*@")
_NUMBER = re.compile(r"(?<![\w-])\+?[0-9]{7,15}(?![\w-])")  # as long as a phone number; not a part of an id
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # PostgreSQL refuses them inside JSON

Redact = Callable[[str], str]


def trace(
    request: HttpRequest, response: HttpResponse | CallFailure | None, *, secrets: Iterable[str]
) -> dict[str, Any]:
    """Method, URL, headers, bodies and outcome: JSON of at most 8 KiB, secrets as `***` in any writing."""
    secrets = tuple(secrets)
    redact, longest = _redactor(request, secrets)
    values = whole(secrets)
    asked: dict[str, Any] = {
        "method": _cut(request.method, 20),
        "url": _url(request.url, redact, values),
        "headers": _headers(request.headers, redact, values),
    }
    told = _outcome(response, redact, values)
    answer = response.body if isinstance(response, HttpResponse) else b""
    room = MAX_TRACE - _size({"request": asked, "response": told}) - len(', "body": ""') * 2
    _add_body(asked, request.body, redact, values, longest, room // 2 if answer else room)
    room = MAX_TRACE - _size({"request": asked, "response": told}) - len(', "body": ""')
    _add_body(told, answer, redact, values, longest, room)
    return {"request": asked, "response": told}


def masked(text: str, *, secrets: Iterable[str]) -> str:
    """The text, whole, with each unmistakable secret as `***` in any writing."""
    pattern, _ = _pattern(tuple(sorted(set(filter(_is_unmistakable, secrets)))))
    return pattern.sub(MASK, text) if pattern else text


def whole(secrets: Iterable[str]) -> frozenset[str]:
    """The secrets that are long enough to be masked where they are a whole value."""
    return frozenset(secret for secret in secrets if len(secret) >= LEAST_WHOLE)


def field(name: str, value: str, *, secrets: Iterable[str], names: Iterable[str] = ()) -> str:
    """The value of a field as it may be shown. `names`: fields, in lower case, that hold a credential besides."""
    secrets = tuple(secrets)
    if name.lower() in names or _hides(name, value, whole(secrets)):
        return MASK
    return masked(value, secrets=secrets)


def structured(text: str, *, secrets: Iterable[str], names: Iterable[str] = ()) -> str:
    """A URL, form, JSON or XML as text: fields masked like `field`, and all else kept to the letter."""
    secrets = tuple(secrets)
    return masked(_by_field(text, whole(secrets), names), secrets=secrets)


def words(text: str, *, secrets: Iterable[str] = ()) -> str:
    """A vendor's words as operators and Bloomreach may read them: no secret, and nobody's number.

    Nobody's message is in them, so shorter secrets are masked too where they stand alone and are no words.
    """
    secrets = tuple(secrets)
    text = masked(text, secrets=secrets)
    for secret in whole(secrets):
        if not secret.isalpha() and not _is_unmistakable(secret):
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", MASK, text)
    return _NUMBER.sub("…", text)


def _is_unmistakable(secret: str) -> bool:
    """Long, and no word of a language: replacing it within a text changes nothing that anybody wrote."""
    return len(secret) >= (LEAST_LETTERS if secret.isalpha() else LEAST_WITHIN)


def _hides(name: str, value: str, secrets: frozenset[str]) -> bool:
    """Whether a field's value is a credential: by its name, or as a whole where people write no text."""
    return _NAMED.search(name) is not None or (value in secrets and not _WORDING.search(name))


def _by_field(text: str, secrets: frozenset[str], names: Iterable[str] = ()) -> str:
    def mask(match: re.Match[str]) -> str:
        name, value = match["name"], match["value"]
        hidden = name.lower() in names or any(_hides(name, v, secrets) for v in (value, unquote_plus(value)))
        return f"{match['before']}{MASK}" if hidden else match[0]

    start = text.lstrip()[:1]
    pattern = _MEMBER if start in ("{", "[", '"') else _ELEMENT if start == "<" else _PAIR
    return pattern.sub(mask, text)


def _outcome(
    response: HttpResponse | CallFailure | None, redact: Redact, secrets: frozenset[str]
) -> dict[str, Any]:
    if isinstance(response, HttpResponse):
        shown = {"status": response.status, "headers": _headers(response.headers, redact, secrets)}
        return {**shown, "seconds": round(response.seconds, 3), "truncated": response.truncated}
    if isinstance(response, CallFailure):
        shown = {"failure": response.code, "text": _cut(redact(_clean(response.text)), MAX_LINE)}
        return {**shown, "sent": response.sent, "seconds": round(response.seconds, 3)}
    return {}


def _headers(headers: Mapping[str, str], redact: Redact, secrets: frozenset[str]) -> dict[str, str]:
    shown: dict[str, str] = {}
    for name, value in headers.items():
        hidden = _HEADER.search(name) or value in secrets
        line = MASK if hidden else _cut(redact(_clean(value)), MAX_LINE)
        grown = {**shown, _cut(_clean(name), MAX_LINE): line}
        if _size(grown) > MAX_HEADERS:
            break
        shown = grown
    return shown


def _url(url: str, redact: Redact, secrets: frozenset[str]) -> str:
    return _cut(redact(_by_field(_USERINFO.sub(r"\1", _clean(url)), secrets)), MAX_URL)


def _add_body(
    part: dict[str, Any], body: bytes, redact: Redact, secrets: frozenset[str], longest: int, room: int
) -> None:
    """Redacts before it cuts, and drops what may be the beginning of a secret that the window ended in."""
    if not body:
        return
    window = body[: MAX_TRACE + 4 * longest]
    text = redact(_by_field(_clean(window.decode("utf-8", "replace")), secrets))
    if len(window) < len(body):
        text = text[: -longest or None]
    part["body"] = _cut(text, room)


def _cut(text: str, room: int) -> str:
    """The longest beginning that takes no more than `room` bytes inside a JSON string."""
    if _size(text) - 2 <= room:
        return text
    least, most = 0, min(len(text), max(room, 0))
    while least < most:
        middle = (least + most + 1) // 2
        least, most = (middle, most) if _size(text[:middle]) - 2 <= room else (least, middle - 1)
    return text[:least]


def _size(value: Any) -> int:
    return len(json.dumps(value))


def _clean(text: str) -> str:
    return _UNSTORABLE.sub("\ufffd", text)


def _redactor(request: HttpRequest, secrets: Iterable[str]) -> tuple[Redact, int]:
    """Replaces the secrets, and the values of the request's own sensitive headers in case they are echoed."""
    pattern, longest = _pattern(tuple(sorted(set(filter(_is_unmistakable, secrets)))))
    own = sorted(_own_secrets(request.headers), key=len, reverse=True)

    def redact(text: str) -> str:
        for value in own:
            text = text.replace(value, MASK)
        return pattern.sub(MASK, text) if pattern else text

    return redact, max([longest, *(len(value) for value in own)])


def _own_secrets(headers: Mapping[str, str]) -> set[str]:
    values = {value for name, value in headers.items() if _HEADER.search(name)}
    words = {value.split(" ", 1)[1].strip() for value in values if " " in value}
    return {value for value in values | words | _basic_passwords(words) if _is_unmistakable(value)}


def _basic_passwords(words: Iterable[str]) -> set[str]:
    found = set()
    for word in words:
        try:
            found.add(base64.b64decode(word, validate=True).decode().partition(":")[2])
        except (binascii.Error, UnicodeDecodeError):
            continue  # not "user:password"
    return found


@lru_cache(maxsize=256)
def _pattern(secrets: tuple[str, ...]) -> tuple[re.Pattern[str] | None, int]:
    forms = sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True)
    if not forms:
        return None, 0
    return re.compile("|".join(map(re.escape, forms))), len(forms[0])


def _forms(secret: str) -> set[str]:
    """A secret as it may occur: raw, in a URL, in JSON, in HTML, in base64 alone or within other text."""
    escaped = json.dumps(secret)[1:-1]
    forms = {
        secret,
        escaped,
        json.dumps(secret, ensure_ascii=False)[1:-1],
        escaped.replace("/", "\\/"),
        html.escape(secret),
        html.escape(secret, quote=False),
    }
    for quoted in (quote(secret, safe=""), quote(secret), quote_plus(secret), quote(secret, safe="!*'()~")):
        forms |= {quoted, re.sub("%..", lambda match: match[0].lower(), quoted)}
    return forms | _base64_forms(secret.encode("utf-8", "replace"))


def _base64_forms(secret: bytes) -> set[str]:
    """The characters that depend on the secret alone, for each of the three ways it can lie in the text."""
    forms = set()
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + secret).decode()
        core = encoded[(before * 8 + 5) // 6 : (before + len(secret)) * 8 // 6]
        if len(core) >= 6:
            forms |= {core, core.replace("+", "-").replace("/", "_"), quote(core, safe="")}
    return forms
