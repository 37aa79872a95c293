"""The conversation with a vendor about one provider account: build a call, dial it, read the answer.

An adapter's bug becomes a value that says so, no text holds a secret, and the exchange is recorded without secrets.
Building and dialling are apart: the thread that talks to the database builds, and threads that never touch it dial.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any, Generic, TypeVar
from uuid import UUID

from accounts.crypto import SealError
from messaging.dialling import exchanges
from messaging.models import ProviderAccount
from messaging.rules.values import ExchangeKind
from messaging.sending import bearer_tokens
from outbound import http
from outbound.redaction import words
from outbound.values import CallFailure, HttpRequest, HttpResponse
from vendors import base, registry
from vendors.base import Adapter
from vendors.values import (
    CredentialCheck,
    Credentials,
    Found,
    Outcome,
    Outgoing,
    Presence,
    Report,
    SendResult,
    Sent,
)

log = logging.getLogger(__name__)

Result = TypeVar("Result")
Answer = HttpResponse | CallFailure


class CannotOpen(Exception):
    """The vendor is unknown to this version, or the secrets do not open. The text says which: a person repairs it."""


class CannotBuild(Exception):
    """The adapter raised: a bug, or settings that it cannot work with. The text is the kind of its error, already
    logged. Nothing was sent."""


@dataclass(frozen=True, slots=True)
class Heard(Generic[Result]):
    """What a call to a vendor brought."""

    result: Result
    exchange: exchanges.RecordedExchange
    status: int  # of the HTTP answer; 0: there was none


@dataclass(frozen=True, slots=True)
class VendorCall(Generic[Result]):
    """One call that is built. `owners`: the attempts that it is about."""

    conversation: Conversation
    kind: ExchangeKind
    request: HttpRequest = field(repr=False)
    owners: Sequence[UUID | None]
    read: Callable[[Answer], Result] = field(repr=False)

    def dial(self, *, deadline: float) -> Heard[Result]:
        """Makes the call within so many seconds and reads the answer. Touches no database, raises nothing."""
        talk = self.conversation
        answer = talk.answer_to(self.request, deadline=deadline)
        exchange = exchanges.exchange(
            self.kind,
            self.request,
            answer,
            secrets=talk.secrets,
            account_id=talk.account.pk,
            owners=self.owners,
        )
        return Heard(self.read(answer), exchange, answer.status if isinstance(answer, HttpResponse) else 0)


@dataclass(frozen=True, slots=True)
class Conversation:
    """An account whose adapter is known and whose secrets are open. Methods that build a call raise CannotBuild."""

    account: ProviderAccount
    adapter: Adapter
    credentials: Credentials

    @classmethod
    def open(cls, account: ProviderAccount) -> Conversation:
        """Raises CannotOpen."""
        try:
            return cls(account, registry.adapter(account.vendor), account.credentials())
        except (SealError, registry.UnknownVendor) as error:
            raise CannotOpen(str(error)) from error

    @property
    def secrets(self) -> list[str]:
        """What no text may hold."""
        return [str(secret) for secret in self.credentials.secrets.values()]

    def send(
        self, batch: Sequence[Outgoing], owners: Sequence[UUID | None] = (None,)
    ) -> VendorCall[tuple[SendResult, ...]]:
        """Hands messages over: one result for each."""
        request = self._build("send", lambda: self.adapter.build(batch, self.credentials))
        return self.send_again(request, batch, owners)

    def send_again(
        self, request: HttpRequest, batch: Sequence[Outgoing], owners: Sequence[UUID | None]
    ) -> VendorCall[tuple[SendResult, ...]]:
        """Hands messages over with a request that was built before."""
        return VendorCall(self, ExchangeKind.CALL, request, owners, partial(self._read_send, batch))

    def look_up(self, sent: Sent, owner: UUID | None = None) -> VendorCall[Found] | None:
        """Asks whether the vendor took an attempt; None: it cannot be asked."""
        request = self._build("look-up", lambda: self.adapter.look_up(sent, self.credentials))
        if request is None:
            return None
        return VendorCall(self, ExchangeKind.LOOKUP, request, (owner,), partial(self._read_look_up, sent))

    def poll(self, sent: Sent, owner: UUID | None = None) -> VendorCall[Report | None] | None:
        """Asks for the status of a message that the vendor took; None: it only reports by itself."""
        request = self._build("poll", lambda: self.adapter.poll(sent, self.credentials))
        if request is None:
            return None
        return VendorCall(self, ExchangeKind.LOOKUP, request, (owner,), partial(self._read_poll, sent))

    def check(self) -> VendorCall[CredentialCheck] | None:
        """Asks what the vendor thinks of the credentials; None: it cannot be asked."""
        request = self._build("credential check", lambda: self.adapter.credential_check(self.credentials))
        if request is None:
            return None
        return VendorCall(self, ExchangeKind.LOOKUP, request, (None,), self._read_check)

    def repeat_window(self) -> timedelta | None:
        """How long the same bytes may be sent again without a second delivery; None: never."""
        return self._build("repeat window", lambda: self.adapter.repeat_window(self.credentials))

    def preview(self, *, hidden: Iterable[str] = ()) -> dict[str, Any]:
        """The call for a sample message as people may see it. Secrets, and what is `hidden` besides, are masked."""
        request = self._build("preview", lambda: base.preview(self.adapter, self.credentials))
        shown: dict[str, Any] = http.trace(request, None, secrets=[*self.secrets, *hidden])["request"]
        return shown

    def caution(self) -> str:
        """What the settings silence, in words that follow "But"; nothing when the adapter cannot say."""
        return self._read("caution", lambda: self.adapter.caution(self.credentials)) or ""

    def answer_to(self, request: HttpRequest, *, deadline: float) -> Answer:
        """The vendor's answer. Where the adapter raises (its tokens), nobody knows whether a byte was sent."""
        try:
            return bearer_tokens.call(self.adapter, self.credentials, request, deadline=deadline)
        except Exception as error:
            log.exception("call ended in a bug", extra={"vendor": self.adapter.key})
            return CallFailure("call_error", f"the call ended in a bug ({type(error).__name__})", sent=True)

    def _build(self, what: str, build: Callable[[], Result]) -> Result:
        try:
            return build()
        except Exception as error:
            log.exception("call could not be built", extra={"vendor": self.adapter.key, "call": what})
            raise CannotBuild(type(error).__name__) from error

    def _read(self, what: str, read: Callable[[], Result]) -> Result | None:
        """What the adapter reads; None where it raises."""
        try:
            return read()
        except Exception:
            log.exception("answer could not be read", extra={"vendor": self.adapter.key, "call": what})
            return None

    def _read_send(self, batch: Sequence[Outgoing], answer: Answer) -> tuple[SendResult, ...]:
        """One result per message. An answer that cannot be read leaves the outcome unknown."""

        def results() -> tuple[SendResult, ...]:
            if isinstance(answer, CallFailure):
                found: Sequence[SendResult] = (self.adapter.failed(answer),) * len(batch)
            else:
                found = self.adapter.parse(batch, answer, self.credentials)
            return tuple(replace(result, text=self._masked(result.text)) for result in found)

        read = self._read("send", results) or ()
        if len(read) == len(batch):
            return read
        status = answer.code if isinstance(answer, CallFailure) else f"HTTP {answer.status}"
        text = f"{status}: the answer could not be read"
        return (SendResult(Outcome.UNKNOWN, code="unreadable_answer", text=text),) * len(batch)

    def _read_look_up(self, sent: Sent, answer: Answer) -> Found:
        """No answer, and one that cannot be read, cannot tell."""

        def found() -> Found:
            assert isinstance(answer, HttpResponse)
            told = self.adapter.parse_look_up(sent, answer, self.credentials)
            return replace(told, report=self._masked_report(told.report))

        read = None if isinstance(answer, CallFailure) else self._read("look-up", found)
        return read or Found(Presence.CANNOT_TELL)

    def _read_poll(self, sent: Sent, answer: Answer) -> Report | None:
        if isinstance(answer, CallFailure):
            return None
        return self._read(
            "poll", lambda: self._masked_report(self.adapter.parse_poll(sent, answer, self.credentials))
        )

    def _read_check(self, answer: Answer) -> CredentialCheck:
        label = self.adapter.label
        if isinstance(answer, CallFailure):
            return CredentialCheck(None, f"{label} could not be reached just now: {answer.text}")

        def check() -> CredentialCheck:
            told = self.adapter.parse_credential_check(answer, self.credentials)
            return replace(told, text=self._masked(told.text))

        unread = f"{label} answered HTTP {answer.status}, which could not be read"
        return self._read("credential check", check) or CredentialCheck(None, unread)

    def _masked(self, text: str) -> str:
        return words(text, secrets=self.secrets)

    def _masked_report(self, report: Report | None) -> Report | None:
        return replace(report, text=self._masked(report.text)) if report else None
