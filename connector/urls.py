"""All addresses: the machines' (without a trailing slash: middleware takes it away) and the desk's."""

from django.apps import apps
from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from connector import health, metrics
from messaging.api import views

admin.autodiscover()
# The task queue carries nothing but wake-up calls; its own pages would invite edits that lead nowhere.
for model in apps.get_app_config("django_q").get_models():
    if admin.site.is_registered(model):
        admin.site.unregister(model)

urlpatterns = [
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", metrics.metrics),
    path("", include("messaging.api.urls")),
    path("", include("messaging.hooks.urls")),
    path("admin/", admin.site.urls),
    path("", RedirectView.as_view(pattern_name="admin:index")),
    re_path("", views.agreed),  # the last: addresses of single tenants
]
