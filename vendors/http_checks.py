"""What can be known of a generic account's settings before anything is sent: every fault, by the field's name.

Templates are tried on sample messages: tame ones, and ones full of what must be quoted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from vendors import charsets
from vendors import http_patterns as patterns
from vendors import http_settings as known
from vendors.http_bounds import SAMPLE_WORK, uses
from vendors.http_patterns import PatternError
from vendors.http_templates import TemplateError, check, render

ACCOUNT_VARIABLES = frozenset({"base_url", "username", "password", "api_key", "hook_url"})
REFERENCE_VARIABLES = frozenset({"reference", "reference_hex"})
REPORTED_VARIABLES = REFERENCE_VARIABLES | {"report_url"}  # what a report can bring back
MESSAGE_VARIABLES = REFERENCE_VARIABLES | {
    *("recipient", "sender", "text", "message_id", "report_url", "validity", "validity_minutes", "encoding"),
    *("parts", "metadata"),
}
VARIABLES = ACCOUNT_VARIABLES | MESSAGE_VARIABLES
MMS_VARIABLES = VARIABLES | {"subject", "fallback_text", "media"}
MOST_HOURS = 168
MOST_HEADERS = 50

_PLACES = ("id_place", "error_place", "text_place", "parts_place", "look_up_id", "look_up_status")
_FIELDS = (
    *("hook_items", "report_status", "report_reference", "report_id", "report_error", "report_text"),
    *("report_time", "inbound_id", "inbound_from", "inbound_to", "inbound_text", "inbound_time"),
    *("inbound_coding", "inbound_hex", "inbound_media", "inbound_charset"),
)
_CONDITIONS = ("success_when", "found_when", "absent_when", "inbound_when")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_UNQUOTED = re.compile(r"[\s\"<>\\^`{|}\x00-\x1f\x7f-\U0010ffff#]")

Values = Mapping[str, str]


def problems(values: Values) -> dict[str, str]:
    """Field -> what is wrong; empty when all is well."""
    found: dict[str, str] = {}
    for name, why in (*_places(values), *_tables(values), *_templates(values), *_needs(values)):
        found.setdefault(name, why)
    return found


def joined(source: str) -> str:
    """A URL or form written over several lines, as one."""
    return "".join(map(str.strip, source.split("\n")))


def header_lines(text: str) -> Iterator[tuple[str, str]]:
    """Names and templates of headers."""
    for line in filter(None, map(str.strip, text.splitlines())):
        name, _, value = line.partition(":")
        yield name.strip(), value.strip()


def body_source(values: Mapping[str, Any], name: str = "body") -> str:
    """The template of a body; a form's may be written over several lines."""
    body = str(values.get(name) or "")
    return joined(body) if "form-urlencoded" in str(values.get("content_type") or "") else body


def _render(source: str, values: Mapping[str, Any]) -> str:
    return render(source, values, work=SAMPLE_WORK)


def _try(name: str, test: Callable[..., object], *args: Any) -> Iterator[tuple[str, str]]:
    try:
        test(*args)
    except (PatternError, TemplateError) as error:
        yield name, str(error)


def _places(values: Values) -> Iterator[tuple[str, str]]:
    for name in _PLACES:
        yield from _try(name, patterns.check_place, values[name])
    for name in _CONDITIONS:
        yield from _try(name, patterns.check_condition, values[name])
    for name in (*_FIELDS, "inbound_when"):
        if values[name].startswith(patterns.REGEX):
            yield name, "what is in a call is found by its path, not by a regular expression"
    for name in _FIELDS:
        yield from _try(name, patterns.check_place, values[name])
    if values["hook_charset"] and not charsets.name_of(values["hook_charset"]):
        yield "hook_charset", "this is no charset: write its name, such as ISO-8859-1 or windows-1250"
    yield from _try("success_status", patterns.statuses, values["success_status"])


def _tables(values: Values) -> Iterator[tuple[str, str]]:
    yield from _try("errors", patterns.check_table, values["errors"], known.MEANINGS, "*")
    yield from _try("http_errors", patterns.check_table, values["http_errors"], known.MEANINGS)
    yield from _try("statuses", patterns.check_table, values["statuses"], known.STATUSES)
    yield from _try("report_errors", patterns.check_table, values["report_errors"], known.REPORT_CODES)


