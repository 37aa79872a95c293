"""Adapters by key, imported when they are asked for."""

import subprocess
import sys

import pytest

from vendors import registry


@pytest.mark.parametrize("key", sorted(registry.PLACES))
def test_an_adapter_is_found_by_its_own_key(key: str) -> None:
    assert registry.adapter(key).key == key


def test_an_unknown_vendor_is_named_beside_the_known() -> None:
    with pytest.raises(registry.UnknownVendor, match="no vendor named 'acme'; known: bandwidth, cm, "):
        registry.adapter("acme")


def test_a_process_imports_no_vendor_that_it_does_not_speak_to() -> None:
    code = (
        "import sys; from vendors import registry; registry.adapter('twilio');"
        "print(sorted(set(sys.modules) & {f'vendors.{key}' for key in registry.PLACES}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "['vendors.twilio']\n"
