"""The addresses that tenants' profiles name beside the usual ones (contract 8)."""

from __future__ import annotations

from accounts.models import Tenant
from accounts.remembered import Remembered
from messaging.contract import wire_profile

_agreed: Remembered[None, dict[str, str]] = Remembered()


def action(path: str) -> str:
    """What any tenant has this address for, two seconds old at most; "": nobody has it."""
    return _agreed.get(None, _all).get(path, "")


def forget() -> None:
    """Empties what is kept, for tests."""
    _agreed.clear()


def _all() -> dict[str, str]:
    profiles = Tenant.objects.filter(wire_profile__has_key="paths").values_list("wire_profile", flat=True)
    return {
        path: action for profile in profiles for path, action in wire_profile.stored(profile).paths.items()
    }
