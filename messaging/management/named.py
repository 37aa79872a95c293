"""Rows by the names that people give on a command line."""

from __future__ import annotations

from collections.abc import Sequence

from django.core.management.base import CommandError

from accounts.models import Tenant
from messaging.models import ProviderAccount


def accounts(names: Sequence[str]) -> list[ProviderAccount]:
    """The provider accounts written TENANT/NAME, in order. Raises CommandError naming those that do not exist."""
    by_name = {str(one): one for one in ProviderAccount.objects.select_related("tenant")} if names else {}
    if unknown := [name for name in names if name not in by_name]:
        raise CommandError(f"no provider account named {', '.join(unknown)} (write it TENANT/NAME)")
    return [by_name[name] for name in names]


def tenant_of(slug: str) -> Tenant:
    """The tenant. Raises CommandError when there is none of that name."""
    found = Tenant.objects.filter(slug=slug).first()
    if found is None:
        raise CommandError(f"no tenant named {slug}")
    return found
