"""Bringing in a tenant and its provider accounts, and the sheet for Bloomreach's integration specialist."""

from __future__ import annotations

import re
import secrets as randomness
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import transaction

from accounts import callback_secret as callback_secrets
from accounts.models import DEFAULT_HEADER, ApiToken, Tenant
from messaging.contract.wire_profile import ACTIONS
from messaging.dialling import guards
from messaging.models import Message, ProviderAccount, Queue
from messaging.models.queue import DEFAULT_CALLBACK_CAP
from messaging.rules.values import MessageState, QueueKind
from outbound.addresses import undialable
from vendors import registry
from vendors.base import Adapter, SettingsError

# The part of a template that says where it leads, where that part is fixed.
WHOLE_HOST = re.compile(r"\A([a-z][a-z0-9+.-]*://[^/?#{}\s]+)(?:[/?#].*)?\Z", re.IGNORECASE | re.DOTALL)

ENDPOINTS = (
    ("Send SMS", "POST", "/sms/send"),
    ("Verify SMS credentials", "GET", "/sms/verify"),
    ("Send MMS", "POST", "/mms/send"),
    ("Verify MMS credentials", "GET", "/mms/verify"),
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address that Bloomreach calls (contract 1)."""

    label: str
    method: str
    url: str


@dataclass(frozen=True, slots=True)
class SettingField:
    """One field of Bloomreach's integration screen, which arrives as a header (contract 2)."""

    label: str
    header: str
    value: str = field(repr=False)
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Handover:
    """What Bloomreach's specialist enters: addresses, setting fields, the key of our callbacks."""

    endpoints: tuple[Endpoint, ...]
    fields: tuple[SettingField, ...]
    callback_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Onboarded:
    """A new tenant and its secrets, which are shown this once."""

    tenant: Tenant
    token: ApiToken
    token_secret: str = field(repr=False)
    callback_secret: str = field(repr=False)

    @property
    def handover(self) -> Handover:
        """The sheet with its secrets filled in."""
        fields = setting_fields(token=self.token, secret=self.token_secret)
        return Handover(endpoints=endpoints(), fields=fields, callback_secret=self.callback_secret)


def endpoints(agreed: Mapping[str, str] | None = None) -> tuple[Endpoint, ...]:
    """The addresses that Bloomreach calls, at our public address; `agreed` are a profile's own (contract 8)."""
    names = dict(zip(ACTIONS, ENDPOINTS, strict=True))
    own = ((f"{names[action][0]}, agreed", names[action][1], path) for path, action in (agreed or {}).items())
    return tuple(
        Endpoint(label, method, f"{settings.PUBLIC_URL}{path}") for label, method, path in (*ENDPOINTS, *own)
    )


def setting_fields(*, token: ApiToken, secret: str) -> tuple[SettingField, ...]:
    """The fields of the integration screen for one token. `secret` is its value, or a word in its place."""
    fields = [SettingField("Token", token.header, secret, secret=True)]
    if token.second_header:
        value = token.second_value or token.tenant.slug
        fields.append(SettingField("Account", token.second_header, value))
    return tuple(fields)


def new_callback_secret() -> str:
    """A key for signing callbacks: 256 random bits, in hex, which no command takes for an option."""
    return randomness.token_hex(32)


def create_tenant(
    *,
    slug: str,
    name: str,
    callback_secret: str = "",
    header: str = DEFAULT_HEADER,
    second_header: str = "",
    second_value: str = "",
    label: str = "",
    **fields: Any,
) -> Onboarded:
    """A tenant with its first token and its queue towards Bloomreach. An empty callback secret is generated.

    `fields` are more fields of Tenant. Raises ValidationError naming every wrong field: nothing was made.
    """
    tenant = Tenant(slug=slug, name=name, callback_secret=callback_secret, **fields)
    return onboard(
        tenant=tenant, header=header, second_header=second_header, second_value=second_value, label=label
    )


@transaction.atomic
def onboard(*, tenant: Tenant, **token_fields: Any) -> Onboarded:
    """Saves a new tenant as `create_tenant` does. `token_fields` are those of its first token."""
    if not tenant.callback_secret:
        tenant.callback_secret = new_callback_secret()
    given, dictated = tenant.callback_secret.reveal(), tenant.callback_secret_dictated
    if why := callback_secrets.weakness(given, dictated=dictated):
        raise ValidationError({"callback_secret": why})
    tenant.full_clean()
    tenant.save()
    token, secret = issue_token(tenant=tenant, **token_fields)
    Queue.objects.towards(QueueKind.CALLBACKS, str(tenant.pk), cap=DEFAULT_CALLBACK_CAP)
    return Onboarded(tenant, token, secret, tenant.callback_secret.reveal())


def issue_token(*, tenant: Tenant, **fields: Any) -> tuple[ApiToken, str]:
    """One more token of a tenant and its secret, shown this once. Raises ValidationError."""
    ApiToken(tenant=tenant, hint="-", **fields).full_clean(exclude=["digest"])
    return ApiToken.issue(tenant, **fields)


def connect(
    *,
    tenant: Tenant,
    vendor: str,
    name: str,
    values: Mapping[str, str],
    channels: Iterable[str] | None = None,
    cap: int | None = None,
    rate: float | None = None,
    shares: ProviderAccount | None = None,
    **fields: Any,
) -> ProviderAccount:
    """A new provider account with a queue of its own, or on that of `shares`; `channels` None: all that it can carry.

    `values` are the vendor's settings and secrets together; `cap` and `rate` (segments/s) are the queue's.
    Raises registry.UnknownVendor, SettingsError and ValidationError: nothing was made.
    """
    account = ProviderAccount(tenant=tenant, vendor=vendor, name=name, **fields)
    store_settings(account, values)
    offered = sorted(registry.adapter(vendor).carries(account.settings))
    account.channels = [str(channel) for channel in (offered if channels is None else channels)]
    account.full_clean(exclude=["queue", "public_id", "secrets"])
    choose_queue(account, shares)
    refuse_channels(account, account.channels)
    with transaction.atomic():
        account.save()
        limits = {"cap": cap, "rate": rate}
        Queue.objects.filter(pk=account.queue_id).update(
            **{name: value for name, value in limits.items() if value is not None}
        )
    return account


def choose_queue(account: ProviderAccount, shares: ProviderAccount | None) -> None:
    """Puts the account on the queue of another one, or on its own (None), unsaved: one vendor account, one limit.

    Raises ValidationError on `shares`: not the same tenant and vendor, or messages wait in the present queue.
    """
    if shares is not None and (shares.tenant_id, shares.vendor) != (account.tenant_id, account.vendor):
        raise ValidationError(
            {"shares": "Only accounts of the same tenant at the same vendor share a queue."}
        )
    if shares is None and _has_own_queue(account):
        return
    queue_id = shares.queue_id if shares else None  # None: it gets its own as it is saved
    if queue_id == account.queue_id:
        return
    if _has_work(account):
        text = "Messages of this account wait in its present queue. Change it when they have been sent."
        raise ValidationError({"shares": text})
    account.queue_id = queue_id  # type: ignore[assignment]


def partner(account: ProviderAccount) -> ProviderAccount | None:
    """The account whose queue this one shares; None: it has its own."""
    if _has_own_queue(account):
        return None
    others = ProviderAccount.objects.filter(queue_id=account.queue_id).exclude(pk=account.pk)
    return others.filter(public_id=account.queue.key).first() or others.order_by("pk").first()


def _has_own_queue(account: ProviderAccount) -> bool:
    if account.queue_id is None or account.queue.key == account.public_id:
        return True
    return not ProviderAccount.objects.filter(queue_id=account.queue_id).exclude(pk=account.pk).exists()


def _has_work(account: ProviderAccount) -> bool:
    """Two questions, since each has an index of its own."""
    if account.queue_id is None:
        return False
    mine = Message.objects.filter(queue_id=account.queue_id, account=account)
    waiting = mine.filter(state__in=[MessageState.ACCEPTED.value, MessageState.RETRYING.value])
    return waiting.exists() or mine.filter(state=MessageState.SENDING.value).exists()


def store_settings(account: ProviderAccount, values: Mapping[str, str]) -> None:
    """Puts the vendor's settings on the account, secrets apart, unsaved. Raises SettingsError."""
    adapter = registry.adapter(account.vendor)
    problems = _wrong_addresses(adapter, values)
    try:
        cleaned = adapter.clean(values)
    except SettingsError as error:
        raise SettingsError({**problems, **error.problems}) from None
    if problems:
        raise SettingsError(problems)
    hidden = {setting.name for setting in adapter.settings if setting.secret}
    account.settings = {name: value for name, value in cleaned.items() if name not in hidden}
    account.secrets = {name: value for name, value in cleaned.items() if name in hidden}


def _wrong_addresses(adapter: Adapter, values: Mapping[str, str]) -> dict[str, str]:
    """Addresses that could never be dialled, by setting. A template whose host is a variable is judged when dialled."""
    guard = guards.for_vendors()
    problems = {}
    for setting in adapter.settings:
        text = str(values.get(setting.name) or "").strip()
        fixed = WHOLE_HOST.match(text) if setting.name.endswith("url") else None
        if fixed and (problem := undialable(f"{fixed[1]}/", guard=guard)):
            problems[setting.name] = f"{setting.label}: {problem}"
    return problems


def refuse_channels(account: ProviderAccount, channels: Iterable[str]) -> None:
    """Raises ValidationError on `channels` unless the account, as set up, carries each, and there is one at least."""
    adapter = registry.adapter(account.vendor)
    chosen = set(channels)
    if not chosen:
        raise ValidationError({"channels": "Choose at least one channel."})
    if missing := chosen - {str(channel) for channel in adapter.channels}:
        words = ", ".join(channel.upper() for channel in sorted(missing))
        raise ValidationError({"channels": f"{adapter.label} does not carry {words}."})
    if missing := chosen - {str(channel) for channel in adapter.carries(account.settings)}:
        words = ", ".join(channel.upper() for channel in sorted(missing))
        raise ValidationError({"channels": f"{adapter.label} carries {words} only with {adapter.mms_needs}."})
