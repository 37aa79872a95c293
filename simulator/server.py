"""The carrier as a program: its HTTP face, its courier and its ledger (`manage.py carrier`)."""

from __future__ import annotations

import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simulator import carrier as domain
from simulator import ledger
from simulator.carrier import Carrier
from simulator.client import Client
from simulator.courier import Courier
from simulator.listener import Call, Listener, Reply
from simulator.refusals import Mode, error

DELAY = 0.5  # seconds between taking a message and its report
EARLY_REPORT_TIMEOUT = 1.0
UNAUTHORIZED = error(401, "4010", "The API key is missing or not valid")
NOT_FOUND = error(404, "4040", "There is nothing at this address")
BAD_JSON = error(400, "4000", "The body must be a JSON object")


@dataclass
class Keys:
    """API keys by account. Empty `only`: whatever key an account shows first is its key."""

    only: str = ""
    _seen: dict[str, str] = field(default_factory=dict)

    def of(self, account: str) -> str:
        return self.only or self._seen.get(account, "")

    def accept(self, account: str, header: str) -> bool:
        """Whether the Authorization header opens the account."""
        given = header.removeprefix("Bearer ").strip()
        if not given or given == header:
            return False
        known = self.only or self._seen.setdefault(account, given)
        return hmac.compare_digest(known.encode(), given.encode())


@dataclass(frozen=True)
class Office:
    """What a request can reach."""

    carrier: Carrier
    courier: Courier
    book: ledger.Ledger
    keys: Keys
    latency: float


@contextmanager
def running(
    *, port: int, path: Path, key: str = "", delay: float = DELAY, latency: float = 0.0
) -> Iterator[Listener]:
    """A carrier that serves until the block is left. `delay` and `latency` in seconds. Raises PortTaken."""
    carrier, keys = Carrier(), Keys(key)
    owed = carrier.restore(*ledger.read(path, now=time.time()))
    book = ledger.Ledger(path)

    def heard(call: domain.HookCall) -> None:
        carrier.told(call)
        book.told(call, now=time.time())

    courier = Courier(key_of=keys.of, heard=heard, delay=delay)
    office = Office(carrier, courier, book, keys, latency)
    listener = Listener(lambda call: answer(office, call), port=port)
    listener.start()
    courier.start()
    for call in owed:
        courier.post(call)
    try:
        yield listener
    finally:
        listener.stop()
        courier.stop()
        book.close()


def answer(office: Office, call: Call) -> Reply:
    """Routes one request."""
    match call.method, call.path.split("/")[1:]:
        case "GET", ["accounts", account]:
            return _greet(office, account, call)
        case "POST", ["accounts", account, "messages"]:
            return _send(office, account, call)
        case "GET", ["accounts", account, "messages"]:
            return _look_up(office, account, call)
        case "GET", ["counters"]:
            return Reply(200, {**office.carrier.count(), "waiting": office.courier.waiting()})
        case "GET", ["state"]:
            return Reply(200, office.carrier.state(since=_seconds(call.query.get("since"), 0.0)))
        case "POST", ["faults"]:
            return _break_down(office, call)
    return NOT_FOUND


def _greet(office: Office, account: str, call: Call) -> Reply:
    if not office.keys.accept(account, call.headers.get("authorization", "")):
        return UNAUTHORIZED
    return Reply(200, {"account": account, "status": "active"})


def _look_up(office: Office, account: str, call: Call) -> Reply:
    if not office.keys.accept(account, call.headers.get("authorization", "")):
        return UNAUTHORIZED
    return office.carrier.look_up(account=account, reference=call.query.get("reference", ""))


def _send(office: Office, account: str, call: Call) -> Reply:
    if not office.keys.accept(account, call.headers.get("authorization", "")):
        return UNAUTHORIZED
    body = _object(call.body)
    if body is None:
        return BAD_JSON
    if office.latency:
        time.sleep(office.latency)
    outcome = office.carrier.send(account=account, body=body, now=time.time())
    if outcome.taken is not None:
        office.book.taken(outcome.taken)
    if outcome.before:
        with Client(timeout=EARLY_REPORT_TIMEOUT) as client:
            for early in outcome.before:
                office.courier.post_now(early, client=client)
    for later in outcome.calls:
        office.courier.post(later)
    return outcome.reply


def _break_down(office: Office, call: Call) -> Reply:
    body = _object(call.body) or {}
    try:
        mode = Mode(str(body.get("mode")))
    except ValueError:
        return error(400, "4000", f"mode is one of: {', '.join(Mode)}")
    seconds = _seconds(body.get("seconds"), 3.0)
    office.carrier.break_down(
        mode=mode, seconds=seconds, account=str(body.get("account") or ""), now=time.time()
    )
    return Reply(200, {"mode": mode, "seconds": seconds})


def serve_until(stop: threading.Event, **options: Any) -> None:
    """Runs the carrier in the calling thread until the event is set. Options as for `running`."""
    with running(**options):
        stop.wait()


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _seconds(value: object, default: float) -> float:
    try:
        return float(str(value))
    except ValueError:
        return default
