"""The two switches of the release before become parts of the profile."""

from __future__ import annotations

from importlib import import_module

import pytest
from django.db import connection as database

from accounts.models import Tenant
from tests.factories import make_tenant

pytestmark = pytest.mark.django_db

CARRY_OVER = import_module("accounts.migrations.0005_wire_profile").CARRY_OVER


@pytest.mark.parametrize(
    ("bearer", "bare", "profile"),
    [
        pytest.param(False, False, {}, id="neither"),
        pytest.param(True, False, {"bearer": True}, id="bearer"),
        pytest.param(False, True, {"inbound": ""}, id="bare"),
        pytest.param(True, True, {"bearer": True, "inbound": ""}, id="both"),
    ],
)
def test_the_switches_are_carried_over(bearer: bool, bare: bool, profile: dict[str, object]) -> None:
    tenant = make_tenant()
    with database.cursor() as cursor:
        cursor.execute(
            "UPDATE accounts_tenant SET bearer_prefix = %s, inbound_bare_array = %s WHERE id = %s",
            [bearer, bare, tenant.pk],
        )
        cursor.execute(CARRY_OVER)
    assert Tenant.objects.get().wire_profile == profile
