"""The vendors that this connector speaks to, by key."""

from __future__ import annotations

from collections import UserDict
from importlib import import_module
from typing import Any

from vendors.base import Adapter

PLACES = {
    "bandwidth": "vendors.bandwidth.Bandwidth",
    "cm": "vendors.cm.Cm",
    "elks": "vendors.elks.Elks",
    "http_generic": "vendors.http_generic.HttpGeneric",
    "infobip": "vendors.infobip.Infobip",
    "link_mobility": "vendors.link_mobility.LinkMobility",
    "messagebird": "vendors.messagebird.MessageBird",
    "plivo": "vendors.plivo.Plivo",
    "sinch": "vendors.sinch.Sinch",
    "telnyx": "vendors.telnyx.Telnyx",
    "twilio": "vendors.twilio.Twilio",
    "vonage": "vendors.vonage.Vonage",
}


class _Adapters(UserDict[str, Any]):
    """Each is imported when it is first asked for: most processes speak to one or two of them."""

    def __getitem__(self, key: str) -> Adapter:
        found = self.data[key]
        if isinstance(found, str):
            module, _, name = found.rpartition(".")
            found = self.data[key] = getattr(import_module(module), name)()
        adapter: Adapter = found
        return adapter


ADAPTERS = _Adapters(PLACES)


def add(key: str, place: str) -> None:
    """Makes one more adapter known: `place` is the dotted name of its class. For apps beside ours (EXTRA_APPS)."""
    ADAPTERS[key] = place


class UnknownVendor(LookupError):
    """No adapter of that key: the account was made by another version."""


def adapter(key: str) -> Adapter:
    """The adapter of that key. Raises UnknownVendor."""
    try:
        return ADAPTERS[key]
    except KeyError:
        raise UnknownVendor(f"no vendor named {key!r}; known: {', '.join(sorted(ADAPTERS))}") from None
