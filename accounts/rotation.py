"""Key rotation: everything sealed, sealed anew under the first FIELD_KEY, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from django.apps import apps
from django.conf import settings
from django.db import models, transaction

from accounts.crypto import Sealed, SealedJSONField, SealedTextField, SealError, rotate

BATCH = 500
NAMED_MAX = 20  # unreadable rows that are listed by key


@dataclass(frozen=True, slots=True)
class Place:
    """One sealed column."""

    model: type[models.Model]
    column: str

    def __str__(self) -> str:
        return f"{self.model._meta.label_lower}.{self.column}"


@dataclass(slots=True)
class Tally:
    """What a pass over one column found."""

    place: Place
    seen: int = 0
    old: int = 0  # not yet under the first key; rotated, unless the pass only looks
    unreadable: int = 0  # open with no key at all
    named: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Everything opens with the first key alone."""
        return not self.old and not self.unreadable


def places() -> list[Place]:
    """Every sealed column of every model."""
    return [
        Place(model, column.attname)
        for model in apps.get_models()
        for column in model._meta.concrete_fields
        if isinstance(column, SealedTextField | SealedJSONField)
    ]


def survey(place: Place, *, batch: int = BATCH) -> Iterator[Tally]:
    """Looks and changes nothing. Yields the running tally after each batch."""
    return _walk(place, batch=batch, change=False)


def reseal(place: Place, *, batch: int = BATCH) -> Iterator[Tally]:
    """Rotates what is not under the first key, each batch in a transaction of its own.

    It may be killed at any moment and run again: what is done already is only looked at.
    """
    return _walk(place, batch=batch, change=True)


def _walk(place: Place, *, batch: int, change: bool) -> Iterator[Tally]:
    tally, last = Tally(place), None
    yield tally
    while True:
        with transaction.atomic():
            rows = _page(place, after=last, batch=batch, lock=change)
            for key, sealed in rows:
                _handle(tally, key, sealed, change=change)
        if not rows:
            return
        last = rows[-1][0]
        yield tally


def _page(place: Place, *, after: Any, batch: int, lock: bool) -> list[tuple[Any, Sealed]]:
    rows = place.model._default_manager.exclude(**{place.column: ""}).order_by("pk")
    rows = rows if after is None else rows.filter(pk__gt=after)
    rows = rows.select_for_update() if lock else rows
    return list(rows.values_list("pk", place.column)[:batch])


def _handle(tally: Tally, key: Any, sealed: Sealed, *, change: bool) -> None:
    tally.seen += 1
    if _opens_with_first_key(sealed.ciphertext):
        return
    try:
        fresh = type(sealed)(rotate(sealed.ciphertext))
    except SealError:
        tally.unreadable += 1
        if len(tally.named) < NAMED_MAX:
            tally.named.append(str(key))
        return
    tally.old += 1
    if change:
        tally.place.model._default_manager.filter(pk=key).update(**{tally.place.column: fresh})


def _opens_with_first_key(ciphertext: str) -> bool:
    try:
        Fernet(settings.FIELD_KEYS[0]).decrypt(ciphertext.encode("ascii", "replace"))
    except InvalidToken:
        return False
    return True
