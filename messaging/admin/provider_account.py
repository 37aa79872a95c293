"""Provider accounts: the vendor's settings, the queue's limits, the credentials' test, the hook address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.postgres.aggregates import StringAgg
from django.core.exceptions import PermissionDenied
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST, require_safe

from accounts.lists import StrictLists
from messaging.accept.verify import check_account
from messaging.admin.account_form import form_for, vendor_fields
from messaging.admin.filters import TenantFilter
from messaging.admin.queue import queue_state
from messaging.models import DeliveryReport, InboundMessage, Inbox, Message, ProviderAccount, Queue
from messaging.sending.preview import NoPreview, preview
from vendors import registry
from vendors.base import Adapter

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin[ProviderAccount]
else:
    _Admin = admin.ModelAdmin

_POLICIES = ("unknown_policy", "validity", "report_deadline", "poll_after", "fail_unconfirmed")


@admin.register(ProviderAccount)
class ProviderAccountAdmin(StrictLists, _Admin):
    """One tenant's account with one vendor."""

    change_form_template = "admin/messaging/provideraccount/change_form.html"
    list_display = ("name", "tenant", "vendor", "carries", "is_active", "queue", "shared_with", "last_check")
    list_filter = (TenantFilter, "is_active")
    list_select_related = ("tenant", "queue")
    search_fields = ("name", "tenant__slug")
    readonly_fields = (
        *("vendor_label", "hook_address", "hidden_hook_address"),
        *("last_check", "queue", "created_at", "updated_at"),
    )
    show_facets = admin.ShowFacets.NEVER

    def get_queryset(self, request: HttpRequest) -> QuerySet[ProviderAccount]:
        others = ProviderAccount.objects.filter(queue=OuterRef("queue")).exclude(pk=OuterRef("pk")).order_by()
        names = others.values("queue").annotate(all=StringAgg("name", ", ", order_by="name")).values("all")
        return (
            super().get_queryset(request).select_related("tenant", "queue").annotate(others=Subquery(names))
        )

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        adapter = _adapter(obj) if obj else _chosen(request)
        if adapter is not None:
            kwargs["form"] = form_for(adapter, obj)
        return super().get_form(request, obj, change, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: ProviderAccount | None = None) -> Any:
        adapter = _adapter(obj) if obj else _chosen(request)
        fields = vendor_fields(form_for(adapter, obj)) if adapter else ()
        sets: list[Any] = [
            (None, {"fields": ("tenant", "name", "vendor_label", "is_active", "position")}),
            (adapter.label if adapter else "Vendor", {"fields": fields}),
            ("What it carries", {"fields": ("channels", "senders", "sender_map")}),
            ("Queue", {"fields": ("shares", "cap", "rate") if adapter else ()}),
            ("Policies", {"fields": _POLICIES}),
        ]
        if obj:
            hook = "hook_address" if may_see_hook(request.user, obj) else "hidden_hook_address"
            shown = (hook, "last_check", "queue", "created_at", "updated_at")
            sets.append(("State", {"fields": shown}))
        return sets

    def get_readonly_fields(
        self, request: HttpRequest, obj: ProviderAccount | None = None
    ) -> tuple[str, ...]:
        # The tenant of an account never changes: its messages belong to that tenant.
        return ("tenant", *self.readonly_fields) if obj else self.readonly_fields

    def has_change_permission(self, request: HttpRequest, obj: ProviderAccount | None = None) -> bool:
        known = obj is None or _adapter(obj) is not None
        return known and super().has_change_permission(request, obj)

    def get_actions(self, request: HttpRequest) -> Any:
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)  # one at a time, where it is refused with a reason
        return actions

    def get_urls(self) -> list[URLPattern]:
        check = self.admin_site.admin_view(self.check_view)
        look = self.admin_site.admin_view(self.preview_view)
        return [
            path("<int:pk>/check/", check, name="messaging_provideraccount_check"),
            path("<int:pk>/preview/", look, name="messaging_provideraccount_preview"),
            *super().get_urls(),
        ]

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if _chosen(request) is not None:
            return super().add_view(request, form_url, extra_context)
        if not self.has_add_permission(request):
            raise PermissionDenied
        query = request.GET.copy()
        choices = []
        for adapter in _offered():
            query["vendor"] = adapter.key
            choices.append({"label": adapter.label, "url": f"?{query.urlencode()}"})
        context = {
            **self.admin_site.each_context(request),
            "title": "Add provider account",
            "opts": self.opts,
            "choices": choices,
        }
        return TemplateResponse(request, "admin/messaging/provideraccount/choose_vendor.html", context)

    def save_model(self, request: HttpRequest, obj: ProviderAccount, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not form.joins_a_queue:
            limits = {name: form.cleaned_data[name] for name in ("cap", "rate")}
            Queue.objects.filter(pk=obj.queue_id).update(**limits)

    @method_decorator(require_POST)
    def check_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Asks the vendor what it thinks of the stored credentials. Sends nothing."""
        account = self._changeable(request, pk)
        check = check_account(account)
        level = {True: messages.SUCCESS, False: messages.ERROR, None: messages.WARNING}[check.ok]
        self.message_user(request, f"{account}: {check.text}", level)
        return HttpResponseRedirect(reverse("admin:messaging_provideraccount_change", args=[pk]))

    @method_decorator(require_safe)
    def preview_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The call that a sample message would become, secrets masked. Sends nothing and changes nothing."""
        account = self._changeable(request, pk)
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": f"Preview of {account}",
            "opts": self.opts,
            "original": account,
        }
        try:
            context["call"] = preview(account, shows_hook=may_see_hook(request.user, account))
        except NoPreview as error:
            context["problem"] = str(error)
        return TemplateResponse(request, "admin/messaging/provideraccount/preview.html", context)

    def _changeable(self, request: HttpRequest, pk: int) -> ProviderAccount:
        """The account. Raises Http404, PermissionDenied."""
        account = self.get_object(request, str(pk))
        if account is None:
            raise Http404
        if not self.has_change_permission(request, account):
            raise PermissionDenied
        return account

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        account = self.get_object(request, object_id)
        if account is not None and _has_history(account):
            why = "its messages and reports are history that is kept. Switch it off instead (active)."
            self.message_user(request, f"{account} was not deleted: {why}", messages.ERROR)
            return HttpResponseRedirect(reverse("admin:messaging_provideraccount_change", args=[account.pk]))
        return super().delete_view(request, object_id, extra_context)

    def delete_model(self, request: HttpRequest, obj: ProviderAccount) -> None:
        queue = obj.queue
        super().delete_model(request, obj)
        if not queue.accounts.exists():
            queue.delete()

    @admin.display(description="vendor")
    def vendor_label(self, account: ProviderAccount) -> str:
        adapter = _adapter(account)
        return adapter.label if adapter else f"{account.vendor}: unknown to this version, not editable"

    @admin.display(description="channels")
    def carries(self, account: ProviderAccount) -> str:
        return ", ".join(channel.upper() for channel in account.channels)

    @admin.display(description="hook address, to enter at the vendor")
    def hook_address(self, account: ProviderAccount) -> SafeString:
        return format_html("<code>{}</code>", account.hook_url)

    @admin.display(description="hook address, to enter at the vendor")
    def hidden_hook_address(self, account: ProviderAccount) -> str:
        return (
            "A secret, since it may be all that proves this vendor's calls. "
            "It is shown to people with the permission “Can see hook addresses that are secrets”."
        )

    @admin.display(description="queue")
    def queue(self, account: ProviderAccount) -> SafeString:
        url = reverse("admin:messaging_queue_change", args=[account.queue_id])
        return format_html('<a href="{}">{}</a>', url, queue_state(account.queue))

    @admin.display(description="queue shared with", empty_value="")
    def shared_with(self, account: ProviderAccount) -> str | None:
        others: str | None = account.others  # type: ignore[attr-defined]
        return others

    @admin.display(description="last test")
    def last_check(self, account: ProviderAccount) -> str:
        if account.checked_at is None:
            return "never tested"
        return f"{account.check_text} ({account.checked_at:%Y-%m-%d %H:%M:%S} UTC)"


