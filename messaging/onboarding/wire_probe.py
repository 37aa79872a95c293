"""Finding the shape of callbacks that Bloomreach takes, by trying them one after the other (contract 8).

A person orders it, and it tells of a test message only. It stops at the first 2xx, and at any answer that is not
about the shape.
"""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

import orjson
from django.conf import settings
from django.utils import timezone

from accounts.models import Tenant
from messaging.callbacks import posting
from messaging.contract import callback_url, wire, wire_profile
from messaging.contract.wire_profile import ProfileError, WireProfile
from messaging.models import Event, Message
from messaging.onboarding import wire_preview, wire_profiles
from messaging.rules.ids import uuid7
from messaging.rules.values import MessageState
from outbound.values import HttpResponse

ABOUT_THE_SHAPE = (400, 401, 403, 422)
POST_SECONDS = 5.0
ALL_SECONDS = 40.0  # a person waits
LOOK_BACK = 2000  # messages of the tenant, among which the newest test message is looked for


class CannotProbe(Exception):
    """There is nothing to try, or nowhere to; the text says why."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is told, and where. `is_inbound`: as an inbound message."""

    url: str
    event: dict[str, Any] = field(repr=False)
    is_inbound: bool = False


@dataclass(frozen=True, slots=True)
class CandidateShape:
    """One shape."""

    profile: WireProfile
    is_previous: bool  # signed with the previous secret

    def described(self, *, inbound: bool) -> str:
        """The shape in words."""
        key = self.profile.inbound if inbound else self.profile.outbound
        words = [
            f'{{"{key}": […]}}' if key else "a bare array",
            "camelCase" if self.profile.spelling == "camel" else "snake_case",
            '"Bearer " before the token' if self.profile.bearer else "the bare token",
            *(["the previous secret"] if self.is_previous else []),
        ]
        return ", ".join(words)


@dataclass(frozen=True, slots=True)
class ProbeStep:
    """One try and its answer."""

    shape: str
    answer: str


@dataclass(frozen=True, slots=True)
class Probed:
    """All tries. `found` is the shape that was taken, `changed` what became of the profile, `why` the end otherwise."""

    steps: tuple[ProbeStep, ...]
    found: str = ""
    changed: tuple[str, ...] = ()
    why: str = ""


def subject(tenant: Tenant, *, url: str = "", message_id: UUID | None = None) -> Subject:
    """The event of a test message, to be told at its callback URL, or at `url`.

    Without a `message_id` it is the newest test message, and a made-up one if there is none. Raises CannotProbe:
    no such message, no test message, or a URL that callbacks may not go to.
    """
    message = _named(tenant, message_id) if message_id else _newest(tenant)
    event = _event(message) if message else _made_up()
    where = url or (message.content.callback_url if message else "")
    if not where:
        raise CannotProbe("Say where to: no test message of this tenant has a callback URL.")
    if wrong := callback_url.problem(where, hosts=tenant.callback_hosts, demo=settings.DEMO):
        raise CannotProbe(f"The URL {wrong}.")
    return Subject(where, event)


def inbound_subject(tenant: Tenant) -> Subject:
    """A made-up inbound message, for the tenant's own inbound URL. Raises CannotProbe when it has none."""
    url = tenant.inbound_url("sms") or tenant.inbound_url("mms")
    if not url:
        raise CannotProbe("This tenant has no inbound URL.")
    return Subject(url, wire_preview.inbound(event_id=uuid7(), at=timezone.now()), is_inbound=True)


def candidates(tenant: Tenant, *, inbound: bool) -> list[CandidateShape]:
    """The shapes to try: as it is first, then the others; the previous secret last."""
    now = wire_profile.stored(tenant.wire_profile)
    own = now.inbound if inbound else now.outbound
    shapes = itertools.product(
        (False, True) if tenant.callback_secret_previous else (False,),
        (own, "" if own else wire_profile.EVENTS),
        (now.spelling, *(one for one in wire_profile.SPELLINGS if one != now.spelling)),
        (now.bearer, not now.bearer),
    )
    return list(_possible(now, shapes, inbound=inbound))


