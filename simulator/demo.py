"""The demo's tenant, tokens, provider account and admin user. Doing it again changes nothing that works."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import transaction

from accounts.crypto import SealError
from accounts.models import ApiToken, Tenant, TenantStatus, digest
from messaging.models import ProviderAccount, Queue
from messaging.onboarding import setup
from messaging.queues import circuit
from messaging.rules.values import QueueKind
from vendors.values import Channel

SLUG = "demo"
ACCOUNT_NAME = "Stand-in carrier"
ADMIN = "demo"
ACCOUNT = "demo"
REPORT_DEADLINE = timedelta(seconds=25)


@dataclass(frozen=True, slots=True)
class Demo:
    """What lies in .data/demo.json, for scripts."""

    base_url: str
    tenant: str
    token: str = field(repr=False)
    callback_secret: str = field(repr=False)
    admin_url: str
    admin_user: str
    admin_password: str = field(repr=False)
    carrier_url: str
    callback_url: str


def web_port() -> int:
    return int(settings.PORT)


def carrier_port() -> int:
    """CARRIER_PORT, else the one after the web's."""
    return int(os.environ.get("CARRIER_PORT") or web_port() + 1)


def bloomreach_port() -> int:
    """BLOOMREACH_PORT, else the second after the web's."""
    return int(os.environ.get("BLOOMREACH_PORT") or web_port() + 2)


def path() -> Path:
    return Path(settings.DATA_DIR) / "demo.json"


def read() -> dict[str, Any]:
    """The facts of the last run; empty when there are none."""
    try:
        facts = json.loads(path().read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def write(demo: Demo) -> None:
    """Readable only by its owner: it holds the demo's secrets."""
    path().parent.mkdir(parents=True, exist_ok=True)
    draft = path().with_suffix(".new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(asdict(demo), file, indent=2)
        file.write("\n")
    draft.replace(path())


@transaction.atomic
def prepare(*, capability: str, callback_url: str, inbound_url: str) -> Demo:
    """Makes what is missing and repairs what was changed. Secrets that still work are kept."""
    former = read()
    tenant, callback_secret, token = _tenant(str(former.get("token") or ""))
    tenant.status = TenantStatus.ACTIVE
    tenant.inbound_url_sms = tenant.inbound_url_mms = inbound_url
    tenant.save()
    connect(tenant, capability=capability)
    password = _admin(str(former.get("admin_password") or ""))
    return Demo(
        base_url=settings.PUBLIC_URL,
        tenant=tenant.slug,
        token=token,
        callback_secret=callback_secret,
        admin_url=f"{settings.PUBLIC_URL}/admin/",
        admin_user=ADMIN,
        admin_password=password,
        carrier_url=f"http://127.0.0.1:{carrier_port()}",
        callback_url=callback_url,
    )


def _tenant(former_token: str) -> tuple[Tenant, str, str]:
    """The tenant, its callback secret and a token that works."""
    tenant = Tenant.objects.filter(slug=SLUG).first()
    if tenant is None:
        made = setup.create_tenant(slug=SLUG, name="Demo", label="demo")
        return made.tenant, made.callback_secret, made.token_secret
    callbacks = Queue.objects.filter(kind=QueueKind.CALLBACKS, key=str(tenant.pk))
    circuit.resume([queue.pk for queue in callbacks])
    tenant.callback_secret = secret = _opened(tenant)
    if former_token and ApiToken.objects.live().filter(tenant=tenant, digest=digest(former_token)).exists():
        return tenant, secret, former_token
    return tenant, secret, setup.issue_token(tenant=tenant, label="demo")[1]


def _opened(tenant: Tenant) -> str:
    try:
        return str(tenant.callback_secret.reveal())
    except SealError:  # the keys below .data/ were made anew
        return setup.new_callback_secret()


def connect(tenant: Tenant, *, capability: str) -> ProviderAccount:
    """The tenant's account with the stand-in carrier, with this capability."""
    account = ProviderAccount.objects.filter(tenant=tenant, name=ACCOUNT_NAME).first()
    account = account or ProviderAccount(tenant=tenant, name=ACCOUNT_NAME, vendor="simulator")
    values = {
        "base_url": f"http://127.0.0.1:{carrier_port()}/accounts/{ACCOUNT}",
        "api_key": api_key(account),
        "capability": capability,
    }
    setup.store_settings(account, values)
    account.channels = [Channel.MMS, Channel.SMS]
    account.is_active = True
    account.report_deadline = REPORT_DEADLINE
    account.save()
    circuit.resume([account.queue_id])
    return account


def api_key(account: ProviderAccount | None = None) -> str:
    """The demo account's key at the carrier; a new one when there is none that opens."""
    account = account or ProviderAccount.objects.filter(tenant__slug=SLUG, name=ACCOUNT_NAME).first()
    try:
        key = account.secrets.reveal().get("api_key") if account else None
    except SealError:
        key = None
    return str(key) if key else secrets.token_hex(24)


def _admin(former: str) -> str:
    """The admin's password: the one of the last run while it works, else a new one."""
    user, _ = get_user_model().objects.get_or_create(
        username=ADMIN, defaults={"is_staff": True, "is_superuser": True}
    )
    if former and user.check_password(former):
        return former
    password = secrets.token_hex(8)
    user.set_password(password)
    user.is_staff = user.is_superuser = user.is_active = True
    user.save()
    return password
