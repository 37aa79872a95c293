"""The tenant that the benchmark sends for, and the request that it sends."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta

from bench.generator import MARK
from messaging.onboarding import setup

CARRIER_KEY = "bench-carrier-key"  # of the stand-in carrier, on loopback, for this run
CAP = 32  # calls in flight: as many as a pump has threads
REPORT_DEADLINE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Customer:
    """One tenant with a provider account at the stand-in carrier."""

    token: str = field(repr=False)
    tenant: int
    account: int
    queue: int


def create(slug: str, *, carrier_port: int) -> Customer:
    """A tenant whose only provider account is the stand-in carrier on that port."""
    made = setup.create_tenant(slug=slug, name=slug)
    account = setup.connect(
        tenant=made.tenant,
        vendor="simulator",
        name="Stand-in carrier",
        cap=CAP,
        report_deadline=REPORT_DEADLINE,
        values={
            "base_url": f"http://127.0.0.1:{carrier_port}/accounts/{slug}",
            "api_key": CARRIER_KEY,
            "capability": "look_up",
        },
    )
    assert account.queue_id is not None
    return Customer(made.token_secret, made.tenant.pk, account.pk, account.queue_id)


def body(*, callback_url: str) -> str:
    """A send request of ordinary size (contract 3); its request id is `MARK`. About 700 bytes."""
    return json.dumps(
        {
            "request_id": MARK,
            "from": "Demo Shop",
            "to": "00421900000100",
            "text": "Your parcel leaves today. Follow it at https://shop.example/parcels/123456789 - Demo Shop",
            "custom_data": "c2NlbmFyaW8" * 25,
            "callback_url": callback_url,
            "metadata": {"campaign_id": "5f8f8c44bcf86cd799439011", "action_id": 7},
        }
    )
