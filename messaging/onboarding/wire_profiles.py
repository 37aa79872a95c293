"""Changing a tenant's wire profile: checked, under its row's lock, and said in the log (contract 8)."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from django.db import transaction

from accounts.models import Tenant
from messaging.contract import wire_profile
from messaging.contract.wire_profile import WireProfile

log = logging.getLogger(__name__)


def change(tenant: Tenant, how: Callable[[WireProfile], WireProfile]) -> list[str]:
    """Stores what `how` makes of the profile as it is now; says in words which parts changed."""
    with transaction.atomic():
        row = Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk)
        before = wire_profile.stored(row.wire_profile)
        after = how(before)
        tenant.wire_profile = row.wire_profile = after.as_dict()
        row.save(update_fields=["wire_profile", "updated_at"])
    parts = changes(before, after)
    if parts:
        log.info("wire profile changed", extra={"tenant": row.slug, "parts": "; ".join(parts)})
    return parts


def changes(before: WireProfile, after: WireProfile) -> list[str]:
    """What differs between two profiles, a line for each part."""
    pairs = (
        (part.name, getattr(before, part.name), getattr(after, part.name)) for part in fields(WireProfile)
    )
    return [f"{name}: {_shown(old)} → {_shown(new)}" for name, old, new in pairs if old != new]


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
