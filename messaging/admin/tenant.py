"""Tenants: onboarding in one step with the secrets shown once, pause, resume, suspend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from accounts import callback_secret
from accounts.forms import TenantForm
from accounts.lists import StrictLists
from accounts.models import DEFAULT_HEADER, ApiToken, Tenant, TenantStatus
from messaging.admin.wire import WirePages
from messaging.contract import wire_profile
from messaging.dialling import guards
from messaging.models import InboundMessage, Message, ProviderAccount, Queue
from messaging.onboarding import setup
from messaging.onboarding.setup import Onboarded
from messaging.rules.values import QueueKind
from outbound.addresses import undialable

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin[Tenant]
else:
    _Admin = admin.ModelAdmin

_SETTINGS = (
    (
        "Callbacks",
        {
            "fields": (
                "callback_secret",
                "secret_dictated",
                "allowed_hosts",
                "report_sent",
                "opt_out_as_inbound",
            )
        },
    ),
    ("Inbound messages", {"fields": ("inbound_url_sms", "inbound_url_mms")}),
    ("Limits", {"fields": ("rate", "burst")}),
)


class DeskTenantForm(TenantForm):
    """A tenant whose addresses can be dialled."""

    def clean_inbound_url_sms(self) -> str:
        return self._dialable("inbound_url_sms")

    def clean_inbound_url_mms(self) -> str:
        return self._dialable("inbound_url_mms")

    def _dialable(self, name: str) -> str:
        url: str = self.cleaned_data[name]
        if url and (problem := undialable(url, guard=guards.for_callbacks())):
            raise forms.ValidationError(f"This can never be dialled: {problem}.")
        return url


class NewTenantForm(DeskTenantForm):
    """A tenant and its first token."""

    header = forms.CharField(
        initial=DEFAULT_HEADER,
        validators=ApiToken._meta.get_field("header").validators,
        help_text="The header that carries the token.",
    )
    second_header = forms.CharField(
        required=False,
        validators=ApiToken._meta.get_field("second_header").validators,
        help_text="A header that must come too, for example Chan-Account.",
    )
    second_value = forms.CharField(
        required=False, max_length=200, help_text="What the second header must say; empty: the slug."
    )


@admin.register(Tenant)
class TenantAdmin(WirePages, StrictLists, _Admin):
    """The page of one Bloomreach project."""

    form = DeskTenantForm
    list_display = ("slug", "name", "customer", "status", "accounts", "callback_secret_state")
    list_filter = ("status",)
    search_fields = ("slug", "name", "customer", "project_id")
    actions = ("pause", "resume", "suspend", "forget_previous_secret", "forget_used_secret")
    readonly_fields = ("callback_secret_state", "addresses", "wire", "created_at", "updated_at")
    prepopulated_fields = {"slug": ("name",)}  # noqa: RUF012  (Django's own idiom)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        kwargs.setdefault("form", DeskTenantForm if change else NewTenantForm)
        return super().get_form(request, obj, change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Tenant | None = None) -> Any:
        who = ("name", "slug", "customer", "project_id")
        if obj is None:
            token = ("First API token", {"fields": ("header", "second_header", "second_value")})
            return ((None, {"fields": who}), token, *_SETTINGS)
        for_bloomreach = ("For Bloomreach", {"fields": ("addresses", "callback_secret_state")})
        settings = [_with_override(*one) for one in _SETTINGS] if obj.callback_secret_previous else _SETTINGS
        wire = ("Wire", {"fields": ("wire",)})
        return (
            (None, {"fields": (*who, "status", "created_at", "updated_at")}),
            *settings,
            wire,
            for_bloomreach,
        )

    def get_prepopulated_fields(self, request: HttpRequest, obj: Tenant | None = None) -> Any:
        return {} if obj else self.prepopulated_fields

    def get_actions(self, request: HttpRequest) -> Any:
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)  # one at a time, where it is refused with a reason
        return actions

    def save_model(self, request: HttpRequest, obj: Tenant, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        token = {name: form.cleaned_data[name] for name in ("header", "second_header", "second_value")}
        # The answer to this very request shows the secrets; neither the session nor a message keeps them.
        request.onboarded = setup.onboard(tenant=obj, **token)  # type: ignore[attr-defined]

    def response_add(
        self, request: HttpRequest, obj: Tenant, post_url_continue: str | None = None
    ) -> HttpResponse:
        onboarded: Onboarded = request.onboarded  # type: ignore[attr-defined]
        context = {
            **self.admin_site.each_context(request),
            "title": f"Tenant {obj.slug} is ready",
            "opts": self.opts,
            "tenant": obj,
            "sheet": onboarded.handover,
            "next": f"{reverse('admin:messaging_provideraccount_add')}?tenant={obj.pk}",
        }
        return TemplateResponse(request, "admin/accounts/onboarded.html", context)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        tenant = self.get_object(request, object_id)
        if tenant is not None and (why := _kept_by(tenant)):
            self.message_user(request, f"{tenant} was not deleted: {why}", messages.ERROR)
            return HttpResponseRedirect(reverse("admin:accounts_tenant_change", args=[tenant.pk]))
        return super().delete_view(request, object_id, extra_context)

    def delete_model(self, request: HttpRequest, obj: Tenant) -> None:
        queue = Queue.objects.filter(kind=QueueKind.CALLBACKS, key=str(obj.pk))
        super().delete_model(request, obj)
        queue.delete()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tenant]:
        return super().get_queryset(request).prefetch_related("accounts")

    @admin.display(description="provider accounts")
    def accounts(self, tenant: Tenant) -> str:
        return ", ".join(account.name for account in tenant.accounts.all()) or "none"

    @admin.display(description="callback secret")
    def callback_secret_state(self, tenant: Tenant) -> SafeString:
        return format_html_join(
            "", "<div>{}</div>", ((line,) for line in callback_secret.state_lines(tenant))
        )

    @admin.display(description="addresses that Bloomreach calls")
    def addresses(self, tenant: Tenant) -> SafeString:
        agreed = wire_profile.stored(tenant.wire_profile).paths
        rows = ((entry.label, entry.method, entry.url) for entry in setup.endpoints(agreed))
        return format_html_join("", "<div>{}: <code>{} {}</code></div>", rows)

    @admin.action(description="Pause: accept and hold", permissions=["change"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> None:
        self._set_status(request, queryset, TenantStatus.PAUSED)

    @admin.action(description="Resume", permissions=["change"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> None:
        self._set_status(request, queryset, TenantStatus.ACTIVE)

    @admin.action(description="Suspend: refuse every request", permissions=["change"])
    def suspend(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> None:
        self._set_status(request, queryset, TenantStatus.SUSPENDED)

    @admin.action(description="Forget the previous callback secret", permissions=["change"])
    def forget_previous_secret(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> None:
        for tenant in queryset:
            if tenant.callback_secret_previous and tenant.secret_in_use == callback_secret.PREVIOUS:
                why = "Bloomreach still uses it. Enter the current one there first, or use the action that says so."
                self.message_user(request, f"{tenant}: not forgotten. {why}", messages.ERROR)
            else:
                self._forget(request, tenant)

    @admin.action(
        description="Forget the previous callback secret, even if Bloomreach still uses it",
        permissions=["change"],
    )
    def forget_used_secret(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> None:
        for tenant in queryset:
            self._forget(request, tenant)

    def _forget(self, request: HttpRequest, tenant: Tenant) -> None:
        was_used = tenant.secret_in_use == callback_secret.PREVIOUS
        tenant.callback_secret_previous = ""
        tenant.secret_in_use = "" if was_used else tenant.secret_in_use
        tenant.save(update_fields=["callback_secret_previous", "secret_in_use", "updated_at"])
        self.log_change(request, tenant, "Forgot the previous callback secret.")
        self.message_user(request, f"{tenant}: the previous callback secret is forgotten.", messages.SUCCESS)

    def _set_status(self, request: HttpRequest, queryset: QuerySet[Tenant], status: TenantStatus) -> None:
        for tenant in queryset:
            tenant.status = status
            tenant.save(update_fields=["status", "updated_at"])
            self.log_change(request, tenant, f"Set to {status.label.lower()}.")
            self.message_user(request, f"{tenant} is now {status.label.lower()}.", messages.SUCCESS)


def _with_override(title: str, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The callbacks' fields with the tick that is needed only while a previous secret is kept."""
    if "secret_dictated" not in options["fields"]:
        return title, options
    place = options["fields"].index("secret_dictated") + 1
    fields = (*options["fields"][:place], "drop_previous_secret", *options["fields"][place:])
    return title, {**options, "fields": fields}


def _kept_by(tenant: Tenant) -> str:
    """Why the tenant must stay; empty when nothing hangs on it."""
    if Message.objects.for_tenant(tenant).exists() or InboundMessage.objects.filter(tenant=tenant).exists():
        return "its messages are history that is kept. Suspend it instead."
    if ProviderAccount.objects.filter(tenant=tenant).exists():
        return "it still has provider accounts. Delete those first, or suspend the tenant."
    return ""
