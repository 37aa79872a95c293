"""All addresses: the machines' (without a trailing slash: middleware takes it away) and the desk's."""

from django.contrib import admin
from django.urls import path, re_path
from django.views.generic import RedirectView

from connector import failures, health

urlpatterns = [
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    # MACHINE_ROUTES
    # With DEBUG=1 Django would answer an unknown machine path with its HTML page.
    re_path(r"^(?:sms|mms|hooks|simulator|metrics)(?:/|$)", failures.not_found),
    path("admin/", admin.site.urls),
    path("", RedirectView.as_view(pattern_name="admin:index")),
]

handler400 = "connector.failures.bad_request"
handler404 = "connector.failures.not_found"
handler500 = "connector.failures.server_error"
