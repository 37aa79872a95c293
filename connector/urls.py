"""All addresses: the machines' (without a trailing slash: middleware takes it away) and the desk's."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from connector import health, metrics

admin.autodiscover()

urlpatterns = [
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", metrics.metrics),
    path("", include("messaging.api.urls")),
    path("", include("messaging.hooks.urls")),
    path("admin/", admin.site.urls),
    path("", RedirectView.as_view(pattern_name="admin:index")),
]
