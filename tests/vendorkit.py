"""What every adapter must withstand. A vendor's test is a subclass with tables of captured payloads:

    class TestAcme(VendorKit):
        adapter = Acme()
        values = {"base_url": "", "api_key": "a key of the tests"}
        sends = (Send("an SMS", request={"to": "421900000123", ...}), ...)
        answers = (Answer("taken", 201, {"id": "v-1"}, Outcome.TAKEN, vendor_id="v-1"), ...)
        hooks = (Hook("delivered", body={...}, expected=(Report(...),)), ...)

The kit adds what is the same for all: time-outs, garbage, 429 and 5xx, forged and old signatures, secrets in traces,
number forms, alphabets and lengths. A table that must not be empty and is, fails.
"""

from __future__ import annotations

import inspect
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any, ClassVar
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit
from uuid import UUID

import pytest

from outbound import http
from outbound.values import CallFailure, HttpRequest, HttpResponse
from vendors.base import Adapter, BadPayload, BadSignature, SettingsError
from vendors.limits import Payload, objection
from vendors.values import (
    Channel,
    Credentials,
    Found,
    HookRequest,
    Inbound,
    Media,
    Outcome,
    Outgoing,
    Presence,
    Report,
    SendResult,
    Sent,
    Status,
)

REFERENCE = "0190a5d0-c3e7-7f3a-9d5b-8e2f4c6a1b0d"
MESSAGE_ID = "0190a5d0-c3e7-7000-8000-8e2f4c6a1b0d"
RECIPIENT = "+421900000123"
HOOK_URL = "https://connector.example/hooks/vendor/public-id"
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Send:
    """One message and the request that it must become. `request`: JSON value, list of form pairs, or bytes."""

    id: str
    request: Any
    message: Mapping[str, Any] = field(default_factory=dict)  # what differs from `outgoing()`
    url: str = ""  # the end of the address, with its query; "": any
    headers: Mapping[str, str] = field(default_factory=dict)  # those that matter
    values: Mapping[str, str] = field(default_factory=dict)  # settings that differ


@dataclass(frozen=True)
class Answer:
    """One answer to a send and what it means. `result`: further fields of SendResult, checked one by one."""

    id: str
    status: int
    body: Any
    outcome: Outcome
    result: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    message: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LookUp:
    """One answer to a look-up by our reference."""

    id: str
    status: int
    body: Any
    expected: Found


@dataclass(frozen=True)
class Poll:
    """One answer to a question about a sent message."""

    id: str
    status: int
    body: Any
    expected: Report | None


@dataclass(frozen=True)
class Check:
    """One answer to the credential check."""

    id: str
    status: int
    body: Any
    ok: bool | None


@dataclass(frozen=True)
class Hook:
    """One call of the vendor and what is in it. `body`: JSON value, list of form pairs, or bytes."""

    id: str
    expected: Sequence[Report | Inbound]
    body: Any = b""
    method: str = "POST"
    query: str = ""
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Vector:
    """A call with a signature worked out by the vendor's own code."""

    id: str
    hook: HookRequest
    values: Mapping[str, str]
    at: float | None = None  # the moment (unix time) at which it is good; None: any


GARBAGE = [
    pytest.param(b"", id="empty"),
    pytest.param(b"{", id="half a JSON"),
    pytest.param(b"null", id="null"),
    pytest.param(b"[]", id="an empty list"),
    pytest.param(b"[1, null, []]", id="a list of oddities"),
    pytest.param(b"{}", id="an empty object"),
    pytest.param(b"true", id="a boolean"),
    pytest.param(b"[" * 100_000, id="deep"),
    pytest.param(b"\xff\xfe\x00", id="no text"),
    pytest.param(b"<html><title>502 Bad Gateway</title></html>", id="an HTML page"),
    pytest.param(
        b'{"messages": 7, "data": [], "errors": "x", "results": {}, "status": []}', id="wrong types"
    ),
]

