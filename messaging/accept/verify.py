"""Whether a tenant can send on a channel, in words for the person at Bloomreach's integration screen (contract 1)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from django.db.models.functions import Now

from accounts.authentication import Principal
from messaging.accept.intake import NoAccount
from messaging.models import ProviderAccount
from messaging.sending.conversation import CannotBuild, CannotOpen, Conversation
from vendors.values import Channel, CredentialCheck

CHECK_SECONDS = 2.0  # what the vendor gets to answer
CHECK_IS_FRESH = timedelta(seconds=60)


class CredentialsRefused(Exception):
    """The vendor does not take this account's credentials: an operator can repair it."""

    code = "credentials_refused"


@dataclass(frozen=True, slots=True)
class Verified:
    """Messages would be accepted, and what the vendor said of the account."""

    message: str


def verify(*, principal: Principal, channel: Channel) -> Verified:
    """Checks the way from a token to the vendor. Raises NoAccount, CredentialsRefused, django.db errors."""
    serving = ProviderAccount.objects.serving(principal.tenant.id, channel).select_related("tenant")
    account = serving.first()
    if account is None:
        raise NoAccount(channel)
    if serving.filter(pk=account.pk, checked_at__gte=Now() - CHECK_IS_FRESH).exists():
        check = CredentialCheck(account.check_ok, account.check_text)
    else:
        check = check_account(account)
    if check.ok is False:
        raise CredentialsRefused(f"The token is valid, but messages cannot be sent: {check.text}.")
    held = " Messages are accepted and held: the account is paused." if principal.tenant.is_paused else ""
    return Verified(f"The token is valid. {check.text}.{held}")


def check_account(account: ProviderAccount) -> CredentialCheck:
    """Asks the vendor now, within 2 s, and keeps its answer on the account."""
    check = ask(account)
    ProviderAccount.objects.filter(pk=account.pk).update(
        checked_at=Now(), check_ok=check.ok, check_text=check.text[:300]
    )
    return check


def ask(account: ProviderAccount) -> CredentialCheck:
    """What the vendor thinks of an account, saved or not; a question it cannot answer in 2 s is not answered.

    Where the account's settings silence reports or replies, the answer says so: a yes alone would hide it.
    """
    try:
        talk = Conversation.open(account)
    except CannotOpen as error:
        return CredentialCheck(False, str(error))
    check = _ask(talk)
    caution = "" if check.ok is False else talk.caution()
    return replace(check, text=f"{check.text}. But {caution}") if caution else check


def _ask(talk: Conversation) -> CredentialCheck:
    try:
        call = talk.check()
    except CannotBuild as error:
        return CredentialCheck(None, f"the credential check could not be built ({error})")
    if call is None:
        return CredentialCheck(None, f"{talk.adapter.label} cannot be asked about credentials")
    return call.dial(deadline=CHECK_SECONDS).result
