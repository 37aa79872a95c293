"""What the desk's pages share: pages of history that nobody edits, and lists that never count a big table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from accounts.lists import StrictList, StrictLists, no_such_page
from messaging.models import ProviderAccount

if TYPE_CHECKING:
    AnyAdmin = admin.ModelAdmin[Any]
else:
    AnyAdmin = admin.ModelAdmin


class OnePage(StrictList):
    """One page of a list, read with one row more than it shows: that row says whether more follow."""

    has_more = False

    def get_results(self, request: HttpRequest) -> None:
        first = (self.page_num - 1) * self.list_per_page
        rows = list(self.queryset[first : first + self.list_per_page + 1])
        if first and not rows:
            raise no_such_page()
        self.has_more = len(rows) > self.list_per_page
        self.result_list = rows[: self.list_per_page]
        self.result_count = len(self.result_list)
        self.full_result_count = None
        self.show_full_result_count = False
        self.show_admin_actions = bool(rows)
        self.can_show_all = False
        self.multi_page = self.page_num > 1 or self.has_more
        self.paginator = Paginator(self.result_list, self.list_per_page)
        self.paginator.count = first + len(rows)


class HistoryAdmin(StrictLists, AnyAdmin):
    """Rows that the pipeline writes. People look at them, and never add, edit or delete one."""

    list_per_page = 50
    show_facets = admin.ShowFacets.NEVER
    show_full_result_count = False
    sortable_by = ()  # other orders than the key's would sort the whole table
    ordering = ("-pk",)
    id_columns: tuple[str, ...] = ("pk",)  # what a search for an id looks at

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return OnePage

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Whole values only, so that each search has an index."""
        term = search_term.strip()
        return (queryset.filter(self.search(term)) if term else queryset), False

    def search(self, term: str) -> Q:
        """What a search term looks for: an id in `id_columns`, or else a text."""
        try:
            wanted = UUID(term)
        except ValueError:
            return self.search_text(term)
        return Q.create([(column, wanted) for column in self.id_columns], connector=Q.OR)

    def search_text(self, term: str) -> Q:
        """What a term that is no id looks for; nothing, unless the table has an index for it."""
        return Q(pk__in=[])


def vendor_id(term: str) -> Q:
    """A vendor's id, in any provider account: the index begins with the account."""
    return Q(vendor_id=term, account__in=list(ProviderAccount.objects.values_list("pk", flat=True)))
