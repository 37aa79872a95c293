"""The form of a wire profile: choices, and maps written one entry a line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from messaging.contract import wire_profile
from messaging.contract.wire_profile import ACTIONS, KEYS_OUT, STATUSES, ProfileError, WireProfile

LINES_MAX = 8000  # characters


class Lines(forms.CharField):
    """A map, `name = value` a line."""

    def __init__(self, *, shape: str, more: str, **kwargs: Any) -> None:
        super().__init__(
            required=False,
            max_length=LINES_MAX,
            widget=forms.Textarea(attrs={"rows": 4, "cols": 60}),
            help_text=f"One a line: {shape}. {more}",
            **kwargs,
        )

    def clean(self, value: Any) -> dict[str, str]:
        found: dict[str, str] = {}
        for line in filter(None, map(str.strip, super().clean(value).splitlines())):
            name, mark, word = (part.strip() for part in line.partition("="))
            if not mark or not name:
                raise ValidationError(f"Line {len(found) + 1} is not written as name = value.")
            if name in found:
                raise ValidationError(f"Line {len(found) + 1} repeats a name.")
            found[name] = word
        return found


class WireForm(forms.Form):
    """All parts of a profile. `profile` is there once the form is valid."""

    spelling = forms.ChoiceField(
        choices=[("snake", "snake_case"), ("camel", "camelCase")],
        label="Spelling of what goes out",
    )
    spelling_in = forms.ChoiceField(
        choices=[("snake", "snake_case"), ("camel", "camelCase")],
        label="Spelling that is expected",
        help_text="For the preview, and for comparing with what comes: that is read in every spelling.",
    )
    outbound = forms.CharField(
        required=False,
        max_length=64,
        label="Envelope of delivery events",
        help_text="The key of the array; empty: a bare array.",
    )
    inbound = forms.CharField(
        required=False,
        max_length=64,
        label="Envelope of inbound messages",
        help_text="The key of the array; empty: a bare array.",
    )
    bearer = forms.BooleanField(required=False, label='"Bearer " before the token in Authorization')
    success = forms.ChoiceField(choices=[("json", "JSON"), ("text", "Plain text")], label="Body of a 200")
    statuses = Lines(shape="delivered = DELIVERED", more=f"Ours are {', '.join(STATUSES)}.")
    keys_out = Lines(
        shape="to = recipient",
        more=f"Where the spelling alone does not give the name: {', '.join(KEYS_OUT)}.",
    )
    keys_in = Lines(shape="text = messageText", more="Request fields under a name of their own.")
    extra = Lines(
        shape="userId = acme", more="Constants on each event: texts, or JSON numbers, true, false, null."
    )
    omitted = forms.CharField(
        required=False,
        max_length=LINES_MAX,
        label="Left out",
        help_text="Our keys, with blanks between them.",
    )
    paths = Lines(shape="/c/acme/sms/send = sms_send", more=f"More addresses, for {', '.join(ACTIONS)}.")

    profile: WireProfile

    def clean(self) -> dict[str, Any]:
        """The parts together. Each problem stands at its field."""
        values = dict(self.cleaned_data)
        if self.errors:
            return values
        values["omitted"] = values["omitted"].replace(",", " ").split()
        values["extra"] = {name: _constant(word) for name, word in values["extra"].items()}
        try:
            self.profile = wire_profile.parse(values)
        except ProfileError as error:
            for name, words in error.problems.items():
                self.add_error(name if name in self.fields else None, f"This {words}.")
        return values


def initial(profile: WireProfile) -> dict[str, Any]:
    """What the form shows of a profile."""
    return {
        "spelling": profile.spelling,
        "spelling_in": profile.spelling_in,
        "outbound": profile.outbound,
        "inbound": profile.inbound,
        "bearer": profile.bearer,
        "success": profile.success,
        "omitted": " ".join(profile.omitted),
        "extra": _lines({name: _written(value) for name, value in profile.extra.items()}),
        **{name: _lines(getattr(profile, name)) for name in ("statuses", "keys_out", "keys_in", "paths")},
    }


def _lines(values: Mapping[str, str]) -> str:
    return "\n".join(f"{name} = {value}" for name, value in values.items())


def _constant(word: str) -> Any:
    """A JSON value where it is one; any other word is a text."""
    try:
        return json.loads(word)
    except (ValueError, RecursionError):
        return word


def _written(value: Any) -> str:
    is_plain = isinstance(value, str) and _constant(value) == value and value == value.strip()
    return value if is_plain else json.dumps(value, ensure_ascii=False)
