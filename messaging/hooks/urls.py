"""The addresses that vendors call; an adapter may want more path below its account's."""

from django.urls import re_path

from messaging.hooks.views import hook

urlpatterns = [
    re_path(
        r"^hooks/(?P<vendor>[a-z0-9_-]+)/(?P<public_id>[A-Za-z0-9_-]{1,40})(?:/(?P<path>.*))?$",
        hook,
        name="hook",
    ),
]
