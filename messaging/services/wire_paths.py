"""The addresses that tenants' profiles name beside the usual ones (contract 8)."""

from __future__ import annotations

from accounts.models import Tenant
from accounts.remembered import Remembered
from messaging import wire_profile

_agreed: Remembered[None, frozenset[str]] = Remembered()


def is_agreed(path: str) -> bool:
    """Whether any tenant has this address, two seconds old at most: then a wrong token is worth a word."""
    return path in _agreed.get(None, _all)


def forget() -> None:
    """Empties what is kept, for tests."""
    _agreed.clear()


def _all() -> frozenset[str]:
    profiles = Tenant.objects.filter(wire_profile__has_key="paths").values_list("wire_profile", flat=True)
    return frozenset(path for profile in profiles for path in wire_profile.stored(profile).paths)
