"""Which way a message would go now, and why, for operators."""

from __future__ import annotations

from dataclasses import dataclass

from accounts.models import Tenant
from messaging.queues import routes
from messaging.rules import routing
from messaging.rules.routing import Choice, Facts
from phone.numbers import parse_recipient, parse_sender
from vendors.values import Channel


@dataclass(frozen=True, slots=True)
class Explained:
    """Every way in the order in which it would be tried, and the one that is taken; None: there is none."""

    choices: tuple[Choice, ...]
    chosen: Choice | None


def explain(*, tenant: Tenant, channel: Channel, sender: str, recipient: str) -> Explained:
    """What intake would do with such a request at this moment. Raises NumberError."""
    to = parse_recipient(recipient)
    facts = Facts(channel, parse_sender(sender).value if sender else "", to, key=to)
    table = routes.load(tenant.pk)
    choices = routing.rank(facts, table.ways, blocked=table.blocked)
    return Explained(choices, routing.best(choices))
