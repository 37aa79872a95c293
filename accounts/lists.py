"""Lists of the desk that refuse what they cannot look up.

Django's own lists leave out a filter or a page that they cannot read, and show all rows as if they matched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.contrib import admin
from django.contrib.admin.exceptions import DisallowedModelAdminLookup, DisallowedModelAdminToField
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import PAGE_VAR, ChangeList
from django.core.exceptions import BadRequest, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest

NAMED = 12  # values that a refusal names
PAGES = 20_000  # of one list: further back a filter is the better way
_UNREAD = (IncorrectLookupParameters, DisallowedModelAdminLookup, DisallowedModelAdminToField)
_NULL_OR_NOT = frozenset(("True", "False", "1", "0"))


class StrictList(ChangeList):
    """A list whose address names only filters that it has, values that they offer, and a page that there is.

    Raises BadRequest with words for a person; what the address said is not repeated.
    """

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        _require_page(request.GET.get(PAGE_VAR, "1"))
        try:
            super().__init__(request, *args, **kwargs)
        except _UNREAD as error:
            raise BadRequest(
                "The address has a filter or a value that this list cannot look up. Choose from its filters."
            ) from error

    def get_queryset(self, request: HttpRequest, *args: Any, **kwargs: Any) -> QuerySet[Any]:
        if self.query and not self.search_fields:
            raise BadRequest("This list has no search. Choose from its filters.")
        return super().get_queryset(request, *args, **kwargs)

    def get_filters(self, request: HttpRequest) -> Any:
        asked = self.get_filters_params()
        if any(name.endswith("__isnull") and not _NULL_OR_NOT.issuperset(asked[name]) for name in asked):
            raise IncorrectLookupParameters
        found = super().get_filters(request)
        offered = [name for spec in found[0] for name in spec.expected_parameters() if name]
        if not asked.keys() <= set(offered):
            names = ", ".join(name for name in offered if not name.endswith("__isnull"))
            raise BadRequest(f"This list has no filter of this name. It has {names or 'none'}.")
        for spec in found[0]:
            _require_offered(spec)
        return found

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if self.page_num > self.paginator.num_pages:
            raise no_such_page()


class RowsFilter(admin.RelatedFieldListFilter):
    """By rows of another table. Shown with a single row too: Django would leave out what the address asks of it."""

    def has_output(self) -> bool:
        return True


class StrictLists:
    """Mixed into every page's ModelAdmin: its list is strict, and its actions are for rows that can be."""

    opts: Any

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return StrictList

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any], *args: Any) -> Any:
        for key in request.POST.getlist(ACTION_CHECKBOX_NAME):
            try:
                self.opts.pk.to_python(key)
            except (ValidationError, ValueError):
                raise BadRequest("What was chosen is no row of this list. Nothing was changed.") from None
        return super().response_action(request, queryset, *args)  # type: ignore[misc]  # a ModelAdmin has it


def no_such_page() -> BadRequest:
    """What a person is told of a page that the list does not have."""
    return BadRequest("This list has no page of this number.")


def unknown_value(title: str, name: str, offered: Mapping[str, str]) -> BadRequest:
    """What a person is told of a filter's value that is none; the value itself is not repeated."""
    known = ", ".join(f"{name}={value} ({label})" for value, label in list(offered.items())[:NAMED])
    more = " …" if len(offered) > NAMED else ""
    return BadRequest(f"There is no such {title} in this list. It knows {known or 'none'}{more}.")


def _require_page(value: str) -> None:
    if value and not (value.isascii() and value.isdigit() and len(value) < 10 and 1 <= int(value) <= PAGES):
        raise no_such_page()


def _require_offered(spec: Any) -> None:
    """Django's own filters show nothing for a value that they do not offer."""
    asked = getattr(spec, "lookup_val", None)
    choices = _choices(spec)
    if asked is None or choices is None:
        return
    offered = {str(value): str(label) for value, label in choices}
    if not offered.keys() >= set(asked):
        raise unknown_value(str(spec.title), spec.lookup_kwarg, offered)


def _choices(spec: Any) -> Iterable[tuple[Any, Any]] | None:
    """The values that a filter offers (rows of another table, or a field's choices); None for a yes/no filter."""
    rows: Iterable[tuple[Any, Any]] | None = getattr(spec, "lookup_choices", None)
    return rows if rows is not None else spec.field.flatchoices or None