def probe(tenant: Tenant, about: Subject) -> Probed:
    """Posts until one is taken, and makes that shape the tenant's profile."""
    steps: list[ProbeStep] = []
    until = time.monotonic() + ALL_SECONDS
    for candidate in candidates(tenant, inbound=about.is_inbound):
        left = until - time.monotonic()
        if left <= 0:
            return Probed(tuple(steps), why=f"not finished within {ALL_SECONDS:g} s")
        shape = candidate.described(inbound=about.is_inbound)
        answer = _try(tenant, about, candidate, deadline=min(POST_SECONDS, settings.CALL_DEADLINE, left))
        if not isinstance(answer, HttpResponse):
            return Probed((*steps, ProbeStep(shape, answer.text)), why=answer.text)
        steps.append(ProbeStep(shape, f"HTTP {answer.status}"))
        if 200 <= answer.status < 300:
            return Probed(tuple(steps), shape, tuple(_adopt(tenant, candidate, inbound=about.is_inbound)))
        if answer.status not in ABOUT_THE_SHAPE:
            return Probed(
                tuple(steps), why=f"HTTP {answer.status} is not about the shape: no other would help"
            )
    return Probed(tuple(steps), why="none of the shapes was taken")


def _possible(
    now: WireProfile, shapes: Iterator[tuple[bool, str, str, bool]], *, inbound: bool
) -> Iterator[CandidateShape]:
    for is_previous, envelope, spelling, bearer in shapes:
        part = {"inbound" if inbound else "outbound": envelope}
        try:
            yield CandidateShape(
                wire_profile.changed(now, spelling=spelling, bearer=bearer, **part), is_previous=is_previous
            )
        except ProfileError:  # keys of the profile's own that clash in this spelling
            continue


def _try(tenant: Tenant, about: Subject, candidate: CandidateShape, *, deadline: float) -> Any:
    profile = candidate.profile
    signer = copy.copy(tenant)
    signer.wire_profile = profile.as_dict()
    written = orjson.dumps(wire_profile.dress(about.event, profile))
    post = posting.Post(
        lease=uuid4(),
        destination_id=0,
        tenant=signer,
        url=about.url,
        is_inbound=about.is_inbound,
        events=(),
        body=wire_profile.enclose([written], profile.inbound if about.is_inbound else profile.outbound),
    )
    secret = tenant.callback_secret_previous if candidate.is_previous else tenant.callback_secret
    return posting.try_once(post, secret, deadline=deadline)


def _adopt(tenant: Tenant, candidate: CandidateShape, *, inbound: bool) -> list[str]:
    shape = candidate.profile

    def how(now: WireProfile) -> WireProfile:
        return replace(
            now,
            spelling=shape.spelling,
            bearer=shape.bearer,
            inbound=shape.inbound if inbound else now.inbound,
            outbound=now.outbound if inbound else shape.outbound,
        )

    which = "previous" if candidate.is_previous else "current"
    Tenant.objects.filter(pk=tenant.pk).update(secret_in_use=which)
    return wire_profiles.change(tenant, how)


def _named(tenant: Tenant, message_id: UUID) -> Message:
    found = Message.objects.for_tenant(tenant).filter(pk=message_id).select_related("content").first()
    if found is None:
        raise CannotProbe("This tenant has no such message.")
    if not found.is_test:
        raise CannotProbe("This is no test message (it has a request id): real ones are not used for trying.")
    return found


def _newest(tenant: Tenant) -> Message | None:
    """The newest test message with a callback URL; it is looked for among the last messages only."""
    last = Message.objects.for_tenant(tenant).order_by("-created_at").values_list("pk", "is_test")[:LOOK_BACK]
    tests = [pk for pk, is_test in last if is_test]
    found = Message.objects.filter(pk__in=tests).select_related("content").order_by("-created_at")
    return found.exclude(content__callback_url="").first()


def _event(message: Message) -> dict[str, Any]:
    """The event that is owed for the message, or the one that would be."""
    owed = Event.objects.filter(message=message).order_by("-created_at").first()
    state = MessageState(message.state)
    word = "delivered" if state is MessageState.DELIVERED else "failed" if state.is_final else "sent"
    return wire.outbound_event(
        event_id=owed.pk if owed else uuid7(),
        channel=message.channel,
        status=owed.status if owed else word,
        occurred_at=owed.occurred_at if owed else timezone.now(),
        request_id=message.request_id or None,
        message_id=message.pk,
        sender=message.content.extra.get("from", ""),
        recipient=message.content.extra.get("to", ""),
        custom_data=message.content.custom_data,
        error=owed.error if owed else None,
        segments=owed.segments if owed else message.segments,
        sent_as=owed.sent_as if owed else message.send_as,
        metadata=message.content.metadata,
        correction=False,
    )


def _made_up() -> dict[str, Any]:
    event = wire_preview.outbound("delivered", event_id=uuid7(), at=timezone.now())
    return event | {"request_id": None, "message_id": str(uuid7())}
