"""Secrets at rest: sealed with Fernet under settings.FIELD_KEYS, opened only where they are used.

The first key seals, every key opens. To rotate: put a new key first, run `rotate_keys`, drop the old one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django import forms
from django.conf import settings
from django.core.exceptions import FieldError, ValidationError
from django.db import models
from django.db.models.lookups import Exact
from django.db.models.query_utils import DeferredAttribute

MASK = "***"
OPENED_MAX = 2048  # plaintexts kept per process, so that a pump does not decrypt for each call


class SealError(Exception):
    """A sealed value that cannot be opened or made. Says what to do, never what was in it."""


def seal(plain: str | bytes) -> str:
    """Ciphertext under the first key; '' stays ''. Raises SealError when FIELD_KEY is unusable."""
    if not plain:
        return ""
    return _fernet(_keys()).encrypt(plain.encode() if isinstance(plain, str) else plain).decode()


def open_(sealed: str) -> bytes:
    """The bytes that were sealed, cached per process; '' stays empty. Raises SealError."""
    return _open(_keys(), sealed) if sealed else b""


def open_once(sealed: str) -> bytes:
    """The same without the cache, for what is read once and may be large. Raises SealError."""
    return _decrypt(_keys(), sealed) if sealed else b""


def rotate(sealed: str) -> str:
    """The same content sealed anew under the first key; '' stays ''. Raises SealError."""
    return seal(open_once(sealed))


def _keys() -> tuple[str, ...]:
    return tuple(settings.FIELD_KEYS)


@lru_cache(maxsize=8)
def _fernet(keys: tuple[str, ...]) -> MultiFernet:
    try:
        return MultiFernet([Fernet(key) for key in keys])
    except ValueError:
        raise SealError(
            "FIELD_KEY must hold Fernet keys (urlsafe base64 of 32 bytes), comma separated"
        ) from None


@lru_cache(maxsize=OPENED_MAX)
def _open(keys: tuple[str, ...], sealed: str) -> bytes:
    return _decrypt(keys, sealed)


def _decrypt(keys: tuple[str, ...], sealed: str) -> bytes:
    try:
        return _fernet(keys).decrypt(sealed.encode("ascii", "replace"))
    except InvalidToken:
        raise SealError(
            "a stored secret does not open with FIELD_KEY: add the key that sealed it, or enter it again"
        ) from None


class Sealed:
    """A secret that shows itself only through `reveal()`. Nothing is opened before, so lists never fail."""

    __slots__ = ("ciphertext",)

    def __init__(self, ciphertext: str = "") -> None:
        self.ciphertext = ciphertext

    @classmethod
    def of(cls, plain: str) -> Sealed:
        """Seals a plain text."""
        return cls(seal(plain))

    def reveal(self) -> str:
        """The secret. Raises SealError."""
        return open_(self.ciphertext).decode()

    def __bool__(self) -> bool:
        return bool(self.ciphertext)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.ciphertext == self.ciphertext

    def __hash__(self) -> int:
        return hash(self.ciphertext)

    def __repr__(self) -> str:
        return MASK if self.ciphertext else ""

    reveal.alters_data = True  # type: ignore[attr-defined]  # templates refuse to call such a method


class SealedJSON(Sealed):
    """A sealed JSON object; an empty one is stored as ''."""

    __slots__ = ()

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> SealedJSON:  # type: ignore[override]
        """Seals a mapping."""
        return cls(seal(json.dumps(dict(plain))) if plain else "")

    def reveal(self) -> dict[str, Any]:  # type: ignore[override]
        """A fresh copy of the object. Raises SealError."""
        content: dict[str, Any] = json.loads(open_(self.ciphertext) or b"{}")
        return content

    reveal.alters_data = True  # type: ignore[attr-defined]


class _SealOnAssignment(DeferredAttribute):
    """Plain text is sealed the moment it is assigned: no instance, traceback or debugger holds it."""

    def __set__(self, instance: models.Model, value: Any) -> None:
        instance.__dict__[self.field.attname] = self.field.to_python(value)


if TYPE_CHECKING:
    _AnyField = models.Field[Any, Any]
    _Text = models.TextField[str | Sealed, Sealed]
    _JSON = models.TextField[Mapping[str, Any] | SealedJSON, SealedJSON]
    _AnyFormField = forms.Field
    _Exact = Exact[Any]
else:
    _AnyField = _AnyFormField = object
    _Text = _JSON = models.TextField
    _Exact = Exact


class _OnlyEmpty(_Exact):
    """Equal contents have different ciphertexts: a filter by content would quietly find nothing."""

    def get_prep_lookup(self) -> Any:
        if self.rhs != "":
            raise FieldError("a sealed field can only be compared with '' and null")
        return self.rhs


class _SealedFormField(_AnyFormField):
    """Shows no secret, so one left empty means: keep it. Required only while there is none to keep."""

    def get_bound_field(self, form: Any, field_name: str) -> Any:
        self.required = self.required and not form.get_initial_for_field(self, field_name)
        return super().get_bound_field(form, field_name)

    def prepare_value(self, value: Any) -> str:
        return ""

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(data)


class _SealedTextFormField(_SealedFormField, forms.CharField):
    pass


class _SealedJSONFormField(_SealedFormField, forms.JSONField):
    def clean(self, value: Any) -> Any:
        cleaned = super().clean(value)
        if cleaned is not None and not isinstance(cleaned, dict):
            raise ValidationError('Enter a JSON object, for example {"password": "…"}.')
        return cleaned


class _SealedField(_AnyField):
    """What both fields share: the column holds ciphertext, the Python value is a wrapper."""

    wrapper: type[Sealed]
    plain_type: type
    form_class: type[forms.Field]
    descriptor_class = _SealOnAssignment

    def from_db_value(self, value: str | None, *args: Any) -> Sealed | None:
        return None if value is None else self.wrapper(value)

    def to_python(self, value: Any) -> Any:
        if value is None or type(value) is self.wrapper or hasattr(value, "resolve_expression"):
            return value
        if value == "":
            return self.wrapper()
        if not isinstance(value, self.plain_type):
            raise ValidationError(f"A {type(self).__name__} takes a {self.plain_type.__name__}.")
        return self._seal(value)

    def _seal(self, plain: Any) -> Sealed:
        return self.wrapper.of(plain)

    def get_prep_value(self, value: Any) -> Any:
        value = self.to_python(value)
        return value.ciphertext if isinstance(value, Sealed) else value

    def get_lookup(self, lookup_name: str) -> Any:
        if lookup_name == "exact":
            return _OnlyEmpty
        return super().get_lookup(lookup_name) if lookup_name == "isnull" else None

    def validate(self, value: Any, model_instance: models.Model | None) -> None:
        if value is None and not self.null:
            raise ValidationError(self.error_messages["null"], code="null")
        if not value and not self.blank:
            raise ValidationError(self.error_messages["blank"], code="blank")

    def value_to_string(self, obj: models.Model) -> str:
        raise SealError("sealed fields are not serialized: back up with pg_dump and keep FIELD_KEY")

    def save_form_data(self, instance: models.Model, data: Any) -> None:
        if data:
            setattr(instance, self.attname, data)

    def formfield(self, **kwargs: Any) -> Any:
        # The admin hands every text field a textarea, which would print the value: none is taken from it.
        widget = forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password"})
        return models.Field.formfield(self, **{**kwargs, "form_class": self.form_class, "widget": widget})


class SealedTextField(_SealedField, _Text):
    """A text sealed at rest. Assign plain text; read with `.reveal()`."""

    wrapper = Sealed
    plain_type = str
    form_class = _SealedTextFormField


class SealedJSONField(_SealedField, _JSON):
    """A JSON object sealed at rest. Assign a mapping; read with `.reveal()`."""

    wrapper = SealedJSON
    plain_type = Mapping
    form_class = _SealedJSONFormField
