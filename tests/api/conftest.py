from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from accounts import authentication, limits
from accounts.models import Tenant
from messaging.accept import wire_recorder
from messaging.models import ProviderAccount
from messaging.queues import routes
from tests.factories import CALLBACK_URL, make_account, make_tenant, make_token

SMS = {
    "from": "Acme",
    "to": "00421900000123",
    "text": "Hello",
    "request_id": "request-1",
    "custom_data": "abc.DEF-123_~",
    "callback_url": CALLBACK_URL,
    "metadata": {"campaign": "autumn"},
}
MMS = {**SMS, "subject": "Look", "fallback_text": "", "media": {"url": "https://files.example/cat.png"}}


@dataclass(frozen=True)
class Caller:
    """Bloomreach's side of one tenant."""

    tenant: Tenant
    account: ProviderAccount
    secret: str
    client: Client

    def post(self, path: str, body: Any, **headers: str) -> Any:
        """A JSON POST with the tenant's token."""
        return self.client.post(
            path, body, content_type="application/json", headers={"Chan-Token": self.secret, **headers}
        )

    def get(self, path: str, **headers: str) -> Any:
        """A GET with the tenant's token."""
        return self.client.get(path, headers={"Chan-Token": self.secret, **headers})


Check = Callable[[HttpResponse], None]


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    """What a process keeps for two seconds must not reach the next test."""
    yield
    authentication.forget_all()
    limits.forget_allowances()
    routes.forget()
    wire_recorder.forget_seen()


@pytest.fixture
def caller(db: None, client: Client) -> Caller:
    return make_caller(client)


def make_caller(client: Client, **tenant: Any) -> Caller:
    """A tenant with a token and an account for both channels."""
    made = make_tenant(**tenant)
    return Caller(made, make_account(made), make_token(made)[1], client)
