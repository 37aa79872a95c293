"""Stand-ins for the sending half: a vendor on loopback, adapters that misbehave, threads that start together."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import psycopg
from django.db import connection as database
from django.db import connections
from django.db.models import QuerySet
from psycopg.rows import namedtuple_row
from psycopg.types.json import JsonbLoader

from messaging.models import Attempt, Event, Message, ProviderAccount, Queue, sql
from messaging.models.sql import change
from messaging.rules.values import EventState, MessageState
from messaging.sending import claims, dispatch
from messaging.sending.claims import Claimed
from outbound.values import HttpRequest, HttpResponse
from tests import factories
from vendors.base import Adapter
from vendors.values import Credentials, HookRequest, Outcome, Outgoing, SendResult

API_KEY = "simulator-api-key"
Said = tuple[int, Mapping[str, str], bytes]  # status, headers, body
PAUSED = {"paused_at": datetime(2024, 1, 1, tzinfo=UTC), "paused_why": "maintenance"}  # a queue, for `hold`
OPEN = {"open_until": datetime(2100, 1, 1, tzinfo=UTC), "faults": 10}
HANG_UP = 0  # as a status: reads the request, then closes without an answer


@dataclass(frozen=True)
class Heard:
    """One request as the vendor got it."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Vendor:
    """A carrier on loopback that takes everything, unless answers were queued for it."""

    url: str = ""
    heard: list[Heard] = field(default_factory=list)
    queued: deque[Said | Callable[[Heard], Said]] = field(default_factory=deque)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def will(self, status: int, body: object = b"", **headers: str) -> None:
        """Queues one answer; header names with _ for -."""
        exchange = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.queued.append(
            (status, {name.replace("_", "-"): value for name, value in headers.items()}, exchange)
        )

    def answer(self, heard: Heard) -> Said:
        with self.lock:
            self.heard.append(heard)
            if self.queued:
                said = self.queued.popleft()
                return said(heard) if callable(said) else said
            return 202, {}, json.dumps({"ids": [f"v-{len(self.heard)}"]}).encode()

    @property
    def posts(self) -> list[Heard]:
        return [one for one in self.heard if one.method == "POST"]


@contextmanager
def vendor_on_loopback() -> Iterator[Vendor]:
    """A running `Vendor`."""
    vendor = Vendor()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, headers, answer = vendor.answer(
                Heard(self.command, self.path, dict(self.headers.items()), body)
            )
            if status == HANG_UP:
                return
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    vendor.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield vendor
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def account_at(vendor: Vendor, capability: str = "report", **overrides: Any) -> ProviderAccount:
    """A simulator account that leads to the vendor."""
    settings = {"base_url": vendor.url, "capability": capability}
    return factories.make_account(settings=settings, secrets={"api_key": API_KEY}, **overrides)


class Strange(Adapter):
    """An adapter whose every part can be replaced: what a vendor's file might do wrong."""

    key = "strange"
    label = "Strange"

    def __init__(
        self,
        *,
        batch_size: int = 1,
        build: Callable[[Sequence[Outgoing]], HttpRequest] | None = None,
        parse: Callable[[Sequence[Outgoing]], Any] | None = None,
        window: timedelta | None = None,
        url: str = "",
    ) -> None:
        self.batch_size = batch_size  # type: ignore[misc]
        self._build, self._parse, self._window, self.url = build, parse, window, url

    def repeat_window(self, credentials: Credentials) -> timedelta | None:
        return self._window

    def build(self, batch: Sequence[Outgoing], credentials: Credentials) -> HttpRequest:
        if self._build:
            return self._build(batch)
        return HttpRequest("POST", self.url, {}, "\n".join(one.reference for one in batch).encode())

    def parse(
        self, batch: Sequence[Outgoing], response: HttpResponse, credentials: Credentials
    ) -> tuple[SendResult, ...]:
        if self._parse:
            result: tuple[SendResult, ...] = self._parse(batch)
            return result
        return tuple(SendResult(Outcome.TAKEN, vendor_id=f"v-{one.reference}") for one in batch)

    def verify(self, hook: HookRequest, credentials: Credentials) -> None:
        raise AssertionError("not called here")

    def parse_hook(self, hook: HookRequest, credentials: Credentials) -> Sequence[Any]:
        raise AssertionError("not called here")


