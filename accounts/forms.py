"""Form fields for secrets: a person can enter one, and no page shows it again."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms.fields import InvalidJSONInput

from accounts import callback_secret
from accounts.models import Tenant

if TYPE_CHECKING:
    _TenantModelForm = forms.ModelForm[Tenant]
else:
    _TenantModelForm = forms.ModelForm

_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+")


_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")  # as JSON writes it; after a backslash it is a text about it
_UNKEPT = (ValueError, RecursionError)


class KeptJSONField(forms.JSONField):
    """JSON that PostgreSQL can keep and a page can show. Other JSON is refused, where Django's own field crashes."""

    def to_python(self, value: Any) -> Any:
        try:
            return _kept(super().to_python(value))
        except _UNKEPT:
            raise ValidationError(
                "This JSON cannot be kept: it has a NUL, half a character, too long a number or too many brackets."
            ) from None

    def bound_data(self, data: Any, initial: Any) -> Any:
        try:
            return _kept(super().bound_data(data, initial))
        except _UNKEPT:
            return InvalidJSONInput(data)


def _kept(value: Any) -> Any:
    """The value as it is. Raises ValueError (UnicodeEncodeError for half a surrogate pair), RecursionError."""
    text = json.dumps(value, ensure_ascii=False)
    text.encode()
    if _NUL.search(text):
        raise ValueError
    return value


class SecretLines(forms.Textarea):
    """A text of several lines (a private key) that a page never shows again, not even beside an error."""

    def format_value(self, value: Any) -> str | None:
        return None


class SecretField(forms.CharField):
    """A write-only text. Left empty it keeps what is stored; the help says whether there is something."""

    def __init__(self, *, is_set: bool, more: str = "", multiline: bool = False, **kwargs: Any) -> None:
        standing = "Set. Leave empty to keep it." if is_set else "Not set."
        attrs = {"autocomplete": "new-password"}
        super().__init__(
            # A password field would swallow the line breaks.
            widget=SecretLines({**attrs, "rows": 8, "class": "vLargeTextField"})
            if multiline
            else forms.PasswordInput(render_value=False, attrs=attrs),
            help_text=f"{more} {standing}".strip(),
            **{"required": False, "strip": True, **kwargs},
        )


class TenantForm(_TenantModelForm):
    """A tenant's settings. A new callback secret makes the old one the previous: rotation has no gap.

    A short one, and one that would drop what Bloomreach still uses, are refused unless a tick says otherwise.
    """

    secret_dictated = forms.BooleanField(
        required=False,
        label="Bloomreach gave us this secret",
        help_text=f"Then it may be shorter than {callback_secret.LEAST} characters.",
    )
    drop_previous_secret = forms.BooleanField(
        required=False,
        label="Drop the previous secret, even if Bloomreach still uses it",
        help_text="Callbacks are refused, and kept for three days, until Bloomreach has the current or the new one.",
    )

    class Meta:
        model = Tenant
        exclude = ("callback_secret_previous",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        is_set = bool(self.instance.callback_secret)
        more = "Signs the callbacks; the same value is entered at Bloomreach."
        if not is_set:
            more += " Leave empty to have one generated."
        self.fields["callback_secret"] = SecretField(is_set=is_set, more=more, label="Callback secret")
        self._current = self.instance.callback_secret

    def clean_allowed_hosts(self) -> list[str]:
        """Bare host names in lower case: no scheme, port or path."""
        hosts = [host.strip().lower().rstrip(".") for host in self.cleaned_data["allowed_hosts"]]
        if wrong := [host for host in hosts if not _HOST.fullmatch(host)]:
            raise ValidationError(
                f"Not a bare host name: {', '.join(wrong)}. Write it like hooks.example.com."
            )
        return list(dict.fromkeys(hosts))

    def clean(self) -> dict[str, Any]:
        """A new secret is strong enough, and its time has come."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        secret = cleaned.get("callback_secret")
        if not secret:
            return cleaned
        why = callback_secret.weakness(secret, dictated=cleaned["secret_dictated"])
        if not why and not cleaned["drop_previous_secret"]:
            why = callback_secret.hindrance(self.instance, secret)
        if why:
            self.add_error("callback_secret", why)
        return cleaned

    def _post_clean(self) -> None:
        secret = self.cleaned_data.get("callback_secret")
        super()._post_clean()  # type: ignore[misc]  # a hook that the stubs lack
        if secret:
            self.instance.callback_secret = self._current
            dictated = self.cleaned_data.get("secret_dictated", False)
            callback_secret.replace(self.instance, secret, dictated=dictated)
