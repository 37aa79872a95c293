"""What a provider account would send for a sample message, without sending it."""

from __future__ import annotations

import logging
from typing import Any

from accounts.crypto import SealError
from messaging.models import ProviderAccount
from outbound import http
from vendors import base, registry
from vendors.registry import UnknownVendor

logger = logging.getLogger(__name__)


class NoPreview(Exception):
    """The call cannot be built; the text says why."""


def preview(account: ProviderAccount, *, shows_hook: bool = True) -> dict[str, Any]:
    """Method, URL, headers and body of the call for a sample SMS, secrets as `***`. Raises NoPreview.

    The hook address that some calls carry is a secret too where `shows_hook` is false.
    """
    try:
        adapter = registry.adapter(account.vendor)
        credentials = account.credentials()
        request = base.preview(adapter, credentials)
    except (SealError, UnknownVendor) as error:
        raise NoPreview(str(error)) from None
    except Exception as error:  # settings that the adapter cannot work with, or its bug
        logger.exception("a preview could not be built", extra={"vendor": account.vendor})
        raise NoPreview(f"the call cannot be built ({type(error).__name__})") from None
    hidden = [*credentials.secrets.values(), *([] if shows_hook else [account.public_id])]
    shown: dict[str, Any] = http.trace(request, None, secrets=hidden)["request"]
    return shown
