"""The vendors that this connector speaks to, by key."""

from __future__ import annotations

from messaging.vendors.bandwidth import Bandwidth
from messaging.vendors.base import Adapter
from messaging.vendors.cm import Cm
from messaging.vendors.http_generic import HttpGeneric
from messaging.vendors.infobip import Infobip
from messaging.vendors.link_mobility import LinkMobility
from messaging.vendors.messagebird import MessageBird
from messaging.vendors.plivo import Plivo
from messaging.vendors.simulator import Simulator
from messaging.vendors.sinch import Sinch
from messaging.vendors.telnyx import Telnyx
from messaging.vendors.twilio import Twilio
from messaging.vendors.vonage import Vonage

ADAPTERS: dict[str, Adapter] = {
    adapter.key: adapter
    for adapter in (
        Bandwidth(),
        Cm(),
        HttpGeneric(),
        Infobip(),
        LinkMobility(),
        MessageBird(),
        Plivo(),
        Simulator(),
        Sinch(),
        Telnyx(),
        Twilio(),
        Vonage(),
    )
}


class UnknownVendor(LookupError):
    """No adapter of that key: the connection was made by another version."""


def adapter(key: str) -> Adapter:
    """The adapter of that key. Raises UnknownVendor."""
    try:
        return ADAPTERS[key]
    except KeyError:
        raise UnknownVendor(f"no vendor named {key!r}; known: {', '.join(sorted(ADAPTERS))}") from None
