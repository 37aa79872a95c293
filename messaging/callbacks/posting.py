"""What we owe Bloomreach is posted, signed, and its answer recorded (contract 5). What is posted: claims.py."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.db import transaction

from accounts.crypto import Sealed, SealError
from messaging.callbacks import signing
from messaging.callbacks.claims import Post, PutOff, claim, give_back, put_off
from messaging.contract import callback_url, wire_profile
from messaging.dialling import exchanges, guards
from messaging.models.sql import change, column, sql
from messaging.queues import circuit
from messaging.rules import backoff
from messaging.rules.values import ExchangeKind
from outbound import http
from outbound import retry_after as retry_after_header
from outbound.values import CallFailure, HttpRequest, HttpResponse

__all__ = ["ALONE_TRIES", "Post", "Posted", "claim", "dial", "give_back", "record", "try_once"]

log = logging.getLogger(__name__)

ALONE_TRIES = 3  # an event that is refused alone so often is undeliverable, if the destination takes others
BISECT_DELAY = 1.0  # seconds

ACKNOWLEDGE = sql("""
UPDATE messaging_event SET state = {EventState.ACKED}, tries = tries + 1, lease = NULL, lease_until = NULL,
       acked_at = clock_timestamp(), last_error = ''
WHERE lease = %(lease)s AND id = ANY(%(ids)s)
""")

# Whether its address took anything since the event's first failed POST: then the event itself is at fault.
AT_FAULT = """
SELECT event.id FROM messaging_event event
JOIN messaging_destination destination ON destination.id = event.destination_id
WHERE event.id = ANY(%(ids)s) AND destination.ok_at > event.first_try_at
"""

# Not when the secret was replaced while the POST was in flight: then its name means another one. Once a minute.
NOTE_KEY = """
UPDATE accounts_tenant SET secret_in_use = %(which)s, secret_taken_at = clock_timestamp()
WHERE id = %(tenant)s AND callback_secret = %(sealed)s AND (secret_in_use <> %(which)s OR secret_taken_at IS NULL
      OR secret_taken_at < clock_timestamp() - interval '1 minute')
"""


@dataclass(frozen=True, slots=True)
class Posted:
    """How a POST went. `key` names the signing secret that was used last: current or previous."""

    post: Post
    answer: HttpResponse | CallFailure
    key: str
    exchange: exchanges.RecordedExchange

    @property
    def status(self) -> int:
        """Of the HTTP answer; 0: there was none."""
        return self.answer.status if isinstance(self.answer, HttpResponse) else 0

    @property
    def taken(self) -> bool:
        """Any 2xx means that Bloomreach has every event of the POST (contract 5)."""
        return isinstance(self.answer, HttpResponse) and 200 <= self.answer.status < 300

    @property
    def refused(self) -> bool:
        """A 4xx that says something about the request: one of its events, or the URL, is at fault."""
        return 400 <= self.status < 500 and self.status not in (401, 403, 408, 429)

    @property
    def splits(self) -> bool:
        """Refused as a batch, or answered with 500, which may be about one event: its halves show which one it is."""
        return (self.refused or self.status == 500) and len(self.post.events) > 1

    @property
    def error(self) -> str:
        """What went wrong, for people."""
        if isinstance(self.answer, CallFailure):
            return self.answer.text[:300]
        return "" if self.taken else f"HTTP {self.answer.status}"


def dial(post: Post, *, deadline: float) -> Posted:
    """Posts the events. A 401 or 403 is tried once more with the previous secret. Touches no database."""
    started = time.monotonic()
    key = "current"
    request, answer = _post(post, post.tenant.callback_secret, deadline)
    status = answer.status if isinstance(answer, HttpResponse) else 0
    left = deadline - (time.monotonic() - started)
    if status in (401, 403) and post.tenant.callback_secret_previous and left > 0:
        key = "previous"
        request, answer = _post(post, post.tenant.callback_secret_previous, left)
    exchange = exchanges.exchange(ExchangeKind.POST, request, answer, secrets=(), ids=[post.lease])
    return Posted(post, answer, key, exchange)


def try_once(post: Post, secret: Sealed, *, deadline: float) -> HttpResponse | CallFailure:
    """One POST beside the queue, signed and guarded like the others. Nothing is recorded."""
    return _post(post, secret, deadline)[1]


def _post(post: Post, secret: Sealed, deadline: float) -> tuple[HttpRequest, HttpResponse | CallFailure]:
    headers = {"Content-Type": "application/json"}
    request = HttpRequest("POST", post.url, headers, post.body)
    if wrong := _forbidden(post):
        return request, CallFailure("refused_address", f"the callback URL {wrong}", sent=False)
    try:
        token = signing.authorization(
            secret.reveal(), bearer=wire_profile.stored(post.tenant.wire_profile).bearer
        )
    except (SealError, ValueError) as error:  # sealed with another key, or empty: an operator can repair both
        return request, CallFailure("no_signature", str(error), sent=False)
    request = HttpRequest("POST", post.url, {**headers, "Authorization": token}, post.body)
    return request, http.call(request, deadline=deadline, guard=guards.for_callbacks())


def _forbidden(post: Post) -> str:
    """Contract 3: what a request may name is checked again. Inbound URLs are an operator's own."""
    if post.is_inbound:
        return ""
    return callback_url.problem(post.url, hosts=post.tenant.callback_hosts, demo=settings.DEMO)


