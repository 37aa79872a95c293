"""API tokens at the desk: issued and shown once, revoked, never read again. And the people who may use the desk.

The tenants' pages need messaging and so live in messaging/admin/tenant.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from accounts.lists import RowsFilter, StrictLists
from accounts.models import ApiToken

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin[ApiToken]
    _UserAdmin = UserAdmin[User]
else:
    _Admin = admin.ModelAdmin
    _UserAdmin = UserAdmin


@admin.register(ApiToken)
class ApiTokenAdmin(StrictLists, _Admin):
    """Issue and revoke. The digest appears nowhere."""

    list_display = ("tenant", "label", "ending", "header", "token_state", "last_used_at", "created_at")
    list_filter = (("tenant", RowsFilter),)
    list_select_related = ("tenant",)
    actions = ("revoke",)
    fieldsets = (
        (None, {"fields": ("tenant", "label")}),
        ("Headers", {"fields": ("header", "second_header", "second_value")}),
        ("Use", {"fields": ("ending", "token_state", "created_at", "last_used_at")}),
    )

    def get_fieldsets(self, request: HttpRequest, obj: ApiToken | None = None) -> Any:
        return self.fieldsets if obj else self.fieldsets[:2]

    def get_readonly_fields(self, request: HttpRequest, obj: ApiToken | None = None) -> tuple[str, ...]:
        shown = ("ending", "token_state", "created_at", "last_used_at")
        return ("tenant", *shown) if obj else shown

    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        fields = {
            name: form.cleaned_data[name] for name in ("label", "header", "second_header", "second_value")
        }
        issued, secret = ApiToken.issue(obj.tenant, **fields)
        obj.pk, obj.hint = issued.pk, issued.hint
        # The answer to this very request shows the secret; neither the session nor a message keeps it.
        request.issued_secret = secret  # type: ignore[attr-defined]

    def response_add(
        self, request: HttpRequest, obj: ApiToken, post_url_continue: str | None = None
    ) -> HttpResponse:
        secret = request.issued_secret  # type: ignore[attr-defined]
        rows = [("Token", obj.header, secret)]
        if obj.second_header:
            rows.append(("Account", obj.second_header, obj.second_value or obj.tenant.slug))
        context = {
            **self.admin_site.each_context(request),
            "title": f"Token for {obj.tenant} issued",
            "opts": self.opts,
            "rows": rows,
        }
        return TemplateResponse(request, "admin/accounts/token_issued.html", context)

    @admin.display(description="ends in")
    def ending(self, token: ApiToken) -> str:
        return f"…{token.hint}"

    @admin.display(description="state")
    def token_state(self, token: ApiToken) -> str:
        return f"revoked {token.revoked_at:%Y-%m-%d %H:%M} UTC" if token.revoked_at else "live"

    @admin.action(description="Revoke the selected tokens", permissions=["change"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiToken]) -> None:
        """Refuses new requests with the token at once, or within 2 s where a process has cached it."""
        live = list(queryset.filter(revoked_at__isnull=True).select_related("tenant"))
        ApiToken.objects.filter(pk__in=[token.pk for token in live]).update(revoked_at=Now())
        for token in live:
            self.log_change(request, token, "Revoked.")
        self.message_user(request, f"{len(live)} token(s) revoked.", messages.SUCCESS)


admin.site.unregister((User, Group))


@admin.register(User)
class PersonAdmin(StrictLists, _UserAdmin):
    """A person with a password."""

    list_filter = ("is_active", "is_staff", "is_superuser", ("groups", RowsFilter))


@admin.register(Group)
class RightsAdmin(StrictLists, GroupAdmin):
    """Rights that people share."""
