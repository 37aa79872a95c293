"""docs/openapi.yaml says what the views do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import responses
import yaml

from messaging.api.urls import urlpatterns
from messaging.contract import callback_url, fields, media, wire
from tests.api.conftest import MMS, SMS, Caller

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docs" / "openapi.yaml").read_text())
    return loaded


def test_every_path_is_served_and_every_route_is_documented(document: dict[str, Any]):
    routes = [re.compile(pattern.pattern.regex.pattern) for pattern in urlpatterns]
    served = {
        path: [route for route in routes if route.match(path.removeprefix("/"))] for path in document["paths"]
    }
    assert all(len(found) == 1 for found in served.values())
    assert {route.pattern for found in served.values() for route in found} == {
        route.pattern for route in routes
    }


def test_methods(document: dict[str, Any], caller: Caller):
    for path, methods in document["paths"].items():
        answer = caller.client.generic("PATCH", path)
        assert {method.upper() for method in methods} == set(answer["Allow"].split(", ")) - {"HEAD"}
        assert str(answer.status_code) in next(iter(methods.values()))["responses"]


@pytest.mark.parametrize(("schema", "keys"), [("Sms", wire.SMS_KEYS), ("Mms", wire.MMS_KEYS)])
def test_fields_and_aliases(document: dict[str, Any], schema: str, keys: dict[str, tuple[str, ...]]):
    properties = document["components"]["schemas"][schema]["properties"]
    assert set(properties) == set(keys)
    for name, spellings in keys.items():
        described = properties[name].get("description", "")
        named = re.search(r"Alias(?:es)?: ([\w, ]+)\.", described)
        assert (named[1].split(", ") if named else []) == list(spellings[1:])


@pytest.mark.parametrize(
    ("path", "body", "schema"), [("/sms/send", SMS, "Sms"), ("/mms/send", MMS, "Mms")], ids=["sms", "mms"]
)
def test_required_fields(
    document: dict[str, Any], caller: Caller, path: str, body: dict[str, Any], schema: str
):
    answer = caller.post(path, {})
    assert set(document["components"]["schemas"][schema]["required"]) == set(answer.json()["error"]["fields"])


def test_limits(document: dict[str, Any]):
    schemas = document["components"]["schemas"]
    limits = {
        name: rule["maxLength"] for name, rule in schemas["Mms"]["properties"].items() if "maxLength" in rule
    }
    assert limits == {
        "text": fields.TEXT_MAX,
        "subject": fields.TEXT_MAX,
        "fallback_text": fields.TEXT_MAX,
        "request_id": fields.REQUEST_ID_MAX,
        "custom_data": fields.CUSTOM_DATA_MAX,
        "callback_url": callback_url.URL_MAX,
    }
    assert f"At most {media.FILES_MAX} files" in schemas["Mms"]["properties"]["media"]["description"]


def test_every_answer_is_json_or_text(document: dict[str, Any]):
    answers = document["components"]["responses"].values()
    assert [set(answer["content"]) for answer in answers] == [{"application/json", "text/plain"}] * len(
        answers
    )


def test_answers_have_the_documented_keys(document: dict[str, Any], caller: Caller):
    schemas = document["components"]["schemas"]
    assert set(caller.post("/sms/send", SMS).json()) == set(schemas["Acceptance"]["required"])
    refused = caller.post("/sms/send", {}).json()
    assert set(refused) == set(schemas["Error"]["required"])
    assert set(refused["error"]) == set(schemas["Error"]["properties"]["error"]["required"])
    with responses.RequestsMock() as vendor:
        vendor.get("http://127.0.0.1:8001/accounts/demo")
        verified = caller.get("/sms/verify").json()
    assert set(verified) == set(schemas["Verification"]["required"])
