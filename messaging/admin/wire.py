"""A tenant's wire page: its profile with a preview, what Bloomreach really sent, and trying the shapes of callbacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from accounts.models import Tenant
from messaging.accept import wire_recorder
from messaging.admin.recorded_request import differences
from messaging.admin.wire_form import WireForm, initial
from messaging.contract import wire_profile
from messaging.onboarding import wire_probe, wire_profiles
from messaging.onboarding.wire_preview import samples
from messaging.onboarding.wire_probe import CannotProbe, Subject

if TYPE_CHECKING:
    _Base = admin.ModelAdmin[Tenant]
else:
    _Base = object

DIFFERENCES_SHOWN = 12


class ProbeForm(forms.Form):
    """What to try, and where."""

    what = forms.ChoiceField(
        choices=[("outbound", "a delivery event of a test message"), ("inbound", "a made-up inbound message")]
    )
    message = forms.UUIDField(
        required=False, label="Test message", help_text="Its id; empty: the newest test message."
    )
    url = forms.CharField(
        required=False, max_length=2048, label="Address", help_text="Empty: the test message's callback URL."
    )
    confirm = forms.BooleanField(label="Post up to sixteen test callbacks to Bloomreach now")


class WirePages(_Base):
    """The part of the tenant's desk that is about the wire."""

    change_form_template = "admin/accounts/tenant_change_form.html"

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(self.wire_view)
        return [path("<int:pk>/wire/", page, name="accounts_tenant_wire"), *super().get_urls()]

    @admin.display(description="wire profile")
    def wire(self, tenant: Tenant) -> SafeString:
        """How the profile differs from the default, and what came otherwise than it says."""
        url = reverse("admin:accounts_tenant_wire", args=[tenant.pk])
        parts = wire_profiles.changes(wire_profile.DEFAULT, wire_profile.stored(tenant.wire_profile))
        lines = [*(parts or ["the default"]), *(f"sent otherwise: {words}" for words in _seen(tenant))]
        said = format_html_join("", "<div>{}</div>", ((line,) for line in lines))
        return format_html('{}<div><a href="{}">Wire profile, recorded requests, trying</a></div>', said, url)

    def wire_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Shows all of it. POST: `preview` and `save` the profile, `probe`, or `forget` what is recorded."""
        tenant = self.get_object(request, str(pk))
        if tenant is None:
            raise Http404
        if not self.has_change_permission(request, tenant):
            raise PermissionDenied
        stored = wire_profile.stored(tenant.wire_profile)
        asked = request.POST if {"preview", "save"} & set(request.POST) else None
        form, probe_form = WireForm(asked, initial=initial(stored)), ProbeForm()
        context: dict[str, Any] = {"previewed": False, "profile": stored}
        if asked is not None and form.is_valid():
            if "save" in asked:
                return self._save(request, tenant, form)
            context = {"previewed": True, "profile": form.profile}
        elif "forget" in request.POST:
            return self._forget_shapes(request, tenant)
        elif "probe" in request.POST:
            probe_form = ProbeForm(request.POST)
            context["probed"] = self._probe(request, tenant, probe_form) if probe_form.is_valid() else None
            context["profile"] = stored = wire_profile.stored(tenant.wire_profile)
            form = WireForm(initial=initial(stored))
        return TemplateResponse(
            request,
            "admin/accounts/wire.html",
            {
                **self.admin_site.each_context(request),
                "title": f"Wire profile of {tenant}",
                "opts": self.opts,
                "original": tenant,
                "form": form,
                "probe_form": probe_form,
                "samples": samples(context["profile"]),
                "shapes": [(one, differences(one)) for one in wire_recorder.of_tenant(tenant.pk)],
                **context,
            },
        )

    def _save(self, request: HttpRequest, tenant: Tenant, form: WireForm) -> HttpResponse:
        parts = wire_profiles.change(tenant, lambda now: form.profile)
        self._tell(request, tenant, parts, "Wire profile changed")
        return HttpResponseRedirect(reverse("admin:accounts_tenant_wire", args=[tenant.pk]))

    def _forget_shapes(self, request: HttpRequest, tenant: Tenant) -> HttpResponse:
        count = wire_recorder.forget(tenant.pk)
        self.log_change(request, tenant, f"Forgot {count} recorded requests.")
        self.message_user(request, f"{count} recorded requests are forgotten.", messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:accounts_tenant_wire", args=[tenant.pk]))

    def _probe(self, request: HttpRequest, tenant: Tenant, form: ProbeForm) -> wire_probe.Probed | None:
        try:
            about = _subject(tenant, form.cleaned_data)
        except CannotProbe as error:
            form.add_error(None, str(error))
            return None
        probed = wire_probe.probe(tenant, about)
        if probed.found:
            self._tell(
                request, tenant, list(probed.changed), f"Wire profile found by trying ({probed.found})"
            )
        else:
            self.log_change(request, tenant, f"Tried {len(probed.steps)} shapes of callbacks: {probed.why}.")
            self.message_user(request, f"Not found: {probed.why}.", messages.WARNING)
        return probed

    def _tell(self, request: HttpRequest, tenant: Tenant, parts: list[str], what: str) -> None:
        text = f"{what}: {'; '.join(parts) or 'nothing differs from before'}."
        if parts:
            self.log_change(request, tenant, text)
        self.message_user(request, text, messages.SUCCESS)


def _subject(tenant: Tenant, chosen: dict[str, Any]) -> Subject:
    if chosen["what"] == "inbound":
        return wire_probe.inbound_subject(tenant)
    return wire_probe.subject(tenant, url=chosen["url"], message_id=chosen["message"])


def _seen(tenant: Tenant) -> list[str]:
    """What recorded requests had otherwise than the profile says, each once."""
    shapes = wire_recorder.of_tenant(tenant.pk)
    words = dict.fromkeys(words for one in shapes for words in differences(one))
    refused = dict.fromkeys(f"{one.action} was answered {one.code}" for one in shapes if one.code)
    return [*words, *refused][:DIFFERENCES_SHOWN]
