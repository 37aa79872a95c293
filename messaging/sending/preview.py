"""What a provider account would send for a sample message, without sending it."""

from __future__ import annotations

from typing import Any

from messaging.models import ProviderAccount
from messaging.sending.conversation import CannotBuild, CannotOpen, Conversation


class NoPreview(Exception):
    """The call cannot be built; the text says why."""


def preview(account: ProviderAccount, *, shows_hook: bool = True) -> dict[str, Any]:
    """Method, URL, headers and body of the call for a sample SMS, secrets as `***`. Raises NoPreview.

    The hook address that some calls carry is a secret too where `shows_hook` is false.
    """
    try:
        return Conversation.open(account).preview(hidden=[] if shows_hook else [account.public_id])
    except CannotOpen as error:
        raise NoPreview(str(error)) from None
    except CannotBuild as error:
        raise NoPreview(f"the call cannot be built ({error})") from None
