"""The contract between the pipeline and one vendor's API.

Adapters translate; they never retry, log or touch a database.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, ClassVar
from urllib.parse import urlsplit

from outbound.values import CallFailure, HttpRequest, HttpResponse
from vendors import reading
from vendors.limits import Limits
from vendors.values import (
    Channel,
    CredentialCheck,
    Credentials,
    Found,
    HookReply,
    HookRequest,
    Outcome,
    Outgoing,
    Presence,
    Report,
    Said,
    SendResult,
    Sent,
    Token,
)

MAX_SETTING = 20_000  # characters of one setting; twice the longest template, many times a private key


class SettingsError(ValueError):
    """Settings that the vendor cannot work with: field name -> what is wrong and what to do."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        self.problems = dict(problems)
        super().__init__("; ".join(f"{name}: {text}" for name, text in self.problems.items()))


class BadSignature(Exception):
    """A hook call that does not prove that it comes from the vendor.

    `again`: the vendor is known to send some calls unproved by mistake; it is asked to repeat this one (503, not 401).
    """

    def __init__(self, text: str, *, again: bool = False) -> None:
        super().__init__(text)
        self.again = again


class BadPayload(Exception):
    """A hook call whose body is not what the vendor documents: parked and alarmed, never refused."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One field of a provider account, in the vendor's own words."""

    name: str
    label: str
    help: str = ""
    secret: bool = False
    required: bool = True
    choices: tuple[tuple[str, str], ...] = ()
    default: str = ""
    multiline: bool = False
    url: bool = False  # an http(s) address; stored without a slash at the end


def api_address(
    default: str = "", text: str = "Only for a proxy; otherwise leave it as it is.", *, required: bool = False
) -> Setting:
    """The setting `base_url`, which every adapter has (`writing.base_url` reads it)."""
    return Setting("base_url", "Address of the API", text, required=required, default=default, url=True)


@dataclass(frozen=True, slots=True)
class About:
    """What a vendor can do, in words, for docs/vendors/README.md; the rest of that table is read off the adapter."""

    reports: str = "hook"  # how delivery reports come
    inbound: frozenset[Channel] = frozenset()
    proof: str = "secret URL"  # how its calls to us prove themselves
    unknown_outcome: str = "report"  # what resolves an unknown outcome
    fallback: str = ""  # "vendor" or "connector": who sends the SMS when an MMS cannot be; "" without MMS
    stop: str = ""  # who answers STOP
    tried_live: date | None = None  # None: never


