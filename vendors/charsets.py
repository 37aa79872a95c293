"""The characters of a vendor's call: by the charset that is stated, else UTF-8, else by a guess that is told.

Adapters then read UTF-8, whatever came. What came stays as it was stored, so a wrong guess is mended by a replay.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from email.message import Message
from urllib.parse import parse_qsl, urlencode

from vendors.values import HookRequest

DEFAULT = "utf-8"
UCS2 = "utf-16-be"
GUESS = "cp1252"  # what gateways without UTF-8 mostly write
BODY = "body"  # the name under which a guess about a whole body is told
EVERY = "*"  # the key of a charset that holds for all fields

# Names that Python has not, and codecs of it that are charsets. Others ("idna", "unicode_escape") are none.
_ALIASES = {"ucs-2": UCS2, "ucs2": UCS2, "iso-10646-ucs-2": UCS2, "utf16-be": UCS2}
_CHARSET = re.compile(
    r"utf-8(-sig)?|utf-(16|32)(-[bl]e)?|ascii|iso8859-\d+|cp\d+|koi8-[rtu]|mac-\w+|tis-620|big5\w*|gb\w+|euc_\w+"
    r"|shift_ji\w+|iso2022_\w+"
)
_WIDE = re.compile(r"utf-(16|32).*")
_FORM, _PLAIN = "application/x-www-form-urlencoded", re.compile(rb"\s*+[\[{<]")

Charsets = Callable[[Mapping[str, str]], Mapping[str, str]]
Pairs = Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Legible:
    """A call whose query and body are UTF-8, and the fields whose bytes fit no charset that was stated."""

    hook: HookRequest
    guessed: tuple[str, ...]


def name_of(charset: str) -> str:
    """Python's name of a charset; "" for what is none."""
    wanted = charset.strip().strip("\"'").lower()
    try:
        found = codecs.lookup(_ALIASES.get(wanted, wanted)).name
    except (LookupError, ValueError):  # ValueError: a NUL in the name
        return ""
    return found if _CHARSET.fullmatch(found) else ""


def decode(raw: bytes, charset: str = "") -> tuple[str, bool]:
    """The text, and whether it is a guess. A charset that is unknown counts as not stated."""
    stated = name_of(charset)
    if stated == "utf-16" and raw[:2] not in (codecs.BOM_UTF16_BE, codecs.BOM_UTF16_LE):
        stated = UCS2  # the order of the network (RFC 2781, 4.3)
    for name in filter(None, (stated, DEFAULT)):
        try:
            return raw.decode(name).removeprefix("\ufeff"), name != (stated or DEFAULT)
        except UnicodeDecodeError:
            continue
    try:
        return raw.decode(GUESS), True
    except UnicodeDecodeError:
        return raw.decode("latin-1"), True


def legible(hook: HookRequest, charsets: Charsets) -> Legible:
    """The call as an adapter may read it. `charsets`: field -> charset, from what the fields say as UTF-8."""
    posted = _pairs(hook.body.decode("latin-1")) if _is_form(hook) else []
    address = hook.url.partition("?")[2]
    asked = _pairs(address) if address else [(name, value.encode()) for name, value in hook.query.items()]
    stated = charsets({name: value.decode("utf-8", "replace") for name, value in (*asked, *posted)})
    query, strange = _decoded(asked, stated, "")
    form, odd = _decoded(posted, stated, _content_charset(hook))
    if posted:
        same = all(text.encode() == raw for (_, text), (_, raw) in zip(form, posted, strict=True))
        body, unreadable = (hook.body if same else urlencode(form).encode()), False
    else:
        body, unreadable = _document(hook)
    guessed = (*strange, *odd, *((BODY,) if unreadable else ()))
    return Legible(replace(hook, query=dict(query), body=body), tuple(dict.fromkeys(guessed)))


def _is_form(hook: HookRequest) -> bool:
    kind = hook.headers.get("content-type", _FORM).lower()
    if kind.startswith(_FORM):
        return hook.method == "POST"
    return not re.search("json|xml|multipart", kind) and not _PLAIN.match(hook.body)


def _pairs(written: str) -> Pairs:
    """Names and the bytes of values; `written` has a character for each byte, as servers give an address."""
    if not written.isascii() and max(written) > "\xff":
        written = written.encode("utf-8", "replace").decode("latin-1")
    pairs = parse_qsl(written, keep_blank_values=True, encoding="latin-1")
    return [(decode(name.encode("latin-1"))[0], value.encode("latin-1")) for name, value in pairs]


def _decoded(
    pairs: Pairs, stated: Mapping[str, str], otherwise: str
) -> tuple[list[tuple[str, str]], list[str]]:
    """The texts of fields, and the names of those that are guesses. A wide charset holds only where it is named:
    numbers and ids beside such a text are plain."""
    everywhere = stated.get(EVERY) or otherwise
    if _WIDE.fullmatch(name_of(everywhere)):
        everywhere = ""
    texts, guessed = [], []
    for name, raw in pairs:
        text, is_guess = decode(raw, stated.get(name) or everywhere)
        texts.append((name, text))
        if is_guess:
            guessed.append(name)
    return texts, guessed


def _document(hook: HookRequest) -> tuple[bytes, bool]:
    """A body that is no form, as UTF-8. JSON is UTF-8 whatever its header says (RFC 8259, 8.1), if it can be."""
    kind = hook.headers.get("content-type", "").lower()
    if not re.search("json|xml|text", kind) and not _PLAIN.match(hook.body):
        return hook.body, False  # nobody's text
    if json.detect_encoding(hook.body) != DEFAULT or _is_utf8(hook.body):
        return hook.body, False
    text, is_guess = decode(hook.body, _content_charset(hook))
    return text.encode(), is_guess


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _content_charset(hook: HookRequest) -> str:
    kind = Message()
    kind["content-type"] = hook.headers.get("content-type", "").replace("\r", " ").replace("\n", " ")
    return str(kind.get_param("charset", ""))