def _templates(values: Values) -> Iterator[tuple[str, str]]:
    asking = ACCOUNT_VARIABLES | REFERENCE_VARIABLES
    sources = {
        "url": (joined(values["url"]), VARIABLES),
        "body": (body_source(values), VARIABLES),
        "mms_url": (joined(values["mms_url"]), MMS_VARIABLES),
        "mms_body": (body_source(values, "mms_body"), MMS_VARIABLES),
        "look_up_url": (joined(values["look_up_url"]), asking),
        "check_url": (joined(values["check_url"]), ACCOUNT_VARIABLES),
    }
    for name, (source, allowed) in sources.items():
        if source:
            wrong = list(_try(name, check, source, allowed))
            yield from wrong or _sampled(name, source, values)
    headers = list(header_lines(values["headers"]))
    if len(headers) > MOST_HEADERS:
        yield "headers", f"there are more than {MOST_HEADERS}"
    for header, source in headers[:MOST_HEADERS]:
        if not _HEADER_NAME.fullmatch(header) or not source:
            yield "headers", f"the line {header[:40]!r} is not of the form: Name: value"
        yield from _try("headers", check, source, VARIABLES)
        yield from _try("headers", _render, source, sample("Hello"))


def sample(text: str, files: int = 1) -> dict[str, Any]:
    """Values of a made-up message with that text and as many files."""
    words: dict[str, Any] = dict.fromkeys(MMS_VARIABLES, text)
    encoding = "GSM7" if text.isascii() else "UCS2"
    plain = {
        "validity": 7200,
        "validity_minutes": 120,
        "parts": 1,
        "reference": "0190-a5",
        "reference_hex": "0190",
    }
    address = "https://connector.example/hooks"
    urls = {"base_url": "https://gateway.example", "hook_url": address, "report_url": f"{address}?ref=1&s=2"}
    media = [
        {"url": f"https://media.example/{n}{text}", "content_type": text, "name": text} for n in range(files)
    ]
    return {**words, **plain, **urls, "encoding": encoding, "metadata": {}, "media": media}


def _sampled(name: str, source: str, values: Values) -> Iterator[tuple[str, str]]:
    """Renders a tame and a wild message in both alphabets: the wild one must not change the form of what is sent.

    An MMS has one file or two, since commas between them go wrong so easily.
    """
    for letter, files in product(("a", "ž"), (1, 2) if name in ("mms_url", "mms_body") else (1,)):
        texts = (letter, f'{letter}&b=c#d?/ "e\\\n%2B+')
        try:
            tame, wild = (_render(source, sample(text, files)) for text in texts)
        except TemplateError as error:
            yield name, str(error)
            return
        is_body = name in ("body", "mms_body")
        why = _body(tame, wild, values["content_type"]) if is_body else _url(tame, wild)
        if why:
            yield name, why
            return


def _url(tame: str, wild: str) -> str:
    if not _web_address(tame):
        return "it must become an address that begins with https:// or http://"
    if _UNQUOTED.search(wild) or _form(urlsplit(tame).query) != _form(urlsplit(wild).query):
        return "a value in it is not quoted: write {{ text | url_quote }}"
    if _trunk(tame) != _trunk(wild):
        return (
            "the host must be the same for all messages, and values in the path must be quoted with url_quote"
        )
    return ""


def _web_address(url: str) -> bool:
    try:
        address = urlsplit(url)
    except ValueError:
        return False
    return address.scheme in ("http", "https") and bool(address.hostname)


def _trunk(url: str) -> tuple[str, str, int]:
    address = urlsplit(url)
    return address.scheme, address.netloc, address.path.count("/")


def _form(text: str) -> list[str]:
    return [name for name, _ in parse_qsl(text, keep_blank_values=True)]


def _body(tame: str, wild: str, content_type: str) -> str:
    if not tame:
        return ""
    if "json" in content_type:
        try:
            json.loads(tame), json.loads(wild)
        except ValueError:
            return "it does not become JSON: write texts as {{ text | json }}, without quotes around them"
    if "xml" in content_type and "&b=c" in wild:
        return "a value in it is not escaped: write {{ text | escape }}"
    if "form-urlencoded" in content_type and (_form(tame) != _form(wild) or re.search(r"\s|#", wild)):
        return "a value in it is not quoted: write {{ text | url_quote }}"
    return ""


