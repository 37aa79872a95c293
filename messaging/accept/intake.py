"""A send request becomes a committed message: one autocommit statement, a second only when it did not."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings
from django.db import DatabaseError
from psycopg.types.json import Jsonb

from accounts import authentication
from accounts.authentication import Principal
from accounts.models import TenantStatus
from messaging.accept import inline
from messaging.accept.inline import InlineAnswer
from messaging.contract.wire import InvalidRequest, SendRequest
from messaging.models.sql import column, fetch_one, sql
from messaging.queues import routes
from messaging.rules import routing
from messaging.rules.ids import uuid7
from messaging.rules.routing import Choice, Fit
from messaging.rules.values import MessageState
from phone.numbers import country
from phone.segments import count
from vendors.limits import Payload
from vendors.values import Channel, Media

log = logging.getLogger(__name__)

INLINE_SECONDS = 3.0  # how long the caller of a test message waits
INLINE_HOLD = timedelta(seconds=10)  # after that a test message whose process died is a pump's

# The clock is read once, so that the content's created_at finds its message's partition.
ACCEPT = sql("""
WITH message AS (
  INSERT INTO messaging_message (id, tenant_id, channel, dedupe_key, request_id, account_id, queue_id,
    sender, send_from, recipient, send_as, is_test, segments, country, state, due_at, attempts, expires_at, created_at)
  SELECT %(id)s, tenant.id, %(channel)s::text, %(request_id)s::text, coalesce(%(request_id)s::text, ''),
    %(account_id)s, %(queue_id)s, %(sender)s, %(send_from)s, %(recipient)s, %(send_as)s::text,
    %(request_id)s::text IS NULL,
    %(segments)s, %(country)s, {MessageState.ACCEPTED}, clock.now + %(hold)s, 0, clock.now + %(validity)s, clock.now
  FROM (SELECT clock_timestamp() AS now) clock, accounts_apitoken token
  JOIN accounts_tenant tenant ON tenant.id = token.tenant_id
  WHERE token.id = %(token_id)s AND token.revoked_at IS NULL AND tenant.status <> 'suspended'
  ON CONFLICT (tenant_id, channel, dedupe_key) WHERE dedupe_key IS NOT NULL DO NOTHING
  RETURNING id, created_at)
INSERT INTO messaging_content (message_id, created_at, text, subject, fallback_text, custom_data,
  callback_url, media, metadata, extra)
SELECT message.id, message.created_at, %(text)s, %(subject)s, %(fallback_text)s, %(custom_data)s, %(callback_url)s,
  %(media)s, %(metadata)s, %(extra)s
FROM message RETURNING message_id
""")

# Why ACCEPT inserted nothing: no such token any more, a suspended tenant, or a message that is there already.
WHY_NOT = """
SELECT token.revoked_at IS NOT NULL AS is_revoked, tenant.status, message.id AS message_id, message.recipient
FROM accounts_apitoken token JOIN accounts_tenant tenant ON tenant.id = token.tenant_id
LEFT JOIN messaging_message message
  ON message.tenant_id = tenant.id AND message.channel = %(channel)s::text AND message.dedupe_key = %(request_id)s::text
WHERE token.id = %(token_id)s
"""

IS_HELD = sql("SELECT {queue_is_held} AS is_held FROM messaging_queue queue WHERE queue.id = %(queue_id)s")


@dataclass(frozen=True, slots=True)
class NotInserted:
    """The token's state, its tenant's, and the message that has the request id, where there is one."""

    is_revoked: bool
    status: str
    message_id: UUID | None
    recipient: str | None


class RequestIdConflict(Exception):
    """The request id was used before, for another recipient."""


class NoAccount(Exception):
    """No active provider account serves this channel, or no route leads there: an operator can repair both."""

    code = "no_account"

    def __init__(self, channel: Channel, text: str = "") -> None:
        super().__init__(text or f"No active provider account serves {channel.upper()} for this account yet.")


@dataclass(frozen=True, slots=True)
class Accepted:
    """A message that is ours now. `inline` says what became of a test message while the caller waited."""

    message_id: UUID
    duplicate: bool = False
    inline: InlineAnswer | None = None

    @property
    def refusal(self) -> InlineAnswer | None:
        """Why the vendor refused a test message at once; None when it did not."""
        refused = self.inline is not None and self.inline.state is MessageState.REFUSED
        return self.inline if refused else None


@dataclass(frozen=True, slots=True)
class _Chosen:
    choice: Choice
    validity: timedelta  # how long a message of this account is worth sending
    send_as: Channel


def accept(*, principal: Principal, request: SendRequest) -> Accepted:
    """Commits the message, or finds the one that this request already made.

    A test message is also sent, unless its tenant or queue is held. Raises InvalidRequest (the sender is not
    ours), RequestIdConflict, NoAccount, accounts.authentication.Denied, django.db errors.
    """
    chosen = _choose(principal, request)
    goes_inline = request.request_id is None and not _is_held(principal, chosen.choice.way.queue_id)
    params = _params(principal, request, chosen, hold=INLINE_HOLD if goes_inline else timedelta(0))
    for _ in range(2):
        if column(ACCEPT, params, of=UUID):
            answer = _send_inline(params["id"]) if goes_inline else None
            return Accepted(params["id"], inline=answer)
        if first := _first(principal, request):
            return Accepted(first, duplicate=True)
    # Twice neither new nor there: the first one vanished in between, and then so did we.
    raise DatabaseError("the message was neither inserted nor found")


def _choose(principal: Principal, request: SendRequest) -> _Chosen:
    """The best way that the tenant's table has for the message; queues that stand still are passed by if they can."""
    table = routes.remembered(principal.tenant.id)
    content = Payload(request.text, len(request.media))
    choices = _rank(request, table, request.channel, content)
    chosen, send_as = routing.best(choices), request.channel
    if chosen is None:
        chosen, send_as = _fall_back(request, table, choices), Channel.SMS
    if chosen is None:
        raise _refusal(choices, request)
    return _Chosen(chosen, table.validity[chosen.way.account_id], send_as)