def record(posted: Sequence[Posted]) -> None:
    """Acknowledges, puts off or gives up the events of each POST, and tells the addresses' circuits."""
    with transaction.atomic():
        exchanges.store([one.exchange for one in posted])
        notes: defaultdict[int, list[circuit.Note]] = defaultdict(list)
        for one in posted:
            _settle(one)
            notes[one.post.destination_id].append(_note(one))
        circuit.note(notes, of=circuit.Of.DESTINATION)


def _note(one: Posted) -> circuit.Note:
    """An event that is refused alone again and again is no new evidence against its address."""
    alone = one.post.events[0].id if len(one.post.events) == 1 else None
    return circuit.Note(
        ok=one.taken,
        open_for=settings.PROBE_EVERY if one.refused else None,
        blame=circuit.blame(one.status),
        witness=circuit.witness(alone) if alone and one.status else None,
        text=one.error,
    )


def _settle(one: Posted) -> None:
    ids = [event.id for event in one.post.events]
    if one.taken:
        change(ACKNOWLEDGE, {"lease": one.post.lease, "ids": ids})
        tenant = one.post.tenant
        sealed = tenant.callback_secret.ciphertext
        change(NOTE_KEY, {"which": one.key, "tenant": tenant.pk, "sealed": sealed})
        return
    waits = _waits(one)
    cap = max(1, len(ids) // 2) if one.refused or one.splits else None
    events = [
        PutOff(event.id, wait, cap or event.batch_cap)
        for event, wait in zip(one.post.events, waits, strict=True)
    ]
    put_off(one.post.lease, events, error=one.error, counts=not one.splits)
    for event, wait in zip(one.post.events, waits, strict=True):
        if wait is None:
            log.error(
                "callback undeliverable", extra={"event": str(event.id), "tenant": one.post.tenant.slug}
            )


def _waits(one: Posted) -> list[float | None]:
    """Seconds until each event is tried again; None: undeliverable."""
    retry_after = None
    if isinstance(one.answer, HttpResponse):
        retry_after = retry_after_header.seconds_of(one.answer.headers.get("Retry-After"), time.time())
    if one.splits:
        return [BISECT_DELAY] * len(one.post.events)
    tries = [event.tries + 1 for event in one.post.events]
    if one.refused and tries[0] >= ALONE_TRIES and _at_fault(one.post.events[0].id):
        return [None]
    return [backoff.callback_delay(count, retry_after=retry_after) for count in tries]


def _at_fault(event_id: UUID) -> bool:
    return bool(column(AT_FAULT, {"ids": [event_id]}, of=UUID))