TEXTS = [
    pytest.param("Hello", id="plain"),
    pytest.param("Grüße, ¿qué? €5 [x] {y} ^ ~ | \\", id="GSM extension"),
    pytest.param("a" * 160, id="160"),
    pytest.param("a" * 161, id="161"),
    pytest.param("ž" * 70, id="70 in UCS-2"),
    pytest.param("ž" * 71, id="71 in UCS-2"),
    pytest.param("Привет, мир", id="Cyrillic"),
    pytest.param("Sale 🎉 100% & more = fun + joy?", id="emoji and what URLs quote"),
    pytest.param("two\nlines\tand a tab", id="lines"),
    pytest.param("${name} {{ x }} {% y %} %s", id="looks like a template"),
]


@cache
def _cleaned(adapter: Adapter, values: frozenset[tuple[str, str]]) -> dict[str, Any]:
    """What saving an account makes of its values, checked once and not for each of hundreds of rows."""
    return adapter.clean(dict(values))


def body_bytes(body: Any) -> bytes:
    """A table's body as it goes over the wire."""
    if isinstance(body, bytes):
        return body
    if isinstance(body, list) and body and all(isinstance(item, tuple) for item in body):
        return urlencode(body).encode()
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def content_type(body: Any) -> str:
    """What a vendor would write above that body."""
    is_form = isinstance(body, list) and bool(body) and all(isinstance(item, tuple) for item in body)
    return "application/x-www-form-urlencoded" if is_form else "application/json"


def response(status: int, body: Any = b"", headers: Mapping[str, str] | None = None) -> HttpResponse:
    return HttpResponse(status, headers or {}, body_bytes(body))


def read(request: HttpRequest) -> Any:
    """The body of a request as it was meant: JSON value, list of form pairs, or bytes."""
    kind = {name.lower(): value for name, value in request.headers.items()}.get("content-type", "")
    if "json" in kind:
        return json.loads(request.body)
    if "form-urlencoded" in kind:
        return parse_qsl(request.body.decode(), keep_blank_values=True)
    return request.body


