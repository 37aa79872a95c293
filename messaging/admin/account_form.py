"""The form of a provider account: the vendor's own settings as fields, secrets that can only be written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator

from accounts.crypto import SealError
from accounts.forms import KeptJSONField, SecretField
from messaging.models import ProviderAccount
from messaging.models.queue import DEFAULT_DISPATCH_CAP
from messaging.onboarding import setup
from phone.numbers import NumberError, parse_sender
from vendors.base import Adapter, Setting, SettingsError

if TYPE_CHECKING:
    _AccountModelForm = forms.ModelForm[ProviderAccount]
else:
    _AccountModelForm = forms.ModelForm

PREFIX, CLEAR = "setting_", "clear_"
_UNREADABLE = "What is stored does not open with FIELD_KEY: enter it again."


class AccountForm(_AccountModelForm):
    """Completed by `form_for` with the fields of one vendor. Nothing is stored unless all of it is right."""

    adapter: ClassVar[Adapter]

    channels = forms.MultipleChoiceField(widget=forms.CheckboxSelectMultiple)
    cap = forms.IntegerField(
        label="Calls in flight",
        initial=DEFAULT_DISPATCH_CAP,
        min_value=1,
        max_value=10_000,
        help_text="How many calls to the vendor may be under way at once.",
    )
    rate = forms.FloatField(
        label="Segments per second",
        required=False,
        validators=[MinValueValidator(0.01)],
        help_text="The vendor's limit; empty: none.",
    )

    shares = forms.ModelChoiceField(
        ProviderAccount.objects.none(),
        label="Share the queue of",
        required=False,
        empty_label="a queue of its own",
        help_text="Another account of this tenant at the same vendor, when both are one account there: they then share "
        "the limits below, the pause and the circuit.",
    )

    class Meta:
        model = ProviderAccount
        fields = (
            *("tenant", "name", "is_active", "channels", "senders", "sender_map", "position"),
            *("unknown_policy", "validity", "report_deadline", "poll_after", "fail_unconfirmed"),
        )
        field_classes: ClassVar[dict[str, type[forms.Field]]] = {"sender_map": KeptJSONField}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.instance.vendor = self.adapter.key
        offered = sorted(self.adapter.channels)
        self.fields["channels"].choices = [(str(channel), channel.upper()) for channel in offered]  # type: ignore[attr-defined]
        accounts = ProviderAccount.objects.filter(vendor=self.adapter.key).exclude(pk=self.instance.pk)
        if self.instance.pk is not None:
            accounts = accounts.filter(tenant_id=self.instance.tenant_id)
            self.initial["shares"] = setup.partner(self.instance)
        self.fields["shares"].queryset = accounts.select_related("tenant")  # type: ignore[attr-defined]
        if self.instance.pk is None:
            plain = {setting.name: setting.default for setting in self.adapter.settings}
            self.initial["channels"] = [str(channel) for channel in sorted(self.adapter.carries(plain))]
        elif self.instance.queue_id:
            self.initial["cap"], self.initial["rate"] = self.instance.queue.cap, self.instance.queue.rate

    def clean_senders(self) -> list[str]:
        """Each in its canonical writing."""
        senders: list[str] = []
        for exchange in self.cleaned_data["senders"]:
            try:
                senders.append(parse_sender(exchange).value)
            except NumberError as error:
                raise ValidationError(f"Sender {len(senders) + 1} {error}.") from None
        return list(dict.fromkeys(senders))

    def clean(self) -> dict[str, Any] | None:
        """The vendor has the last word on its settings."""
        cleaned = super().clean()
        try:
            setup.store_settings(self.instance, self._vendor_values())
        except SettingsError as error:
            for name, text in error.problems.items():
                self.add_error(f"{PREFIX}{name}" if f"{PREFIX}{name}" in self.fields else None, text)
        else:
            self._refuse_channels()
        self._choose_queue()
        return cleaned

    def clean_sender_map(self) -> dict[str, str]:
        """An empty field is an empty map; the model looks at the entries."""
        return self.cleaned_data["sender_map"] or {}

    def _refuse_channels(self) -> None:
        """What an account carries may depend on its settings, so these come first."""
        if "channels" not in self.cleaned_data:
            return
        try:
            setup.refuse_channels(self.instance, self.cleaned_data["channels"])
        except ValidationError as error:
            self.add_error(None, error)

    def _choose_queue(self) -> None:
        if "tenant" in self.fields:
            if "tenant" not in self.cleaned_data:
                return
            self.instance.tenant = self.cleaned_data["tenant"]
        try:
            setup.choose_queue(self.instance, self.cleaned_data.get("shares"))
        except ValidationError as error:
            self.add_error(None, error)

    @property
    def joins_a_queue(self) -> bool:
        """Whether the account comes to another's queue: then that queue's limits hold, not those of the form."""
        return "shares" in self.changed_data and self.cleaned_data.get("shares") is not None

    def clean_validity(self) -> Any:
        return self._positive("validity")

    def clean_report_deadline(self) -> Any:
        return self._positive("report_deadline")

    def _positive(self, name: str) -> Any:
        span = self.cleaned_data[name]
        if span.total_seconds() <= 0:
            raise ValidationError("Must be longer than nothing.")
        return span

    def _vendor_values(self) -> dict[str, str]:
        """What was typed in; for a secret left empty, what is stored."""
        stored, _ = stored_secrets(self.instance)
        values: dict[str, str] = {}
        for setting in self.adapter.settings:
            typed = self.cleaned_data.get(f"{PREFIX}{setting.name}") or ""
            kept = setting.secret and not typed and not self.cleaned_data.get(f"{CLEAR}{setting.name}")
            values[setting.name] = stored.get(setting.name, "") if kept else typed
        return values


def form_for(adapter: Adapter, account: ProviderAccount | None) -> type[AccountForm]:
    """A form class with the vendor's settings as fields named `setting_<name>`."""
    stored, readable = stored_secrets(account) if account else ({}, True)
    fields: dict[str, Any] = {"adapter": adapter}
    for setting in adapter.settings:
        name = f"{PREFIX}{setting.name}"
        if not setting.secret:
            fields[name] = _plain_field(setting, (account.settings if account else {}))
            continue
        is_set = bool(stored.get(setting.name))
        more = setting.help if readable else f"{setting.help} {_UNREADABLE}"
        fields[name] = SecretField(is_set=is_set, more=more, label=setting.label, multiline=setting.multiline)
        if is_set and not setting.required:
            label = f"Forget the stored {setting.label}"
            fields[f"{CLEAR}{setting.name}"] = forms.BooleanField(required=False, label=label)
    return type("ConnectionForm", (AccountForm,), fields)


def vendor_fields(form: type[AccountForm]) -> tuple[str, ...]:
    """Names of the vendor's fields, in its order."""
    return tuple(name for name in form.base_fields if name.startswith((PREFIX, CLEAR)))


def stored_secrets(account: ProviderAccount) -> tuple[Mapping[str, str], bool]:
    """The stored secrets, and whether they open: an account with a lost key must stay repairable."""
    try:
        return account.secrets.reveal(), True
    except SealError:
        return {}, False


def _plain_field(setting: Setting, stored: Mapping[str, Any]) -> forms.Field:
    common: dict[str, Any] = {
        "label": setting.label,
        "help_text": setting.help,
        "required": setting.required,
        "initial": stored.get(setting.name) or setting.default,
    }
    if setting.choices:
        blank = () if setting.required else (("", "—"),)
        return forms.ChoiceField(choices=(*blank, *setting.choices), **common)
    # The classes are the admin's own: fields wide enough for an address.
    widget = (
        forms.Textarea(attrs={"rows": 8, "class": "vLargeTextField"})
        if setting.multiline
        else forms.TextInput(attrs={"class": "vTextField"})
    )
    return forms.CharField(widget=widget, **common)