def _rank(
    request: SendRequest, table: routes.Table, channel: Channel, content: Payload
) -> tuple[Choice, ...]:
    facts = routing.Facts(channel, request.sender, request.recipient, key=request.recipient, content=content)
    return routing.rank(facts, table.ways, blocked=table.blocked)


def _fall_back(request: SendRequest, table: routes.Table, choices: Sequence[Choice]) -> Choice | None:
    """The way of the fallback text, where an account would carry the MMS if it were another one; None: none has."""
    willing = [choice for choice in choices if choice.fit is Fit.CONTENT]
    if request.channel is not Channel.MMS or not request.fallback_text or not willing:
        return None
    as_sms = _rank(request, table, Channel.SMS, Payload(request.fallback_text))
    if found := routing.best(as_sms):
        return found
    refused = any(choice.fit is Fit.CONTENT for choice in as_sms)
    return None if refused else willing[0]  # as after a refusal by the vendor: the same account


def _refusal(choices: Sequence[Choice], request: SendRequest) -> Exception:
    """Content and sender are the caller's to correct; everything else is an operator's."""
    for choice in choices:
        if wrong := choice.objection:
            return InvalidRequest({wrong.field: [wrong.words]}, request_id=request.request_id)
    fits = {choice.fit for choice in choices}
    if Fit.SENDER in fits:
        problem = "is not one of the sender numbers and names of this account"
        return InvalidRequest({"from": [problem]}, request_id=request.request_id)
    if Fit.COUNTRY in fits:
        return NoAccount(request.channel, "No route of this account leads to this recipient's country yet.")
    return NoAccount(request.channel)


def _params(
    principal: Principal, request: SendRequest, chosen: _Chosen, *, hold: timedelta
) -> dict[str, Any]:
    is_sms = chosen.send_as is Channel.SMS
    sent_text = request.text if request.channel is Channel.SMS else request.fallback_text
    way, sender = chosen.choice.way, chosen.choice.sender
    return {
        "id": uuid7(),
        "token_id": principal.token_id,
        "channel": request.channel.value,
        "send_as": chosen.send_as.value,
        "request_id": request.request_id,
        "account_id": way.account_id,
        "queue_id": way.queue_id,
        "sender": request.sender,
        "send_from": "" if sender == request.sender else sender,
        "recipient": request.recipient,
        "segments": count(sent_text).parts if is_sms else 1,
        "country": country(request.recipient),
        "hold": hold,
        "validity": chosen.validity,
        "text": request.text,
        "subject": request.subject,
        "fallback_text": request.fallback_text,
        "custom_data": request.custom_data,
        "callback_url": request.callback_url,
        "media": _json([_file(item) for item in request.media]),
        "metadata": _json(request.metadata),
        "extra": _json({**request.extra, "from": request.raw_from, "to": request.raw_to}),
    }


def _file(media: Media) -> dict[str, str]:
    return {"url": media.url, "content_type": media.content_type, "name": media.name}


def _json(value: Any) -> Jsonb:
    return Jsonb(value, dumps=orjson.dumps)


def _first(principal: Principal, request: SendRequest) -> UUID | None:
    """The message that already has this request id; None when there is none (any more)."""
    params = {
        "channel": request.channel.value,
        "request_id": request.request_id,
        "token_id": principal.token_id,
    }
    found = fetch_one(WHY_NOT, params, row=NotInserted)
    if found is None or found.is_revoked:
        authentication.forget_all()
        raise authentication.token_gone()
    if found.status == TenantStatus.SUSPENDED:
        authentication.forget_all()
        raise authentication.suspended()
    if found.message_id is not None and found.recipient != request.recipient:
        raise RequestIdConflict("This request_id was already used for another recipient.")
    return found.message_id


def _is_held(principal: Principal, queue_id: int) -> bool:
    """Whether a message sent now would have to wait."""
    return principal.tenant.is_paused or any(column(IS_HELD, {"queue_id": queue_id}, of=bool))


def _send_inline(message_id: UUID) -> InlineAnswer | None:
    try:
        return inline.send(message_id, deadline=min(INLINE_SECONDS, settings.CALL_DEADLINE))
    except Exception:
        # The message is committed and a pump will send it: an error now would only make another.
        log.exception("test message left to the pumps", extra={"message_id": str(message_id)})
        return None
