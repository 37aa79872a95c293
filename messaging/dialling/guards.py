"""Which addresses calls may lead to: the public Internet, and what the deployment allows beside it."""

from __future__ import annotations

from django.conf import settings

from outbound.addresses import AddressGuard


def for_vendors() -> AddressGuard:
    """For addresses that operators enter: a gateway may stand in one of the deployment's own networks."""
    return AddressGuard(allow_loopback=settings.DEMO, allowed_networks=settings.ALLOWED_NETWORKS)


def for_callbacks() -> AddressGuard:
    """For addresses that requests name, and for Bloomreach's inbound addresses."""
    return AddressGuard(allow_loopback=settings.DEMO)
