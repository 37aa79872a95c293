"""What stand-ins for vendors share: a server on loopback, a ledger of what was taken, and a voice that reports.

A subclass speaks one vendor's dialect both ways. It checks what it is told as strictly as the vendor would
(credentials, required fields, forms of numbers) and answers and reports in the vendor's own shapes.
"""

from __future__ import annotations

import queue
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, ClassVar

import requests

from simulator.listener import Call, Listener, Reply
from vendors.values import Channel

PATIENCE = 30.0  # seconds in which a hook must take a report


@dataclass(frozen=True)
class Taken:
    """One message that the vendor took."""

    vendor_id: str
    sender: str
    recipient: str  # as it was written
    text: str
    channel: Channel = Channel.SMS
    reference: str = ""  # ours, as the vendor got it
    hook_url: str = ""  # where its reports go; "": where the account's go


@dataclass(frozen=True)
class HookCall:
    """One call to a hook, ready to be made."""

    method: str = "POST"
    url: str = ""  # "": the account's hook address
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class StandIn(ABC):
    """One vendor's API. `hook_url` is set before the first message comes."""

    key: ClassVar[str]
    channels: ClassVar[frozenset[Channel]] = frozenset({Channel.SMS, Channel.MMS})
    sender: ClassVar[str] = "+15550100"  # what Bloomreach sends from
    has_inbound: ClassVar[bool] = True

    def __init__(self) -> None:
        self.hook_url = ""
        self.taken: list[Taken] = []
        self.refused: list[str] = []  # why, for the test's message
        self.unheard: list[int] = []  # statuses of hook calls that were not taken
        self._numbers = count(1)
        self._lock = threading.Lock()
        self._voice: queue.Queue[HookCall | None] = queue.Queue()
        self._listener = Listener(self._hear)
        self._speaker = threading.Thread(target=self._speak, daemon=True)

    @property
    def url(self) -> str:
        return self._listener.url

    # -- the dialect

    @abstractmethod
    def values(self) -> dict[str, str]:
        """Settings of a connection to this stand-in, secrets included; `base_url` leads here."""

    @abstractmethod
    def answer(self, call: Call) -> Reply:
        """The vendor's API: takes messages with `take`, refuses with `refuse`."""

    @abstractmethod
    def reports(self, taken: Taken) -> list[HookCall]:
        """The calls by which the vendor says that the message was delivered, in order."""

    def inbound(self, *, sender: str, recipient: str, text: str) -> HookCall:
        """The call by which the vendor passes on a message from a handset."""
        raise AssertionError(f"{self.key} has no inbound messages")

    # -- what subclasses use

    def take(self, **fields: Any) -> Taken:
        """Notes a message as taken, and reports on it soon."""
        with self._lock:
            fields.setdefault("vendor_id", self.new_id(next(self._numbers)))
            taken = Taken(**fields)
            self.taken.append(taken)
        for call in self.reports(taken):
            self._voice.put(call)
        return taken

    def new_id(self, n: int) -> str:
        """An id as the vendor makes them."""
        return f"{self.key}-{n}"

    def refuse(self, status: int, body: Any, why: str) -> Reply:
        """An answer that refuses, and a note of it: a correct adapter never hears one."""
        self.refused.append(why)
        return Reply(status, body)

    # -- what tests use

    def say(self, call: HookCall) -> None:
        """Makes a call to the hook."""
        self._voice.put(call)

    @property
    def twice(self) -> list[str]:
        """References that were taken more than once."""
        counted = Counter(taken.reference or taken.text for taken in self.taken)
        return [reference for reference, n in counted.items() if n > 1]

    @contextmanager
    def running(self) -> Iterator[StandIn]:
        """Serves until the block ends."""
        self._listener.start()
        self._speaker.start()
        try:
            yield self
        finally:
            self._voice.put(None)
            self._listener.stop()
            self._speaker.join(PATIENCE)

    def _hear(self, call: Call) -> Reply:
        try:
            return self.answer(call)
        except Exception as error:  # a stand-in's bug must not look like a vendor's silence
            self.refused.append(f"{type(error).__name__}: {error}")
            return Reply(500, {})

    def _speak(self) -> None:
        with requests.Session() as session:
            while call := self._voice.get():
                self._tell(session, call)

    def _tell(self, session: requests.Session, call: HookCall) -> None:
        until = time.monotonic() + PATIENCE
        status = 0
        while time.monotonic() < until:
            try:
                status = session.request(
                    call.method, call.url or self.hook_url, headers=call.headers, data=call.body, timeout=10
                ).status_code
            except requests.RequestException:
                status = 0
            if 200 <= status < 300:
                return
            time.sleep(0.2)
        self.unheard.append(status)
