"""Carries reports and inbound messages to hooks: later, signed, again and again until the hook says 2xx."""

from __future__ import annotations

import hashlib
import heapq
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Condition, Thread

from simulator.carrier import HookCall, occurred
from simulator.client import Client, Unanswered

THREADS = 8
PATIENCE = 600.0  # seconds of trying
FIRST_WAIT, LONGEST_WAIT = 0.5, 10.0

KeyOf = Callable[[str], str]  # account -> its API key, "" when nobody has shown it yet


@dataclass(order=True)
class _Due:
    at: float  # monotonic seconds
    number: int
    call: HookCall = field(compare=False)
    born: float = field(compare=False)
    tries: int = field(compare=False, default=0)


class Courier:
    """A heap of calls by due time and a few threads that make them. `heard` is told of each that arrived."""

    def __init__(self, *, key_of: KeyOf, heard: Callable[[HookCall], None], delay: float) -> None:
        self._key_of = key_of
        self._heard = heard
        self._delay = delay
        self._heap: list[_Due] = []
        self._number = 0
        self._open = True
        self._wake = Condition()
        self._threads = [Thread(target=self._work, daemon=True) for _ in range(THREADS)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends the threads; what is still waiting is in the ledger."""
        with self._wake:
            self._open = False
            self._wake.notify_all()
        for thread in self._threads:
            thread.join(timeout=1)

    def waiting(self) -> int:
        with self._wake:
            return len(self._heap)

    def post(self, call: HookCall) -> None:
        """Later, as the call itself says. A message without a hook has nobody to tell."""
        if call.message.hook:
            now = time.monotonic()
            self._push(now + call.after * self._delay, call, born=now, tries=0)

    def post_now(self, call: HookCall, *, client: Client) -> None:
        """Before anything else; what cannot be delivered now is delivered later."""
        if call.message.hook and not self._deliver(call, client):
            self._push(time.monotonic() + FIRST_WAIT, call, born=time.monotonic(), tries=1)

    def _push(self, at: float, call: HookCall, *, born: float, tries: int) -> None:
        with self._wake:
            self._number += 1
            heapq.heappush(self._heap, _Due(at, self._number, call, born, tries))
            self._wake.notify()

    def _work(self) -> None:
        with Client() as client:
            while due := self._next():
                if not self._deliver(due.call, client):
                    self._put_off(due)

    def _put_off(self, due: _Due) -> None:
        now = time.monotonic()
        wait = min(FIRST_WAIT * 2**due.tries, LONGEST_WAIT)
        if now + wait - due.born < PATIENCE:
            self._push(now + wait, due.call, born=due.born, tries=due.tries + 1)

    def _next(self) -> _Due | None:
        with self._wake:
            while self._open:
                wait = self._heap[0].at - time.monotonic() if self._heap else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._heap)
                self._wake.wait(wait)
        return None

    def _deliver(self, call: HookCall, client: Client) -> bool:
        key = self._key_of(call.message.account)
        if not key:
            return False
        now = time.time()
        body = json.dumps({**call.body, "occurred_at": occurred(now)}).encode()
        try:
            answer = client.call("POST", call.message.hook, headers=_signed(key, body, now), body=body)
        except Unanswered:
            return False
        if not 200 <= answer.status < 300:
            return False
        self._heard(call)
        return True


def _signed(key: str, body: bytes, now: float) -> dict[str, str]:
    stamp = str(int(now))
    proof = hmac.new(key.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json",
        "X-Carrier-Timestamp": stamp,
        "X-Carrier-Signature": proof,
    }
