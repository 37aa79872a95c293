"""Addresses of pages that nothing can be looked up by: a 400 in words, and never a crash or a wrong list."""

from __future__ import annotations

import logging

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from connector import urls

pytestmark = pytest.mark.django_db

assert urls.urlpatterns  # importing them registers every page
LISTS = sorted(
    reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    for model in admin.site._registry
)
ODD = ("99999999999999999999", "-5", "0", "%00", "\u0000x", "1e9", "NaN", "'", "[]", "\ud7ff" * 3, "9" * 400)
NAMES = (
    "p",
    "q",
    "tenant",
    "account",
    "state",
    "since",
    "kind",
    "kind__exact",
    "status",
    "channel",
    "o",
    "id",
    "all",
)


@pytest.mark.parametrize("address", LISTS)
def test_no_value_of_any_parameter_is_a_crash(admin_client: Client, address: str) -> None:
    admin_client.raise_request_exception = False
    seen = {
        (name, odd): admin_client.get(f"{address}?{name}={odd}").status_code for name in NAMES for odd in ODD
    }
    assert {what: status for what, status in seen.items() if status >= 500} == {}


@pytest.mark.parametrize("address", LISTS)
@pytest.mark.parametrize("odd", ["99999999999999999999", "%00", "nobody", "-1"])
def test_no_key_of_a_row_is_a_crash(admin_client: Client, address: str, odd: str) -> None:
    admin_client.raise_request_exception = False
    for page in ("change", "history", "delete"):
        assert admin_client.get(f"{address}{odd}/{page}/").status_code < 500


@pytest.mark.parametrize(
    ("query", "words"),
    [
        pytest.param(
            "state=delivered", "There is no such state in this list. It knows state=0 (", id="a word"
        ),
        pytest.param("tenant=77", "There is no such tenant in this list.", id="a tenant that is none"),
        pytest.param("since=soon", "It knows since=1h (last hour)", id="a time"),
        pytest.param("channel__exact=fax", "There is no such", id="a channel"),
        pytest.param("p=99999999999999999999", "There is no page of this number", id="a page"),
        pytest.param("tenant=%00", "NUL character", id="a NUL"),
    ],
)
def test_an_unknown_value_is_refused_in_words(admin_client: Client, query: str, words: str) -> None:
    answer = admin_client.get(f"{reverse('admin:messaging_message_changelist')}?{query}")
    assert (answer.status_code, words in answer.content.decode()) == (400, True)


def test_a_refused_page_leaves_one_line(
    client: Client, django_user_model: type, caplog: pytest.LogCaptureFixture
) -> None:
    client.force_login(django_user_model.objects.create_user("clerk", is_staff=True))
    with caplog.at_level(logging.WARNING):
        assert client.get(reverse("admin:messaging_message_changelist")).status_code == 403
    lines = [record for record in caplog.records if record.name == "django.request"]
    assert [record.exc_info for record in lines] == [None]