def _needs(values: Values) -> Iterator[tuple[str, str]]:
    """Settings that others ask for."""
    sent = " ".join((values["url"], values["headers"], values["body"]))
    place = "url" if values["method"] == "GET" else "body"
    for variable in ("recipient", "text"):
        if not uses(sent, variable):
            yield place, f"no template sends {{{{ {variable} }}}}"
    if values["method"] == "GET" and values["body"]:
        yield "body", "a GET has no body: choose another method, or empty this"
    if (values["body"] or values["mms_body"]) and not values["content_type"]:
        yield "content_type", "a body needs a content type, such as application/json"
    if known.has_mms(values):
        yield from _needs_of_mms(values)
    everything = " ".join(
        (sent, *(values[name] for name in ("mms_url", "mms_body", "look_up_url", "check_url")))
    )
    for name in ("username", "password", "api_key"):
        if uses(everything, name) and not values[name]:
            yield name, "a template uses it"
    yield from _needs_of_reports(values, sent)
    yield from _needs_of_unknown_outcome(values)
    yield from _needs_of_proof(values)


def _needs_of_mms(values: Values) -> Iterator[tuple[str, str]]:
    """The same for the call that carries an MMS."""
    sent = " ".join((values["mms_url"] or values["url"], values["headers"], values["mms_body"]))
    place = "mms_url" if values["method"] == "GET" else "mms_body"
    for variable in ("recipient", "text"):
        if not uses(sent, variable):
            yield place, f"no template of an MMS sends {{{{ {variable} }}}}"
    if not _sends_media(values):
        yield place, "no template of an MMS sends the addresses in {{ media }}"
    if values["method"] == "GET" and values["mms_body"]:
        yield "mms_body", "a GET has no body: write {{ media }} into MMS URL, or choose another method"
    if values["report_reference"] and not any(uses(sent, name) for name in REPORTED_VARIABLES):
        yield place, "reports are found by our reference: no template of an MMS sends it"
    if values["unknown_outcome"] != known.REPORT and not any(
        uses(sent, name) for name in REFERENCE_VARIABLES
    ):
        yield place, "no template of an MMS sends {{ reference }}, so the gateway cannot know it again"


def _sends_media(values: Values) -> bool:
    """Whether another file makes another call. Templates that fail are told of elsewhere."""
    source = joined(values["mms_url"] or values["url"]) + "\n" + values["mms_body"]
    one = sample("a")
    other = {**one, "media": [{**file, "url": "https://media.example/other"} for file in one["media"]]}
    try:
        return _render(source, one) != _render(source, other)
    except TemplateError:
        return True


def _needs_of_reports(values: Values, sent: str) -> Iterator[tuple[str, str]]:
    if values["report_status"]:
        if not values["statuses"]:
            yield "statuses", "without it no report would ever mean anything"
        if not values["report_reference"] and not (values["report_id"] and values["id_place"]):
            yield (
                "report_reference",
                "a report is found by our reference, or by an id that the answer gave too",
            )
    if values["report_reference"] and not any(uses(sent, name) for name in REPORTED_VARIABLES):
        yield "report_reference", "no template sends {{ reference }} or {{ report_url }}"
    for name in ("inbound_from", "inbound_text"):
        if values["inbound_when"] and not values[name]:
            yield name, "inbound messages need it"


def _needs_of_unknown_outcome(values: Values) -> Iterator[tuple[str, str]]:
    hours = values["repeat_hours"]
    in_range = hours.isdecimal() and len(hours) < 4 and 1 <= int(hours) <= MOST_HOURS
    if (values["unknown_outcome"] == known.REPEAT or hours) and not in_range:
        yield "repeat_hours", f"write a whole number of hours, 1 to {MOST_HOURS}"
    if values["unknown_outcome"] in (known.REPEAT, known.LOOK_UP) and not any(
        uses(values["url"] + values["headers"] + values["body"], name) for name in REFERENCE_VARIABLES
    ):
        yield (
            "unknown_outcome",
            "no template sends {{ reference }}, so the gateway cannot know a message again",
        )
    if values["unknown_outcome"] == known.LOOK_UP:
        if not any(uses(values["look_up_url"], name) for name in REFERENCE_VARIABLES):
            yield "look_up_url", "a look-up asks by {{ reference }}"
        if not values["found_when"]:
            yield "found_when", "say how an answer shows that the message is there"


def _needs_of_proof(values: Values) -> Iterator[tuple[str, str]]:
    if values["proof"] == known.URL:
        return
    if not _HEADER_NAME.fullmatch(values["proof_name"]):
        yield "proof_name", "the name of the header or query field in which the proof is"
    if not values["hook_secret"]:
        yield "hook_secret", "this proof needs a secret"