@contextmanager
def serving(handle: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server on loopback that treats each connection as told; its address."""
    listener = socket.create_server((LOOPBACK, 0))

    def accept() -> None:
        while True:
            try:
                conn, _ = listener.accept()
            except OSError:
                return
            with conn:
                handle(conn)

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://{LOOPBACK}:{listener.getsockname()[1]}"
    finally:
        listener.close()


# What a test asks for -> the table whose rows it gets.
TABLES = {
    "send": "sends",
    "answer": "answers",
    "hook": "hooks",
    "look_up": "look_ups",
    "poll": "polls",
    "check": "checks",
    "vector": "vectors",
    "bad": "bad_values",
}


class VendorKit:
    """Subclass it as `Test<Vendor>`; the attributes without a default must be given."""

    adapter: ClassVar[Adapter]
    values: ClassVar[Mapping[str, str]]  # settings as an operator types them, secrets included
    sends: ClassVar[Sequence[Send]]
    answers: ClassVar[Sequence[Answer]]
    hooks: ClassVar[Sequence[Hook]]
    look_ups: ClassVar[Sequence[LookUp]] = ()
    polls: ClassVar[Sequence[Poll]] = ()
    checks: ClassVar[Sequence[Check]] = ()
    vectors: ClassVar[Sequence[Vector]] = ()
    bad_values: ClassVar[Sequence[tuple[Mapping[str, str], str]]] = ()  # changed settings, the field at fault
    unknown_status: ClassVar[Hook]  # a report with a word that is not in the vendor's documentation

    on_429: ClassVar[Outcome] = Outcome.TEMPORARY
    on_500: ClassVar[Outcome] = Outcome.UNKNOWN  # TEMPORARY only where the vendor says that nothing was taken
    sent_id: ClassVar[str] = "v-1"  # the vendor's id of the message that `polls` are about
    signed: ClassVar[bool] = True  # whether the vendor proves its calls beyond the secret address
    dated: ClassVar[bool] = True  # whether that proof grows old
    proof_headers: ClassVar[Sequence[str]] = ()  # headers of the proof; each one missing must be refused
    covers_body: ClassVar[bool] = True  # whether the proof covers the body
    alphanumeric: ClassVar[str] = "Demo Shop"  # a sender name that the vendor takes

    # -- what a subclass says about its vendor

    def number(self, msisdn: str) -> str:
        """`+421…` as the vendor wants it."""
        raise AssertionError("number() must say in which form the vendor wants numbers")

    def parts_of(self, request: HttpRequest) -> tuple[str, str, str]:
        """Sender, recipient and text of a built SMS."""
        raise AssertionError("parts_of() must find sender, recipient and text in a request")

    def sign(self, hook: HookRequest, credentials: Credentials, *, at: float) -> HookRequest:
        """The call with the vendor's proof, made at that moment (unix time)."""
        raise AssertionError("sign() must prove a call as the vendor does")

    def other_credentials(self) -> Credentials:
        """An account with other keys; a vendor whose proof is checked with a public one overrides it."""
        credentials = self.credentials()
        return replace(
            credentials, secrets={name: value[::-1] for name, value in credentials.secrets.items()}
        )

    def __init_subclass__(cls) -> None:
        """Tests of a table that a vendor leaves empty do not exist for it: a skip of theirs would say nothing."""
        for name, test in vars(VendorKit).items():
            if name.startswith("test_") and name not in vars(cls):
                needed = TABLES.keys() & inspect.signature(test).parameters.keys()
                filled = all(getattr(cls, TABLES[table], ()) for table in needed)
                setattr(cls, name, test if filled else None)

    # -- the parts that tests are made of

    @classmethod
    def credentials(cls, **changed: str) -> Credentials:
        cleaned = _cleaned(cls.adapter, frozenset({**cls.values, **changed}.items()))
        secret = {setting.name for setting in cls.adapter.settings if setting.secret}
        return Credentials(
            public_id="public-id",
            settings={name: value for name, value in cleaned.items() if name not in secret},
            secrets={name: value for name, value in cleaned.items() if name in secret and value},
            hook_url=HOOK_URL,
        )

    @classmethod
    def outgoing(cls, **changed: Any) -> Outgoing:
        plain: dict[str, Any] = {
            "reference": REFERENCE,
            "message_id": MESSAGE_ID,
            "channel": Channel.SMS,
            "sender": "+15550100",
            "recipient": RECIPIENT,
            "text": "Hello",
            "validity": 7200.0,
        }
        return Outgoing(**{**plain, **changed})

    @classmethod
    def mms(cls, **changed: Any) -> Outgoing:
        picture = Media("https://media.example/a.jpg", "image/jpeg")
        return cls.outgoing(**{"channel": Channel.MMS, "subject": "New", "media": (picture,), **changed})

    @classmethod
    def hook_request(cls, hook: Hook) -> HookRequest:
        raw = body_bytes(hook.body)
        headers = {"content-type": content_type(hook.body)} if raw else {}
        url = f"{HOOK_URL}?{hook.query}" if hook.query else HOOK_URL
        query = dict(parse_qsl(hook.query, keep_blank_values=True))
        return HookRequest(hook.method, url, "", query, headers, raw)

    def carries_mms(self) -> bool:
        return Channel.MMS in self.adapter.carries(self.credentials().settings)

    def parse(self, answer: HttpResponse, message: Outgoing | None = None, **values: str) -> SendResult:
        (result,) = self.adapter.parse([message or self.outgoing()], answer, self.credentials(**values))
        return result

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        for name in TABLES.keys() & set(metafunc.fixturenames):
            rows = getattr(self, TABLES[name])
            ids = [field_name for _, field_name in rows] if name == "bad" else [row.id for row in rows]
            metafunc.parametrize(name, rows, ids=ids)
        if "missing" in metafunc.fixturenames:
            names = [one.name for one in self.adapter.settings if one.required and not one.default]
            metafunc.parametrize("missing", names)

    # -- settings

    def test_tables_are_filled(self) -> None:
        for name in ("sends", "answers", "hooks", "unknown_status"):
            assert getattr(self, name, None), f"the test of {self.adapter.label} must fill in {name}"
        if self.adapter.look_up(self.unanswered(), self.credentials()) is not None:
            assert self.look_ups or self.polls, f"{self.adapter.label} can be asked: by which answers?"
        assert bool(self.checks) is (self.adapter.credential_check(self.credentials()) is not None)
        assert any(answer.outcome is Outcome.TAKEN for answer in self.answers)

    def test_its_row_in_the_table_is_filled_in(self) -> None:
        about = self.adapter.about
        assert about.proof
        assert about.unknown_outcome
        assert about.stop, "who answers STOP?"
        assert not (self.signed and about.proof == "secret URL"), "say how its calls prove themselves"
        heard = {item.channel for hook in self.hooks for item in hook.expected if isinstance(item, Inbound)}
        assert heard <= about.inbound, "a hook of these tables is inbound, and `about` denies it"

    def test_settings_describe_themselves(self) -> None:
        names = [setting.name for setting in self.adapter.settings]
        assert len(names) == len(set(names))
        assert all(setting.label for setting in self.adapter.settings)
        (address,) = (setting for setting in self.adapter.settings if setting.name == "base_url")
        assert address.label == "Address of the API"

    def test_a_required_setting_is_missed_by_name(self, missing: str) -> None:
        with pytest.raises(SettingsError) as error:
            self.adapter.clean({**self.values, missing: " "})
        assert missing in error.value.problems

    def test_an_unknown_setting_is_refused(self) -> None:
        with pytest.raises(SettingsError):
            self.adapter.clean({**self.values, "surprise": "1"})

    def test_a_base_url_is_an_address(self) -> None:
        with pytest.raises(SettingsError) as error:
            self.adapter.clean({**self.values, "base_url": "not an address"})
        assert set(error.value.problems) == {"base_url"}
        assert (
            self.credentials(base_url=f"http://{LOOPBACK}:9/x/").settings["base_url"]
            == f"http://{LOOPBACK}:9/x"
        )

    def test_bad_settings_are_refused_by_name(self, bad: tuple[Mapping[str, str], str]) -> None:
        changed, name = bad
        with pytest.raises(SettingsError) as error:
            self.adapter.clean({**self.values, **changed})
        assert name in error.value.problems

    # -- requests

    def test_build(self, send: Send) -> None:
        request = self.adapter.build([self.outgoing(**send.message)], self.credentials(**send.values))
        assert read(request) == send.request
        assert request.url.endswith(send.url)
        given = {name.lower(): value for name, value in request.headers.items()}
        assert {name: given.get(name.lower()) for name in send.headers} == dict(send.headers)

    def test_our_reference_travels(self) -> None:
        request = self.adapter.build([self.outgoing()], self.credentials())
        everything = unquote_plus(request.url) + unquote_plus(request.body.decode("utf-8", "replace"))
        everything += "".join(request.headers.values())
        assert REFERENCE in everything or UUID(REFERENCE).hex in everything

    def test_numbers_are_written_as_the_vendor_wants_them(self) -> None:
        for msisdn in ("+421900000123", "+447700900123", "+15550100123"):
            sms = self.outgoing(recipient=msisdn, sender="+15550101000")
            sender, recipient, _ = self.parts_of(self.adapter.build([sms], self.credentials()))
            assert (sender, recipient) == (self.number("+15550101000"), self.number(msisdn))

    def test_names_and_short_codes_pass_unchanged(self) -> None:
        for name in (self.alphanumeric, "12345"):
            request = self.adapter.build([self.outgoing(sender=name)], self.credentials())
            assert self.parts_of(request)[0] == name

    @pytest.mark.parametrize("text", TEXTS)
    def test_texts_arrive_to_the_letter(self, text: str) -> None:
        request = self.adapter.build([self.outgoing(text=text)], self.credentials())
        assert self.parts_of(request)[2] == text

    @pytest.mark.parametrize("files", [1, 2, 3, 8, 9, 10])
    @pytest.mark.parametrize("sender", ["+15550100", "12345", "Demo Shop"])
    def test_what_cannot_be_built_is_a_declared_limit(self, files: int, sender: str) -> None:
        if not self.carries_mms():
            return
        credentials = self.credentials()
        message = self.mms(
            sender=sender, text="", media=tuple(Media(f"https://media.example/{n}") for n in range(files))
        )
        known = self.adapter.limits(Channel.MMS, credentials.settings)
        if objection(known, sender=sender, content=Payload(message.text, files)) is None:
            body = unquote_plus(self.adapter.build([message], credentials).body.decode())
            assert all(file.url in body for file in message.media)

    def test_limits_need_no_settings(self) -> None:
        """They are asked for accounts as they are stored, half filled in and of an older version too."""
        for channel in self.adapter.channels:
            assert self.adapter.limits(channel, {}) is not None

    def test_no_secret_shows(self) -> None:
        credentials = self.credentials()
        assert credentials.secrets
        messages = [self.outgoing()] + ([self.mms()] if self.carries_mms() else [])
        requests = [self.adapter.build([message], credentials) for message in messages]
        requests += [one for one in (self.adapter.credential_check(credentials),) if one]
        requests += [one for one in (self.adapter.look_up(self.sent(), credentials),) if one]
        requests += [one for one in (self.adapter.token_request(credentials),) if one]
        for request in requests:
            mirror = response(400, request.body, dict(request.headers))
            trace = json.dumps(http.trace(request, mirror, secrets=credentials.secrets.values()))
            for name, secret in credentials.secrets.items():
                assert secret not in repr(request), name
                assert json.dumps(secret)[1:-1] not in trace, name
                assert secret not in trace, name

    def test_mms_is_refused_by_name_or_built(self) -> None:
        if self.carries_mms():
            request = self.adapter.build([self.mms(text="Look")], self.credentials())
            assert "https://media.example/a.jpg" in unquote_plus(request.body.decode())
        else:
            assert Channel.MMS not in self.adapter.channels or self.adapter.mms_needs != Adapter.mms_needs

    # -- answers

    def test_answers(self, answer: Answer) -> None:
        message = self.outgoing(**answer.message)
        result = self.parse(response(answer.status, answer.body, answer.headers), message, **answer.values)
        assert result.outcome is answer.outcome
        assert {name: getattr(result, name) for name in answer.result} == dict(answer.result)
        assert set(answer.result) <= {one.name for one in fields(SendResult)}

    def test_throttled(self) -> None:
        result = self.parse(response(429, b"", {"Retry-After": "7"}))
        assert result.outcome is self.on_429
        assert result.code == "throttled"
        assert result.retry_after == 7.0

    @pytest.mark.parametrize("status", [500, 502, 503, 504])
    def test_a_fault_of_the_vendor_is_never_a_refusal(self, status: int) -> None:
        outcome = self.parse(response(status, b"")).outcome
        assert outcome in (
            {self.on_500, Outcome.UNKNOWN} if status == 500 else {Outcome.UNKNOWN, Outcome.TEMPORARY}
        )

    @pytest.mark.parametrize("body", GARBAGE)
    def test_garbage_is_never_taken(self, body: bytes) -> None:
        for status in (200, 201, 202, 302, 400, 401, 404, 500):
            result = self.parse(response(status, body, {"Content-Type": "text/html"}))
            assert result.outcome is not Outcome.TAKEN, status
            if status < 300 or status >= 500:
                assert result.outcome in (Outcome.UNKNOWN, self.on_500), status

    @pytest.mark.parametrize("body", GARBAGE)
    def test_a_garbled_look_up_cannot_tell(self, body: bytes) -> None:
        for status in (200, 404, 500):
            found = self.adapter.parse_look_up(self.unanswered(), response(status, body), self.credentials())
            assert found.presence is Presence.CANNOT_TELL, status

    @pytest.mark.parametrize("body", GARBAGE)
    def test_a_garbled_poll_says_nothing(self, body: bytes) -> None:
        for status in (200, 404, 500):
            report = self.adapter.parse_poll(self.sent(), response(status, body), self.credentials())
            assert report is None or not report.status.is_final

    def test_look_ups(self, look_up: LookUp) -> None:
        answer = response(look_up.status, look_up.body)
        assert self.adapter.parse_look_up(self.unanswered(), answer, self.credentials()) == look_up.expected

    def test_polls(self, poll: Poll) -> None:
        assert self.adapter.poll(self.sent(), self.credentials()) is not None
        answer = response(poll.status, poll.body)
        assert self.adapter.parse_poll(self.sent(), answer, self.credentials()) == poll.expected

    def unanswered(self) -> Sent:
        """An attempt whose answer never came: the vendor's id is not known."""
        return self.sent(vendor_id="")

    def sent(self, **changed: Any) -> Sent:
        plain = Sent(REFERENCE, self.sent_id, Channel.SMS, RECIPIENT, datetime(2026, 1, 15, 10, tzinfo=UTC))
        return replace(plain, **changed)

    def test_credential_checks(self, check: Check) -> None:
        answer = response(check.status, check.body)
        assert self.adapter.parse_credential_check(answer, self.credentials()).ok is check.ok

    # -- over the wire

    @pytest.mark.parametrize("sent", [pytest.param(True, id="sent"), pytest.param(False, id="unsent")])
    def test_no_answer(self, sent: bool) -> None:
        result = self.adapter.failed(CallFailure("timeout", "late", sent=sent))
        assert result.outcome is (Outcome.UNKNOWN if sent else Outcome.TEMPORARY)

    def over_the_wire(self, base_url: str) -> SendResult:
        credentials = self.credentials(base_url=base_url)
        answer = http.call(self.adapter.build([self.outgoing()], credentials), deadline=2, guard=None)
        if isinstance(answer, CallFailure):
            return self.adapter.failed(answer)
        (result,) = self.adapter.parse([self.outgoing()], answer, credentials)
        return result

    def test_a_refused_connection_was_not_taken(self) -> None:
        with socket.create_server((LOOPBACK, 0)) as closed:
            port = closed.getsockname()[1]
        assert self.over_the_wire(f"http://{LOOPBACK}:{port}").outcome is Outcome.TEMPORARY

    def test_silence_after_the_request_may_have_been_taken(self) -> None:
        def swallow(conn: socket.socket) -> None:
            conn.settimeout(5)
            while conn.recv(65536):
                pass

        with serving(swallow) as url:
            assert self.over_the_wire(url).outcome is Outcome.UNKNOWN

    def test_a_huge_answer_is_no_yes(self) -> None:
        def flood(conn: socket.socket) -> None:
            conn.recv(65536)
            size = 3 * 1024 * 1024
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n\r\n"
            conn.sendall(head.encode() + b" " * size)

        with serving(flood) as url:
            assert self.over_the_wire(url).outcome is Outcome.UNKNOWN

    # -- hooks

    def test_hooks(self, hook: Hook) -> None:
        credentials = replace(self.credentials(**hook.values), secrets={})
        assert tuple(self.adapter.parse_hook(self.hook_request(hook), credentials)) == tuple(hook.expected)

    def test_an_unknown_status_is_kept_and_fails_nothing(self) -> None:
        credentials = replace(self.credentials(**self.unknown_status.values), secrets={})
        (report,) = self.adapter.parse_hook(self.hook_request(self.unknown_status), credentials)
        assert isinstance(report, Report)
        assert (report.status, bool(report.vendor_status)) == (Status.UNKNOWN, True)
        assert report.reference or report.vendor_id

    @pytest.mark.parametrize("body", GARBAGE)
    def test_a_garbled_hook_is_parked(self, body: bytes) -> None:
        for kind in ("application/json", "application/x-www-form-urlencoded", ""):
            headers = {"content-type": kind} if kind else {}
            hook = HookRequest("POST", HOOK_URL, "", {}, headers, body)
            try:
                items = self.adapter.parse_hook(hook, replace(self.credentials(), secrets={}))
            except BadPayload:
                continue
            assert not items, kind  # a list without entries holds nothing; anything else is no payload

    def signed_hook(self, at: float) -> HookRequest:
        return self.sign(self.hook_request(self.hooks[0]), self.credentials(), at=at)

    def test_a_proved_hook_passes(self) -> None:
        self.adapter.verify(self.signed_hook(time.time()), self.credentials())

    def test_an_unproved_hook_is_refused(self) -> None:
        if not self.signed:
            return self.adapter.verify(self.hook_request(self.hooks[0]), self.credentials())
        with pytest.raises(BadSignature):
            self.adapter.verify(self.hook_request(self.hooks[0]), self.credentials())
        return None

    def test_each_part_of_the_proof_is_needed(self) -> None:
        assert bool(self.proof_headers) is self.signed
        good = self.signed_hook(time.time())
        for name in self.proof_headers:
            for value in (None, "", "ž", "AAAA", "9" * 5000):
                headers = {key: text for key, text in good.headers.items() if key != name}
                headers |= {} if value is None else {name: value}
                with pytest.raises(BadSignature):
                    self.adapter.verify(replace(good, headers=headers), self.credentials())

    def test_a_forged_body_is_refused(self) -> None:
        good = self.signed_hook(time.time())
        if not (self.signed and self.covers_body):
            return
        forged = (
            replace(good, body=good.body + b" ")
            if good.body
            else replace(good, url=good.url + "&x=1", query={**good.query, "x": "1"})
        )
        with pytest.raises(BadSignature):
            self.adapter.verify(forged, self.credentials())

    def test_another_accounts_key_proves_nothing(self) -> None:
        if not self.signed:
            return
        hook = self.sign(self.hook_request(self.hooks[0]), self.credentials(), at=time.time())
        with pytest.raises(BadSignature):
            self.adapter.verify(hook, self.other_credentials())

    @pytest.mark.parametrize("towards", [1, -1])
    def test_a_replayed_proof_grows_old(self, towards: int) -> None:
        if not (self.signed and self.dated):
            return
        age = self.adapter.proof_age.total_seconds() + 3600
        with pytest.raises(BadSignature):
            self.adapter.verify(self.signed_hook(time.time() - towards * age), self.credentials())

    def test_a_proof_holds_as_long_as_the_vendor_repeats_under_it(self) -> None:
        if self.signed and self.dated:
            age = self.adapter.proof_age.total_seconds() - 30
            self.adapter.verify(self.signed_hook(time.time() - age), self.credentials())

    def test_vectors(self, vector: Vector, monkeypatch: pytest.MonkeyPatch) -> None:
        if vector.at is not None:
            monkeypatch.setattr(time, "time", lambda: vector.at)
        credentials = self.credentials(**vector.values)
        self.adapter.verify(vector.hook, credentials)
        forged = replace(vector.hook, body=vector.hook.body + b"x", url=vector.hook.url + "x")
        with pytest.raises(BadSignature):
            self.adapter.verify(forged, credentials)

    def test_the_reply_to_a_hook_is_a_yes(self) -> None:
        assert 200 <= self.adapter.hook_reply(self.credentials()).status < 300


def path_of(url: str) -> str:
    """Path and query of an address."""
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path