class Adapter(ABC):
    """One vendor. Subclasses state facts, then build, parse, look up, verify and read hooks."""

    key: ClassVar[str]
    label: ClassVar[str]
    settings: ClassVar[tuple[Setting, ...]] = ()
    channels: ClassVar[frozenset[Channel]] = frozenset({Channel.SMS})
    mms_needs: ClassVar[str] = "other settings"  # what an account must have to carry MMS, where not all do
    batch_size: ClassVar[int] = 1
    demo_only: ClassVar[bool] = False
    reports_per_part: ClassVar[bool] = False  # one report per part, each under an id of its own
    proof_age: ClassVar[timedelta] = timedelta(minutes=5)  # a right signature is good that long
    absence_is_proof: ClassVar[bool] = False  # two look-ups that find nothing prove that it was not taken
    about: ClassVar[About] = About()

    def clean(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Settings as they are stored. Raises SettingsError naming every field that is wrong."""
        problems: dict[str, str] = {}
        cleaned: dict[str, str] = {}
        for setting in self.settings:
            value = str(values.get(setting.name) or setting.default).strip()
            if setting.required and not value:
                problems[setting.name] = f"{setting.label} is required"
            elif setting.choices and value and value not in dict(setting.choices):
                allowed = ", ".join(choice for choice, _ in setting.choices)
                problems[setting.name] = f"{setting.label} must be one of: {allowed}"
            elif setting.url and value and not _is_web_address(value):
                problems[setting.name] = f"{setting.label} must be an address that begins with https://"
            cleaned[setting.name] = value.rstrip("/") if setting.url else value
            if len(value) > MAX_SETTING:
                problems[setting.name] = f"{setting.label} must not be longer than {MAX_SETTING} characters"
                cleaned[setting.name] = ""  # nobody reads it
        problems = {**self.wrong(cleaned), **problems}
        unknown = sorted(set(values) - set(cleaned))
        if unknown:
            problems[unknown[0]] = f"{self.label} has no setting named {unknown[0]}"
        if problems:
            raise SettingsError(problems)
        return cleaned

    def wrong(self, values: Mapping[str, str]) -> Mapping[str, str]:
        """What is wrong with settings beyond presence, choices and addresses: field name -> what to do."""
        return {}

    def carries(self, settings: Mapping[str, Any]) -> frozenset[Channel]:
        """What an account with these settings can carry; they come without secrets, and before they are checked."""
        return self.channels

    def caution(self, credentials: Credentials) -> str:
        """What the choice of settings silences, in words that follow "But": reports or replies that will not come."""
        return ""

    def limits(self, channel: Channel, settings: Mapping[str, Any]) -> Limits:
        """What one message may be on an account with these settings. A message that breaks a limit is not accepted
        for this account, or goes as its fallback text: so name only what the vendor documents."""
        return Limits()

    def token_request(self, credentials: Credentials) -> HttpRequest | None:
        """The call that fetches a bearer token, which every other call then carries; None: no such token is needed."""
        return None

    def parse_token(self, response: HttpResponse) -> Token | None:
        """The token of an OAuth 2.0 answer (RFC 6749, 5.1); None when there is none in it."""
        answer = reading.json_object(response.body)
        value = reading.text(answer, "access_token")
        return Token(value, float(reading.number(answer, "expires_in") or 0)) if value else None

    def repeat_window(self, credentials: Credentials) -> timedelta | None:
        """How long the same bytes may be sent again without a second delivery; None: never."""
        return None

    @abstractmethod
    def build(self, batch: Sequence[Outgoing], credentials: Credentials) -> HttpRequest:
        """The call that hands the batch over. An exception here means that nothing was sent."""

    @abstractmethod
    def parse(
        self, batch: Sequence[Outgoing], response: HttpResponse, credentials: Credentials
    ) -> tuple[SendResult, ...]:
        """One result per message of the batch, in its order."""

    def failed(self, failure: CallFailure) -> SendResult:
        """What a call without an answer means: unknown once a byte may have been sent."""
        outcome = Outcome.UNKNOWN if failure.sent else Outcome.TEMPORARY
        return SendResult(outcome, code=failure.code, text=failure.text)

    def look_up(self, sent: Sent, credentials: Credentials) -> HttpRequest | None:
        """The call that asks whether the vendor took an attempt, by our reference; None: it cannot be asked."""
        return None

    def parse_look_up(self, sent: Sent, response: HttpResponse, credentials: Credentials) -> Found:
        """Found, absent, or cannot tell. Only a positive 'no such message' is absent."""
        return Found(Presence.CANNOT_TELL)

    def poll(self, sent: Sent, credentials: Credentials) -> HttpRequest | None:
        """The call that asks for the status of a message that the vendor took; None: it only reports by itself."""
        return self.look_up(sent, credentials)

    def parse_poll(self, sent: Sent, response: HttpResponse, credentials: Credentials) -> Report | None:
        """What the vendor says of it now; None: nothing that could be read."""
        return self.parse_look_up(sent, response, credentials).report

    def credential_check(self, credentials: Credentials) -> HttpRequest | None:
        """A call that proves the credentials without sending; None: the vendor has none."""
        return None

    def parse_credential_check(self, response: HttpResponse, credentials: Credentials) -> CredentialCheck:
        """401 and 403 are a refusal, any other answer under 500 is a yes."""
        if response.status in (401, 403):
            return CredentialCheck(False, f"{self.label} refuses these credentials (HTTP {response.status})")
        if response.status < 400:
            return CredentialCheck(True, f"{self.label} accepts these credentials")
        return CredentialCheck(None, f"{self.label} answered HTTP {response.status}")

    @abstractmethod
    def verify(self, hook: HookRequest, credentials: Credentials) -> None:
        """Raises BadSignature unless the vendor proves itself. The unguessable URL alone is the least proof."""

    def charsets(self, fields: Mapping[str, str], credentials: Credentials) -> Mapping[str, str]:
        """The charsets that a call states beside its Content-Type: field -> name; `*` stands for all fields.

        `fields`: those of query and form, read as UTF-8. `account` is without secrets here.
        """
        return {}

    def proof_fields(self, credentials: Credentials) -> Collection[str]:
        """Headers and query fields whose values prove a call: pages show none of them."""
        return ()

    @abstractmethod
    def parse_hook(self, hook: HookRequest, credentials: Credentials) -> Sequence[Said]:
        """Reports and inbound messages of one stored call; `account` is without secrets here. Raises BadPayload.

        Lists are read by `entries.read_each`, so that one bad entry costs the others nothing.
        """

    def hook_reply(self, credentials: Credentials) -> HookReply:
        """What the vendor wants to hear when its call is stored."""
        return HookReply()


SAMPLE = Outgoing(
    reference="00000000-0000-7000-8000-000000000001",
    message_id="00000000-0000-7000-8000-000000000002",
    channel=Channel.SMS,
    sender="+15550100",
    recipient="+15550100123",
    text='A sample: "50 % & more" for 5 €',
    validity=4 * 3600.0,
)


def preview(adapter: Adapter, credentials: Credentials) -> HttpRequest:
    """The call that a sample message would become, for people to look at. Nothing is sent; secrets are in it."""
    return adapter.build([SAMPLE], credentials)


def _is_web_address(text: str) -> bool:
    try:
        address = urlsplit(text)
    except ValueError:
        return False
    return address.scheme in ("http", "https") and bool(address.hostname)