def may_see_hook(user: Any, account: ProviderAccount) -> bool:
    """Where a vendor may sign nothing, whoever knows the hook address can make up reports and replies."""
    adapter = _adapter(account)
    is_secret = adapter is None or "secret URL" in adapter.about.proof
    return not is_secret or user.has_perm("messaging.view_hook_address")


def _offered() -> list[Adapter]:
    """Vendors that may be chosen here: the simulator only in a demo."""
    known = sorted(registry.ADAPTERS.values(), key=lambda adapter: adapter.label)
    return [adapter for adapter in known if settings.DEMO or not adapter.demo_only]


def _chosen(request: HttpRequest) -> Adapter | None:
    """The vendor that the address names; the only one there is, when there is no choice."""
    offered = {adapter.key: adapter for adapter in _offered()}
    if len(offered) == 1:
        return next(iter(offered.values()))
    return offered.get(request.GET.get("vendor", ""))


def _adapter(account: ProviderAccount) -> Adapter | None:
    return registry.ADAPTERS.get(account.vendor)


def _has_history(account: ProviderAccount) -> bool:
    rows: tuple[QuerySet[Any], ...] = (
        DeliveryReport.objects.filter(account=account),
        Inbox.objects.filter(account=account),
        InboundMessage.objects.filter(account=account),
        Message.objects.filter(tenant_id=account.tenant_id, account=account),
    )
    return any(found.exists() for found in rows)
