"""The vendors' table is what the adapters say, and every vendor has a page."""

from __future__ import annotations

from tests.docs.documents import ROOT
from vendors import matrix, registry

FOLDER = ROOT / "docs" / "vendors"


def test_the_table_is_up_to_date() -> None:
    text = (FOLDER / "README.md").read_text()
    assert matrix.markdown() in text, "run: make vendors"


def test_every_vendor_has_a_page_that_names_its_settings() -> None:
    missing = []
    for adapter in registry.ADAPTERS.values():
        if adapter.demo_only:
            continue
        page = (FOLDER / f"{adapter.key}.md").read_text()
        missing += [(adapter.key, one.name) for one in adapter.settings if f"`{one.name}`" not in page]
    assert missing == []


def test_no_page_without_a_vendor() -> None:
    pages = {path.stem for path in FOLDER.glob("*.md")} - {"README"}
    assert pages == {key for key, adapter in registry.ADAPTERS.items() if not adapter.demo_only}


def test_a_vendor_without_mms_says_nothing_of_a_fallback() -> None:
    for adapter in registry.ADAPTERS.values():
        assert bool(adapter.about.fallback) is ("mms" in adapter.channels), adapter.key
