"""Stand-ins for vendors, one module each, found by their name."""

from __future__ import annotations

from importlib import import_module

from tests.vendors.stand_ins.base import StandIn


def stand_in(key: str) -> StandIn:
    """A new stand-in for the vendor: the one subclass in the module of that name."""
    module = import_module(f"{__name__}.{key}")
    (made,) = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, StandIn) and value.__module__ == module.__name__
    ]
    return made()
