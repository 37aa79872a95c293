"""The vendors that this connector speaks to, by key."""

from __future__ import annotations

from collections import UserDict
from importlib import import_module
from typing import Any

from messaging.vendors.base import Adapter

PLACES = {
    "bandwidth": "bandwidth.Bandwidth",
    "cm": "cm.Cm",
    "elks": "elks.Elks",
    "http_generic": "http_generic.HttpGeneric",
    "infobip": "infobip.Infobip",
    "link_mobility": "link_mobility.LinkMobility",
    "messagebird": "messagebird.MessageBird",
    "plivo": "plivo.Plivo",
    "simulator": "simulator.Simulator",
    "sinch": "sinch.Sinch",
    "telnyx": "telnyx.Telnyx",
    "twilio": "twilio.Twilio",
    "vonage": "vonage.Vonage",
}


class _Adapters(UserDict[str, Any]):
    """Each is imported when it is first asked for: most processes speak to one or two of them."""

    def __getitem__(self, key: str) -> Adapter:
        found = self.data[key]
        if isinstance(found, str):
            module, _, name = found.rpartition(".")
            found = self.data[key] = getattr(import_module(f"messaging.vendors.{module}"), name)()
        adapter: Adapter = found
        return adapter


ADAPTERS = _Adapters(PLACES)


class UnknownVendor(LookupError):
    """No adapter of that key: the connection was made by another version."""


def adapter(key: str) -> Adapter:
    """The adapter of that key. Raises UnknownVendor."""
    try:
        return ADAPTERS[key]
    except KeyError:
        raise UnknownVendor(f"no vendor named {key!r}; known: {', '.join(sorted(ADAPTERS))}") from None