def together(*functions: Callable[[], Any]) -> list[Any]:
    """Runs each in a thread with a database connection of its own, all let go at once. Raises what one raised."""
    barrier = threading.Barrier(len(functions))
    results: list[Any] = [None] * len(functions)
    errors: list[BaseException] = []

    def run(place: int, function: Callable[[], Any]) -> None:
        try:
            database.ensure_connection()
            barrier.wait(30)
            results[place] = function()
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=item) for item in enumerate(functions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs"
    if errors:
        raise errors[0]
    return results


def fetch(statement: str, params: Mapping[str, Any] | None = None) -> list[Any]:
    """Rows of a statement as named tuples, for tests that look at the database once."""
    driver = sql._driver()
    with database.wrap_database_errors, psycopg.Cursor(driver, row_factory=namedtuple_row) as cursor:
        cursor.adapters.register_loader("jsonb", JsonbLoader)
        cursor.execute(statement, params)
        return cursor.fetchall() if cursor.description else []


def claim(free: int = 32) -> list[Claimed]:
    """A claim with a lease of its own."""
    return claims.claim(free=free, lease=uuid4())


def send(claimed: Sequence[Claimed], *, deadline: float = 2.0) -> list[dispatch.Dialled]:
    """The whole path of claimed messages: prepare, dial, record."""
    dialled = [dispatch.dial(call, deadline=deadline) for call in dispatch.prepare(claimed)]
    dispatch.record(dialled)
    return dialled


def fresh(message: Message) -> Message:
    """The row as it is now."""
    return Message.objects.get(pk=message.pk)


def only_attempt(message: Message) -> Attempt:
    return Attempt.objects.get(message=message)


def events_of(message: Message) -> list[Event]:
    """In the order in which they are told."""
    return list(Event.objects.filter(message=message).order_by("generation", "kind"))


def queue_of(account: ProviderAccount) -> Queue:
    return Queue.objects.get(pk=account.queue_id)


def two_accounts(**second: Any) -> tuple[ProviderAccount, ProviderAccount]:
    first = factories.make_account(position=1)
    return first, factories.make_account(first.tenant, **{"position": 2, **second})


def hold(account: ProviderAccount, how: dict[str, Any]) -> None:
    Queue.objects.filter(pk=account.queue_id).update(**how)


def way_of(message: Message) -> tuple[int, int, str, MessageState]:
    after = fresh(message)
    return after.account_id, after.queue_id, after.send_from, after.message_state


def due_now(*messages: Message) -> None:
    """As if the wait were over, by the database's clock."""
    ids = [message.pk for message in messages]
    change(
        "UPDATE messaging_message SET due_at = clock_timestamp() - interval '1 ms' WHERE id = ANY(%(ids)s)",
        {"ids": ids},
    )


def seconds_until_due(message: Message) -> float:
    """By the database's clock; negative when it is due."""
    (row,) = fetch(
        "SELECT extract(epoch FROM due_at - clock_timestamp())::float8 AS wait"
        " FROM messaging_message WHERE id = %(id)s",
        {"id": message.pk},
    )
    wait: float = row.wait
    return wait


def pending_events() -> QuerySet[Event]:
    """Events that Bloomreach does not know yet and that are still being tried."""
    return Event.objects.filter(state__in=[EventState.DUE.value, EventState.LEASED.value])


def undeliverable_events() -> QuerySet[Event]:
    """Events that were given up."""
    return Event.objects.filter(state=EventState.UNDELIVERABLE.value)
