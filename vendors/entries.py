"""Calls that tell of several things: one that cannot be read costs the others nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from vendors.base import BadPayload
from vendors.values import Inbound, Report, Said, Unreadable

BUGS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)  # of `read`; the hook path logs them


def listed(value: Any, name: str = "") -> Sequence[Any]:
    """The entries of a list, or of the list of that name in an object; one thing in its place; none for nothing."""
    found = value.get(name) if name and isinstance(value, dict) else None if name else value
    if found is None:
        return ()
    return found if isinstance(found, list) else (found,)


def read_each(entries: Iterable[Any], read: Callable[[Any], Report | Inbound]) -> tuple[Said, ...]:
    """What each entry says, in order; an Unreadable for one that `read` fails on.

    Raises what the first failed with when all of them did: such a call is not what it should be at all.
    """
    said = tuple(_read(entry, read) for entry in entries)
    faults = [one for one in said if isinstance(one, Unreadable)]
    if faults and len(faults) == len(said):
        raise faults[0].error
    return said


def why(error: Exception) -> str:
    """The reason for people: the adapter's own words, or the kind of its bug."""
    return str(error) if isinstance(error, BadPayload) else f"could not be read ({type(error).__name__})"


def _read(entry: Any, read: Callable[[Any], Report | Inbound]) -> Said:
    try:
        return read(entry)
    except (BadPayload, *BUGS) as error:
        return Unreadable(why(error), error)
