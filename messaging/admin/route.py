"""Routes: under which conditions a tenant's messages go through which provider account."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest

from accounts.lists import StrictLists
from messaging.admin.filters import TenantFilter
from messaging.models import Route

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin[Route]
else:
    _Admin = admin.ModelAdmin


@admin.register(Route)
class RouteAdmin(StrictLists, _Admin):
    """A tenant's routing table, in the order in which it is tried."""

    list_display = ("account", "tenant", "position", "weight", "conditions", "is_active")
    list_filter = (TenantFilter, "is_active")
    list_select_related = ("tenant", "account__tenant")
    ordering = ("tenant__slug", "position", "pk")
    show_facets = admin.ShowFacets.NEVER
    fieldsets = (
        (None, {"fields": ("tenant", "account", "is_active")}),
        ("Order", {"fields": ("position", "weight")}),
        ("Only when", {"fields": ("channel", "prefixes", "senders")}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("tenant",) if obj else ()

    @admin.display(description="only when")
    def conditions(self, route: Route) -> str:
        said = (
            route.channel.upper(),
            f"to {', '.join(route.prefixes)}" if route.prefixes else "",
            f"from {', '.join(route.senders)}" if route.senders else "",
        )
        return "; ".join(filter(None, said)) or "always"
